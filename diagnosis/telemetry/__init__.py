"""What is measured of a service and of a training run, and how a service logs.

No label ever carries an id, a file name or anything else about a patient; every label's values
come from a closed list, so the number of series is bounded (`metrics`).
"""

from diagnosis.telemetry.context import handed_on, request_id, taken_up
from diagnosis.telemetry.logs import configure_logging
from diagnosis.telemetry.metrics import (
    METRICS_CONTENT_TYPE,
    OTHER_CLASS,
    DecoderEnd,
    Metrics,
    ModelLoad,
)
from diagnosis.telemetry.requests import (
    AsgiApp,
    Message,
    Receive,
    RequestTelemetry,
    Scope,
    Send,
)
from diagnosis.telemetry.traces import TracesMissing, carried, past, span, traced
from diagnosis.telemetry.training import TrainingMetrics

__all__ = [
    "METRICS_CONTENT_TYPE",
    "OTHER_CLASS",
    "AsgiApp",
    "DecoderEnd",
    "Message",
    "Metrics",
    "ModelLoad",
    "Receive",
    "RequestTelemetry",
    "Scope",
    "Send",
    "TracesMissing",
    "TrainingMetrics",
    "carried",
    "configure_logging",
    "handed_on",
    "past",
    "request_id",
    "span",
    "taken_up",
    "traced",
]
