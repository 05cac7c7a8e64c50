"""One request through the whole of Sightline: one id in every log, in the audit trail and in a
trace from the page to Redis, and across the queue of batches."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from diagnosis.identity import Role
from tests.fixtures.otlp import Traces, receiving_traces
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

#: Process to the setting that tells it where traces go.
TRACED = {
    "identity": "SIGHTLINE_GATEWAY_IDENTITY_TRACES_URL",
    "inference": "SIGHTLINE_INFERENCE_TRACES_URL",
    "worker-1": "SIGHTLINE_INFERENCE_TRACES_URL",
    "web": "SIGHTLINE_WEB_TRACES_URL",
}
READ = f"/api/v1/diseases/{DISEASE}/predictions"
STEPS = {f"reading.{one}" for one in ("queue", "decode", "gate", "preprocess", "infer", "store")}


@contextmanager
def traces_of(stack: Stack) -> Iterator[Traces]:
    """The stack's services started anew, with somewhere to send traces; then as they were."""
    with receiving_traces() as traces:
        for name, setting in TRACED.items():
            stack.kill_one(name)
            stack.start_one(name, **{setting: traces.url})
        stack.await_ready()
        try:
            yield traces
        finally:
            for name in TRACED:
                stack.kill_one(name)
                stack.start_one(name)
            stack.await_ready()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 150
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def lines_of(stack: Stack, process: str, request_id: str) -> list[dict[str, object]]:
    """What a process logged for a request."""
    text = (stack.places.run_dir / f"{process}.log").read_text()
    found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [one for one in found if one.get("request_id") == request_id]


def audited(stack: Stack, request_id: str) -> list[dict[str, object]]:
    """The events of the audit trail that a request made."""
    records = [
        json.loads(line)
        for path in sorted(stack.places.audit.glob("audit-*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    return [one["event"] for one in records if (one["event"] or {}).get("request_id") == request_id]


def begun(stack: Stack, film: bytes) -> tuple[str, str]:
    """A batch of one file; the batch and the id of the request that handed the file in."""
    with stack.client() as client:
        batch = client.post("/api/v1/batches", json={"disease": DISEASE}).json()["id"]
        put = client.put(f"/api/v1/batches/{batch}/files/0", files={"file": ("a.png", film)})
        assert put.status_code == 201
        client.post(f"/api/v1/batches/{batch}/close")

        def done() -> bool:
            return bool(client.get(f"/api/v1/batches/{batch}").json()["state"] == "done")

        until(done)
    return str(batch), put.headers["x-request-id"]


def test_one_id_names_a_request_in_every_log_and_in_the_audit_trail(
    stack: Stack, film: bytes
) -> None:
    with stack.client() as client:
        answer = client.post(READ, files={"image": ("film.png", film)})
    request_id = answer.headers["x-request-id"]
    # A line is written once its answer was sent.
    until(lambda: lines_of(stack, "inference", request_id))
    (line,) = lines_of(stack, "inference", request_id)
    assert (line["event"], line["status"]) == ("request", 201)
    until(lambda: audited(stack, request_id))
    (event,) = audited(stack, request_id)
    assert (event["action"], event["object"]) == ("upload", answer.json()["id"])

    # A page asks the API on: both log the same id.
    cookie = {"Cookie": f"sightline_session={stack.session(Role.CLINICIAN)}"}
    with stack.stranger() as browser:
        page = browser.get(f"/readings/{answer.json()['id']}", headers=cookie)
    assert page.status_code == 200, page.text[:500]
    of_page = page.headers["x-request-id"]
    until(lambda: lines_of(stack, "web", of_page))
    until(lambda: lines_of(stack, "inference", of_page))
    until(lambda: audited(stack, of_page))
    assert {one["action"] for one in audited(stack, of_page)} == {"view"}


def test_the_request_that_handed_a_file_in_is_named_by_the_worker_that_reads_it(
    stack: Stack, film: bytes
) -> None:
    _, request_id = begun(stack, film)
    (line,) = lines_of(stack, "worker-1", request_id)
    assert (line["event"], line["outcome"]) == ("file", "read")


def test_a_trace_leads_from_the_page_to_redis_and_across_the_queue(
    stack: Stack, film: bytes
) -> None:
    with traces_of(stack) as traces:
        with stack.client() as client:
            answer = client.post(READ, files={"image": ("film.png", film)})
        assert answer.status_code == 201
        cookie = {"Cookie": f"sightline_session={stack.session(Role.CLINICIAN)}"}
        with stack.stranger() as browser:
            page = browser.get(f"/readings/{answer.json()['id']}", headers=cookie)
        batch, of_file = begun(stack, film)
        read, of_page = answer.headers["x-request-id"], page.headers["x-request-id"]
        gated = {"reading.gate"} if "gate" in answer.json()["timings_ms"] else set()
        steps = STEPS - {"reading.gate"} | gated

        def whole() -> bool:
            wanted = {
                (read, "inference_service", "redis"),
                (read, "inference_service", "request"),
                (read, "gateway", "request"),
                (of_page, "web_ui", "request"),
                (of_page, "inference_service", "request"),
                (of_file, "inference_worker", "batch.item"),
                *((read, "inference_service", step) for step in steps),
                *((of_file, "inference_worker", step) for step in steps),
            }
            return wanted <= {(one.trace, one.service, one.name) for one in list(traces.spans)}

        until(whole)
        asked = [one for one in traces.of(of_page) if one.service == "inference_service"]
        page_span = next(one for one in traces.of(of_page) if one.service == "web_ui")
        assert {one.parent for one in asked if one.name == "request"} == {page_span.id}
        item = next(one for one in traces.of(of_file) if one.name == "batch.item")
        # The span in which the file was put into the queue, inside of the request.
        handed = [one for one in traces.of(of_file) if one.service == "inference_service"]
        assert item.parent in {one.id for one in handed}
        inside = [one for one in traces.of(of_file) if one.name == "reading.infer"]
        assert [one.parent for one in inside] == [item.id]

        told = str(traces.spans)
        for secret in (answer.json()["id"], answer.json()["image"]["digest"], batch, "film.png"):
            assert secret not in told
        known = {"route", "method", "status", "disease", "error.type"}
        assert {key for one in traces.spans for key in one.attributes} <= known
