"""Whatever is sent to the identity service, as whomever, it answers; it never fails."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, given, seed, settings
from pydantic import SecretStr
from schemathesis import Case

import tests.fixtures.describing  # noqa: F401
from diagnosis.audit import MemoryAudit
from diagnosis.identity import Role
from gateway.identity import people
from gateway.identity.app import create_app
from gateway.settings import IdentitySettings
from gateway.store import connect
from tests.fixtures.redis import RedisServer
from tests.fixtures.serving import served
from tests.gateway.identity.conftest import ORIGIN, PASSWORD, Clock

#: Ends the session that the others are tried with; it is tried by `test_sessions`.
LEFT_OUT = {"/auth/sign-out"}


@pytest.fixture(scope="module")
def service(
    start_redis: Callable[..., RedisServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Any]]:
    """The address of a service with one account of each role, and its description."""
    redis, folder = start_redis(), tmp_path_factory.mktemp("fuzz")
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    address = redis.url_for("identity")

    async def enter() -> None:
        store = connect(address)
        for role in Role:
            account = await people.enter(store, Clock(), name=f"a-{role}", roles=(role,))
            hashed = hasher.hash(PASSWORD)
            await store.change_account(
                account.id, lambda one, to=hashed: one.model_copy(update={"password": to})
            )
        await store.close()

    asyncio.run(enter())
    app = create_app(
        IdentitySettings(
            redis_url=SecretStr(address),
            audit_dir=folder / "audit",
            key_file=folder / "identity.key",
            public_url=ORIGIN,
        ),
        clock=Clock(),
        hasher=hasher,
        audit=MemoryAudit(),
    )
    description = app.openapi()
    with served(app) as url:
        yield url, schemathesis.openapi.from_dict(description)


@pytest.mark.parametrize("role", [None, *Role])
def test_it_answers_whatever_is_sent(service: tuple[str, Any], role: Role | None) -> None:
    url, schema = service
    with httpx.Client(base_url=url, headers={"Origin": url}) as browser:
        # From a place of its own, as failures of one place add up.
        place = {"X-Forwarded-For": f"10.0.0.{1 if role is None else 2 + list(Role).index(role)}"}
        headers = {"Origin": url} | place
        if role is not None:
            given_ = {"name": f"a-{role}", "password": PASSWORD}
            assert browser.post("/auth/sign-in", json=given_, headers=place).status_code == 200
            session = browser.get("/auth/session").json()
            headers |= {"X-CSRF-Token": session["csrf"]}
            headers |= {"Cookie": "; ".join(f"{k}={v}" for k, v in browser.cookies.items())}
        failed: list[tuple[str, str, int]] = []
        tried = 0
        for result in schema.get_all_operations():
            operation = result.ok()
            if operation.path in LEFT_OUT:
                continue

            @seed(20261126)
            @settings(
                max_examples=3,
                deadline=None,
                database=None,
                phases=(Phase.generate,),
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy())
            def answers(case: Case) -> None:
                nonlocal tried
                tried += 1
                answer = case.call(base_url=url, headers=headers, allow_redirects=False)
                if answer.status_code >= 500:
                    failed.append((case.method, case.path, answer.status_code))

            answers()
        assert failed == []
        assert tried > 40
        if role is not None:
            assert browser.get("/auth/session").status_code == 200, "the session lasted"
