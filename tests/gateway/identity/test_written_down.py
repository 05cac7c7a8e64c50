"""Whatever changes something here is written to the trail before it is done, or not done."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pyotp
import pytest

from diagnosis.access import SAFE_METHODS
from diagnosis.identity import Role
from gateway.identity import people
from gateway.identity.access import TABLE
from tests.gateway.identity.conftest import PASSWORD, Door, NoTrail, SignedIn, said, sign_in

END = "2027-03-01T00:00:00Z"
KEY = {"name": "a script", "roles": ["ops"], "expires_at": END}
NEW = {"password": "another meadow at noon"}

Do = Callable[[], Awaitable[httpx.Response]]


def code_of(door: Door, codes: pyotp.TOTP) -> str:
    door.clock.go_on(30)
    return codes.at(int(door.clock()))


async def with_codes(door: Door, ada: SignedIn) -> pyotp.TOTP:
    codes = await ada.set_up_codes()
    await ada.ask("POST", "/auth/totp/confirm", {"code": code_of(door, codes)})
    return codes


async def ready(door: Door, ada: SignedIn, row: tuple[str, str]) -> Do:
    """What somebody who may do this sends, and everything that it takes."""
    method, template = row
    path, body = template, BODIES.get(row)
    if "{token}" in template:
        bob = await door.person("bob", password=None)
        token = await people.invite(door.service.store, door.clock, bob)
        path = template.replace("{token}", token)
    if "{user_id}" in template:
        bob = await door.person("bob", Role.OPS)
        path = template.replace("{user_id}", bob.id)
    if "{key_id}" in template:
        made = (await ada.ask("POST", "/api/v1/keys", KEY)).json()
        path = template.replace("{key_id}", made["id"])
    if template == "/auth/sign-in":
        browser = await door.browser()
        return lambda: sign_in(browser)
    if template == "/auth/totp/confirm":
        body = {"code": code_of(door, await ada.set_up_codes())}
    if row == ("DELETE", "/auth/totp"):
        codes = await with_codes(door, ada)
        body = {"password": PASSWORD, "code": code_of(door, codes)}
    return lambda: ada.ask(method, path, body)


BODIES: dict[tuple[str, str], dict[str, Any] | None] = {
    ("POST", "/auth/sign-in"): None,
    ("POST", "/auth/sign-out"): None,
    ("POST", "/auth/welcome/{token}"): NEW,
    ("POST", "/auth/totp"): {},
    ("POST", "/auth/totp/confirm"): None,
    ("DELETE", "/auth/totp"): None,
    ("POST", "/auth/password"): {"old": PASSWORD, "new": NEW["password"]},
    ("POST", "/auth/reauthenticate"): {"password": PASSWORD},
    ("PATCH", "/api/v1/account/preferences"): {"read_first": True},
    ("POST", "/api/v1/keys"): KEY,
    ("DELETE", "/api/v1/keys/{key_id}"): None,
    ("POST", "/api/v1/users"): {"name": "eve"},
    ("PATCH", "/api/v1/users/{user_id}"): {"unit": "surgery"},
    ("POST", "/api/v1/users/{user_id}/invitation"): None,
}
CHANGING = sorted(row for row in TABLE if row[0] not in SAFE_METHODS)


def test_every_row_that_changes_something_is_tried() -> None:
    assert set(CHANGING) == set(BODIES)


@pytest.mark.parametrize("row", CHANGING, ids=" ".join)
async def test_what_changes_something_is_written_down(door: Door, row: tuple[str, str]) -> None:
    ada = await door.signed_in("ada", *Role)
    do = await ready(door, ada, row)
    before = len(door.trail.events)
    answer = await do()
    assert answer.status_code < 300, answer.text
    written = door.trail.events[before:]
    assert written
    assert all(event.outcome == "allowed" for event in written)


@pytest.mark.parametrize("row", CHANGING, ids=" ".join)
async def test_what_cannot_be_written_down_is_not_done(
    door: Door, row: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await door.signed_in("ada", *Role)
    do = await ready(door, ada, row)
    store = door.service.store
    session = (await ada.browser.get("/auth/session")).json()
    before = (await store.accounts(), await store.keys())
    monkeypatch.setattr(door.trail, "add", NoTrail().add)
    assert said(await do()) == (503, "audit-unavailable")
    accounts, keys = await store.accounts(), await store.keys()
    # A code that was used stays used, whatever came of it.
    plain = [
        [one.model_copy(update={"totp_step": 0}) for one in some] for some in (accounts, before[0])
    ]
    assert (plain[0], keys) == (plain[1], before[1])
    assert (await ada.browser.get("/auth/session")).json() == session
