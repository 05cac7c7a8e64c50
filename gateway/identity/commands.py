"""What the command line does with accounts, for whoever may use the run folder."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from diagnosis.audit import Action, AuditLog, connect_audit
from diagnosis.identity import Role
from gateway.identity import people
from gateway.identity.attempts import Attempts
from gateway.identity.events import by_command
from gateway.identity.keys import Keys
from gateway.identity.records import Account, plain_name
from gateway.identity.refusals import NameTaken, UnknownAccount
from gateway.store import IdentityStore, connect

ADMIN: Final = "admin"
"""The name of the first account."""
SCRIPTS: Final = "scripts"
"""The name of the account that keys of the command line belong to; nobody signs in as it, and
closing it ends all of them."""

T = TypeVar("T")


def with_store(
    url: str,
    work: Callable[[IdentityStore, AuditLog], Awaitable[T]],
    ca_file: Path | None = None,
) -> T:
    """Do some work with the store of accounts at `url`, and where it is written down.

    Args:
        ca_file: see `diagnosis.redis_connection.open_client`.

    Raises:
        AccountsUnavailable: the store does not answer.
        AuditUnavailable: what was to be done cannot be written down, so it was not done.
    """

    async def do() -> T:
        store, audit = connect(url, ca_file), connect_audit(url, ca_file)
        try:
            return await work(store, audit)
        finally:
            await store.close()
            await audit.close()

    return asyncio.run(do())


#: Whoever starts Sightline on a machine of their own can read an image at once, and see to models;
#: on the page of users they take from themselves what others are to do.
FIRST = (Role.ADMIN, Role.CLINICIAN, Role.ENGINEER)


async def first_admin(
    store: IdentityStore, audit: AuditLog, *, clock: Callable[[], float] = time.time
) -> str | None:
    """The token of a one-time link for the first admin, who is made where there is no admin.

    None once an admin can sign in.
    """
    admins = [one for one in await store.accounts() if Role.ADMIN in one.roles and not one.service]
    if any(one.can_sign_in for one in admins):
        return None
    waiting = [one for one in admins if not one.disabled]
    if not waiting:
        taken = await store.account_named(ADMIN)
        name = ADMIN if taken is None else f"{ADMIN}-{int(clock())}"
        shown = "Administrator"
        waiting = [
            await people.enter(
                store,
                clock,
                name=name,
                roles=FIRST,
                display_name=shown,
                audit=lambda one: audit.add(by_command(Action.USER_CHANGE, one.id)),
            )
        ]
    await audit.add(by_command(Action.USER_CHANGE, waiting[0].id))
    return await people.invite(store, clock, waiting[0])


async def create_key(
    store: IdentityStore,
    audit: AuditLog,
    roles: tuple[Role, ...],
    *,
    name: str,
    days: float,
    clock: Callable[[], float] = time.time,
) -> str:
    """The text of a new API key of the account `scripts`.

    Raises:
        NameTaken: a person's account has this name; no key is made in a person's name.
    """
    owner = await store.account_named(SCRIPTS) or await _scripts(store, audit, clock)
    if not owner.service:
        raise NameTaken(
            f"The account {SCRIPTS} is a person's, so no key can be made for it.",
            remedy="Give that person another account, and close this one.",
        )
    ends = clock() + days * 86400
    _, text = await Keys(store, clock).make(
        owner, name, roles, ends, lambda one: audit.add(by_command(Action.KEY_CHANGE, one.id))
    )
    return text


async def create_user(
    store: IdentityStore,
    audit: AuditLog,
    name: str,
    roles: tuple[Role, ...],
    *,
    unit: str,
    clock: Callable[[], float] = time.time,
) -> str:
    """Make an account, and return the token of its one-time link.

    Raises:
        NameTaken: there is one of this name.
        pydantic.ValidationError: the name or the unit is malformed.
    """
    account = await people.enter(
        store,
        clock,
        name=name,
        roles=roles,
        unit=unit,
        audit=lambda one: audit.add(by_command(Action.USER_CHANGE, one.id)),
    )
    return await people.invite(store, clock, account)


async def reset_user(
    store: IdentityStore,
    audit: AuditLog,
    name: str,
    *,
    clock: Callable[[], float] = time.time,
) -> str:
    """Take password and codes away, end every session and every API key, open the account, and
    return the token of a new one-time link.

    Raises:
        UnknownAccount: there is none of this name, or nobody signs in as it.
    """
    account = await store.account_named(plain_name(name))
    if account is None or account.service:
        raise UnknownAccount(f"There is no account of the name {name}.")
    await audit.add(by_command(Action.USER_CHANGE, account.id))
    await store.change_account(
        account.id,
        lambda one: one.model_copy(update={"password": None, "totp": None, "disabled": False}),
        even_the_last=True,
    )
    await store.end_sessions(account.id)
    await people.end_keys(
        store, account, lambda one: audit.add(by_command(Action.KEY_CHANGE, one.id))
    )
    await Attempts(store, clock).reopen(account.name)
    return await people.invite(store, clock, account)


async def _scripts(store: IdentityStore, audit: AuditLog, clock: Callable[[], float]) -> Account:
    try:
        return await people.enter(
            store,
            clock,
            name=SCRIPTS,
            roles=tuple(Role),
            display_name="Scripts on this machine",
            service=True,
            audit=lambda one: audit.add(by_command(Action.USER_CHANGE, one.id)),
        )
    except NameTaken:
        # Another command was faster.
        found = await store.account_named(SCRIPTS)
        assert found is not None
        return found
