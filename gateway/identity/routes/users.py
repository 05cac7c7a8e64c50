"""Accounts, for admins: `/api/v1/users`."""

from fastapi import APIRouter

from diagnosis.audit import Action, AuditEvent
from gateway.identity import people
from gateway.identity.callers import CallerDependency
from gateway.identity.records import is_id
from gateway.identity.refusals import NoProvider, UnknownAccount
from gateway.identity.routes.wire import (
    LinkView,
    NewUser,
    User,
    UserChange,
    Users,
    subject_at,
    when,
)
from gateway.identity.service import ServiceDependency

router = APIRouter(prefix="/api/v1/users")


@router.get("")
async def list_users(service: ServiceDependency) -> Users:
    """Every account, by name."""
    return Users(items=tuple(User.of(one) for one in await service.store.accounts()))


@router.post("", status_code=201)
async def add_user(body: NewUser, caller: CallerDependency, service: ServiceDependency) -> User:
    """Make an account; a link lets its owner set the password."""
    caller.require_fresh()
    issuer = service.settings.oidc_issuer
    if body.subject is not None and issuer is None:
        raise NoProvider
    account = await people.enter(
        service.store,
        service.clock,
        name=body.name,
        roles=body.roles,
        display_name=body.display_name,
        unit=body.unit,
        subject=subject_at(issuer, body.subject),
        audit=lambda one: service.audit.add(
            AuditEvent.of(caller.identity, Action.USER_CHANGE, object_id=one.id)
        ),
    )
    return User.of(account)


@router.patch("/{user_id}")
async def change_user(
    user_id: str, body: UserChange, caller: CallerDependency, service: ServiceDependency
) -> User:
    """Change roles, unit or name, or close an account; what is left out stays."""
    caller.require_fresh()
    await service.audit.add(
        AuditEvent.of(caller.identity, Action.USER_CHANGE, object_id=_known(user_id))
    )
    changes = body.model_dump(exclude_none=True)
    return User.of(await people.change(service, user_id, **changes))


@router.post("/{user_id}/invitation")
async def invite_user(
    user_id: str, caller: CallerDependency, service: ServiceDependency
) -> LinkView:
    """A one-time link that sets the password and takes codes away; older ones count no more."""
    caller.require_fresh()
    account = await service.store.account(_known(user_id))
    if account is None or account.service or account.disabled:
        raise UnknownAccount
    await service.audit.add(
        AuditEvent.of(caller.identity, Action.USER_CHANGE, object_id=account.id)
    )
    token = await people.invite(service.store, service.clock, account)
    return LinkView(
        link=f"{service.settings.public_url}/welcome/{token}",
        expires_at=when(service.clock() + people.LINK_SECONDS),
    )


def _known(user_id: str) -> str:
    """The id, where it has the form of one: nothing else is written down."""
    if not is_id(user_id, "u"):
        raise UnknownAccount
    return user_id
