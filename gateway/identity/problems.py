"""Every refusal and every failure as RFC 9457 `application/problem+json`.

Nothing of a request is ever sent back or logged: no name, no password, no token.
"""

import traceback
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from diagnosis.contracts import FieldError, Problem
from diagnosis.errors import (
    InputRefused,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchResource,
    NotSignedIn,
    SightlineError,
)
from diagnosis.telemetry import Metrics
from gateway.identity.refusals import LockedOut

MEDIA_TYPE = "application/problem+json"

_log = structlog.get_logger("gateway")


def problem_response(
    error: SightlineError, request_id: str | None, errors: tuple[FieldError, ...] = ()
) -> Response:
    """The answer to a request that was refused or failed."""
    problem = Problem.of(error, request_id=request_id or None, errors=errors)
    answer = Response(problem.model_dump_json(), error.status, media_type=MEDIA_TYPE)
    answer.headers["Cache-Control"] = "no-store"
    if isinstance(error, LockedOut):
        answer.headers["Retry-After"] = str(error.seconds)
    elif error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotSignedIn):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="sightline"'
    return answer


def install_handlers(app: FastAPI, metrics: Metrics) -> None:
    """Turn what endpoints raise, and what the framework raises for them, into problems."""

    def answer(
        request: Request, error: SightlineError, errors: tuple[FieldError, ...] = ()
    ) -> Response:
        request_id = request.scope.get("state", {}).get("request_id")
        metrics.refusals.labels(error.code).inc()
        if not isinstance(error, InputRefused) or error.cause is not None:
            _log.warning("refused", code=error.code, cause=error.cause, request_id=request_id)
        return problem_response(error, request_id, errors)

    async def on_sightline(request: Request, error: Exception) -> Response:
        assert isinstance(error, SightlineError)
        return answer(request, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, InvalidRequest(), tuple(map(_field, error.errors())))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        said = answer(request, _of_framework(error.status_code))
        said.headers.update(error.headers or {})
        return said

    async def on_anything(request: Request, error: Exception) -> Response:
        # The message of an unknown error may hold what was sent; its place never does.
        places = [f"{at.filename}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)]
        _log.error("failed", kind=type(error).__qualname__, at=places[-8:])
        return answer(request, SightlineError())

    app.add_exception_handler(SightlineError, on_sightline)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_anything)


def _field(error: dict[str, Any]) -> FieldError:
    """Which field is wrong; what it held is not repeated."""
    names = [str(one) for one in error["loc"][1:]]
    text = "This field is required." if error["type"] == "missing" else "This is not allowed here."
    return FieldError(field=".".join(names) or "body", detail=text)


def _of_framework(status: int) -> SightlineError:
    if status == 404:
        return NoSuchResource()
    if status == 405:
        return MethodNotAllowed()
    return InvalidRequest() if 400 <= status < 500 else SightlineError()
