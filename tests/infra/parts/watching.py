"""The monitoring instance boots, finds the others by their tags, and tells people."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.infra.bench import WEBHOOKS, Bench
from tests.infra.boxes import GATEWAY, Boxes
from tests.infra.parts.boot import standing

#: Job and role of everything that runs by now and answers.
WATCHED = {
    ("node", "edge"),
    ("node", "web"),
    ("node", "inference"),
    ("node", "monitoring"),
    ("nginx", "edge"),
    ("redis", "redis"),
    ("prometheus", "prometheus"),
    ("sightline", "web"),
    ("sightline", "identity"),
    ("sightline", "inference"),
    ("sightline", "worker"),
}
#: An exporter answers also where what it asks is away, and says so in its figure.
HEARD = {"nginx_up": ["1"], "redis_up": ["1"]}
SECRET = "sightline-dev/alerts/webhooks"
_WAIT_SECONDS = 180


def monitoring(bench: Bench) -> None:
    """Prometheus finds each instance and hears from it; alerts reach a webhook, and the topic."""
    boxes = standing(bench)
    with _webhook() as (address, came):
        # As docs/operations.md has it: a watchdog outside; the other two stay as they were applied.
        store = bench.client("secretsmanager")
        told = json.dumps({"watchdog": address})
        store.put_secret_value(SecretId=SECRET, SecretString=told)
        queue = _listen_to_the_topic(bench)
        boxes.boot("monitoring")
        _until(lambda: _up(boxes) >= WATCHED, lambda: f"targets: {_targets(boxes)}")
        _until(lambda: _heard(boxes) == HEARD, lambda: f"figures: {_heard(boxes)}")
        _until(
            lambda: any("SightlineWatchdog" in one for one in came),
            lambda: _log(boxes, "sightline-alertmanager"),
        )
        words = ("alert", "add", "SightlineTried", "severity=ticket")
        boxes.inside("monitoring", "amtool", *words, "--alertmanager.url=http://127.0.0.1:9093")
        _until(
            lambda: any("SightlineTried" in one for one in _messages(bench, queue)),
            lambda: _log(boxes, "sightline-alertmanager"),
        )
    mode = boxes.inside("monitoring", "stat", "-c", "%U %a", "/etc/sightline/alerts.env")
    assert mode == "root 600", mode
    assert address not in _log(boxes, "sightline-alertmanager")
    rules = json.loads(_asked(boxes, "rules"))["data"]["groups"]
    assert len(rules) >= 3, rules
    # Again, as after a repair; with the webhooks that Terraform gave, nobody hears the watchdog.
    store.put_secret_value(SecretId=SECRET, SecretString=json.dumps(WEBHOOKS))
    boxes.inside("monitoring", "bash", "/var/lib/cloud/instance/scripts/part-001")
    _until(
        lambda: "nobody is told of what is for WATCHDOG" in _log(boxes, "sightline-alertmanager"),
        lambda: _log(boxes, "sightline-alertmanager"),
    )
    for unit in ("prometheus", "sightline-alertmanager"):
        state = boxes.inside("monitoring", "systemctl", "is-active", unit, check=False)
        assert state == "active", f"{unit} is {state}"


def _asked(boxes: Boxes, what: str) -> str:
    address = f"http://127.0.0.1:9090/api/v1/{what}"
    return boxes.inside("monitoring", "curl", "--silent", address, check=False)


def _targets(boxes: Boxes) -> list[tuple[str, str, str, str]]:
    """Job, role, health and last problem of everything that Prometheus asks."""
    said = _asked(boxes, "targets?state=active")
    found: list[dict[str, Any]] = json.loads(said)["data"]["activeTargets"] if said else []
    return [
        (
            one["labels"]["job"],
            one["labels"].get("role", ""),
            one["health"],
            one["lastError"],
        )
        for one in found
    ]


def _up(boxes: Boxes) -> set[tuple[str, str]]:
    return {(job, role) for job, role, health, _ in _targets(boxes) if health == "up"}


def _heard(boxes: Boxes) -> dict[str, list[str]]:
    """What each exporter says of what it asks."""
    said = {name: _asked(boxes, f"query?query={name}") for name in HEARD}
    return {
        name: [one["value"][1] for one in json.loads(text)["data"]["result"]] if text else []
        for name, text in said.items()
    }


def _log(boxes: Boxes, unit: str) -> str:
    words = ("journalctl", "--no-pager", "-n", "40", "-o", "cat", "-u", unit)
    return boxes.inside("monitoring", *words, check=False)


def _until(condition: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(1)


@contextmanager
def _webhook() -> Iterator[tuple[str, list[str]]]:
    """Somebody outside who is told: the address, and what came, which grows."""
    came: list[str] = []

    class Told(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            came.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer((GATEWAY, 0), Told)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{GATEWAY}:{server.server_port}/hook", came
    finally:
        server.shutdown()
        server.server_close()


def _listen_to_the_topic(bench: Bench) -> str:
    """A queue that gets what people would get as e-mail; its address."""
    queues, topics = bench.client("sqs"), bench.client("sns")
    queue = str(queues.create_queue(QueueName="sightline-tests")["QueueUrl"])
    wanted = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    (topic,) = (
        one["TopicArn"]
        for one in topics.list_topics()["Topics"]
        if one["TopicArn"].endswith(":sightline-dev-alerts")
    )
    arn = wanted["Attributes"]["QueueArn"]
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return queue


def _messages(bench: Bench, queue: str) -> list[str]:
    found = bench.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
    return [one["Body"] for one in found.get("Messages", ())]
