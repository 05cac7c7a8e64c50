"""Every address of the identity service, as everybody: the table says who may, and nobody else."""

import re
from typing import Any

import pytest
from fastapi.routing import APIRoute

from diagnosis.access import OPEN
from diagnosis.identity import Role
from gateway.identity.access import TABLE
from tests.gateway.identity.conftest import Door, sign_in


def routes(door: Door) -> set[tuple[str, str]]:
    """Every method and address that the application answers."""
    found = set()

    def walk(some: Any) -> None:
        for one in some:
            if isinstance(one, APIRoute):
                found.update((method, one.path) for method in one.methods)
            else:
                # A router that was included; anything else would be new here, and fails.
                walk(one.original_router.routes)

    walk(door.app.routes)
    return found


async def test_every_route_has_a_row_and_every_row_a_route(door: Door) -> None:
    assert routes(door) == set(TABLE)


def address(template: str) -> str:
    """An address of this route, of nothing that there is."""
    return re.sub(r"\{[a-z_]+\}", "u_0", template)


@pytest.mark.parametrize("role", [None, *Role])
async def test_every_route_as_every_role(door: Door, role: Role | None) -> None:
    """Refused by the role if and only if the table says so; what is open refuses by itself."""
    one = await door.signed_in("ada", *([] if role is None else [role]))
    stranger = await door.browser()
    for (method, template), allowed in TABLE.items():
        if allowed is OPEN or template == "/auth/reauthenticate":
            continue
        path = address(template)
        mine = await one.ask(method, path, {})
        refused = mine.status_code == 403 and mine.json()["code"] == "forbidden"
        assert refused == (role not in allowed and len(allowed) < len(Role)), (method, path)
        assert mine.status_code != 401, (method, path)
        nobody = await stranger.request(method, path, json={})
        assert (nobody.status_code, nobody.json()["code"]) == (401, "not-signed-in")
        if method != "GET":
            forged = await one.browser.request(method, path, json={})
            assert forged.status_code == 403, (method, path)


async def test_a_route_without_a_row_is_open_to_nobody(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await door.signed_in("ada", *Role)
    monkeypatch.delitem(TABLE, ("GET", "/api/v1/users"))  # type: ignore[arg-type]
    assert (await ada.browser.get("/api/v1/users")).status_code == 403
    monkeypatch.delitem(TABLE, ("POST", "/auth/sign-in"))  # type: ignore[arg-type]
    assert (await sign_in(await door.browser())).status_code == 403
