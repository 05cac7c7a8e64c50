"""Metrics count what happens and logs say it, and neither ever names a patient."""

import asyncio
import json
import logging
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import structlog
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from diagnosis.contracts import Band, Verdict
from diagnosis.gate import look, statistics
from diagnosis.telemetry import (
    Message,
    Metrics,
    Receive,
    RequestTelemetry,
    Scope,
    Send,
    TrainingMetrics,
    configure_logging,
)
from diagnosis.telemetry.metrics import LABELS

PATIENT = "jane-doe-1970"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("inference_service")


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """The rendered metrics as Prometheus reads them: (name, labels) to value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((name, tuple(sorted(labels.items()))))


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """An application as FastAPI is one: it puts the matched route into the scope."""
    if scope["path"].startswith("/api/v1/predictions/"):
        scope["route"] = SimpleNamespace(path="/api/v1/predictions/{id}")
    elif scope["path"] == "/healthz":
        scope["route"] = SimpleNamespace(path="/healthz")
    elif scope["path"] == "/broken":
        scope["route"] = SimpleNamespace(path="/broken")
        raise RuntimeError(PATIENT)
    status = 200 if "route" in scope else 404
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def request(metrics: Metrics, path: str, method: str = "GET", request_id: str = "") -> Scope:
    """Send one request through the middleware and return its scope."""
    scope: Scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(b"x-request-id", request_id.encode())] if request_id else [],
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    asyncio.run(RequestTelemetry(answer, metrics=metrics)(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return scope


def test_a_request_is_counted_and_timed_under_its_routes_template(metrics: Metrics) -> None:
    request(metrics, f"/api/v1/predictions/{PATIENT}")
    request(metrics, "/api/v1/predictions/other")
    route = {"service": "inference_service", "route": "/api/v1/predictions/{id}"}
    assert value(metrics, "sightline_http_requests_total", **route, method="GET", status="200") == 2
    assert value(metrics, "sightline_http_request_seconds_count", **route) == 2
    assert PATIENT not in metrics.render().decode()


def test_addresses_and_methods_that_are_made_up_open_no_series(metrics: Metrics) -> None:
    for number in range(20):
        request(metrics, f"/{PATIENT}/{number}", method=f"MADE_UP_{number}")
    counted = [key for key in samples(metrics) if key[0] == "sightline_http_requests_total"]
    assert [dict(labels) for _, labels in counted] == [
        {
            "service": "inference_service",
            "route": "unmatched",
            "method": "OTHER",
            "status": "404",
        }
    ]


def test_a_request_that_breaks_counts_as_500_and_stays_broken(metrics: Metrics) -> None:
    with pytest.raises(RuntimeError):
        request(metrics, "/broken")
    labels = {"service": "inference_service", "route": "/broken", "method": "GET"}
    assert value(metrics, "sightline_http_requests_total", **labels, status="500") == 1


def test_the_request_id_is_handed_on_and_kept_short(metrics: Metrics) -> None:
    assert request(metrics, "/x", request_id="abc")["state"]["request_id"] == "abc"
    assert len(request(metrics, "/x", request_id="y" * 500)["state"]["request_id"]) == 64
    assert request(metrics, "/x", request_id="é")["state"]["request_id"].isprintable()
    assert request(metrics, "/x")["state"]["request_id"] == ""


def test_what_is_no_request_passes_untouched(metrics: Metrics) -> None:
    seen: list[Scope] = []

    async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: Any) -> Any:
        return {}

    asyncio.run(RequestTelemetry(lifespan, metrics=metrics)({"type": "lifespan"}, nothing, nothing))
    assert seen == [{"type": "lifespan"}]


def test_a_step_is_timed_into_the_histogram_and_the_reading(metrics: Metrics) -> None:
    timings: dict[str, float] = {}
    with metrics.step("malaria_cell", "decode", timings):
        pass
    labels = {"disease": "malaria_cell", "step": "decode"}
    assert value(metrics, "sightline_reading_step_seconds_count", **labels) == 1
    assert 0 <= timings["decode"] < 1000
    assert value(metrics, "sightline_reading_step_seconds_sum", **labels) == pytest.approx(
        timings["decode"] / 1000, abs=1e-6
    )


def test_a_step_that_fails_is_timed_too(metrics: Metrics) -> None:
    timings: dict[str, float] = {}
    with pytest.raises(ZeroDivisionError), metrics.step("malaria_cell", "infer", timings):
        1 / 0  # noqa: B018
    assert set(timings) == {"infer"}


def test_who_never_asks_the_store_does_not_say_that_it_is_down(metrics: Metrics) -> None:
    assert not [name for name, _ in samples(metrics) if name == "sightline_store_up"]
    metrics.store_is(up=True)
    assert value(metrics, "sightline_store_up", service="inference_service") == 1


def test_two_services_in_one_process_do_not_share_metrics(metrics: Metrics) -> None:
    other = Metrics("web_ui")
    request(other, "/healthz")
    assert not [key for key in samples(metrics) if key[0] == "sightline_http_requests_total"]


@pytest.mark.parametrize("kind", ["service", "training"])
def test_every_metric_has_the_prefix_a_sentence_and_no_label_for_a_person(kind: str) -> None:
    metrics = TrainingMetrics() if kind == "training" else Metrics("test")
    made = {name: one for name, one in vars(metrics).items() if isinstance(one, MetricWrapperBase)}
    assert len(made) >= 5
    for one in made.values():
        assert one._name.startswith("sightline_")
        assert one._documentation.endswith(".")
    allowed = {"service", "route", "method", "status", "disease", "outcome", "band", "code"}
    allowed |= {"step", "version", "class", "statistic", "reason", "opinion", "split", "gpu"}
    assert {name for one in made.values() for name in one._labelnames} <= allowed
    # Nothing is exported that is not one of these, but for the figures of the process.
    others = {one.name for one in metrics.registry.collect()} - {one._name for one in made.values()}
    assert all(name.startswith(("process_", "python_")) for name in others)


def test_what_a_label_may_say_is_of_metrics_that_exist() -> None:
    made = [one for one in vars(Metrics("test")).values() if isinstance(one, MetricWrapperBase)]
    known = {(one._name, label) for one in made for label in one._labelnames}
    assert set(LABELS) <= known
    assert set(LABELS["sightline_predictions", "band"]) == {*get_args(Band), "none"}
    assert set(LABELS["sightline_reviews", "opinion"]) == {*get_args(Verdict), "first_opinion"}
    seen = statistics(look(np.zeros((32, 32), np.uint8)).features)
    assert set(LABELS["sightline_input_statistic", "statistic"]) == set(seen)


def test_a_log_line_is_one_json_object_and_names_no_address(
    metrics: Metrics, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging()
    request(metrics, f"/api/v1/predictions/{PATIENT}", request_id="abc")
    request(metrics, "/healthz")
    logging.getLogger("elsewhere").warning("plain %s", "words")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["request", "plain words"]
    first = lines[0]
    assert first["route"] == "/api/v1/predictions/{id}"
    assert (first["status"], first["request_id"], first["level"]) == (200, "abc", "info")
    assert PATIENT not in json.dumps(lines)


def test_what_was_logged_first_while_it_was_configured_can_be_captured_later() -> None:
    """As by a command that one test runs, of a module that another test listens to."""
    log = structlog.get_logger("first here")
    configure_logging()
    log.info("kept")
    structlog.reset_defaults()
    with capture_logs() as logs:
        log.info("said")
    assert [one["event"] for one in logs] == ["said"]


def test_libraries_that_log_addresses_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("DEBUG")
    logging.getLogger("uvicorn.access").warning(PATIENT)
    logging.getLogger("httpx").info(PATIENT)
    assert PATIENT not in capsys.readouterr().err
