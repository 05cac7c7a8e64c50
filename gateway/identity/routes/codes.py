"""One-time codes of a device: proposed, confirmed, given up. `/auth/totp`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from diagnosis.audit import Action
from diagnosis.errors import NotSignedIn
from gateway.identity.callers import (
    CallerDependency,
    address_of,
    cookie_of,
    find_caller,
    refuse_forged,
)
from gateway.identity.codes import address, new_code_secret, step_of
from gateway.identity.events import by_account
from gateway.identity.records import Account, Session
from gateway.identity.refusals import CodeRefused
from gateway.identity.routes.sign_in import set_cookie
from gateway.identity.routes.wire import CodeSecret, CodesWanted, Confirmation, OnlyCode
from gateway.identity.service import ServiceDependency
from gateway.identity.signing_in import confirm_code, confirm_password, require_code

router = APIRouter(prefix="/auth/totp")


async def _enrolling(request: Request, service: ServiceDependency) -> tuple[Session, Account]:
    """A session that is whole, with a password given lately, or one that awaits just this."""
    found = await service.sessions.find(cookie_of(request, service))
    if found is not None and found[0].awaits == "enrolment":
        refuse_forged(request, found[0])
        return found
    caller = await find_caller(request, service)
    if caller is None:
        raise NotSignedIn
    session = caller.require_fresh()
    refuse_forged(request, session)
    return session, caller.account


Enrolling = Annotated[tuple[Session, Account], Depends(_enrolling)]


@router.post("")
async def propose(
    enrolling: Enrolling,
    request: Request,
    service: ServiceDependency,
    body: CodesWanted | None = None,
) -> CodeSecret:
    """A secret for a device; it counts once a code of it was confirmed.

    Where there is a device already, a code of that one is asked for: else a password alone would
    put another in its place.
    """
    _, account = enrolling
    code = None if body is None else body.code
    require_code(account, code)
    if account.totp is not None and code is not None:
        await confirm_code(service, account, code, address=address_of(request))
    await service.audit.add(by_account(account, Action.USER_CHANGE))
    secret = new_code_secret()
    await service.store.change_account(
        account.id, lambda one: one.model_copy(update={"totp_proposed": secret})
    )
    return CodeSecret(uri=address(account, secret), secret=secret)


@router.post("/confirm", status_code=204)
async def confirm(
    body: OnlyCode, enrolling: Enrolling, request: Request, service: ServiceDependency
) -> Response:
    """A code of the proposed secret: from now on every sign-in asks for one."""
    session, account = enrolling
    async with service.attempts.trying(account.name, address_of(request)) as attempt:
        step = None
        if account.totp_proposed is not None:
            step = step_of(account.totp_proposed, body.code, service.clock())
        if step is None:
            raise CodeRefused
        await attempt.take_back()
    await service.audit.add(by_account(account, Action.USER_CHANGE))
    await service.store.change_account(
        account.id,
        lambda one: one.model_copy(
            update={"totp": account.totp_proposed, "totp_proposed": None, "totp_step": step}
        ),
    )
    answer = Response(status_code=204)
    await service.sessions.end_all(account, but=session)
    if session.awaits is not None:
        cookie = cookie_of(request, service)
        set_cookie(answer, service, await service.sessions.begin(account, instead_of=cookie))
    return answer


@router.delete("", status_code=204)
async def give_up(
    body: Confirmation, request: Request, caller: CallerDependency, service: ServiceDependency
) -> None:
    """No codes any more; asks for the password and a code."""
    caller.own_session()
    account = caller.account
    await confirm_password(service, account, body.password, body.code, address=address_of(request))
    await service.audit.add(by_account(account, Action.USER_CHANGE))
    await service.store.change_account(
        account.id,
        lambda one: one.model_copy(update={"totp": None, "totp_proposed": None}),
    )
