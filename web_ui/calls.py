"""How the pages ask inference_service: connections, answers as wire models, refusals as errors."""

from collections.abc import AsyncIterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from diagnosis import errors
from diagnosis.contracts import Problem
from diagnosis.errors import (
    InputRefused,
    ServiceUnavailable,
    SightlineError,
    TemporarilyUnavailable,
)
from web_ui.caller import Caller
from web_ui.settings import Settings

#: A stream says something every 15 s at least; a longer silence means that it is dead.
_SILENCE_SECONDS = 40.0
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=20)

Model = TypeVar("Model", bound=BaseModel)


def _errors_by_code(base: type[SightlineError] = SightlineError) -> Iterator[type[SightlineError]]:
    yield base
    for child in base.__subclasses__():
        yield from _errors_by_code(child)


@contextmanager
def _as_unavailable() -> Iterator[None]:
    try:
        yield
    except httpx.TransportError as error:
        raise ServiceUnavailable(cause=type(error).__name__) from error


class RefusedElsewhere(InputRefused):
    """A refusal by another service whose class lives there; what it says is passed on."""

    def __init__(self, problem: Problem, after: str = "") -> None:
        super().__init__(problem.detail, remedy=problem.remedy)
        told = {"code": problem.code, "status": problem.status, "title": problem.title}
        seconds = {"retry_after": int(after)} if after.isdecimal() else {}
        vars(self).update(told | seconds)


def error_of(status: int, body: bytes, after: str = "") -> SightlineError:
    """The error that an answer of another service stands for.

    Args:
        status: HTTP status, 400 or above.
        body: ideally an RFC 9457 problem; anything else gives a general error.
        after: the answer's `Retry-After` in seconds, where it had one.
    """
    try:
        problem = Problem.model_validate_json(body)
    except ValidationError:
        if status >= 500:
            return ServiceUnavailable(cause=f"status {status} without a problem")
        return SightlineError(cause=f"status {status} without a problem")
    # Of several classes with one code, the one that names it; of others' own classes none.
    known = {
        kind.code: kind
        for kind in _errors_by_code()
        if "code" in vars(kind) and kind.__module__.startswith(f"{errors.__name__}.")
    }
    kind = known.get(problem.code)
    if kind is None or kind.status != problem.status:
        if status < 500:
            return RefusedElsewhere(problem, after)
        kind = TemporarilyUnavailable
    return kind(problem.detail, remedy=problem.remedy)


def _client(
    settings: Settings, transport: httpx.AsyncBaseTransport | None, answer_seconds: float
) -> httpx.AsyncClient:
    if transport is None and settings.api_socket is not None:
        transport = httpx.AsyncHTTPTransport(uds=str(settings.api_socket), limits=_LIMITS)
    return httpx.AsyncClient(
        base_url=settings.api_url or "http://inference_service",
        transport=transport,
        timeout=httpx.Timeout(answer_seconds, connect=settings.connect_seconds),
        limits=_LIMITS,
        # Proxies of the environment are none of an internal call's business.
        trust_env=False,
    )


class Calls:
    """The connections to inference_service, and how one asks through them.

    Args:
        settings: where the API is and how long to wait for it.
        transport: how to reach it; by default the settings' socket or address. An in-process
            transport is a peer that speaks to the same API without a network.

    Every method raises `ServiceUnavailable` when the API does not answer, and the API's own
    error where it refuses.
    """

    def __init__(
        self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._http = _client(settings, transport, settings.answer_seconds)
        # Streams stay open for minutes, and must not use up the connections of the others.
        self._streams = _client(settings, transport, _SILENCE_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._streams.aclose()

    async def model(
        self, model: type[Model], method: str, path: str, caller: Caller, **options: Any
    ) -> Model:
        """An answer as a wire model; `options` are those of httpx."""
        answer = await self.answer(method, path, caller, **options)
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            # The values are left out of the log: they are somebody's reading.
            fields = ", ".join(str(part["loc"]) for part in error.errors(include_input=False))
            raise SightlineError(cause=f"an answer breaks the contract at {fields}") from error

    async def document(self, path: str, caller: Caller) -> dict[str, Any]:
        """A JSON object that has no wire model here."""
        answer = await self.answer("GET", path, caller)
        try:
            document = answer.json()
        except ValueError as error:
            raise ServiceUnavailable(cause=f"{path} is not JSON") from error
        if not isinstance(document, dict):
            raise ServiceUnavailable(cause=f"{path} is not an object")
        return document

    async def answer(
        self,
        method: str,
        path: str,
        caller: Caller | None,
        *,
        marks: Mapping[str, str] | None = None,
        **options: Any,
    ) -> httpx.Response:
        """An answer that is no refusal; `marks` are more headers, `options` those of httpx."""
        headers = dict(marks or {}) | ({} if caller is None else caller.headers())
        with _as_unavailable():
            answer = await self._http.request(method, path, headers=headers, **options)
        if answer.status_code >= 400:
            raise error_of(answer.status_code, answer.content)
        return answer

    async def stream(
        self, path: str, caller: Caller, marks: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """An answer that comes in parts for minutes; whoever reads it closes it."""
        headers = caller.headers() | dict(marks or {})
        request = self._streams.build_request("GET", path, headers=headers)
        with _as_unavailable():
            answer = await self._streams.send(request, stream=True)
            if answer.status_code >= 400:
                body = await answer.aread()
                await answer.aclose()
                raise error_of(answer.status_code, body)
        return answer

    async def pass_on(
        self,
        method: str,
        path: str,
        caller: Caller,
        body: AsyncIterable[bytes],
        marks: Mapping[str, str],
        *,
        seconds: float,
    ) -> httpx.Response:
        """Hand a body on as it comes in, never whole in memory.

        Args:
            method: of the request.
            path: of the API.
            caller: who asks.
            body: its parts.
            marks: what it is: `content-type`, and `content-length` where it is known.
            seconds: how long the API may take to answer once it has the body.
        """
        headers = caller.headers() | dict(marks)
        with _as_unavailable():
            answer = await self._streams.request(
                method, path, headers=headers, content=body, timeout=seconds
            )
        if answer.status_code >= 400:
            after = answer.headers.get("retry-after", "")
            raise error_of(answer.status_code, answer.content, after)
        return answer
