"""What somebody prefers, and that everybody chooses it for themselves alone."""

from redis.asyncio import Redis

from diagnosis.identity import HEADER, Role, verify_identity
from tests.gateway.identity.conftest import Door, SignedIn, said

PATH = "/api/v1/account/preferences"


async def told(door: Door, one: SignedIn) -> bool:
    """What the services behind the door are told that somebody prefers."""
    answer = await one.browser.get("/internal/check")
    key = door.service.private_key.public_key()
    return verify_identity(answer.headers[HEADER], key).read_first


async def test_the_identity_says_who_reads_first(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    bob = await door.signed_in("bob", Role.CLINICIAN)
    assert not await told(door, ada)
    changed = await ada.ask("PATCH", PATH, {"read_first": True})
    assert (changed.status_code, changed.json()) == (200, {"read_first": True})
    assert await told(door, ada)
    assert (await ada.browser.get("/auth/session")).json()["read_first"] is True
    assert not await told(door, bob)
    assert (await ada.ask("PATCH", PATH, {})).json() == {"read_first": True}
    assert (await ada.ask("PATCH", PATH, {"read_first": False})).json() == {"read_first": False}
    assert not await told(door, ada)


async def test_it_is_written_down_who_changed_it(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    await ada.ask("PATCH", PATH, {"read_first": True})
    event = door.trail.events[-1]
    assert (event.action, event.actor, event.object) == (
        "user-change",
        ada.account.id,
        ada.account.id,
    )


async def test_what_is_no_preference_is_refused(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    for body in ({"read_first": "often"}, {"roles": ["admin"]}, {"read_first": True, "unit": "x"}):
        assert said(await ada.ask("PATCH", PATH, body)) == (422, "invalid-request")
    assert not await told(door, ada)


async def test_a_program_prefers_nothing(door: Door) -> None:
    ada = await door.signed_in("ada", Role.CLINICIAN)
    made = await ada.ask(
        "POST",
        "/api/v1/keys",
        {"name": "nightly", "roles": ["clinician"], "expires_at": "2027-03-01T00:00:00Z"},
    )
    program = await door.browser(headers={"Authorization": f"Bearer {made.json()['key']}"})
    refused = await program.patch(PATH, json={"read_first": True})
    assert said(refused) == (403, "reauthentication-needed")
    assert not await told(door, ada)


async def test_an_account_of_before_reads_as_it_did(door: Door, kept: Redis) -> None:
    """Rows that were written before there was anything to prefer."""
    ada = await door.signed_in("ada", Role.CLINICIAN)
    row = ada.account.model_dump_json(exclude={"read_first"})
    await kept.set(f"identity:{{all}}:account:{ada.account.id}", row)
    assert not await told(door, ada)
