"""Accounts: entered, invited, changed, by admins alone."""

import asyncio
from typing import Any

import pytest

from diagnosis.identity import Role
from gateway.identity import people
from gateway.identity.records import Account
from gateway.identity.refusals import LastAdmin
from tests.gateway.identity.conftest import PASSWORD, Door, said, sign_in


async def test_an_admin_enters_and_invites_somebody(door: Door) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    made = await ada.ask(
        "POST",
        "/api/v1/users",
        {
            "name": "Bob@Ward.example",
            "display_name": "Bob",
            "roles": ["clinician"],
            "unit": "ward_1",
        },
    )
    assert made.status_code == 201
    user = made.json()
    assert (user["name"], user["can_sign_in"], user["roles"]) == (
        "bob@ward.example",
        False,
        ["clinician"],
    )
    link = (await ada.ask("POST", f"/api/v1/users/{user['id']}/invitation")).json()["link"]
    assert link.startswith("http://127.0.0.1:8080/welcome/")
    browser = await door.browser()
    token = link.rpartition("/")[2]
    answer = await browser.post(f"/auth/welcome/{token}", json={"password": PASSWORD})
    assert answer.status_code == 204
    assert (await sign_in(await door.browser(), "bob@ward.example")).status_code == 200
    listed = (await ada.browser.get("/api/v1/users")).json()["items"]
    assert [(one["name"], one["can_sign_in"]) for one in listed] == [
        ("ada", True),
        ("bob@ward.example", True),
    ]
    changes = [event for event in door.trail.events if event.action == "user-change"]
    assert [(event.actor, event.object) for event in changes] == [
        (ada.account.id, user["id"]),
        (ada.account.id, user["id"]),
        (user["id"], user["id"]),
    ]


async def test_what_is_left_out_stays(door: Door) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    bob = await door.person("bob", Role.CLINICIAN, display_name="Bob", unit="ward_1")
    changed = await ada.ask("PATCH", f"/api/v1/users/{bob.id}", {"roles": ["ops", "auditor"]})
    assert changed.status_code == 200
    user = changed.json()
    assert (user["roles"], user["unit"], user["display_name"]) == (
        ["ops", "auditor"],
        "ward_1",
        "Bob",
    )
    closed = await ada.ask("PATCH", f"/api/v1/users/{bob.id}", {"disabled": True})
    assert (closed.json()["disabled"], closed.json()["can_sign_in"]) == (True, False)
    after = await door.service.store.account(bob.id)
    assert after is not None
    assert after.password == bob.password


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN] + [None])
async def test_nobody_else_may(door: Door, role: Role | None) -> None:
    bob = await door.signed_in("bob", *([] if role is None else [role]))
    for method, path, body in (
        ("GET", "/api/v1/users", None),
        ("POST", "/api/v1/users", {"name": "new"}),
        ("PATCH", f"/api/v1/users/{bob.account.id}", {"roles": ["admin"]}),
        ("POST", f"/api/v1/users/{bob.account.id}/invitation", None),
    ):
        assert said(await bob.ask(method, path, body)) == (403, "forbidden")
        assert said(await (await door.browser()).request(method, path, json=body))[0] == 401
    assert door.trail.said()[-1] == ("denied", "refused")
    after = await door.service.store.account(bob.account.id)
    assert after is not None
    assert Role.ADMIN not in after.roles


@pytest.mark.parametrize("change", [{"roles": ["ops"]}, {"disabled": True}])
async def test_there_is_always_an_admin(door: Door, change: dict[str, Any]) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    await door.person("invited", Role.ADMIN, password=None)
    answer = await ada.ask("PATCH", f"/api/v1/users/{ada.account.id}", change)
    assert said(answer) == (409, "last-admin")
    await door.person("bob", Role.ADMIN)
    answer = await ada.ask("PATCH", f"/api/v1/users/{ada.account.id}", change)
    assert answer.status_code == 200


async def test_two_admins_cannot_close_each_other(door: Door) -> None:
    """At once, so that each sees the other before either is closed."""
    for one in range(10):
        first, second = [await door.person(f"{name}{one}", Role.ADMIN) for name in ("ada", "bob")]
        results = await asyncio.gather(
            *(
                people.change(door.service, account.id, disabled=True)
                for account in (first, second)
            ),
            return_exceptions=True,
        )
        refused = [found for found in results if isinstance(found, LastAdmin)]
        assert len(refused) == 1, results
        # For the next two, nobody is left that could stand in.
        await door.service.store.change_account(
            (await _administrators(door))[0].id,
            lambda one: one.model_copy(update={"disabled": True}),
            even_the_last=True,
        )


async def _administrators(door: Door) -> list[Account]:
    return [one for one in await door.service.store.accounts() if one.administers]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"name": "ADA"}, (409, "name-taken")),
        ({"name": "a"}, (422, "invalid-request")),
        ({"name": "../x"}, (422, "invalid-request")),
        ({"name": "bob", "roles": ["king"]}, (422, "invalid-request")),
        ({"name": "bob", "unit": "Ward 1"}, (422, "invalid-request")),
        ({"name": "bob", "password": "x"}, (422, "invalid-request")),
        ({"name": "bob", "subject": "1"}, (404, "no-provider")),
    ],
)
async def test_an_account_that_cannot_be_made(
    door: Door, body: dict[str, Any], expected: tuple[int, str]
) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    assert said(await ada.ask("POST", "/api/v1/users", body)) == expected
    assert len(await door.service.store.accounts()) == 1


async def test_an_account_that_is_not_there(door: Door) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    scripts = await door.person("machine", service=True)
    odd = ("nonsense", "u_x%0a", "u_%C3%A9", "u_%F0%9D%9F%99", "u_" + "0" * 65, "u_" + "0" * 5000)
    for user_id in ("u_0000000000000000", *odd):
        answer = await ada.ask("PATCH", f"/api/v1/users/{user_id}", {"unit": "x"})
        assert said(answer) == (404, "unknown-account")
    for user_id in ("u_0000000000000000", scripts.id, *odd):
        answer = await ada.ask("POST", f"/api/v1/users/{user_id}/invitation")
        assert said(answer) == (404, "unknown-account")
    nowhere = await ada.browser.get("/api/v1/users/x/y")
    assert said(nowhere) == (404, "not-found")
    assert said(await ada.ask("PUT", "/api/v1/users")) == (405, "method-not-allowed")
