"""What the machine with the GPU does: fetches, trains, publishes, reads batches, ends itself."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.infra.terraform import INFRA

REGION = "eu-west-1"
GROUP = "test-trainer-spot"
JOB = {"disease": "chest_xray_pneumonia", "recipe": "small", "data": "chest/1", "batch": None}
TOLD: dict[str, Any] = {
    "region": REGION,
    "buckets": {"datasets": "test-datasets", "archive": "test-archive"},
    "trainer": {"jobs": [JOB], "hours": 8},
}
#: Stands for `trainer`: writes down what it was asked, and fails where it is told to.
PRETENDED = """#!/bin/sh
echo "$@"
echo "backend ${{KERAS_BACKEND:-none}}"
if [ -e "{home}/fails" ]; then exit 3; fi
mkdir -p "{home}/runs/chest_xray_pneumonia-small"
echo '{{}}' > "{home}/runs/chest_xray_pneumonia-small/figures.json"
"""


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("train", INFRA / "boot" / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    home, settings = tmp_path / "home", tmp_path / "settings.json"
    home.mkdir()
    settings.write_text(json.dumps(TOLD))
    program = tmp_path / "trainer"
    program.write_text(PRETENDED.format(home=home))
    program.chmod(0o755)
    monkeypatch.setattr(module, "HOME", home)
    monkeypatch.setattr(module, "SETTINGS", settings)
    monkeypatch.setattr(module, "TRAINER", str(program))
    return module  # type: ignore[no-any-return]


@pytest.fixture
def aws(train: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two buckets, one of them with images, and a group whose one instance is this machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        s3 = boto3.client("s3", region_name=REGION)
        for bucket in TOLD["buckets"].values():
            s3.create_bucket(
                Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION}
            )
        for key in ("chest/1/train/NORMAL/a.png", "chest/1/../../../out.png", "skin/1/b.png"):
            s3.put_object(Bucket="test-datasets", Key=key, Body=b"image")
        ec2 = boto3.client("ec2", region_name=REGION)
        image = ec2.describe_images()["Images"][0]["ImageId"]
        ec2.create_launch_template(
            LaunchTemplateName="test",
            LaunchTemplateData={"ImageId": image, "InstanceType": "t3.small"},
        )
        scaling = boto3.client("autoscaling", region_name=REGION)
        scaling.create_auto_scaling_group(
            AutoScalingGroupName=GROUP,
            LaunchTemplate={"LaunchTemplateName": "test", "Version": "$Latest"},
            MinSize=0,
            MaxSize=1,
            DesiredCapacity=1,
            AvailabilityZones=[f"{REGION}a"],
        )
        (instance,) = _group()["Instances"]
        monkeypatch.setattr(train, "metadata", lambda _: instance["InstanceId"])
        yield


def test_a_job_is_trained_and_published_and_the_machine_ends(
    train: Any, aws: None, tmp_path: Path
) -> None:
    assert train.main([]) == 0
    home = tmp_path / "home"
    assert (home / "data/chest/1/train/NORMAL/a.png").read_bytes() == b"image"
    said = (home / "logs/chest_xray_pneumonia-small-train.log").read_text()
    assert said.startswith("train chest_xray_pneumonia --data ")
    assert (home / "logs/chest_xray_pneumonia-small-publish.log").exists()

    assert train.main(["--end"]) == 0
    kept = boto3.client("s3", region_name=REGION).list_objects_v2(Bucket="test-archive")
    names = {one["Key"].rpartition("/")[2] for one in kept["Contents"]}
    assert names == {
        "chest_xray_pneumonia-small-train.log",
        "chest_xray_pneumonia-small-publish.log",
        "figures.json",
    }
    assert (_group()["DesiredCapacity"], _group()["Instances"]) == (0, [])


def test_a_key_that_leads_out_is_left_alone(train: Any, aws: None, tmp_path: Path) -> None:
    train.main([])
    assert [path.name for path in tmp_path.rglob("*.png")] == ["a.png"]


def test_a_batch_is_read_where_it_lies(train: Any, aws: None, tmp_path: Path) -> None:
    job = {"disease": "skin_lesion", "data": "ward/4", "batch": "ward 4, November", "recipe": None}
    told = TOLD | {"trainer": {"jobs": [job, JOB], "hours": 8}}
    (tmp_path / "settings.json").write_text(json.dumps(told))
    assert train.main([]) == 0
    said = (tmp_path / "home/logs/skin_lesion-ward-4-infer.log").read_text()
    assert said.startswith(
        "infer --disease skin_lesion --input s3://test-datasets/ward/4 --batch ward 4, November"
    )
    assert (tmp_path / "home/logs/chest_xray_pneumonia-small-publish.log").exists()


def test_a_gpu_is_used_by_what_computes_and_not_by_publish(
    train: Any, aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setattr(train, "GPU", tmp_path)
    assert train.main([]) == 0
    logs = tmp_path / "home/logs"
    assert "backend jax" in (logs / "chest_xray_pneumonia-small-train.log").read_text()
    assert "backend none" in (logs / "chest_xray_pneumonia-small-publish.log").read_text()


def test_as_many_epochs_as_the_job_says(train: Any, aws: None, tmp_path: Path) -> None:
    told = TOLD | {"trainer": {"jobs": [JOB | {"epochs": 3}], "hours": 8}}
    (tmp_path / "settings.json").write_text(json.dumps(told))
    assert train.main([]) == 0
    said = (tmp_path / "home/logs/chest_xray_pneumonia-small-train.log").read_text()
    assert said.splitlines()[0].endswith("--epochs 3")


def test_what_failed_is_uploaded_and_the_machine_ends_all_the_same(
    train: Any, aws: None, tmp_path: Path
) -> None:
    (tmp_path / "home" / "fails").touch()
    assert train.main([]) == 3
    assert train.main(["--end"]) == 0
    assert _group()["DesiredCapacity"] == 0


def _group() -> dict[str, Any]:
    found = boto3.client("autoscaling", region_name=REGION).describe_auto_scaling_groups(
        AutoScalingGroupNames=[GROUP]
    )
    return dict(found["AutoScalingGroups"][0])
