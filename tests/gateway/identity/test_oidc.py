"""Signing in at an OpenID Connect provider: npm's `oidc-provider`, as the tests start it."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from diagnosis.identity import Role
from gateway.identity import people
from gateway.identity.oidc import Person, Provider, safe_path
from gateway.identity.records import Subject
from gateway.settings import PROJECT
from tests.fixtures.ports import free_port
from tests.gateway.identity.conftest import COOKIE, ORIGIN, Door, said, sign_in

FOLDER = Path(__file__).parents[1] / "oidc"
NODE_FIRST = f"{PROJECT / '.venv' / 'node' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
CALLBACK = f"{ORIGIN}/auth/oidc/callback"
SECRET = "a secret: of/the+tests"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The address of a provider that runs as long as this module's tests."""
    node = shutil.which("node", path=NODE_FIRST)
    if node is None:
        pytest.skip("no Node: `make setup` brings it")
    assert (FOLDER / "node_modules" / "oidc-provider").is_dir(), "`make setup` installs it"
    port = free_port()
    provider = subprocess.Popen(
        [node, "provider.mjs", str(port), CALLBACK],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert provider.stdout is not None
        assert any("listening" in line for line in provider.stdout)
        yield f"http://127.0.0.1:{port}"
    finally:
        provider.kill()
        provider.communicate()


Open = Callable[..., Any]


@pytest.fixture
def with_provider(open_door: Open, issuer: str) -> Open:
    """Start a service that knows the provider; its clock is the provider's."""

    async def begin(**changes: Any) -> Door:
        door = await open_door(
            **{
                "oidc_issuer": issuer,
                "oidc_client_id": "sightline",
                "oidc_client_secret": SecretStr(SECRET),
            }
            | changes
        )
        assert isinstance(door, Door)
        door.clock.now = time.time()
        return door

    return begin


GROUPS = {
    "oidc_scope": "openid profile groups",
    "oidc_roles_claim": "groups",
    "oidc_roles": {"radiology": Role.CLINICIAN, "it": Role.ADMIN},
}


def at_provider(address: str, name: str) -> str:
    """What somebody does there: give a name, agree; the address that the browser is sent to."""
    with httpx.Client(timeout=10, trust_env=False) as browser:
        answer = browser.get(address)
        for _ in range(10):
            if answer.status_code in (302, 303):
                place = answer.headers["location"]
                if place.startswith(ORIGIN):
                    return str(place)
                answer = browser.get(httpx.URL(address).join(place))
                continue
            assert answer.status_code == 200, answer.text
            prompt = "login" if 'name="login"' in answer.text else "consent"
            form = {"prompt": prompt, "login": name, "password": "any"}
            answer = browser.post(answer.url, data=form)
    raise AssertionError("the provider does not send anybody back")


async def go(browser: httpx.AsyncClient, query: str = "") -> str:
    answer = await browser.get(f"/auth/oidc{query}")
    assert answer.status_code == 303
    return answer.headers["location"]


async def sign_in_as(
    door: Door, name: str, query: str = "", browser: httpx.AsyncClient | None = None
) -> tuple[httpx.AsyncClient, httpx.Response]:
    browser = browser or await door.browser()
    back = at_provider(await go(browser, query), name)
    return browser, await browser.get(back)


async def test_groups_let_in_and_stand_for_roles(with_provider: Open, issuer: str) -> None:
    door = await with_provider(**GROUPS)
    browser, answer = await sign_in_as(door, "rita", "?next=/history")
    assert (answer.status_code, answer.headers["location"]) == (303, "/history")
    session = (await browser.get("/auth/session")).json()
    assert (session["login"], session["name"]) == ("rita", "rita of the ward")
    assert (session["roles"], session["password"]) == (["clinician"], False)
    assert (await browser.get("/internal/check")).status_code == 200
    account = await door.service.store.account_of(Subject(issuer=issuer, subject="rita"))
    assert account is not None
    assert account.id == session["sub"]
    # The account stays the same, and its roles are those of the day.
    await people.change(door.service, account.id, roles=(Role.OPS,))
    again, _ = await sign_in_as(door, "rita")
    session = (await again.get("/auth/session")).json()
    assert (session["sub"], session["roles"]) == (account.id, ["clinician"])
    assert ("sign-in", "allowed") in door.trail.said()


async def test_who_is_in_no_such_group_stays_out(with_provider: Open) -> None:
    door = await with_provider(**GROUPS)
    browser, answer = await sign_in_as(door, "olaf")
    assert answer.headers["location"] == "/sign-in?problem=sign-in-failed"
    assert COOKIE not in browser.cookies
    assert await door.service.store.accounts() == []
    assert door.trail.said() == [("sign-in-failed", "refused")]


async def test_an_admin_enters_somebody_by_their_subject(with_provider: Open) -> None:
    door = await with_provider()
    _, refused = await sign_in_as(door, "rita")
    assert refused.headers["location"] == "/sign-in?problem=sign-in-failed"
    ada = await door.signed_in("ada", Role.ADMIN)
    made = await ada.ask(
        "POST", "/api/v1/users", {"name": "r.ita", "subject": "rita", "roles": ["engineer"]}
    )
    assert (made.status_code, made.json()["can_sign_in"]) == (201, True)
    browser, answer = await sign_in_as(door, "rita")
    assert answer.headers["location"] == "/"
    session = (await browser.get("/auth/session")).json()
    assert (session["login"], session["roles"]) == ("r.ita", ["engineer"])
    closed = await ada.ask("PATCH", f"/api/v1/users/{made.json()['id']}", {"disabled": True})
    assert closed.status_code == 200
    assert (await browser.get("/auth/session")).status_code == 401
    _, refused = await sign_in_as(door, "rita")
    assert refused.headers["location"] == "/sign-in?problem=sign-in-failed"


async def test_a_name_that_is_somebodys_here_stays_theirs(with_provider: Open) -> None:
    door = await with_provider(**GROUPS)
    root = await door.person("root", Role.OPS)
    browser, _ = await sign_in_as(door, "root")
    session = (await browser.get("/auth/session")).json()
    assert session["sub"] != root.id
    assert session["login"].startswith("oidc-")
    assert sorted(session["roles"]) == ["admin", "clinician"]
    assert await door.service.store.account(root.id) == root


async def test_no_password_opens_such_an_account(with_provider: Open) -> None:
    door = await with_provider(**GROUPS)
    await sign_in_as(door, "rita")
    for password in ("", "any", "None"):
        answer = await sign_in(await door.browser(), "rita", password)
        assert answer.status_code in (401, 422)


async def test_once_more_for_what_asks_for_it(with_provider: Open, kept: Redis) -> None:
    door = await with_provider(**GROUPS)
    browser, _ = await sign_in_as(door, "root")
    session = (await browser.get("/auth/session")).json()
    door.clock.go_on(-1000)  # as if it had been a while ago: the provider has its own clock
    await door.service.store.change_session(
        _only(await _sessions(kept, session["sub"])),
        lambda one: one.model_copy(update={"auth_time": door.clock() - 500}),
    )
    door.clock.now = time.time()
    headers = {"X-CSRF-Token": session["csrf"]}
    late = await browser.post("/api/v1/users", json={"name": "new"}, headers=headers)
    assert said(late) == (403, "reauthentication-needed")
    before = browser.cookies[COOKIE]
    _, other = await sign_in_as(door, "rita", "?fresh=true&next=/accounts", browser)
    assert other.headers["location"] == "/sign-in?problem=sign-in-failed"
    address = await go(browser, "?fresh=true&next=/accounts")
    asked = parse_qs(urlsplit(address).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    answer = await browser.get(at_provider(address, "root"))
    assert answer.headers["location"] == "/accounts"
    assert browser.cookies[COOKIE] == before
    made = await browser.post("/api/v1/users", json={"name": "new"}, headers=headers)
    assert made.status_code == 201


@pytest.mark.parametrize(("told", "expected"), [(None, 0), (-3600.0, -3600), (3600.0, 0)])
async def test_who_was_let_in_without_being_asked_has_shown_nothing_lately(
    with_provider: Open, monkeypatch: pytest.MonkeyPatch, told: float | None, expected: int
) -> None:
    """A provider whose own session goes on asks nobody; its word about when it did is what counts.

    `told` is that word, in seconds from now.
    """
    door = await with_provider(**GROUPS)
    finish = Provider.finish

    async def says(*args: Any, **named: Any) -> Person:
        at = None if told is None else door.clock() + told
        return replace(await finish(*args, **named), auth_time=at)

    monkeypatch.setattr(Provider, "finish", says)
    browser, _ = await sign_in_as(door, "root")
    session = (await browser.get("/auth/session")).json()
    now = int(door.clock())
    assert session["auth_time"] == (0 if told is None else now + expected)
    headers = {"X-CSRF-Token": session["csrf"]}
    made = await browser.post("/api/v1/users", json={"name": "new"}, headers=headers)
    assert made.status_code == (201 if told == 3600.0 else 403)


async def test_the_last_admin_is_not_let_in_as_less(with_provider: Open) -> None:
    """Nor as an admin, which their organisation says they are no more."""
    door = await with_provider(**GROUPS)
    _, answer = await sign_in_as(door, "root")
    assert answer.headers["location"] == "/"
    changed = GROUPS | {"oidc_roles": {"radiology": Role.CLINICIAN}}
    door = await with_provider(**changed)
    browser, refused = await sign_in_as(door, "root")
    assert refused.headers["location"] == "/sign-in?problem=last-admin"
    assert COOKIE not in browser.cookies
    await door.person("ada", Role.ADMIN)
    browser, _ = await sign_in_as(door, "root")
    assert (await browser.get("/auth/session")).json()["roles"] == ["clinician"]


async def _sessions(kept: Redis, account_id: str) -> list[str]:
    members = await kept.smembers(f"identity:{{all}}:sessions:{account_id}")
    return [one.decode() for one in members]


def _only(found: list[str]) -> str:
    [one] = found
    return one


async def test_the_provider_is_asked_with_state_nonce_and_pkce(with_provider: Open) -> None:
    door = await with_provider()
    one, other = [parse_qs(urlsplit(await go(await door.browser())).query) for _ in range(2)]
    assert one["response_type"] == ["code"]
    assert one["code_challenge_method"] == ["S256"]
    assert one["redirect_uri"] == [CALLBACK]
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name][0]) >= 43
        assert one[name] != other[name]


@pytest.mark.parametrize("how", ["another browser", "twice", "too late", "no code", "other code"])
async def test_what_was_not_begun_here_and_now_signs_nobody_in(
    with_provider: Open, kept: Redis, how: str
) -> None:
    door = await with_provider(**GROUPS)
    browser = await door.browser()
    back = at_provider(await go(browser), "rita")
    if how == "another browser":
        browser = await door.browser()
        await go(browser)
    if how == "twice":
        cookie = browser.cookies["sightline_oidc"]
        assert (await browser.get(back)).headers["location"] == "/"
        browser = await door.browser(cookies={"sightline_oidc": cookie})
    if how == "too late":
        await kept.flushall()
    if how == "no code":
        state = parse_qs(urlsplit(back).query)["state"][0]
        back = f"{CALLBACK}?state={state}&error=access_denied"
    if how == "other code":
        state = parse_qs(urlsplit(back).query)["state"][0]
        back = f"{CALLBACK}?state={state}&code=made-up"
    answer = await browser.get(back)
    assert answer.headers["location"] == "/sign-in?problem=sign-in-failed"
    assert COOKIE not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize("spoiled", ["nonce", "verifier", "iss"])
async def test_an_answer_for_somebody_else_is_refused(
    with_provider: Open, kept: Redis, spoiled: str
) -> None:
    door = await with_provider(**GROUPS)
    browser = await door.browser()
    back = at_provider(await go(browser), "rita")
    if spoiled == "iss":
        back = back.partition("&iss=")[0] + "&iss=http://evil.example"
    else:
        [key] = await kept.keys("identity:{all}:flow:*")
        flow = (await kept.get(key)).decode()
        value = flow.partition(f'"{spoiled}":"')[2].partition('"')[0]
        await kept.set(key, flow.replace(value, "x" * 43))
    answer = await browser.get(back)
    assert answer.headers["location"] == "/sign-in?problem=sign-in-failed"


async def test_a_token_that_is_too_old_or_from_the_future(with_provider: Open) -> None:
    door = await with_provider(**GROUPS)
    for seconds in (-3600, 2 * 3600):
        browser = await door.browser()
        back = at_provider(await go(browser), "rita")
        door.clock.go_on(seconds)
        answer = await browser.get(back)
        assert answer.headers["location"] == "/sign-in?problem=sign-in-failed"
        door.clock.now = time.time()


async def test_a_provider_that_is_away(with_provider: Open) -> None:
    door = await with_provider(oidc_issuer=f"http://127.0.0.1:{free_port()}")
    assert await go(await door.browser()) == "/sign-in?problem=provider-unavailable"


async def test_a_provider_that_calls_itself_something_else(
    with_provider: Open, issuer: str
) -> None:
    door = await with_provider(oidc_issuer=issuer.replace("127.0.0.1", "localhost"))
    assert await go(await door.browser()) == "/sign-in?problem=provider-unavailable"


async def test_without_a_provider(door: Door) -> None:
    assert await go(await door.browser()) == "/sign-in?problem=no-provider"


@pytest.mark.parametrize(
    "text",
    [
        *("//evil.example", "/\\evil.example", "https://evil.example", "", "history"),
        *("/a\r\nSet-Cookie: x", "/a b", "/" + "x" * 600, "javascript:alert(1)"),
    ],
)
def test_nobody_is_sent_elsewhere(text: str) -> None:
    assert safe_path(text) == "/"


@pytest.mark.parametrize("text", ["/", "/history?disease=skin_lesion&cursor=0a", "/readings/0-1"])
def test_everybody_is_sent_where_they_wanted_to(text: str) -> None:
    assert safe_path(text) == text
