"""The trainer boots, on a processor here, does its jobs, and is no more."""

import io
import json
import time
from typing import Any

from tests.infra.bench import Bench
from tests.infra.boxes import Boxes
from tests.infra.parts.boot import make_key, standing
from tests.trainer.conftest import made_film

GROUP = "sightline-dev-trainer-spot"
DISEASE = "chest_xray_pneumonia"
#: Films of each folder of the data set; enough to fit, to calibrate and to choose thresholds on.
FILMS = {"train/NORMAL": 24, "train/PNEUMONIA": 36, "val/NORMAL": 16, "val/PNEUMONIA": 20}
WARD = 5
_WORK_SECONDS = 1500


def trainer(bench: Bench) -> None:
    """It trains and publishes, reads a batch into Redis, uploads its logs, and ends itself."""
    boxes = standing(bench)
    _bring_images(bench)
    before = _objects(bench, "models")
    scaling = bench.client("autoscaling")
    # What the schedule or the runbook does.
    scaling.set_desired_capacity(AutoScalingGroupName=GROUP, DesiredCapacity=1)
    (instance,) = _group(bench)["Instances"]
    boxes.boot("trainer")
    _await_end(bench, boxes)

    place = f"trainer/{instance['InstanceId']}/"
    kept = {one.removeprefix(place) for one in _objects(bench, "archive") if one.startswith(place)}
    name = f"{DISEASE}-small_residual"
    logs = {
        f"logs/{name}-train.log",
        f"logs/{name}-publish.log",
        f"logs/{DISEASE}-ward-4-infer.log",
    }
    assert logs <= kept, f"uploaded: {kept}"
    assert any(one.startswith(f"runs/{name}/") and one.endswith(".json") for one in kept), kept
    assert not any(one.endswith((".png", ".jpg", ".csv")) for one in kept), kept
    new = [one for one in _objects(bench, "models") if one not in before]
    said = _said(bench, place)
    assert any(one.startswith(f"registry/{DISEASE}/") and "card.json" in one for one in new), said
    status, body = boxes.ask(
        "/api/v1/batches", "--header", f"Authorization: Bearer {make_key(boxes)}"
    )
    assert status == 200, body
    found = [one for one in json.loads(body)["items"] if one["name"] == "ward 4"]
    assert [(one["counts"]["done"], one["created_by"]) for one in found] == [(WARD, "trainer")], (
        body
    )


def _bring_images(bench: Bench) -> None:
    """What somebody has put into the bucket of data sets: made films, which show nobody."""
    client, bucket = bench.client("s3"), bench.outputs["buckets"]["datasets"]
    about = b'dataset = "made films"\nlicence = "CC0, made"\n'
    client.put_object(Bucket=bucket, Key="chest/1/about.toml", Body=about)
    seed = 0
    for folder, count in {**{f"chest/1/{f}": n for f, n in FILMS.items()}, "ward/4": WARD}.items():
        for number in range(count):
            seed += 1
            film = io.BytesIO()
            made_film(seed, ill="NORMAL" not in folder, side=160).save(film, "PNG")
            key = f"{folder}/{number:03}.png"
            client.put_object(Bucket=bucket, Key=key, Body=film.getvalue())


def _await_end(bench: Bench, boxes: Boxes) -> None:
    """Until its group holds no instance, and wants none.

    Raises:
        AssertionError: it lives on; the text is the end of what it said.
    """
    deadline = time.monotonic() + _WORK_SECONDS
    while time.monotonic() < deadline:
        group = _group(bench)
        if (group["DesiredCapacity"], group["Instances"]) == (0, []):
            return
        time.sleep(2)
    log = boxes.inside(
        "trainer", "journalctl", "--no-pager", "-n", "40", "-u", "sightline-training", check=False
    )
    raise AssertionError(f"the trainer lives on: {log}")


def _group(bench: Bench) -> dict[str, Any]:
    client = bench.client("autoscaling")
    found = client.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
    return dict(found["AutoScalingGroups"][0])


def _objects(bench: Bench, bucket: str) -> set[str]:
    pages = (
        bench.client("s3")
        .get_paginator("list_objects_v2")
        .paginate(Bucket=bench.outputs["buckets"][bucket])
    )
    return {one["Key"] for page in pages for one in page.get("Contents", ())}


def _said(bench: Bench, place: str) -> str:
    """The ends of the logs that were uploaded."""
    client, bucket = bench.client("s3"), bench.outputs["buckets"]["archive"]
    logs = sorted(one for one in _objects(bench, "archive") if one.startswith(f"{place}logs/"))
    texts = (client.get_object(Bucket=bucket, Key=one)["Body"].read().decode() for one in logs)
    return "\n".join(text[-1500:] for text in texts)
