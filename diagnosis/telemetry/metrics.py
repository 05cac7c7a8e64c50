"""The names, labels and buckets of every metric of a service, in one place.

`LABELS` says what each label may say. What it does not hold is bounded elsewhere: `route` by the
routes of the application, `disease` and `class` by the catalogue, `version` of a model by the one
that is live, `code` by the errors there are, `status` by HTTP.
"""

import time
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from diagnosis.telemetry.traces import past

# Another series for every counter and histogram, of when it was first counted, which nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

#: Seconds. A reading is expected at 0.02 to 0.5 s, and refused after 30 s.
DURATION_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

#: How a process that reads images ended: after its share of images, by a fault of its own, past a
#: limit of time, killed from outside, or because it answered nonsense.
DecoderEnd = Literal["recycled", "crashed", "hung", "killed", "nonsense"]

#: What became of a live version that was looked at: it answers, it answers in the place of another,
#: or it failed a check.
ModelLoad = Literal["loaded", "swapped", "refused"]
Step = Literal["queue", "decode", "gate", "preprocess", "infer", "explain", "store"]
BatchEvent = Literal["accepted", "done", "cancelled", "deleted"]
#: What a clinician said of a reading; the last without having seen the answer.
Opinion = Literal["agree", "disagree", "correct", "first_opinion"]

#: The class of a model that names more of them than the catalogue does.
OTHER_CLASS = "other"

#: Name of the metric, name of the label: all that it may say.
LABELS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("sightline_readings", "outcome"): ("judged", "not_judged"),
    ("sightline_readings", "band"): ("likely_negative", "uncertain", "likely_positive", "none"),
    ("sightline_predictions", "band"): ("likely_negative", "uncertain", "likely_positive", "none"),
    ("sightline_reading_step_seconds", "step"): get_args(Step),
    ("sightline_decoder_ends", "outcome"): get_args(DecoderEnd),
    ("sightline_input_statistic", "statistic"): (
        "brightness", "contrast", "sharpness", "dark", "bright", "colour",
    ),
    ("sightline_gate_refusals", "reason"): (
        "gate-blank", "gate-noise", "gate-inverted", "gate-upside-down", "gate-turned",
        "gate-coloured", "gate-other-kind", "gate-unlike",
    ),
    ("sightline_batch_items", "outcome"): ("done", "failed", "kept by another"),
    ("sightline_batches", "outcome"): get_args(BatchEvent),
    ("sightline_posted_files", "outcome"): ("done", "failed"),
    ("sightline_model_loads", "outcome"): get_args(ModelLoad),
    ("sightline_reviews", "opinion"): get_args(Opinion),
    ("sightline_sign_ins", "outcome"): ("allowed", "refused"),
}  # fmt: skip

#: Tenths of a range from 0 to 1.
TENTHS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 11))

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
        # Memory, processor time, open files and start of this process; the Python; its collector.
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.build = Gauge(
            "sightline_build_info",
            "Always 1, by the version that runs.",
            ("service", "version"),
            registry=self.registry,
        )
        self.build.labels(service, version("sightline")).set(1)
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
        self.predictions = Counter(
            "sightline_predictions",
            "Judged readings that were kept, by most probable class and band.",
            ("disease", "class", "band"),
            registry=self.registry,
        )
        self.confidence = Histogram(
            "sightline_prediction_confidence",
            "Calibrated probability of the most probable class, 0 to 1.",
            ("disease",),
            buckets=TENTHS,
            registry=self.registry,
        )
        self.input_statistic = Histogram(
            "sightline_input_statistic",
            "What images look like, each figure 0 to 1; of artifacts with a gate.",
            ("disease", "statistic"),
            buckets=TENTHS,
            registry=self.registry,
        )
        self.gate_refusals = Counter(
            "sightline_gate_refusals",
            "Images that the gate turned away, by reason.",
            ("disease", "reason"),
            registry=self.registry,
        )
        self.reviews = Counter(
            "sightline_reviews",
            "What clinicians said of readings.",
            ("disease", "opinion"),
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
        self.batches = Counter(
            "sightline_batches",
            "Batches that were accepted, done, cancelled or deleted.",
            ("outcome",),
            registry=self.registry,
        )
        self.posted_files = Counter(
            "sightline_posted_files",
            "Files that `trainer infer` read, by whether it posted a reading (done) or not.",
            ("disease", "outcome"),
            registry=self.registry,
        )
        self.batch_oldest_waiting = Gauge(
            "sightline_batch_oldest_waiting_seconds",
            "For how long the oldest file of a batch that is not finished has waited, 0 for none.",
            registry=self.registry,
        )
        self.model_loads = Counter(
            "sightline_model_loads",
            "Live versions that were loaded, by how it went.",
            ("disease", "outcome"),
            registry=self.registry,
        )
        self.model_load_seconds = Gauge(
            "sightline_model_load_seconds",
            "Seconds that verifying, compiling and proving the live version took.",
            ("disease",),
            registry=self.registry,
        )
        self.model_bytes = Gauge(
            "sightline_model_bytes",
            "Size of the weights that answer, as the live version's file holds them.",
            ("disease",),
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
            "1 while Redis answers, 0 while it does not; of services that ask it.",
            ("service",),
            registry=self.registry,
        )

        self.drift = Gauge(
            "sightline_drift",
            "How far the last window of readings lay from what the model was approved for.",
            ("disease", "statistic"),
            registry=self.registry,
        )
        self.drift_limit = Gauge(
            "sightline_drift_limit",
            "What windows in a row have to be past for the model to be stopped.",
            ("disease", "statistic"),
            registry=self.registry,
        )
        self.drift_images = Gauge(
            "sightline_drift_images",
            "Readings that wait until a window of them is full.",
            ("disease",),
            registry=self.registry,
        )
        self.under_review = Gauge(
            "sightline_model_under_review",
            "1 where a model that drifted was stopped and that is not lifted, else 0.",
            ("disease",),
            registry=self.registry,
        )
        self.sign_ins = Counter(
            "sightline_sign_ins",
            "Tries to sign in that were judged, by outcome (allowed, refused).",
            ("outcome",),
            registry=self.registry,
        )

    @contextmanager
    def step(self, disease: str, step: Step, timings_ms: dict[str, float]) -> Iterator[None]:
        """Time one step of a reading into the histogram and into `timings_ms`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.took(disease, step, timings_ms, time.perf_counter() - began)

    def took(
        self, disease: str, step: Step, timings_ms: MutableMapping[str, float], seconds: float
    ) -> None:
        """Count a step of a reading that was timed elsewhere as `step` does."""
        timings_ms[step] = round(seconds * 1000, 3)
        self.stepped(disease, step, seconds)

    def stepped(
        self,
        disease: str,
        step: Step,
        seconds: float,
        handed: Mapping[str, str] | None = None,
    ) -> None:
        """Count a step that ended just now, in the histogram and, where one is made, in the
        trace: of what `handed` names, by default of what it is done inside of."""
        self.step_seconds.labels(disease, step).observe(seconds)
        past(f"reading.{step}", seconds, handed, disease=disease)

    def store_is(self, *, up: bool) -> None:
        """Note whether Redis answers."""
        self.store_up.labels(self.service).set(up)

    def saw(self, disease: str, statistics: Mapping[str, float]) -> None:
        """Count what an image looks like.

        Args:
            disease: what it is read for.
            statistics: by name, each 0 to 1.
        """
        for name, value in statistics.items():
            self.input_statistic.labels(disease, name).observe(value)

    def forget_drift(self, disease: str) -> None:
        """Nothing is watched for drift in a disease at the moment."""
        for gauge in (self.drift, self.drift_limit, self.drift_images):
            gauge.remove_by_labels({"disease": disease})

    def render(self) -> bytes:
        """The exposition text of `/metrics`."""
        return generate_latest(self.registry)
