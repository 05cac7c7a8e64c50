"""The first admin, and what the command line does with keys and accounts."""

import pytest
from pydantic import ValidationError

from diagnosis.errors import AuditUnavailable
from diagnosis.identity import Role
from gateway.identity import commands, people
from gateway.identity.refusals import AccountsUnavailable, NameTaken, UnknownAccount
from tests.gateway.identity.conftest import PASSWORD, Door, Noted, NoTrail, said, sign_in


async def use(door: Door, token: str) -> int:
    browser = await door.browser()
    answer = await browser.post(f"/auth/welcome/{token}", json={"password": PASSWORD})
    return answer.status_code


async def test_the_first_admin_is_made_once_and_invited_until_the_link_is_used(door: Door) -> None:
    store = door.service.store
    first = await commands.first_admin(store, door.trail, clock=door.clock)
    second = await commands.first_admin(store, door.trail, clock=door.clock)
    assert first is not None
    assert second is not None
    [admin] = await store.accounts()
    assert (admin.name, admin.roles) == ("admin", commands.FIRST)
    assert await use(door, first) == 404
    assert await use(door, second) == 204
    assert await commands.first_admin(store, door.trail, clock=door.clock) is None


async def test_another_admin_is_as_good(door: Door) -> None:
    await door.person("ada", Role.ADMIN)
    assert await commands.first_admin(door.service.store, door.trail, clock=door.clock) is None


async def test_where_the_name_is_taken_by_somebody_else(door: Door) -> None:
    await door.person("admin", Role.OPS)
    token = await commands.first_admin(door.service.store, door.trail, clock=door.clock)
    assert token is not None
    assert await use(door, token) == 204
    admins = [one for one in await door.service.store.accounts() if Role.ADMIN in one.roles]
    assert [one.name for one in admins] == [f"admin-{int(door.clock())}"]


async def test_a_key_of_the_command_line(door: Door) -> None:
    store, trail = door.service.store, Noted()
    keys = [
        await commands.create_key(store, trail, roles, name="nightly", days=2, clock=door.clock)
        for roles in ((Role.CLINICIAN,), (Role.OPS,))
    ]
    for key, role in zip(keys, (Role.CLINICIAN, Role.OPS), strict=True):
        found = await door.service.keys.find(key)
        assert found is not None
        assert found[0].roles == (role,)
        assert found[0].expires_at == door.clock() + 2 * 86400
    [scripts] = await store.accounts()
    assert not scripts.can_sign_in
    assert [(event.actor, event.action) for event in trail.events] == [
        ("system", "user-change"),
        ("system", "key-change"),
        ("system", "key-change"),
    ]
    assert (await sign_in(await door.browser(), "scripts")).status_code == 401
    # It is nobody, so it does not stand in for an admin.
    assert await commands.first_admin(store, door.trail, clock=door.clock) is not None
    await people.change(door.service, scripts.id, disabled=True)
    assert await door.service.keys.find(keys[0]) is None


async def test_an_account_of_the_command_line(door: Door) -> None:
    store = door.service.store
    token = await commands.create_user(
        store, door.trail, "Ada", (Role.OPS,), unit="ward_1", clock=door.clock
    )
    assert await use(door, token) == 204
    account = await store.account_named("ada")
    assert account is not None
    assert (account.roles, account.unit) == ((Role.OPS,), "ward_1")
    with pytest.raises(NameTaken):
        await commands.create_user(
            store, door.trail, "ada", (Role.OPS,), unit="default", clock=door.clock
        )
    with pytest.raises(ValidationError):
        await commands.create_user(
            store, door.trail, "a b", (Role.OPS,), unit="default", clock=door.clock
        )


async def test_who_is_locked_out_is_let_in_again(door: Door) -> None:
    ada = await door.signed_in("ada", Role.ADMIN)
    codes = await ada.set_up_codes()
    await ada.ask("POST", "/auth/totp/confirm", {"code": codes.at(int(door.clock()))})
    for _ in range(5):
        await sign_in(await door.browser(), "ada", "wrong")
    assert said(await sign_in(await door.browser()))[0] == 429
    token = await commands.reset_user(door.service.store, door.trail, "ADA", clock=door.clock)
    assert (await ada.browser.get("/auth/session")).status_code == 401
    assert said(await sign_in(await door.browser())) == (401, "sign-in-failed")
    assert await use(door, token) == 204
    assert (await sign_in(await door.browser())).json() == {"next": "done"}


async def test_nobody_is_let_in_who_is_not_there(door: Door) -> None:
    await door.person("machine", service=True)
    for name in ("nobody", "machine"):
        with pytest.raises(UnknownAccount):
            await commands.reset_user(door.service.store, door.trail, name, clock=door.clock)


def test_a_store_that_is_away_is_said() -> None:
    with pytest.raises(AccountsUnavailable):
        commands.with_store("unix:///nonexistent.sock", commands.first_admin)


async def test_what_cannot_be_written_down_is_not_done(door: Door) -> None:
    store = door.service.store
    with pytest.raises(AuditUnavailable):
        await commands.first_admin(store, NoTrail(), clock=door.clock)
    with pytest.raises(AuditUnavailable):
        await commands.create_key(
            store, NoTrail(), (Role.OPS,), name="nightly", days=2, clock=door.clock
        )
    assert await store.accounts() == []
    assert await store.keys() == []


async def test_no_key_is_made_in_the_name_of_a_person(door: Door) -> None:
    await door.person("scripts", Role.OPS)
    with pytest.raises(NameTaken, match="a person's"):
        await commands.create_key(
            door.service.store, Noted(), (Role.OPS,), name="nightly", days=2, clock=door.clock
        )
    assert await door.service.store.keys() == []


async def test_a_reset_ends_keys_and_says_so(door: Door) -> None:
    ada = await door.person("ada", Role.ADMIN)
    bob = await door.person("bob", Role.OPS)
    texts = []
    for owner in (ada, bob):
        _, text = await door.service.keys.make(
            owner, "a script", owner.roles, door.clock() + 60, door.note_key
        )
        texts.append(text)
    trail = Noted()
    await commands.reset_user(door.service.store, trail, "ada", clock=door.clock)
    assert await door.service.keys.find(texts[0]) is None
    assert await door.service.keys.find(texts[1]) is not None
    assert trail.said() == [("user-change", "allowed"), ("key-change", "allowed")]
