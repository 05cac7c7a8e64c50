"""The names, labels and buckets of every metric, in one place, and how a service logs.

No label ever carries an id, a file name or anything else about a patient; every label's values
come from a closed list, so the number of series is bounded.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

#: Seconds. A reading is expected at 0.02 to 0.5 s, and refused after 30 s.
DURATION_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

#: How a process that reads images ended: after its share of images, by a fault of its own, past a
#: limit of time, killed from outside, or because it answered nonsense.
DecoderEnd = Literal["recycled", "crashed", "hung", "killed", "nonsense"]

METRICS_CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Every metric of one service process, in a registry of its own.

    Args:
        service: `inference_service`, `inference_worker`, `web_ui` or `gateway`; the label
            `service` of them all.
    """

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "sightline_http_requests",
            "Requests answered, by route template, method and status.",
            ("service", "route", "method", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "sightline_http_request_seconds",
            "Seconds from a request's first byte to its answer's last.",
            ("service", "route"),
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self.readings = Counter(
            "sightline_readings",
            "Readings made, by disease, outcome and band.",
            ("disease", "outcome", "band"),
            registry=self.registry,
        )
        self.refusals = Counter(
            "sightline_refusals",
            "Requests refused, by the code of the error.",
            ("code",),
            registry=self.registry,
        )
        self.step_seconds = Histogram(
            "sightline_reading_step_seconds",
            "Seconds that each step of a reading took.",
            ("disease", "step"),
            buckets=DURATION_BUCKETS,
            registry=self.registry,
        )
        self.decoder_ends = Counter(
            "sightline_decoder_ends",
            "Processes that read images and ended, by how.",
            ("outcome",),
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "sightline_readings_waiting",
            "Readings accepted and not yet begun.",
            registry=self.registry,
        )
        self.batch_items = Counter(
            "sightline_batch_items",
            "Files of batches that ended, by how: done, failed, or kept by another worker.",
            ("outcome",),
            registry=self.registry,
        )
        self.batch_items_taken_over = Counter(
            "sightline_batch_items_taken_over",
            "Files of batches taken over from workers that did not renew their lease.",
            registry=self.registry,
        )
        self.batch_items_waiting = Gauge(
            "sightline_batch_items_waiting",
            "Files of batches accepted and not finished, of all units.",
            registry=self.registry,
        )
        self.live_models = Gauge(
            "sightline_model_live",
            "1 for each disease whose live artifact is loaded, 0 where it was refused.",
            ("disease", "version"),
            registry=self.registry,
        )
        self.store_up = Gauge(
            "sightline_store_up",
            "1 while Redis answers, 0 while it does not.",
            registry=self.registry,
        )

        self.sign_ins = Counter(
            "sightline_sign_ins",
            "Tries to sign in that were judged, by outcome (allowed, refused).",
            ("outcome",),
            registry=self.registry,
        )

    @contextmanager
    def step(self, disease: str, step: str, timings_ms: dict[str, float]) -> Iterator[None]:
        """Time one step of a reading into the histogram and into `timings_ms`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.took(disease, step, timings_ms, time.perf_counter() - began)

    def took(
        self, disease: str, step: str, timings_ms: MutableMapping[str, float], seconds: float
    ) -> None:
        """Count a step of a reading that was timed elsewhere as `step` does."""
        timings_ms[step] = round(seconds * 1000, 3)
        self.step_seconds.labels(disease, step).observe(seconds)

    def render(self) -> bytes:
        """The exposition text of `/metrics`."""
        return generate_latest(self.registry)


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
            if route not in _QUIET_ROUTES:
                self.log.info(
                    "request",
                    route=route,
                    method=method,
                    status=status,
                    milliseconds=round(seconds * 1000, 1),
                    request_id=request_id,
                )


_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
# The last is asked before every request that Nginx passes on, which is logged where it goes.
_QUIET_ROUTES = {"/healthz", "/readyz", "/metrics", "/internal/check"}


def configure_logging(level: str = "INFO") -> None:
    """Log one JSON object a line to standard error, the standard library's records included."""
    shared = (
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.dict_tracebacks,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # The access log of uvicorn holds addresses, and httpx logs each request's URL.
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("httpx").setLevel(logging.WARNING)
