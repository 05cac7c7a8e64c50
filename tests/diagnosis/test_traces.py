"""Traces: one has the id of its request, goes across processes, and is off unless asked for."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from diagnosis.telemetry import (
    Message,
    Metrics,
    Receive,
    RequestTelemetry,
    Scope,
    Send,
    TracesMissing,
    carried,
    handed_on,
    past,
    request_id,
    span,
    taken_up,
    traced,
)
from tests.fixtures.otlp import Span, Traces, receiving_traces

REQUEST = "0123456789abcdef" * 2
PATIENT = "jane-doe-1970"
PROJECT = Path(__file__).parents[2]


def answered(path: str = "/x", **headers: str) -> dict[str, str]:
    """Send a request through the middleware to a service that does a few things; what it would
    hand on."""
    handed: dict[str, str] = {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with span("redis"):
            await asyncio.sleep(0)
        past("reading.infer", 0.25, disease="malaria_cell")
        handed.update(handed_on())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    async def nothing(*_: object) -> Message:
        return {"type": "http.request"}

    async def sent(_: Message) -> None:
        return

    scope: Scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [
            (key.replace("_", "-").encode(), text.encode()) for key, text in headers.items()
        ],
    }
    asyncio.run(RequestTelemetry(app, metrics=Metrics("web_ui"))(scope, nothing, sent))
    return handed


def only(traces: Traces, name: str) -> Span:
    (found,) = [one for one in traces.spans if one.name == name]
    return found


def test_a_request_is_a_trace_of_its_own_id_with_what_was_done_for_it() -> None:
    with receiving_traces() as traces:
        with traced(traces.url, "web_ui"):
            answered(f"/{PATIENT}", x_request_id=REQUEST)
        request, redis, step = (only(traces, one) for one in ("request", "redis", "reading.infer"))
        assert {one.trace for one in traces.spans} == {REQUEST}
        assert {one.service for one in traces.spans} == {"web_ui"}
        assert redis.parent == step.parent == request.id
        assert request.attributes == {"route": "unmatched", "method": "GET", "status": 200}
        assert step.attributes == {"disease": "malaria_cell"}
        assert step.seconds == pytest.approx(0.25)
        assert PATIENT not in str(traces.spans)


def test_a_trace_goes_on_in_another_process() -> None:
    with receiving_traces() as traces:
        with traced(traces.url, "web_ui"):
            handed = answered(x_request_id=REQUEST)
        with (
            traced(traces.url, "worker"),
            taken_up("batch.item", handed, disease="malaria_cell"),
        ):
            assert request_id() == REQUEST
        item, request = only(traces, "batch.item"), only(traces, "request")
        assert (item.trace, item.parent, item.service) == (REQUEST, request.id, "worker")

        # As web_ui asks inference_service: by headers.
        told = {"traceparent": handed["traceparent"]}
        with traced(traces.url, "inference_service"):
            answered(x_request_id=REQUEST, **told)
        (second,) = [
            one
            for one in traces.spans
            if one.name == "request" and one.service == "inference_service"
        ]
        assert (second.trace, second.parent) == (REQUEST, request.id)


@pytest.mark.parametrize("given", ["", "x", PATIENT, "0" * 32, "A" * 32, REQUEST + "0"])
def test_what_somebody_made_up_names_no_trace_and_goes_nowhere(given: str) -> None:
    other = "f" * 32
    with receiving_traces() as traces:
        with traced(traces.url, "web_ui"):
            handed = answered(x_request_id=given, traceparent=f"00-{other}-{'1' * 16}-01")
        assert only(traces, "request").trace not in {other, given}
        assert only(traces, "request").parent == ""
        assert set(handed) == {"traceparent"}
        assert other not in handed["traceparent"]


def test_a_parent_of_another_trace_is_not_believed() -> None:
    with receiving_traces() as traces:
        with traced(traces.url, "web_ui"):
            answered(x_request_id=REQUEST, traceparent=f"00-{'f' * 32}-{'1' * 16}-01")
        assert only(traces, "request").trace == REQUEST
        assert only(traces, "request").parent != "1" * 16


def test_what_is_done_for_nobody_is_no_trace() -> None:
    with receiving_traces() as traces:
        with traced(traces.url, "web_ui"):
            answered("/metrics")
            with span("redis"):
                assert carried() == {}
            past("reading.store", 1.0)
        assert traces.spans == []


def test_an_error_is_told_by_its_kind_alone() -> None:
    with receiving_traces() as traces:
        with (
            traced(traces.url, "worker"),
            pytest.raises(ValueError, match=PATIENT),
            taken_up("batch.item", {"request": REQUEST}),
        ):
            raise ValueError(PATIENT)
        assert only(traces, "batch.item").attributes == {"error.type": "ValueError"}


def test_nothing_is_lost_where_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    with traced("http://127.0.0.1:9/v1/traces", "web_ui"):
        assert answered(x_request_id=REQUEST)["request"] == REQUEST
    assert answered(x_request_id=REQUEST) == {"request": REQUEST}


def test_without_the_extra_every_service_runs_and_makes_no_trace() -> None:
    """As where `make run` has installed the services alone. FastAPI and redis-py look for the SDK
    by themselves where it is installed; what sends is imported by nobody but `traced`."""
    code = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('opentelemetry.sdk'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "        assert not name.startswith('opentelemetry.exporter'), name\n"
        "sys.meta_path.insert(0, Without())\n"
        "import inference_service.app, inference_service.worker, web_ui.app, gateway.identity.app\n"
        "from diagnosis.telemetry import carried, past, span, taken_up, traced\n"
        "with traced(None, 'web_ui'), taken_up('batch.item', {}), span('redis'):\n"
        "    past('reading.infer', 0.1)\n"
        "    assert carried() == {}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_an_address_without_the_packages_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(TracesMissing, match=r"requirements/traces\.lock"),
        traced("http://127.0.0.1:9/v1/traces", "web_ui"),
    ):
        pass
