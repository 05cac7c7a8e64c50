"""Signing in and out, and whose session this is: `/auth/...`."""

from fastapi import APIRouter, Request, Response

from diagnosis.audit import Action
from diagnosis.errors import InvalidRequest, NotSignedIn
from gateway.identity import people, signing_in
from gateway.identity.callers import (
    CallerDependency,
    address_of,
    cookie_of,
    refuse_forged,
    refuse_other_sites,
)
from gateway.identity.events import by_account
from gateway.identity.passwords import check_password
from gateway.identity.refusals import SignInFailed
from gateway.identity.routes.wire import (
    Confirmation,
    Invited,
    NewPassword,
    NextStep,
    PasswordChange,
    SessionView,
    SignIn,
)
from gateway.identity.service import Service, ServiceDependency

router = APIRouter(prefix="/auth")


def set_cookie(answer: Response, service: Service, value: str) -> None:
    """Give the browser the session's cookie; it forgets it when it is closed."""
    answer.set_cookie(
        service.settings.cookie_name,
        value,
        path="/",
        httponly=True,
        samesite="lax",
        secure=service.settings.secure,
    )


def clear_cookie(answer: Response, service: Service) -> None:
    """Take the cookie back."""
    answer.delete_cookie(
        service.settings.cookie_name,
        path="/",
        httponly=True,
        samesite="lax",
        secure=service.settings.secure,
    )


@router.post("/sign-in")
async def sign_in(
    body: SignIn, request: Request, answer: Response, service: ServiceDependency
) -> NextStep:
    """With name and password, and the code if it is known; or the code alone as a second step."""
    refuse_other_sites(request)
    cookie = cookie_of(request, service)
    if body.name is not None and body.password is not None:
        progress = await signing_in.by_password(
            service,
            body.name,
            body.password,
            body.code,
            address=address_of(request),
            cookie=cookie,
        )
    elif body.name is None and body.password is None and body.code is not None:
        begun = await service.sessions.find(cookie)
        if begun is None or cookie is None or begun[0].awaits != "code":
            raise SignInFailed(
                "Signing in took too long, or has not begun.",
                remedy="Begin again with your name and your password.",
            )
        progress = await signing_in.by_code(
            service, begun[1], body.code, address=address_of(request), cookie=cookie
        )
    else:
        raise InvalidRequest("Signing in takes a name and a password, or a code.")
    set_cookie(answer, service, progress.cookie)
    return NextStep(next=progress.next)


@router.post("/sign-out", status_code=204)
async def sign_out(
    request: Request, service: ServiceDependency, everywhere: bool = False
) -> Response:
    """End the session, or with `everywhere` every session of the account."""
    cookie = cookie_of(request, service)
    found = await service.sessions.find(cookie)
    if found is not None:
        session, account = found
        refuse_forged(request, session)
        await service.audit.add(by_account(account, Action.SIGN_OUT))
        if everywhere:
            await service.sessions.end_all(account)
        await service.sessions.end(cookie)
    answer = Response(status_code=204)
    clear_cookie(answer, service)
    return answer


@router.get("/session")
async def session(request: Request, service: ServiceDependency) -> SessionView:
    """Whose session this is; 401 where there is none."""
    found = await service.sessions.find(cookie_of(request, service))
    if found is None or found[0].awaits == "code":
        raise NotSignedIn
    one, account = found
    return SessionView(
        sub=account.id,
        login=account.name,
        name=account.display_name,
        roles=() if one.awaits else account.roles,
        unit=account.unit,
        csrf=one.csrf,
        auth_time=int(one.auth_time),
        totp=account.totp is not None,
        password=account.password is not None,
        read_first=account.read_first,
        next="enrol" if one.awaits else "done",
    )


@router.post("/reauthenticate", status_code=204)
async def reauthenticate(
    body: Confirmation, request: Request, caller: CallerDependency, service: ServiceDependency
) -> None:
    """The password once more, for what asks for it; good for two minutes."""
    own = caller.own_session()
    await signing_in.confirm_password(
        service, caller.account, body.password, body.code, address=address_of(request)
    )
    await service.audit.add(by_account(caller.account, Action.SIGN_IN))
    await service.sessions.confirm(own)


@router.post("/password", status_code=204)
async def change_password(
    body: PasswordChange, request: Request, caller: CallerDependency, service: ServiceDependency
) -> None:
    """Another password; every other session of the account ends."""
    own, account = caller.own_session(), caller.account
    check_password(body.new, account.name, account.display_name)
    await signing_in.confirm_password(
        service, account, body.old, body.code, address=address_of(request)
    )
    hashed = await service.passwords.hash(body.new)
    await service.audit.add(by_account(account, Action.USER_CHANGE))
    await service.store.change_account(
        account.id, lambda one: one.model_copy(update={"password": hashed})
    )
    await service.sessions.confirm(own)
    await service.sessions.end_all(account, but=own)


@router.get("/welcome/{token}")
async def look_at_link(token: str, service: ServiceDependency) -> Invited:
    """Whom a one-time link is for; 404 where it is not valid."""
    account = await people.invited(service, token)
    return Invited(name=account.name, display_name=account.display_name)


@router.post("/welcome/{token}", status_code=204)
async def use_link(
    token: str, body: NewPassword, request: Request, service: ServiceDependency
) -> Response:
    """Set the password that a one-time link stands for, and sign in."""
    refuse_other_sites(request)
    account = await people.accept(service, token, body.password)
    progress = await signing_in.begin_session(service, account, cookie_of(request, service))
    answer = Response(status_code=204)
    set_cookie(answer, service, progress.cookie)
    return answer
