"""What the machine with the GPU does in its short life: train.py, and train.py --end.

A job with a recipe: its images from S3, `trainer train`, `trainer publish`; an engineer promotes,
later and elsewhere. A job with a batch: `trainer infer` by the live model, which posts each reading
into Redis. `--end`, which systemd calls whatever happened, uploads logs and figures to S3 and has
the auto-scaling group terminate this instance without another in its place.
"""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3

SETTINGS = Path("/etc/sightline/settings.json")
HOME = Path("/var/lib/sightline-trainer")
TRAINER = "/opt/sightline/current/venv/bin/trainer"
GPU = Path("/dev/nvidiactl")
METADATA = "http://169.254.169.254/latest/"

log = logging.getLogger("train")


def main(words: list[str]) -> int:
    """Train every job, or end the machine; the status to exit with."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    told = json.loads(SETTINGS.read_text("utf-8"))
    if words == ["--end"]:
        try:
            upload(told)
        finally:
            end(told)
        return 0
    return max((train(told, job) for job in told["trainer"]["jobs"]), default=0)


def train(told: dict[str, Any], job: dict[str, Any]) -> int:
    """One job; 0 where its candidate is in the registry, or its readings are in Redis."""
    for name, words in steps(told, job):
        (HOME / "logs").mkdir(parents=True, exist_ok=True)
        with (HOME / "logs" / f"{name}.log").open("wb") as said:
            command = [TRAINER, *map(str, words)]
            done = subprocess.run(
                command, stdout=said, stderr=said, cwd=HOME, env=backend(words[0]), check=False
            )
        log.info("%s ended with %d", name, done.returncode)
        if done.returncode != 0:
            return done.returncode
    return 0


def steps(told: dict[str, Any], job: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """What the job runs, each with the name of its log; the next one only after success."""
    disease = job["disease"]
    if job.get("batch"):
        images = f"s3://{told['buckets']['datasets']}/{job['data']}"
        words = ["infer", "--disease", disease, "--input", images, "--batch", job["batch"]]
        yield f"{disease}-{job['data'].replace('/', '-')}-infer", [*words, "--json"]
        return
    name = f"{disease}-{job['recipe']}"
    data, run = HOME / "data" / job["data"], HOME / "runs" / name
    download(told, job["data"], data)
    words = ["train", disease, "--data", data, "--recipe", job["recipe"], "--out", run]
    yield f"{name}-train", [*words, *(["--epochs", job["epochs"]] if job.get("epochs") else [])]
    yield f"{name}-publish", ["publish", run]


def backend(step: str) -> dict[str, str]:
    """JAX where there is a GPU (`make release TRAINER=gpu`); `publish` converts by TensorFlow."""
    given = dict(os.environ)
    if GPU.exists() and step != "publish":
        given.setdefault("KERAS_BACKEND", "jax")
    return given


def download(told: dict[str, Any], prefix: str, into: Path) -> None:
    """The images of a job. A key that leads out of the folder is left alone."""
    client = boto3.client("s3", region_name=told["region"])
    bucket = told["buckets"]["datasets"]
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    for page in pages:
        for one in page.get("Contents", []):
            path = (into / one["Key"].removeprefix(f"{prefix}/")).resolve()
            if one["Key"].endswith("/") or not path.is_relative_to(into.resolve()):
                continue
            if not path.exists() or path.stat().st_size != one["Size"]:
                path.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, one["Key"], str(path))


def upload(told: dict[str, Any]) -> None:
    """Logs, reports and figures of every run; no image of a patient is among them."""
    client = boto3.client("s3", region_name=told["region"])
    place = f"trainer/{metadata('meta-data/instance-id')}"
    for path in kept():
        key = f"{place}/{path.relative_to(HOME)}"
        client.upload_file(str(path), told["buckets"]["archive"], key)


def kept() -> Iterator[Path]:
    """What of this machine is worth keeping."""
    yield from (HOME / "logs").glob("*.log")
    for pattern in ("*.json", "*.jsonl", "*.toml"):
        yield from (HOME / "runs").glob(f"*/{pattern}")


def end(told: dict[str, Any]) -> None:
    """Have this instance terminated, and none started in its place."""
    boto3.client(
        "autoscaling", region_name=told["region"]
    ).terminate_instance_in_auto_scaling_group(
        InstanceId=metadata("meta-data/instance-id"), ShouldDecrementDesiredCapacity=True
    )


def metadata(path: str) -> str:
    """What the instance's metadata say under a path."""
    lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    with urlopen(Request(f"{METADATA}api/token", method="PUT", headers=lifetime)) as answer:
        token = {"X-aws-ec2-metadata-token": answer.read().decode()}
    with urlopen(Request(METADATA + path, headers=token)) as answer:
        return str(answer.read().decode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
