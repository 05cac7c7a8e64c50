"""What Nginx asks before it passes a request on; never reached from outside."""

from typing import Final

from fastapi import APIRouter, Request, Response

from diagnosis.errors import NotSignedIn
from diagnosis.identity import HEADER, sign_identity
from gateway.identity.callers import CallerDependency, find_caller
from gateway.identity.service import ServiceDependency

#: Under which name Grafana keeps what somebody chose there: the id of the account.
ACCOUNT: Final = "X-Sightline-Account"

router = APIRouter(include_in_schema=False)


@router.get("/internal/check")
async def check(request: Request, service: ServiceDependency) -> Response:
    """200 with the signed identity of whoever sent the request, or 401."""
    caller = await find_caller(request, service)
    if caller is None:
        raise NotSignedIn
    signed = sign_identity(caller.identity, service.private_key)
    return Response(headers={HEADER: signed, "Cache-Control": "no-store"})


@router.get("/internal/check/ops")
async def check_ops(caller: CallerDependency) -> Response:
    """200 with the id of whoever sent the request and has the role ops, else 401 or 403."""
    return Response(headers={ACCOUNT: caller.identity.sub, "Cache-Control": "no-store"})
