"""API keys: narrowed, ending, shown once."""

from typing import Any

import httpx
import pytest

from diagnosis.identity import HEADER, Identity, Role, verify_identity
from diagnosis.keys import read_public_key
from gateway.identity import people
from tests.gateway.identity.conftest import Door, SignedIn, said

END = "2027-03-01T00:00:00Z"
DAY = 86400.0


async def make(one: SignedIn, *roles: str, **changes: Any) -> httpx.Response:
    body = {"name": "a script", "roles": roles, "expires_at": END} | changes
    return await one.ask("POST", "/api/v1/keys", body)


async def who(door: Door, key: str) -> Identity | None:
    """Whom the services would be told, for this key."""
    answer = await (await door.browser()).get(
        "/internal/check", headers={"Authorization": f"Bearer {key}"}
    )
    if answer.status_code == 401:
        return None
    public = read_public_key(door.service.settings.key_file.with_suffix(".pub"))
    return verify_identity(answer.headers[HEADER], public)


async def test_a_key_is_somebody_with_some_of_the_owners_roles(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN, Role.ENGINEER, unit="ward_1")
    made = (await make(ada, "clinician")).json()
    assert made["key"].startswith("slk_")
    identity = await who(door, made["key"])
    assert identity is not None
    assert (identity.sub, identity.via, identity.unit) == (made["id"], "key", "ward_1")
    assert identity.granted == {Role.CLINICIAN}
    assert (identity.csrf, identity.auth_time) == (None, None)
    [listed] = (await ada.browser.get("/api/v1/keys")).json()["items"]
    assert made["key"] not in str(listed)
    assert (listed["id"], listed["roles"], listed["name"]) == (
        made["id"],
        ["clinician"],
        "a script",
    )
    assert listed["used_at"] is not None
    assert [event.object for event in door.trail.events if event.action == "key-change"] == [
        made["id"]
    ]


async def test_a_role_that_is_taken_away_is_taken_from_the_keys(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN, Role.ENGINEER)
    key = (await make(ada, "clinician", "engineer")).json()["key"]
    await people.change(door.service, ada.account.id, roles=(Role.ENGINEER,))
    identity = await who(door, key)
    assert identity is not None
    assert identity.granted == {Role.ENGINEER}
    await people.change(door.service, ada.account.id, disabled=True)
    assert await who(door, key) is None


async def test_a_key_ends(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    answer = await make(ada, "clinician", expires_at="2027-01-16T08:00:00Z")
    assert answer.status_code == 201, answer.text
    key = answer.json()["key"]
    assert await who(door, key) is not None
    door.clock.go_on(DAY)
    assert await who(door, key) is None


async def test_a_deleted_key_ends_at_once(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    made = (await make(ada, "clinician")).json()
    assert (await ada.ask("DELETE", f"/api/v1/keys/{made['id']}")).status_code == 204
    assert await who(door, made["key"]) is None
    for odd in ("k_%C3%A9", "k_" + "0" * 65, "nonsense"):
        assert said(await ada.ask("DELETE", f"/api/v1/keys/{odd}")) == (404, "unknown-key")
    again = await ada.ask("DELETE", f"/api/v1/keys/{made['id']}")
    assert said(again) == (404, "unknown-key")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"roles": ["admin"]}, (403, "forbidden")),
        ({"roles": ["clinician", "ops"]}, (403, "forbidden")),
        ({"roles": []}, (422, "invalid-request")),
        ({"roles": ["king"]}, (422, "invalid-request")),
        ({"name": ""}, (422, "invalid-request")),
        ({"name": "a\nb"}, (422, "invalid-request")),
        ({"expires_at": "2027-01-01T00:00:00Z"}, (422, "invalid-request")),
        ({"expires_at": "2028-06-01T00:00:00Z"}, (422, "invalid-request")),
        ({"expires_at": "2027-02-01T00:00:00"}, (422, "invalid-request")),
    ],
)
async def test_a_key_that_cannot_be_made(
    door: Door, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    assert said(await make(ada, "clinician", **changes)) == expected
    assert await door.service.store.keys() == []


async def test_a_key_makes_no_keys_and_changes_no_accounts(door: Door) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    key = (await make(ada, "admin")).json()["key"]
    program = await door.browser(headers={"Authorization": f"Bearer {key}"})
    assert (await program.get("/api/v1/users")).status_code == 200
    body = {"name": "more", "roles": ["admin"], "expires_at": END}
    for method, path, sent in (
        ("POST", "/api/v1/keys", body),
        ("POST", "/api/v1/users", {"name": "new"}),
        ("PATCH", f"/api/v1/users/{ada.account.id}", {"unit": "other"}),
        ("POST", f"/api/v1/users/{ada.account.id}/invitation", None),
        ("POST", "/auth/reauthenticate", {"password": "x"}),
        ("POST", "/auth/totp", None),
    ):
        answer = await program.request(method, path, json=sent)
        assert said(answer) == (403, "reauthentication-needed"), path
    assert said(await program.delete("/api/v1/keys/k_1"))[0] == 403


async def test_everybody_sees_their_own_keys_and_admins_all(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    bob = await door.signed_in("bob", Role.CLINICIAN)
    eve = await door.signed_in("eve", Role.ADMIN)
    adas, bobs = [(await make(one, "clinician")).json()["id"] for one in (ada, bob)]

    async def seen(one: SignedIn) -> set[str]:
        items = (await one.browser.get("/api/v1/keys")).json()["items"]
        return {item["id"] for item in items}

    assert [await seen(one) for one in (ada, bob, eve)] == [{adas}, {bobs}, {adas, bobs}]
    assert said(await ada.ask("DELETE", f"/api/v1/keys/{bobs}")) == (404, "unknown-key")
    assert (await eve.ask("DELETE", f"/api/v1/keys/{bobs}")).status_code == 204


async def test_texts_that_are_no_key(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    key = (await make(ada, "clinician")).json()["key"]
    for wrong in (
        "",
        "slk_",
        key[:-1],
        key + "a",
        key[:-1] + "~",
        key.replace("slk_", "SLK_"),
        "slk_" + "0" * 16 + "_" + "a" * 43,
        key[:21] + "a" * 43,
    ):
        assert await who(door, wrong) is None
    # A wrong key is nobody's, whoever's cookie comes with it.
    answer = await ada.browser.get("/internal/check", headers={"Authorization": "Bearer slk_x"})
    assert answer.status_code == 401
    basic = await ada.browser.get("/internal/check", headers={"Authorization": f"Basic {key}"})
    assert basic.status_code == 401
