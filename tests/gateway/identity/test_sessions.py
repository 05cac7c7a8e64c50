"""Sessions: how long they live, what ends them, and what a request with one must carry."""

from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from diagnosis.identity import HEADER, Role, verify_identity
from diagnosis.keys import read_public_key
from gateway.identity import people
from tests.gateway.identity.conftest import COOKIE, PASSWORD, Door, SignedIn, said, sign_in

MINUTE = 60.0


async def is_in(one: SignedIn) -> bool:
    return (await one.browser.get("/auth/session")).status_code == 200


async def test_fifteen_idle_minutes_end_it(door: Door) -> None:
    ada = await door.signed_in("ada")
    for _ in range(4):
        door.clock.go_on(14 * MINUTE)
        assert await is_in(ada)
    door.clock.go_on(15 * MINUTE)
    assert not await is_in(ada)


async def test_it_never_lives_longer_than_twelve_hours(door: Door) -> None:
    ada = await door.signed_in("ada")
    for _ in range(71):
        door.clock.go_on(10 * MINUTE)
        assert await is_in(ada)
    door.clock.go_on(10 * MINUTE)
    assert not await is_in(ada)


async def test_requests_in_quick_succession_write_once(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await door.signed_in("ada")
    written = []
    change = door.service.store.change_session

    async def counted(*arguments: Any) -> Any:
        written.append(1)
        return await change(*arguments)

    monkeypatch.setattr(door.service.store, "change_session", counted)
    for _ in range(20):
        door.clock.go_on(2)
        assert await is_in(ada)
    assert len(written) == 2


async def test_signing_out_ends_it(door: Door) -> None:
    ada = await door.signed_in("ada")
    cookie = ada.browser.cookies[COOKIE]
    forged = await ada.browser.post("/auth/sign-out")
    assert said(forged) == (403, "forged-request")
    answer = await ada.ask("POST", "/auth/sign-out")
    assert answer.status_code == 204
    assert COOKIE not in ada.browser.cookies
    assert (
        await (await door.browser(cookies={COOKIE: cookie})).get("/auth/session")
    ).status_code == 401
    assert (await (await door.browser()).post("/auth/sign-out")).status_code == 204
    assert door.trail.said()[-1] == ("sign-out", "allowed")


async def test_signing_out_everywhere(door: Door) -> None:
    ada = await door.signed_in("ada")
    other, bob = await door.browser(), await door.signed_in("bob")
    await sign_in(other)
    assert (await ada.ask("POST", "/auth/sign-out?everywhere=true")).status_code == 204
    assert (await other.get("/auth/session")).status_code == 401
    assert await is_in(bob)


async def test_a_closed_account_is_out_at_once_and_new_roles_count_at_once(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    await people.change(door.service, ada.account.id, roles=(Role.OPS,))
    assert (await ada.browser.get("/auth/session")).json()["roles"] == ["ops"]
    await people.change(door.service, ada.account.id, disabled=True)
    assert not await is_in(ada)
    await people.change(door.service, ada.account.id, disabled=False)
    assert not await is_in(ada), "its sessions ended"


@pytest.mark.parametrize("tls", [False, True])
async def test_the_cookie_is_for_us_alone(open_door: Callable[..., Any], tls: bool) -> None:
    door = await open_door(
        public_url="https://sightline.example" if tls else "http://127.0.0.1:8080"
    )
    await door.person("ada")
    answer = await sign_in(await door.browser())
    name, *parts = answer.headers["set-cookie"].split("; ")
    assert name.startswith("__Host-sightline_session=" if tls else "sightline_session=")
    assert sorted(part.lower() for part in parts) == sorted(
        ["httponly", "path=/", "samesite=lax"] + ["secure"] * tls
    )


async def test_no_secret_is_kept(door: Door, kept: Redis) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    made = await ada.ask(
        "POST",
        "/api/v1/keys",
        {"name": "k", "roles": ["clinician"], "expires_at": "2027-02-01T00:00:00Z"},
    )
    token = await people.invite(door.service.store, door.clock, ada.account)
    everything = b""
    for key in await kept.keys("*"):
        kind = await kept.type(key)
        everything += key
        if kind == b"string":
            everything += await kept.get(key)
        elif kind == b"set":
            everything += b"".join(await kept.smembers(key))
        else:
            everything += repr(await kept.zrange(key, 0, -1)).encode()
        assert key.startswith(b"identity:{all}:")
    assert b"ada" in everything
    for secret in (PASSWORD, ada.browser.cookies[COOKIE], made.json()["key"][22:], token):
        assert len(secret) > 20
        assert secret.encode() not in everything


@pytest.mark.parametrize(
    "headers",
    [
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "of another session"},
        {"X-CSRF-Token": "ü".encode()},
        {"Origin": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_request_that_changes_something_is_one_of_ours(
    door: Door, headers: dict[str, str | bytes]
) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    answer = await ada.ask("POST", "/api/v1/users", {"name": "new"}, headers=headers)
    assert said(answer) == (403, "forged-request")
    assert await door.service.store.account_named("new") is None
    ours = {"Origin": "http://127.0.0.1:8080", "Sec-Fetch-Site": "same-origin"}
    assert (
        await ada.ask("POST", "/api/v1/users", {"name": "new"}, headers=ours)
    ).status_code == 201


async def test_what_changes_accounts_asks_for_the_password_again(door: Door) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    door.clock.go_on(121)
    late = await ada.ask("POST", "/api/v1/users", {"name": "new"})
    assert said(late) == (403, "reauthentication-needed")
    wrong = await ada.ask("POST", "/auth/reauthenticate", {"password": "wrong"})
    assert said(wrong) == (401, "sign-in-failed")
    assert (
        await ada.ask("POST", "/auth/reauthenticate", {"password": PASSWORD})
    ).status_code == 204
    assert (await ada.browser.get("/auth/session")).json()["auth_time"] == int(door.clock())
    door.clock.go_on(120)
    assert (await ada.ask("POST", "/api/v1/users", {"name": "new"})).status_code == 201


async def test_guessing_the_password_again_is_signing_in(door: Door) -> None:
    ada = await door.signed_in("ada")
    for _ in range(5):
        await ada.ask("POST", "/auth/reauthenticate", {"password": "wrong"})
    answer = await ada.ask("POST", "/auth/reauthenticate", {"password": PASSWORD})
    assert said(answer) == (429, "locked-out")


async def test_nginx_is_told_who_it_is(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN, Role.ENGINEER, unit="ward_1")
    answer = await ada.browser.get("/internal/check")
    assert (answer.status_code, answer.text) == (200, "")
    key = read_public_key(door.service.settings.key_file.with_suffix(".pub"))
    identity = verify_identity(answer.headers[HEADER], key)
    assert identity.sub == ada.account.id
    assert identity.granted == {Role.CLINICIAN, Role.ENGINEER}
    assert (identity.unit, identity.via, identity.csrf) == ("ward_1", "session", ada.csrf)
    assert identity.auth_time == int(door.clock())
    nobody = await (await door.browser()).get("/internal/check")
    assert said(nobody) == (401, "not-signed-in")
    assert HEADER not in nobody.headers


async def test_a_cookie_that_is_none_of_ours(door: Door) -> None:
    for cookie in ("", "x", "x" * 5000, "../../etc"):
        browser = await door.browser(cookies={COOKIE: cookie})
        assert (await browser.get("/internal/check")).status_code == 401
