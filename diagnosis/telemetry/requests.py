"""What a service notes of each request: a count, a duration, a line in the log."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import nullcontext
from typing import Any

import structlog

from diagnosis.telemetry.context import request
from diagnosis.telemetry.metrics import Metrics
from diagnosis.telemetry.traces import PARENT, REQUEST, span

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


class RequestTelemetry:
    """ASGI middleware: counts, times and logs each request under its route's template.

    The address itself is never logged or used as a label: it may carry an id.
    """

    def __init__(self, app: AsgiApp, *, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self.log = structlog.get_logger(metrics.service)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope.get("headers", ()))
        request_id = headers.get(b"x-request-id", b"").decode("ascii", "replace")[:64]
        scope.setdefault("state", {})["request_id"] = request_id
        parent = {
            REQUEST: request_id,
            PARENT: headers.get(b"traceparent", b"").decode("ascii", "replace"),
        }
        # Nobody asks where the time of a look at the metrics went.
        made = nullcontext(_unnoted) if scope["path"] in _WATCHING else span("request", parent)
        with request(request_id), made as note:
            await self._answer(scope, receive, send, note)

    async def _answer(
        self, scope: Scope, receive: Receive, send: Send, note: Callable[..., None]
    ) -> None:
        status = 500
        began = time.perf_counter()

        streams_after: float | None = None

        async def watch(message: Message) -> None:
            nonlocal status, streams_after
            if message["type"] == "http.response.start":
                status = message["status"]
                if (b"content-type", b"text/event-stream; charset=utf-8") in message["headers"]:
                    # It is held open for minutes: what counts is when it began.
                    streams_after = time.perf_counter() - began
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            seconds = streams_after or time.perf_counter() - began
            route = getattr(scope.get("route"), "path", "unmatched")
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            service = self.metrics.service
            self.metrics.requests.labels(service, route, method, str(status)).inc()
            self.metrics.request_seconds.labels(service, route).observe(seconds)
            note(route=route, method=method, status=status)
            if route not in _QUIET_ROUTES:
                self.log.info(
                    "request",
                    route=route,
                    method=method,
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                )


def _unnoted(**_: object) -> None:
    return


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# The last two are asked before every request that Nginx passes on, which is logged where it goes.
_WATCHING = {"/healthz", "/readyz", "/metrics"}
_QUIET_ROUTES = _WATCHING | {"/internal/check", "/internal/check/ops"}
