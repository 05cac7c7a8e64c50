"""API keys: everybody's own, and all of them for admins. `/api/v1/keys`."""

from fastapi import APIRouter

from diagnosis.audit import Action, AuditEvent
from diagnosis.errors import Forbidden, InvalidRequest
from diagnosis.identity import Role
from gateway.identity.callers import CallerDependency
from gateway.identity.keys import LONGEST_SECONDS
from gateway.identity.records import is_id
from gateway.identity.refusals import UnknownKey
from gateway.identity.routes.wire import Key, KeyList, MadeKey, NewKey
from gateway.identity.service import ServiceDependency

router = APIRouter(prefix="/api/v1/keys")


@router.get("")
async def list_keys(caller: CallerDependency, service: ServiceDependency) -> KeyList:
    """One's own keys, the newest first; an admin sees everybody's."""
    every = Role.ADMIN in caller.identity.granted
    keys = await service.store.keys()
    return KeyList(
        items=tuple(Key.of(one) for one in keys if every or one.owner == caller.account.id)
    )


@router.post("", status_code=201)
async def make_key(body: NewKey, caller: CallerDependency, service: ServiceDependency) -> MadeKey:
    """A key of one's own, with some of one's own roles; its text is in this answer and nowhere."""
    caller.require_fresh()
    if not set(body.roles) <= caller.identity.granted:
        raise Forbidden("A key can have only roles that you hold yourself.")
    expires_at = body.expires_at.timestamp()
    if not 0 < expires_at - service.clock() <= LONGEST_SECONDS:
        raise InvalidRequest(
            "A key ends in the future, and within 366 days.",
            remedy="Choose another date; make a new key when this one has ended.",
        )
    key, text = await service.keys.make(
        caller.account,
        body.name,
        body.roles,
        expires_at,
        lambda one: service.audit.add(
            AuditEvent.of(caller.identity, Action.KEY_CHANGE, object_id=one.id)
        ),
    )
    return MadeKey(id=key.id, key=text, expires_at=body.expires_at)


@router.delete("/{key_id}", status_code=204)
async def delete_key(key_id: str, caller: CallerDependency, service: ServiceDependency) -> None:
    """End a key at once."""
    caller.own_session()
    key = await service.store.key(key_id) if is_id(key_id, "k") else None
    every = Role.ADMIN in caller.identity.granted
    if key is None or not (every or key.owner == caller.account.id):
        raise UnknownKey
    await service.audit.add(AuditEvent.of(caller.identity, Action.KEY_CHANGE, object_id=key.id))
    await service.store.delete_key(key.id)
