"""Traces: where the time of one request went, across services, the queue and Redis.

Off unless a service is told where to send them; then nothing that sends is imported, a span costs
a look at one variable, and nothing leaves. A trace has the id of its request, so a line of
a log leads to its trace. Attributes are routes, diseases, steps and outcomes: nothing of a patient.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: What names a span across services, as W3C's Trace Context writes it: trace, span.
PARENT = "traceparent"
#: What names the request, as Nginx does; a trace has the same id.
REQUEST = "request"
_ID = re.compile("[0-9a-f]{32}")
_PARENT = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
#: The parent of a first span: no span has this id, and a trace's id stands beside it.
_ROOT = 1

Attribute = str | int | float | bool


class TracesMissing(Exception):
    """Traces were asked for, and what makes them is not installed. The text says what to do."""


class _Off:
    """No traces."""

    tracer: Any = None


_state = _Off()


def is_request_id(given: str) -> bool:
    """Whether an id is one that Nginx can have made."""
    return _ID.fullmatch(given) is not None and int(given, 16) != 0


@contextmanager
def traced(address: str | None, service: str) -> Iterator[None]:
    """Send traces while the block runs; at its end what is left is sent.

    Args:
        address: where an OTLP receiver takes traces over HTTP, such as
            `http://127.0.0.1:4318/v1/traces`; None: nothing is traced.
        service: the name of this process.

    Raises:
        TracesMissing: OpenTelemetry is not installed.
    """
    if address is None:
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracesMissing(
            "Traces need OpenTelemetry: install requirements/traces.lock, or send none."
        ) from error
    provider = TracerProvider(resource=Resource({"service.name": service}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    _state.tracer = provider.get_tracer("sightline")
    try:
        yield
    finally:
        _state.tracer = None
        provider.shutdown()


@contextmanager
def span(
    name: str, parent: Mapping[str, str] | None = None, **attributes: Attribute
) -> Iterator[Callable[..., None]]:
    """A span of what is done inside; yields what sets further attributes.

    Args:
        name: what is done, of a closed list.
        parent: what names the request and the span that it belongs to, where they came from
            another process; by default it is part of the span that it is inside of.
        attributes: of closed lists.
    """
    tracer = _tracer_for(parent)
    if tracer is None:
        yield _nothing
        return
    with tracer.start_as_current_span(
        name,
        context=None if parent is None else _context(parent),
        attributes=attributes,
        # A message could quote what a file holds.
        record_exception=False,
        set_status_on_exception=False,
    ) as one:

        def note(**more: Attribute) -> None:
            one.set_attributes(more)

        try:
            yield note
        except BaseException as error:
            one.set_attribute("error.type", type(error).__qualname__)
            raise


def past(
    name: str, seconds: float, parent: Mapping[str, str] | None = None, **attributes: Attribute
) -> None:
    """A span of something that ended just now and took so long; for `parent` see `span`."""
    tracer = _tracer_for(parent)
    if tracer is not None:
        ended = time.time_ns()
        tracer.start_span(
            name,
            context=None if parent is None else _context(parent),
            attributes=attributes,
            start_time=ended - int(seconds * 1e9),
        ).end(end_time=ended)


def carried() -> dict[str, str]:
    """What to hand on to another process, so that its spans belong to this one; empty where
    nothing is traced."""
    if _state.tracer is None:
        return {}
    from opentelemetry.trace import get_current_span

    here = get_current_span().get_span_context()
    return {PARENT: f"00-{here.trace_id:032x}-{here.span_id:016x}-01"} if here.is_valid else {}


def _tracer_for(parent: Mapping[str, str] | None) -> Any:
    """What makes a span that belongs somewhere; None where nothing is traced, or where it is done
    for nobody, such as a look whether Redis lives."""
    if _state.tracer is None or parent is not None:
        return _state.tracer
    from opentelemetry.trace import get_current_span

    return _state.tracer if get_current_span().get_span_context().is_valid else None


def _context(parent: Mapping[str, str]) -> Any:
    """The place in a trace that was handed on; that of the request's own trace where none was.

    One of another trace is not believed: anybody may send the header.
    """
    from opentelemetry import context
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    own, found = parent.get(REQUEST, ""), _PARENT.fullmatch(parent.get(PARENT, ""))
    if not is_request_id(own):
        return context.Context()
    span_id = int(found[2], 16) if found and found[1] == own else _ROOT
    place = SpanContext(
        int(own, 16), span_id or _ROOT, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return set_span_in_context(NonRecordingSpan(place), context.Context())


def _nothing(**_: Attribute) -> None:
    return
