"""Signing in: what lets somebody in, what does not, and how often it may be tried."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher

from diagnosis.identity import Role
from gateway.identity import people
from gateway.identity.attempts import FREE_BY_ADDRESS
from gateway.identity.refusals import TooManySignIns
from tests.gateway.identity.conftest import (
    COOKIE,
    PASSWORD,
    Clock,
    Door,
    NoTrail,
    said,
    sign_in,
)


async def test_name_and_password_let_in(door: Door) -> None:
    account = await door.person("ada", Role.CLINICIAN, unit="ward_1", display_name="Ada L.")
    browser = await door.browser()
    answer = await sign_in(browser, " ADA ")
    assert (answer.status_code, answer.json()) == (200, {"next": "done"})
    session = (await browser.get("/auth/session")).json()
    assert session.pop("csrf")
    assert session == {
        "sub": account.id,
        "login": "ada",
        "name": "Ada L.",
        "roles": ["clinician"],
        "unit": "ward_1",
        "auth_time": int(door.clock()),
        "totp": False,
        "password": True,
        "read_first": False,
        "next": "done",
    }
    assert door.trail.said() == [("sign-in", "allowed")]
    assert door.trail.events[0].actor == account.id


class Counting(PasswordHasher):
    """Remembers the cost of each hash that it was asked to compare."""

    def __init__(self, **cost: int) -> None:
        super().__init__(**cost)
        self.compared: list[str] = []

    def verify(self, kept: str, password: str) -> bool:  # type: ignore[override]
        self.compared.append(kept.rsplit("$", 2)[0])
        return super().verify(kept, password)


async def test_every_way_to_fail_is_one_way(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer after the same work: nobody learns which names exist."""
    await door.person("ada")
    await door.person("closed")
    await people.change(door.service, (await _id(door, "closed")), disabled=True)
    await door.person("invited", password=None)
    await door.person("machine", password=PASSWORD, service=True)
    hasher = Counting(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(door.service.passwords, "_hasher", hasher)
    answers = []
    for name, password in (
        ("ada", "not the password"),
        ("nobody", PASSWORD),
        ("closed", PASSWORD),
        ("invited", PASSWORD),
        ("machine", PASSWORD),
        ("?" * 200, PASSWORD),
    ):
        answer = await sign_in(await door.browser(f"10.0.1.{len(answers)}"), name, password)
        assert said(answer) == (401, "sign-in-failed")
        assert "set-cookie" not in answer.headers
        answers.append((answer.text, sorted(answer.headers.items())))
    assert len(set(map(str, answers))) == 1
    # One hash each, of one cost.
    assert len(hasher.compared) == len(answers)
    assert len(set(hasher.compared)) == 1
    assert door.trail.said() == [("sign-in-failed", "refused")] * len(answers)


async def _id(door: Door, name: str) -> str:
    account = await door.service.store.account_named(name)
    assert account is not None
    return account.id


@pytest.mark.parametrize("name", ["ada", "nobody"])
async def test_five_failures_close_a_name_for_a_quarter_of_an_hour(door: Door, name: str) -> None:
    await door.person("ada")
    browser = await door.browser()
    for _ in range(5):
        assert said(await sign_in(browser, name, "wrong")) == (401, "sign-in-failed")
        door.clock.go_on(60)
    closed = await sign_in(browser, name)
    assert said(closed) == (429, "locked-out")
    assert closed.headers["retry-after"] == str(15 * 60 - 5 * 60)
    # Whoever goes on trying does not keep it closed.
    door.clock.go_on(15 * 60 - 5 * 60)
    again = await sign_in(browser, name)
    assert again.status_code == (200 if name == "ada" else 401)


async def test_success_forgets_the_failures(door: Door) -> None:
    await door.person("ada")
    browser = await door.browser()
    for _ in range(3):
        for _ in range(4):
            assert (await sign_in(browser, "ada", "wrong")).status_code == 401
            door.clock.go_on(61)
        assert (await sign_in(browser)).status_code == 200


async def test_tries_at_once_are_tries(door: Door) -> None:
    await door.person("ada")
    browsers = [await door.browser(f"10.0.2.{n}") for n in range(20)]
    answers = await asyncio.gather(
        *(sign_in(one, "ada", f"wrong {n}") for n, one in enumerate(browsers))
    )
    judged = [one for one in answers if one.status_code == 401]
    assert len(judged) <= 5
    assert {one.status_code for one in answers} == {401, 429}


async def test_an_address_that_tries_many_names_has_to_wait(door: Door, clock: Clock) -> None:
    await door.person("ada")
    here, elsewhere = await door.browser("10.0.0.1"), await door.browser("10.0.0.2")
    for n in range(FREE_BY_ADDRESS):
        assert (await sign_in(here, f"name{n}", "wrong")).status_code == 401
    slowed = await sign_in(here, "one-more", "wrong")
    assert said(slowed) == (429, "locked-out")
    assert slowed.headers["retry-after"] == "1"
    assert (await sign_in(elsewhere)).status_code == 200
    for wait in (1, 2, 4, 8, 15, 15):
        clock.go_on(wait - 0.5)
        assert (await sign_in(here, "one-more", "wrong")).status_code == 429
        clock.go_on(0.5)
        assert (await sign_in(here, f"other{wait}-{clock.now}", "wrong")).status_code == 401


async def test_signing_in_changes_the_session(door: Door) -> None:
    """An id that was planted in the browser, or that somebody saw before, is of no use."""
    await door.person("ada")
    browser = await door.browser()
    browser.cookies.set(COOKIE, "planted", domain="127.0.0.1")
    await sign_in(browser)
    first = browser.cookies[COOKIE]
    await sign_in(browser)
    second = browser.cookies[COOKIE]
    assert len({"planted", first, second}) == 3
    old = await door.browser(cookies={COOKIE: first})
    assert said(await old.get("/auth/session")) == (401, "not-signed-in")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
async def test_no_other_site_signs_anybody_in(door: Door, headers: dict[str, str]) -> None:
    await door.person("ada")
    browser = await door.browser(headers=headers)
    assert said(await sign_in(browser)) == (403, "forged-request")
    assert not browser.cookies


@pytest.mark.parametrize(
    "body",
    [{}, {"name": "ada"}, {"password": "x"}, {"name": "ada", "code": "1"}, {"extra": 1}, []],
)
async def test_a_malformed_sign_in_is_refused_without_an_echo(door: Door, body: Any) -> None:
    answer = await (await door.browser()).post("/auth/sign-in", json=body)
    assert said(answer) == (422, "invalid-request")
    assert "ada" not in answer.text


async def test_a_password_hashed_with_less_work_is_hashed_again(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await door.person("ada")
    weak = "$argon2id$v=19$m=8,t=1,p=1$"
    assert account.password is not None
    assert account.password.startswith(weak)
    dearer = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    monkeypatch.setattr(door.service.passwords, "_hasher", dearer)
    assert (await sign_in(await door.browser())).status_code == 200
    again = await door.service.store.account(account.id)
    assert again is not None
    assert again.password is not None
    assert again.password.startswith("$argon2id$v=19$m=8,t=2,p=1$")
    assert (await sign_in(await door.browser())).status_code == 200


async def test_a_link_sets_a_password_once(door: Door) -> None:
    account = await door.person("eve", Role.CLINICIAN, password=None)
    token = await people.invite(door.service.store, door.clock, account)
    browser = await door.browser()
    assert (await browser.get(f"/auth/welcome/{token}")).json() == {
        "name": "eve",
        "display_name": "eve",
    }
    too_easy = await browser.post(f"/auth/welcome/{token}", json={"password": "password1234"})
    assert said(too_easy) == (422, "password-refused")
    done = await browser.post(f"/auth/welcome/{token}", json={"password": PASSWORD})
    assert done.status_code == 204
    assert (await browser.get("/auth/session")).json()["roles"] == ["clinician"]
    again = await browser.post(f"/auth/welcome/{token}", json={"password": PASSWORD})
    assert said(again) == (404, "link-used")
    assert said(await browser.get(f"/auth/welcome/{token}")) == (404, "link-used")
    assert (await sign_in(await door.browser(), "eve")).status_code == 200


async def test_of_two_who_use_a_link_at_once_one_does(door: Door) -> None:
    account = await door.person("eve", password=None)
    token = await people.invite(door.service.store, door.clock, account)
    answers = await asyncio.gather(
        *[
            (await door.browser()).post(
                f"/auth/welcome/{token}", json={"password": f"{PASSWORD} {n}"}
            )
            for n in range(6)
        ]
    )
    assert sorted(one.status_code for one in answers) == [204] + [404] * 5


@pytest.mark.parametrize("why", ["older", "too late", "disabled", "made up"])
async def test_a_link_that_counts_no_more(door: Door, why: str) -> None:
    account = await door.person("eve", password=None)
    token = await people.invite(door.service.store, door.clock, account)
    if why == "older":
        await people.invite(door.service.store, door.clock, account)
    if why == "too late":
        door.clock.go_on(24 * 60 * 60)
    if why == "disabled":
        await people.change(door.service, account.id, disabled=True)
    if why == "made up":
        token = "x" * 43
    answer = await (await door.browser()).post(
        f"/auth/welcome/{token}", json={"password": PASSWORD}
    )
    assert said(answer) == (404, "link-used")


async def test_a_link_ends_what_was_before(door: Door) -> None:
    """Sessions, codes, keys and failed tries: it is how somebody gets in again."""
    ada = await door.signed_in("ada", Role.CLINICIAN)
    codes = await ada.set_up_codes()
    await ada.ask("POST", "/auth/totp/confirm", {"code": codes.at(int(door.clock()))})
    body = {"name": "a script", "roles": ["clinician"], "expires_at": "2027-03-01T00:00:00Z"}
    made = (await ada.ask("POST", "/api/v1/keys", body)).json()
    for _ in range(5):
        await sign_in(await door.browser("10.0.3.1"), "ada", "wrong")
    token = await people.invite(door.service.store, door.clock, ada.account)
    new = await door.browser()
    changed = await new.post(f"/auth/welcome/{token}", json={"password": "another meadow at noon"})
    assert changed.status_code == 204
    assert (await ada.browser.get("/auth/session")).status_code == 401
    assert await door.service.store.keys() == []
    assert (await sign_in(await door.browser(), "ada", PASSWORD)).status_code == 401
    answer = await sign_in(await door.browser(), "ada", "another meadow at noon")
    assert answer.json() == {"next": "done"}
    ended = [one.object for one in door.trail.events if one.action == "key-change"]
    assert ended == [made["id"]] * 2, "made, and ended"


async def test_what_fails_on_our_side_is_no_failed_try(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever waits for the end of an outage is locked out by it."""
    ada = await door.signed_in("ada")

    async def too_many(*_: object) -> bool:
        raise TooManySignIns

    with monkeypatch.context() as busy:
        busy.setattr(door.service.passwords, "verify", too_many)
        for _ in range(10):
            answer = await sign_in(await door.browser())
            assert said(answer) == (503, "too-many-sign-ins")
        again = await ada.ask("POST", "/auth/reauthenticate", {"password": PASSWORD})
        assert said(again) == (503, "too-many-sign-ins")
    with monkeypatch.context() as unwritten:
        unwritten.setattr(door.trail, "add", NoTrail().add)
        for _ in range(10):
            assert said(await sign_in(await door.browser())) == (503, "audit-unavailable")
    assert (await sign_in(await door.browser())).status_code == 200


async def test_a_wrong_password_counts_even_where_it_cannot_be_written_down(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await door.person("ada")
    with monkeypatch.context() as unwritten:
        unwritten.setattr(door.trail, "add", NoTrail().add)
        for _ in range(5):
            answer = await sign_in(await door.browser(), "ada", "wrong")
            assert said(answer) == (503, "audit-unavailable")
    assert said(await sign_in(await door.browser())) == (429, "locked-out")


async def test_another_password(door: Door) -> None:
    ada = await door.signed_in("ada")
    other = await door.browser()
    await sign_in(other)
    change = {"old": PASSWORD, "new": "another meadow at noon"}
    wrong = await ada.ask("POST", "/auth/password", change | {"old": "wrong"})
    assert said(wrong) == (401, "sign-in-failed")
    easy = await ada.ask("POST", "/auth/password", change | {"new": "ada-2026"})
    assert said(easy) == (422, "password-refused")
    assert (await ada.ask("POST", "/auth/password", change)).status_code == 204
    assert (await ada.browser.get("/auth/session")).status_code == 200
    assert (await other.get("/auth/session")).status_code == 401
    assert (await sign_in(await door.browser())).status_code == 401
    assert (await sign_in(await door.browser(), "ada", change["new"])).status_code == 200


async def test_while_redis_is_away_nobody_gets_in(
    open_door: Callable[..., Any], tmp_path: Any
) -> None:
    door = await open_door(redis_url=f"unix://{tmp_path}/none.sock")
    browser = await door.browser()
    answer = await sign_in(browser)
    assert said(answer) == (503, "accounts-unavailable")
    assert answer.headers["retry-after"]
    assert (await browser.get("/healthz")).status_code == 200
    ready = await browser.get("/readyz")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert 'sightline_store_up{service="gateway"} 0.0' in (await browser.get("/metrics")).text
