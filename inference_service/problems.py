"""Every refusal and every failure as RFC 9457 `application/problem+json`.

Nothing of a request is ever sent back or logged: no value, no file name, no header but the
request's id.
"""

import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from diagnosis.contracts import FieldError, Problem
from diagnosis.errors import (
    Forbidden,
    ForgedRequest,
    InputRefused,
    InvalidRequest,
    MethodNotAllowed,
    MissingImage,
    NoSuchResource,
    NotSignedIn,
    SightlineError,
)
from diagnosis.telemetry import AsgiApp, Message, Metrics, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger("inference_service")


class FieldRefused(InvalidRequest):
    """An `InvalidRequest` that names the fields.

    Args:
        fields: name of the field and a sentence on what it may hold, never what it held.
    """

    def __init__(self, **fields: str) -> None:
        self.errors = tuple(FieldError(field=name, detail=text) for name, text in fields.items())
        super().__init__(" ".join(one.detail for one in self.errors))


class ImageFieldMissing(FieldRefused, MissingImage):
    """A `MissingImage` that names the field."""


class BodyRefused(InvalidRequest):
    """The body is not a form that can be read."""

    default_detail = "The body is not a complete multipart/form-data form."
    default_remedy = "Send the image as the multipart field `image`."


def problem_response(
    error: SightlineError, request_id: str | None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request that was refused or failed."""
    problem = Problem.of(
        error,
        request_id=request_id or None,
        errors=error.errors if isinstance(error, FieldRefused) else (),
    )
    answer = Response(problem.model_dump_json(), error.status, headers, MEDIA_TYPE)
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    return answer


def refusal(
    scope: Scope,
    error: SightlineError,
    metrics: Metrics,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to a refused request, counted and, where that is of use, logged."""
    request_id = scope.get("state", {}).get("request_id")
    metrics.refusals.labels(error.code).inc()
    if not isinstance(error, InputRefused) or error.cause is not None:
        log.warning("refused", code=error.code, cause=error.cause, request_id=request_id)
    answer = problem_response(error, request_id, headers)
    if isinstance(error, NotSignedIn):
        answer.headers["WWW-Authenticate"] = 'Bearer realm="sightline"'
    return answer


def install_handlers(app: FastAPI, metrics: Metrics, routes: Sequence[BaseRoute]) -> None:
    """Turn what endpoints raise, and what the framework raises for them, into problems.

    Args:
        app: the application.
        metrics: refusals are counted by code.
        routes: all routes. The framework's 405 names the methods of the first route of an
            address only; with these, `Allow` names all of them.
    """

    def answer(
        request: Request, error: SightlineError, headers: Mapping[str, str] | None = None
    ) -> Response:
        return refusal(request.scope, error, metrics, headers)

    async def on_sightline(request: Request, error: Exception) -> Response:
        assert isinstance(error, SightlineError)
        return answer(request, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(request, FieldRefused(**_fields(error.errors())))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_methods(routes, request.url.path))
        return answer(request, _of_framework(error.status_code), headers)

    async def on_disconnect(_request: Request, _error: Exception) -> Response:
        # Nobody is there to read it; the log counts it as a refused request.
        return Response(status_code=400)

    app.add_exception_handler(SightlineError, on_sightline)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_disconnect)


class Guard:
    """ASGI middleware: the last resort for what nobody expected, and the headers of every answer.

    Answers are about patients, so nothing on the way may keep them, unless the endpoint says for
    itself what a browser may do; and a browser takes an image for the type it was sent as.
    """

    HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

    def __init__(self, app: AsgiApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = list(message.get("headers", ()))
                named = {name.lower() for name, _ in own}
                missing = [one for one in self.HEADERS if one[0] not in named]
                message["headers"] = [*own, *missing]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            request_id = scope.get("state", {}).get("request_id")
            failure = SightlineError()
            # The message of an unknown error may hold what was sent; its place never does.
            log.error(  # noqa: TRY400 - a traceback would print the message
                "failed",
                kind=type(error).__qualname__,
                at=[
                    f"{f.name} {f.filename}:{f.lineno}"
                    for f in traceback.extract_tb(error.__traceback__)[-8:]
                ],
                request_id=request_id,
            )
            self.metrics.refusals.labels(failure.code).inc()
            if begun:
                raise
            await problem_response(failure, request_id)(scope, receive, watch)


def documented(*errors: type[SightlineError]) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may raise these.

    Every route may also refuse who is asking, and fail with 500.
    """
    by_status: dict[int, list[type[SightlineError]]] = {}
    everything: dict[type[SightlineError], None] = dict.fromkeys(
        (*errors, NotSignedIn, Forbidden, ForgedRequest, SightlineError)
    )
    for error in everything:
        by_status.setdefault(error.status, []).append(error)
    return {
        status: {
            "model": Problem,
            "description": "; ".join(f"`{one.code}`: {one.title}" for one in group),
        }
        for status, group in sorted(by_status.items())
    }


def _fields(errors: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Which declared parameter is wrong, and how; pydantic's sentences name limits, not values."""
    found: dict[str, str] = {}
    for error in errors:
        name = str(error["loc"][1]) if len(error["loc"]) > 1 else "body"
        found[name] = _SENTENCES.get(error["type"], "This value is not allowed here.")
    return found


_SENTENCES = {
    "missing": "This field is required.",
    "uuid_parsing": "This is not the id of a reading.",
    "int_parsing": "This has to be a whole number.",
    "greater_than_equal": "This number is too small.",
    "less_than_equal": "This number is too large.",
    "string_pattern_mismatch": "This text does not have the form that the description names.",
    "string_too_long": "This text is too long.",
}


def _methods(routes: Sequence[BaseRoute], path: str) -> list[str]:
    found: set[str] = set()
    for route in routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            found |= route.methods or set()
    return sorted(found)


def _of_framework(status: int) -> SightlineError:
    if status == 404:
        return NoSuchResource()
    if status == 405:
        return MethodNotAllowed()
    return InvalidRequest() if 400 <= status < 500 else SightlineError()
