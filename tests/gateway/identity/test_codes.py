"""One-time codes of a device."""

from collections.abc import Callable
from typing import Any

import pyotp
import pytest

from diagnosis.identity import Role
from gateway.identity import people
from gateway.identity.records import Subject
from tests.gateway.identity.conftest import PASSWORD, Door, SignedIn, said, sign_in


async def with_codes(door: Door) -> tuple[SignedIn, Callable[[], str]]:
    """Somebody whose account asks for codes, and what the device shows now."""
    ada = await door.signed_in("ada")
    codes = await ada.set_up_codes()

    def shown() -> str:
        return codes.at(int(door.clock()))

    answer = await ada.ask("POST", "/auth/totp/confirm", {"code": shown()})
    assert answer.status_code == 204, answer.text
    door.clock.go_on(30)
    return ada, shown


async def test_codes_are_asked_for_once_they_are_confirmed(door: Door) -> None:
    ada = await door.signed_in("ada")
    proposed = (await ada.ask("POST", "/auth/totp")).json()
    assert proposed["uri"] == pyotp.TOTP(proposed["secret"]).provisioning_uri(
        name="ada", issuer_name="Sightline"
    )
    assert (await sign_in(await door.browser())).json() == {"next": "done"}
    wrong = await ada.ask("POST", "/auth/totp/confirm", {"code": "000000"})
    assert said(wrong) == (422, "code-refused")
    code = pyotp.TOTP(proposed["secret"]).at(int(door.clock()))
    assert (await ada.ask("POST", "/auth/totp/confirm", {"code": code})).status_code == 204
    assert (await ada.browser.get("/auth/session")).json()["totp"] is True
    assert (await sign_in(await door.browser())).json() == {"next": "code"}


async def test_in_two_steps(door: Door) -> None:
    _, shown = await with_codes(door)
    browser = await door.browser()
    assert (await sign_in(browser)).json() == {"next": "code"}
    for path in ("/auth/session", "/internal/check", "/api/v1/keys"):
        assert said(await browser.get(path)) == (401, "not-signed-in")
    half = dict(browser.cookies)
    answer = await browser.post("/auth/sign-in", json={"code": shown()})
    assert answer.json() == {"next": "done"}
    assert dict(browser.cookies) != half
    assert (await browser.get("/internal/check")).status_code == 200


async def test_in_one_step(door: Door) -> None:
    _, shown = await with_codes(door)
    assert (await sign_in(await door.browser(), code=shown())).json() == {"next": "done"}


async def test_a_code_counts_once(door: Door) -> None:
    _, shown = await with_codes(door)
    assert (await sign_in(await door.browser(), code=shown())).status_code == 200
    assert said(await sign_in(await door.browser(), code=shown())) == (401, "sign-in-failed")
    door.clock.go_on(30)
    assert (await sign_in(await door.browser(), code=shown())).status_code == 200


async def test_a_device_may_be_off_by_half_a_minute_and_no_more(door: Door) -> None:
    _, shown = await with_codes(door)
    early = shown()
    door.clock.go_on(30)
    assert (await sign_in(await door.browser(), code=early)).status_code == 200
    old = shown()
    door.clock.go_on(60)
    assert (await sign_in(await door.browser(), code=old)).status_code == 401


async def test_guessed_codes_close_the_name(door: Door) -> None:
    _, shown = await with_codes(door)
    browser = await door.browser()
    await sign_in(browser)
    for guess in range(5):
        answer = await browser.post("/auth/sign-in", json={"code": f"{guess:06}"})
        assert said(answer) == (401, "sign-in-failed")
    assert said(await browser.post("/auth/sign-in", json={"code": shown()})) == (429, "locked-out")
    assert said(await sign_in(await door.browser(), code=shown())) == (429, "locked-out")


async def test_the_second_step_does_not_wait_for_ever(door: Door) -> None:
    _, shown = await with_codes(door)
    browser = await door.browser()
    await sign_in(browser)
    door.clock.go_on(600)
    answer = await browser.post("/auth/sign-in", json={"code": shown()})
    assert said(answer) == (401, "sign-in-failed")
    assert "Begin again" in answer.json()["remedy"]


async def test_no_second_step_without_the_first(door: Door) -> None:
    ada, shown = await with_codes(door)
    for browser in (await door.browser(), ada.browser):
        answer = await browser.post("/auth/sign-in", json={"code": shown()})
        assert said(answer) == (401, "sign-in-failed")


async def test_given_up_with_the_password_and_a_code(door: Door) -> None:
    ada, shown = await with_codes(door)
    alone = await ada.ask("DELETE", "/auth/totp", {"password": PASSWORD})
    assert said(alone) == (422, "code-refused")
    for wrong in (
        {"password": "wrong", "code": shown()},
        {"password": PASSWORD, "code": "000000"},
    ):
        assert said(await ada.ask("DELETE", "/auth/totp", wrong)) == (401, "sign-in-failed")
    right = {"password": PASSWORD, "code": shown()}
    assert (await ada.ask("DELETE", "/auth/totp", right)).status_code == 204
    assert (await sign_in(await door.browser())).json() == {"next": "done"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/reauthenticate", {"password": PASSWORD}),
        ("/auth/password", {"old": PASSWORD, "new": "another meadow at noon"}),
        ("/auth/totp", {}),
    ],
)
async def test_with_codes_a_password_alone_changes_nothing(
    door: Door, path: str, body: dict[str, str]
) -> None:
    """A stolen password at a screen that was left alone must not take the device's place."""
    ada, shown = await with_codes(door)
    before = await door.service.store.account(ada.account.id)
    assert said(await ada.ask("POST", path, body)) == (422, "code-refused")
    assert said(await ada.ask("POST", path, body | {"code": "000000"})) == (401, "sign-in-failed")
    assert await door.service.store.account(ada.account.id) == before
    assert (await ada.ask("POST", path, body | {"code": shown()})).status_code in (200, 204)
    used = await door.service.store.account(ada.account.id)
    assert used is not None
    assert used != before


async def test_a_code_that_was_left_out_is_no_failed_try(door: Door) -> None:
    ada, shown = await with_codes(door)
    for _ in range(10):
        await ada.ask("POST", "/auth/reauthenticate", {"password": PASSWORD})
    both = {"password": PASSWORD, "code": shown()}
    assert (await ada.ask("POST", "/auth/reauthenticate", both)).status_code == 204


async def test_another_device_takes_the_place_of_the_first(door: Door) -> None:
    ada, shown = await with_codes(door)
    proposed = (await ada.ask("POST", "/auth/totp", {"code": shown()})).json()
    other = pyotp.TOTP(proposed["secret"])
    door.clock.go_on(30)
    code = other.at(int(door.clock()))
    assert (await ada.ask("POST", "/auth/totp/confirm", {"code": code})).status_code == 204
    door.clock.go_on(30)
    assert (await sign_in(await door.browser(), code=shown())).status_code == 401
    new = other.at(int(door.clock()))
    assert (await sign_in(await door.browser(), code=new)).status_code == 200


async def test_an_old_session_sets_up_no_codes(door: Door) -> None:
    """Somebody at a screen that was left alone could lock its owner out."""
    ada = await door.signed_in("ada")
    door.clock.go_on(121)
    assert said(await ada.ask("POST", "/auth/totp")) == (403, "reauthentication-needed")


async def test_whoever_comes_with_a_password_needs_the_codes_of_the_role(
    open_door: Callable[..., Any],
) -> None:
    """Also somebody whom the organisation's provider knows too: this way in did not ask it."""
    door = await open_door(code_required_for=(Role.ADMIN,))
    known = Subject(issuer="https://provider.example", subject="ada")
    ada = await door.person("ada", Role.ADMIN, subject=known)
    assert (await sign_in(await door.browser())).json() == {"next": "enrol"}
    token = await people.invite(door.service.store, door.clock, ada)
    browser = await door.browser()
    await browser.post(f"/auth/welcome/{token}", json={"password": "another meadow at noon"})
    assert said(await browser.get("/internal/check")) == (401, "not-signed-in")


async def test_roles_may_ask_for_codes(open_door: Callable[..., Any]) -> None:
    door = await open_door(code_required_for=(Role.ADMIN,))
    assert (await sign_in((await door.signed_in("bob", Role.CLINICIAN)).browser, "bob")).json() == {
        "next": "done"
    }
    await door.person("ada", Role.ADMIN)
    browser = await door.browser()
    assert (await sign_in(browser)).json() == {"next": "enrol"}
    assert said(await browser.get("/internal/check")) == (401, "not-signed-in")
    assert said(await browser.get("/api/v1/users")) == (401, "not-signed-in")
    half = (await browser.get("/auth/session")).json()
    assert (half["roles"], half["next"]) == ([], "enrol")
    ada = SignedIn(browser, await door.person("unused"), half["csrf"])
    assert said(await browser.post("/auth/totp")) == (403, "forged-request")
    codes = await ada.set_up_codes()
    code = codes.at(int(door.clock()))
    assert (await ada.ask("POST", "/auth/totp/confirm", {"code": code})).status_code == 204
    whole = (await browser.get("/auth/session")).json()
    assert (whole["roles"], whole["next"]) == (["admin"], "done")
    assert (await browser.get("/internal/check")).status_code == 200
