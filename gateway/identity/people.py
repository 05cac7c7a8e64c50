"""What is done to accounts: entered, invited, changed."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import ValidationError

from diagnosis.audit import Action
from diagnosis.identity import Role
from gateway.identity.events import by_account
from gateway.identity.oidc import Person
from gateway.identity.passwords import check_password
from gateway.identity.records import Account, ApiKey, Link, Subject, digest, new_id, new_secret
from gateway.identity.refusals import (
    LastAdmin,
    LinkUsed,
    NameTaken,
    SignInFailed,
    UnknownAccount,
)
from gateway.identity.service import Service
from gateway.store import IdentityStore, NobodyLeft, Taken

LINK_SECONDS: Final = 24 * 60 * 60
"""How long a one-time link is valid."""


async def enter(
    store: IdentityStore,
    clock: Callable[[], float],
    *,
    name: str,
    roles: tuple[Role, ...],
    display_name: str | None = None,
    unit: str = "default",
    subject: Subject | None = None,
    service: bool = False,
    audit: Callable[[Account], Awaitable[None]] | None = None,
) -> Account:
    """Make an account, which has no password yet. `audit` is told of it before it is kept.

    Raises:
        NameTaken: there is one of this name, or of this person at the provider.
        pydantic.ValidationError: a name or a unit is malformed.
    """
    account = Account(
        id=new_id("u"),
        name=name,
        display_name=display_name or name,
        roles=tuple(sorted(set(roles))),
        unit=unit,
        subject=subject,
        service=service,
        made_at=clock(),
    )
    if audit is not None:
        await audit(account)
    try:
        await store.add_account(account)
    except Taken:
        raise NameTaken from None
    return account


async def invite(store: IdentityStore, clock: Callable[[], float], account: Account) -> str:
    """The token of a new one-time link for an account; an older one counts no more."""
    token = new_secret()
    link = Link(digest=digest(token), account=account.id, expires_at=clock() + LINK_SECONDS)
    await store.add_link(link, LINK_SECONDS)
    return token


async def invited(service: Service, token: str) -> Account:
    """Whose link this is; it stays valid.

    Raises:
        LinkUsed: nobody's.
    """
    return await _owner(service, await service.store.link(digest(token)))


async def accept(service: Service, token: str, password: str) -> Account:
    """Use a link: it sets the password, and whatever there was before ends.

    Sessions, codes of a device, API keys and failed tries are gone: this is also how somebody gets
    in again who has lost the password or the device, and whoever found it may have made a key.

    Raises:
        PasswordRefused: the password cannot be used; the link stays valid.
        LinkUsed: the link is nobody's.
    """
    account = await invited(service, token)
    check_password(password, account.name, account.display_name)
    hashed = await service.passwords.hash(password)
    await service.audit.add(by_account(account, Action.USER_CHANGE))
    account = await _owner(service, await service.store.take_link(digest(token)))
    changed = await service.store.change_account(
        account.id,
        lambda one: one.model_copy(
            update={"password": hashed, "totp": None, "totp_step": 0, "totp_proposed": None}
        ),
    )
    await service.sessions.end_all(account)
    await end_keys(
        service.store,
        account,
        lambda one: service.audit.add(by_account(account, Action.KEY_CHANGE, about=one.id)),
    )
    await service.attempts.reopen(account.name)
    assert changed is not None
    return changed


async def end_keys(
    store: IdentityStore, account: Account, audit: Callable[[ApiKey], Awaitable[None]]
) -> None:
    """End every API key of an account. `audit` is told of each before it goes."""
    for key in await store.keys_of(account.id):
        await audit(key)
        await store.delete_key(key.id)


async def known_at_provider(service: Service, person: Person) -> Account:
    """The account of somebody who comes from the OIDC provider; made where their groups allow it.

    Where groups stand for roles, the account has the roles of its groups from now on.

    Raises:
        SignInFailed: there is none, none can be made, or it is closed.
        LastAdmin: by their groups nobody could administer the system any more.
    """
    account = await service.store.account_of(person.subject)
    if account is None and person.roles:
        account = await _enter_from_provider(service, person, person.roles)
    if account is None or not account.can_sign_in:
        raise SignInFailed(
            "Your organisation knows you, and there is no account for you here.",
            remedy="Ask an admin to let you in.",
            cause="oidc: no account",
        )
    roles = person.roles
    if roles is None or roles == account.roles:
        return account
    await service.audit.add(by_account(account, Action.USER_CHANGE))
    try:
        changed = await service.store.change_account(
            account.id, lambda one: one.model_copy(update={"roles": roles})
        )
    except NobodyLeft:
        # Let in with the old roles, they would keep what their organisation took away.
        raise LastAdmin(
            "Your organisation says that you administer this no more, and nobody else here does.",
            remedy="Whoever runs Sightline makes another admin with `gateway create-user`.",
        ) from None
    return changed or account


async def _enter_from_provider(
    service: Service, person: Person, roles: tuple[Role, ...]
) -> Account | None:
    own = f"oidc-{person.subject.digest[:12]}"
    # A name that somebody else has here is theirs, whoever is called so elsewhere.
    for name in (person.login, own):
        try:
            account = await enter(
                service.store,
                service.clock,
                name=name or own,
                roles=roles,
                display_name=(person.name or name or own)[:100],
                subject=person.subject,
                audit=lambda one: service.audit.add(by_account(one, Action.USER_CHANGE)),
            )
        except (NameTaken, ValidationError):
            continue
        return account
    # Another browser of the same person was faster.
    return await service.store.account_of(person.subject)


async def change(service: Service, account_id: str, **changes: Any) -> Account:
    """Change roles, unit, display name, or whether somebody is disabled.

    Raises:
        UnknownAccount: there is none of this id.
        LastAdmin: nobody could administer the system any more.
    """
    try:
        changed = await service.store.change_account(
            account_id, lambda one: Account.model_validate(one.model_dump() | changes)
        )
    except NobodyLeft:
        raise LastAdmin from None
    if changed is None:
        raise UnknownAccount
    if changed.disabled:
        await service.sessions.end_all(changed)
    return changed


async def _owner(service: Service, link: Link | None) -> Account:
    if link is None or service.clock() >= link.expires_at:
        raise LinkUsed
    account = await service.store.account(link.account)
    if account is None or account.disabled or account.service:
        raise LinkUsed
    return account
