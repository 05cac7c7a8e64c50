"""Each role boots from its own user data, and an image that comes in by the edge is read behind."""

import json
import time
from typing import Any

from tests.infra.bench import Bench
from tests.infra.boxes import Boxes
from tests.infra.terraform import ROOT

DEMO = ROOT / "models" / "chest_xray_pneumonia" / "2" / "demo"
DISEASE = "chest_xray_pneumonia"
_READY_SECONDS = 300


def edge(bench: Bench) -> None:
    """Nginx stands after the first start, redirects to TLS, and shows nothing that is private."""
    boxes = _boxes(bench)
    boxes.boot("edge")
    _await_status(boxes, 308, "/", scheme="http")
    # Nobody is behind it yet: an answer of its own, by TLS.
    assert boxes.ask("/")[0] in (502, 503, 504), boxes.ask("/")
    assert boxes.ask("/metrics")[0] == 404
    assert boxes.ask("/", "--header", "Host: elsewhere.example.org")[0] == 421
    _runs_again(boxes, "edge")
    _await_status(boxes, 308, "/", scheme="http")


def app(bench: Bench) -> None:
    """Pages, identity and readings stand after their first start, and answer through the edge."""
    boxes = standing(bench)
    key = make_key(boxes)
    reading = _read(boxes, key)
    assert reading["outcome"] == "judged", reading
    status, body = boxes.ask(
        f"/api/v1/predictions/{reading['id']}", "--header", f"Authorization: Bearer {key}"
    )
    assert (status, json.loads(body)["id"]) == (200, reading["id"])
    assert boxes.ask("/api/v1/predictions")[0] == 401
    _kept_in_the_bucket(bench, boxes, key, reading)
    _audited(boxes)
    _no_secret_is_open(boxes)
    active = boxes.inside("inference", "systemctl", "is-active", "sightline-worker.service")
    assert active == "active", active
    for role in ("web", "inference"):
        _runs_again(boxes, role)
    _await_status(boxes, 303, "/")
    assert _read(boxes, key)["outcome"] == "judged"


def standing(bench: Bench) -> Boxes:
    """Edge, pages, identity, Redis and readings, booted in that order where they are not yet."""
    boxes = _boxes(bench)
    boxes.boot("edge")
    boxes.boot("web")
    boxes.start_redis()
    boxes.boot("inference")
    _await_status(boxes, 303, "/")  # to sign in: the identity service answers, and so does Redis
    return boxes


def make_key(boxes: Boxes) -> str:
    """A new API key of a clinician; on a busy machine Redis may be too slow for the first try."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            return boxes.inside("web", "bash", "-c", _MAKE_KEY).splitlines()[-1]
        except RuntimeError as error:
            if time.monotonic() > deadline or "does not answer" not in str(error):
                raise
            time.sleep(2)


_MAKE_KEY = (
    "set -a; . /etc/sightline/identity.env; set +a;"
    " exec setpriv --reuid sightline-identity --regid sightline --clear-groups"
    " /opt/sightline/current/venv/bin/gateway create-key --role clinician"
)


def _boxes(bench: Bench) -> Boxes:
    """The boxes of this bench; the stack is applied with a bundle that can be installed."""
    if bench.boxes is None:
        bench.apply()
        if bench.no_bundle is not None:
            raise bench.no_bundle
        bench.boxes = bench.enter(Boxes(bench))
    boxes: Boxes = bench.boxes
    return boxes


def _await_status(boxes: Boxes, wanted: int, path: str, scheme: str = "https") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    status = 0
    while time.monotonic() < deadline:
        status, _ = boxes.ask(path, scheme=scheme)
        if status == wanted:
            return
        time.sleep(1)
    units = [
        boxes.inside(role, "journalctl", "--no-pager", "-n", "15", "-u", "sightline-*", check=False)
        for role in sorted(boxes.booted)
    ]
    raise AssertionError(f"{path} answers {status}, not {wanted}: " + "\n".join(units))


def _read(boxes: Boxes, key: str, demo: str = "pneumonia-1") -> dict[str, Any]:
    """Send a demo image by the edge until it is read: models may still be loading."""
    deadline = time.monotonic() + _READY_SECONDS
    said: tuple[int, str] = (0, "")
    while time.monotonic() < deadline:
        said = boxes.ask(
            f"/api/v1/diseases/{DISEASE}/predictions",
            *(
                "--header",
                f"Authorization: Bearer {key}",
                "--form",
                f"image=@{DEMO / demo}.png",
            ),
        )
        if said[0] == 201:
            return dict(json.loads(said[1]))
        time.sleep(2)
    log = boxes.inside(
        "inference", "journalctl", "--no-pager", "-n", "30", "-u", "sightline-*", check=False
    )
    raise AssertionError(f"the image was not read: {said} {log}")


def _kept_in_the_bucket(bench: Bench, boxes: Boxes, key: str, reading: dict[str, Any]) -> None:
    """The image of a reading lies in its bucket, is shown from there, and goes with its reading."""
    client, bucket = bench.client("s3"), bench.outputs["buckets"]["images"]
    caller = ("--header", f"Authorization: Bearer {key}")
    own = _read(boxes, key, "normal-1")
    assert own["image"]["digest"] != reading["image"]["digest"]
    name = f"images/{own['image']['digest'].removeprefix('sha256:')}"

    def there() -> list[str]:
        found = client.list_object_versions(Bucket=bucket)
        return [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in found.get(kind, ())]

    assert name in there(), there()
    address = f"/api/v1/predictions/{own['id']}"
    assert boxes.ask(f"{address}/image", "--output", "/dev/null", *caller)[0] == 200
    assert boxes.ask(address, "--request", "DELETE", *caller)[0] == 204
    assert name not in there(), "what was deleted is there"


def _audited(boxes: Boxes) -> None:
    """Who read what is in the trail, which lies in the shared folder."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        trail = boxes.inside(
            "web", "bash", "-c", "cat /var/lib/sightline/shared/audit/*.jsonl", check=False
        )
        if "upload" in trail:
            return
        time.sleep(1)
    raise AssertionError("the reading is not in the audit trail")


def _no_secret_is_open(boxes: Boxes) -> None:
    """What holds a secret is for root, or for the one service that it is of."""
    for role, names in (("web", ("identity", "chainer", "web")), ("inference", ("inference",))):
        for name in names:
            mode = boxes.inside(role, "stat", "-c", "%U %a", f"/etc/sightline/{name}.env")
            assert mode == "root 600", f"{role}: {name}.env is {mode}"
    mode = boxes.inside(
        "web", "stat", "-c", "%U %a", "/var/lib/sightline/gateway/identity/identity.key"
    )
    assert mode == "sightline-identity 600", mode


def _runs_again(boxes: Boxes, role: str) -> None:
    """The user data may run again, as after a repair, and all is as it was."""
    boxes.inside(role, "bash", "/var/lib/cloud/instance/scripts/part-001")
