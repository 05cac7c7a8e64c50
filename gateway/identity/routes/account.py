"""What somebody prefers, by themselves: `/api/v1/account/preferences`."""

from fastapi import APIRouter

from diagnosis.audit import Action
from gateway.identity.callers import CallerDependency
from gateway.identity.events import by_account
from gateway.identity.routes.wire import PreferenceChange, Preferences
from gateway.identity.service import ServiceDependency

router = APIRouter(prefix="/api/v1/account")


@router.patch("/preferences")
async def change_preferences(
    body: PreferenceChange, caller: CallerDependency, service: ServiceDependency
) -> Preferences:
    """Change what one prefers; what is left out stays. It counts from the next request on.

    A key is refused: it belongs to a program, which prefers nothing.
    """
    caller.own_session()
    account = caller.account
    await service.audit.add(by_account(account, Action.USER_CHANGE))
    changes = body.model_dump(exclude_none=True)
    changed = await service.store.change_account(
        account.id, lambda one: one.model_copy(update=changes)
    )
    return Preferences(read_first=(changed or account).read_first)
