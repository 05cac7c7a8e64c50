"""Signing in at the provider of one's organisation: `/auth/oidc`.

A browser goes there and comes back, so that a failure too is a page: `/sign-in?problem=CODE`.
"""

import hmac
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from diagnosis.audit import Action, AuditOutcome
from diagnosis.errors import SightlineError
from diagnosis.identity import FRESH_SECONDS
from gateway.identity import people
from gateway.identity.callers import cookie_of
from gateway.identity.events import by_account
from gateway.identity.oidc import Flow, Person, Provider
from gateway.identity.records import digest
from gateway.identity.refusals import SignInFailed
from gateway.identity.routes.sign_in import set_cookie
from gateway.identity.service import Service, ServiceDependency
from gateway.identity.signing_in import begin_session

router = APIRouter(prefix="/auth/oidc")

#: How long somebody may take at the provider.
FLOW_SECONDS = 10 * 60

Text = Annotated[str | None, Query(max_length=2000)]


@router.get("")
async def go(
    service: ServiceDependency,
    next: Text = None,  # noqa: A002 - the name on the wire
    fresh: bool = False,
) -> Response:
    """Send the browser to the provider; with `fresh` for who is signed in, to sign in once more."""
    try:
        provider = Provider(service.settings)
        address, flow = await provider.begin(next, fresh=fresh)
        await service.store.put_flow(digest(flow.state), flow.model_dump_json(), FLOW_SECONDS)
    except SightlineError as problem:
        return _sorry(service, problem)
    answer = _to(address)
    # Only the browser that began may end it: else somebody could be signed in as another.
    answer.set_cookie(
        _cookie_name(service),
        flow.state,
        max_age=FLOW_SECONDS,
        path="/",
        httponly=True,
        samesite="lax",
        secure=service.settings.secure,
    )
    return answer


@router.get("/callback")
async def come_back(
    request: Request,
    service: ServiceDependency,
    state: Text = None,
    code: Text = None,
    iss: Text = None,
) -> Response:
    """Sign in whoever comes back from the provider, and go where they wanted to."""
    try:
        flow = await _flow(request, service, state)
        if code is None:
            raise SignInFailed(cause="oidc: the provider sends nobody")
        provider = Provider(service.settings)
        person = await provider.finish(flow, code, iss, service.clock())
        cookie = await (_confirm if flow.fresh else _sign_in)(request, service, person)
    except SightlineError as problem:
        if isinstance(problem, SignInFailed):
            service.metrics.sign_ins.labels("refused").inc()
            await service.audit.add(by_account(None, Action.SIGN_IN_FAILED, AuditOutcome.REFUSED))
        answer = _sorry(service, problem)
    else:
        answer = _to(flow.next)
        if cookie is not None:
            set_cookie(answer, service, cookie)
    answer.delete_cookie(_cookie_name(service), path="/", secure=service.settings.secure)
    return answer


async def _flow(request: Request, service: Service, state: str | None) -> Flow:
    begun = request.cookies.get(_cookie_name(service), "")
    if not state or not hmac.compare_digest(begun.encode(), state.encode()):
        raise SignInFailed(cause="oidc: not begun in this browser")
    text = await service.store.take_flow(digest(state))
    if text is None:
        raise SignInFailed(cause="oidc: too late, or a second time")
    return Flow.model_validate_json(text)


async def _sign_in(request: Request, service: Service, person: Person) -> str:
    account = await people.known_at_provider(service, person)
    service.metrics.sign_ins.labels("allowed").inc()
    # A provider whose own session goes on lets somebody in without asking them anything. Such a
    # sign-in is as old as the provider's question; where it does not say when that was, it is old.
    begun = await begin_session(
        service,
        account,
        cookie_of(request, service),
        by_provider=True,
        auth_time=person.auth_time or 0.0,
    )
    return begun.cookie


async def _confirm(request: Request, service: Service, person: Person) -> None:
    """The provider's word once more, about the one who is signed in."""
    found = await service.sessions.find(cookie_of(request, service))
    if found is None or found[0].awaits is not None or found[1].subject != person.subject:
        raise SignInFailed(cause="oidc: somebody else")
    # The provider says itself when it last asked: it may not have asked at all.
    if person.auth_time is None or service.clock() - person.auth_time > FRESH_SECONDS:
        raise SignInFailed(cause="oidc: the provider did not ask again")
    await service.audit.add(by_account(found[1], Action.SIGN_IN))
    await service.sessions.confirm(found[0], person.auth_time)


def _cookie_name(service: Service) -> str:
    return "__Host-sightline_oidc" if service.settings.secure else "sightline_oidc"


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=303, headers={"Cache-Control": "no-store"})


def _sorry(service: Service, problem: SightlineError) -> Response:
    service.metrics.refusals.labels(problem.code).inc()
    return _to(f"/sign-in?{urlencode({'problem': problem.code})}")
