"""An identity service in the test's own process: real Redis, cheap hashes, a clock to turn."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis

from diagnosis.audit import AuditEvent, MemoryAudit
from diagnosis.errors import AuditUnavailable
from diagnosis.identity import Role
from diagnosis.redis_connection import open_client
from gateway.identity import people
from gateway.identity.app import create_app
from gateway.identity.records import Account, ApiKey
from gateway.identity.service import Service
from gateway.settings import IdentitySettings
from tests.fixtures.redis import RedisServer

ORIGIN = "http://127.0.0.1:8080"
PASSWORD = "a quiet meadow at noon"
COOKIE = "sightline_session"


class Clock:
    """Seconds since 1970, as the test says."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += seconds


class Noted(MemoryAudit):
    """A trail that the test can read."""

    def said(self) -> list[tuple[str, str]]:
        return [(event.action.value, event.outcome.value) for event in self.events]


class NoTrail(Noted):
    """Nothing can be written down at the moment."""

    async def add(self, event: AuditEvent) -> None:
        raise AuditUnavailable


class Door:
    """The service and a browser; `browser()` is another one."""

    def __init__(self, app: FastAPI, clock: Clock, trail: Noted, exits: AsyncExitStack) -> None:
        self.app = app
        self.clock = clock
        self.trail = trail
        self._exits = exits

    @property
    def service(self) -> Service:
        found = self.app.state.service
        assert isinstance(found, Service)
        return found

    async def browser(self, address: str = "10.0.0.1", **options: Any) -> httpx.AsyncClient:
        """A client with cookies of its own, which says where its requests come from."""
        headers = {"Origin": ORIGIN} | options.pop("headers", {})
        transport = httpx.ASGITransport(self.app, client=(address, 1), raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers, **options)
        return await self._exits.enter_async_context(client)

    async def person(
        self, name: str = "ada", *roles: Role, password: str | None = PASSWORD, **fields: Any
    ) -> Account:
        """An account with a password."""
        account = await people.enter(
            self.service.store, self.clock, name=name, roles=roles, **fields
        )
        if password is None:
            return account
        hashed = await self.service.passwords.hash(password)
        changed = await self.service.store.change_account(
            account.id, lambda one: one.model_copy(update={"password": hashed})
        )
        assert changed is not None
        return changed

    async def note_key(self, key: ApiKey) -> None:
        """A key that is made by the test itself is written nowhere."""

    async def signed_in(self, name: str = "ada", *roles: Role, **fields: Any) -> "SignedIn":
        """Somebody with these roles, in a browser of their own."""
        account = await self.person(name, *roles, **fields)
        browser = await self.browser()
        answer = await sign_in(browser, name)
        assert answer.status_code == 200, answer.text
        return SignedIn(browser, account, (await browser.get("/auth/session")).json()["csrf"])


class SignedIn:
    """A browser whose requests carry the token of its session."""

    def __init__(self, browser: httpx.AsyncClient, account: Account, csrf: str) -> None:
        self.browser = browser
        self.account = account
        self.csrf = csrf

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        headers = {"X-CSRF-Token": self.csrf} | options.pop("headers", {})
        return await self.browser.request(method, path, json=body, headers=headers, **options)

    async def set_up_codes(self) -> pyotp.TOTP:
        """Have the account ask for codes."""
        secret = (await self.ask("POST", "/auth/totp")).json()["secret"]
        return pyotp.TOTP(secret)


async def sign_in(
    browser: httpx.AsyncClient, name: str = "ada", password: str = PASSWORD, **more: Any
) -> httpx.Response:
    return await browser.post("/auth/sign-in", json={"name": name, "password": password, **more})


def said(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


@pytest.fixture(scope="session")
def identity_redis(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A server for these tests alone, because each begins with an empty one."""
    return start_redis()


@pytest_asyncio.fixture
async def kept(identity_redis: RedisServer) -> AsyncIterator[Redis]:
    """What is in the store, for who may do everything."""
    client = open_client(identity_redis.admin_url)
    yield client
    await client.aclose()


@pytest.fixture
def clock() -> Clock:
    return Clock()


Open = Callable[..., "AsyncIterator[Door]"]


@pytest_asyncio.fixture
async def open_door(
    identity_redis: RedisServer, clock: Clock, tmp_path: Path
) -> AsyncIterator[Callable[..., Any]]:
    """Start a service; settings by keyword."""
    identity_redis.command("FLUSHALL")
    async with AsyncExitStack() as exits:

        async def begin(**changes: Any) -> Door:
            settings = IdentitySettings(
                **{
                    "redis_url": SecretStr(identity_redis.url_for("identity")),
                    "audit_dir": tmp_path / "audit",
                    "key_file": tmp_path / "identity.key",
                    "public_url": ORIGIN,
                }
                | changes
            )
            trail = Noted()
            hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
            app = create_app(settings, clock=clock, hasher=hasher, audit=trail)
            await exits.enter_async_context(app.router.lifespan_context(app))
            return Door(app, clock, trail, exits)

        yield begin


@pytest_asyncio.fixture
async def door(open_door: Callable[..., Any]) -> Door:
    """A service as it is by default."""
    opened = await open_door()
    assert isinstance(opened, Door)
    return opened
