"""Folders and buckets name and give their files alike."""

import os
import pickle
from pathlib import Path

import pytest

from diagnosis.images import MAX_BYTES
from trainer.infer.sources import source_at
from trainer.refusals import DataRefused


def test_a_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a/c.png", "a/.hidden", ".git/x", "a/Thumbs.db"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "large").write_bytes(bytes(MAX_BYTES + 5))
    found = pickle.loads(pickle.dumps(source_at(str(tmp_path))))
    assert found.names() == ["a/c.png", "b.png", "large"]
    assert found.read("a/c.png") == b"a/c.png"
    assert len(found.read("large")) == MAX_BYTES + 1


def test_a_name_that_is_no_text_fails_alone(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    (tmp_path / "a.png").write_bytes(b"x")
    found = source_at(str(tmp_path))
    assert found.names() == ["a.png", "\ufffd.png"]
    with pytest.raises(OSError, match="No such file"):
        found.read("\ufffd.png")


def test_a_bucket(bucket: str) -> None:
    import boto3

    client = boto3.client("s3")
    for name in ("films/b.png", "films/a/c.png", "films/", "other/d.png"):
        client.put_object(Bucket=bucket, Key=name, Body=name.encode())
    source = source_at(f"s3://{bucket}/films/")
    assert source.names() == ["a/c.png", "b.png"]
    found = pickle.loads(pickle.dumps(source))
    assert found.read("a/c.png") == b"films/a/c.png"
    with pytest.raises(OSError, match="does not give it"):
        found.read("gone.png")


@pytest.mark.parametrize("place", ["s3://", "s3://UPPER/x", "/nowhere/at/all"])
def test_what_is_no_source_is_refused(place: str) -> None:
    with pytest.raises(DataRefused):
        source_at(place).names()


def test_an_empty_folder_and_a_bucket_that_is_not_there(tmp_path: Path, bucket: str) -> None:
    with pytest.raises(DataRefused, match="holds no files"):
        source_at(str(tmp_path)).names()
    with pytest.raises(DataRefused, match="holds no files"):
        source_at(f"s3://{bucket}/none").names()
    with pytest.raises(DataRefused, match="cannot be listed"):
        source_at("s3://no-such-bucket/x").names()
