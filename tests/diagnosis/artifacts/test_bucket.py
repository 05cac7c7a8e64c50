"""What only a registry in a bucket has: conditions, abandoned versions, a cache, an outage."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from diagnosis.artifacts import Registry, open_artifact, storage_at
from diagnosis.artifacts import bucket as module
from diagnosis.errors import DigestMismatch, RegistryError, RegistryUnavailable
from tests.fixtures.artifacts import variant

CHEST = "chest_xray_pneumonia"


@pytest.fixture
def one(bucket: str, tmp_path: Path) -> Registry:
    return registry(bucket, tmp_path / "cache")


def registry(bucket: str, cache: Path) -> Registry:
    return Registry(storage_at(f"s3://{bucket}/models", cache))


def keys(bucket: str) -> set[str]:
    found = boto3.client("s3").list_objects_v2(Bucket=bucket)
    return {entry["Key"] for entry in found.get("Contents", ())}


def test_a_bucket_is_laid_out_as_a_folder_is(
    one: Registry, bucket: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    one.publish(tiny_artifact)
    one.promote(CHEST, "1")
    Registry(tmp_path / "folder").publish(tiny_artifact)
    Registry(tmp_path / "folder").promote(CHEST, "1")
    there = (path for path in (tmp_path / "folder").rglob("*") if path.is_file())
    names = {f"models/{path.relative_to(tmp_path / 'folder')}" for path in there}
    assert keys(bucket) == names - {f"models/{CHEST}/.lock"}
    for name in names & keys(bucket):
        content = boto3.client("s3").get_object(Bucket=bucket, Key=name)["Body"].read()
        if not name.endswith("registry.json"):
            assert content == (tmp_path / "folder" / name.removeprefix("models/")).read_bytes()


def test_another_machine_sees_a_rollback_within_seconds(
    one: Registry, bucket: str, tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1", "2"):
        one.publish(variant(tiny_artifact, tmp_path / version, version=version))
        one.promote(CHEST, version)
    other = registry(bucket, tmp_path / "other")
    stamp = other.stamp(CHEST)
    assert other.state(CHEST).live == "2"
    one.rollback(CHEST)
    assert other.stamp(CHEST) == stamp, "asked again too soon"
    monkeypatch.setattr(module, "FRESH_SECONDS", 0.0)
    assert other.stamp(CHEST) != stamp
    live = other.live_folder(CHEST)
    assert live is not None
    assert open_artifact(live).card.version == "1"
    assert module.FRESH_SECONDS < 30


def test_a_version_is_fetched_once(
    one: Registry, bucket: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    one.publish(tiny_artifact)
    folder = one.folder(CHEST, "1")
    kept = (folder / "card.json").stat().st_mtime_ns
    for key in keys(bucket):
        boto3.client("s3").delete_object(Bucket=bucket, Key=key)
    assert one.folder(CHEST, "1") == folder
    assert (folder / "card.json").stat().st_mtime_ns == kept
    with pytest.raises(RegistryError, match="no version"):
        registry(bucket, tmp_path / "empty").folder(CHEST, "1")


def test_a_version_without_its_card_is_no_version(
    one: Registry, bucket: str, tiny_artifact: Path
) -> None:
    one.publish(tiny_artifact)
    boto3.client("s3").delete_object(Bucket=bucket, Key=f"models/{CHEST}/1/card.json")
    assert one.versions(CHEST) == ()
    with pytest.raises(RegistryError, match="no version"):
        one.folder(CHEST, "1")


def test_a_changed_object_is_refused(one: Registry, bucket: str, tiny_artifact: Path) -> None:
    one.publish(tiny_artifact)
    boto3.client("s3").put_object(Bucket=bucket, Key=f"models/{CHEST}/1/model.keras", Body=b"x")
    with pytest.raises(DigestMismatch):
        one.promote(CHEST, "1")
    assert one.state(CHEST).live is None


def test_what_a_killed_publisher_left_is_kept_for_an_hour(
    one: Registry, bucket: str, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.publish(tiny_artifact)
    boto3.client("s3").delete_object(Bucket=bucket, Key=f"models/{CHEST}/1/card.json")
    left = keys(bucket)
    with pytest.raises(RegistryError, match="being published") as error:
        one.publish(tiny_artifact)
    assert "next number" in error.value.remedy
    assert keys(bucket) == left
    later = datetime.now(UTC) + timedelta(seconds=module.ABANDONED_SECONDS + 60)
    monkeypatch.setattr(module, "_clock", lambda answer: later)
    assert one.publish(tiny_artifact) == "1"
    one.promote(CHEST, "1")


def test_a_publisher_that_fails_takes_its_objects_away(
    one: Registry, bucket: str, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Any = one._storage
    write: Callable[..., bool] = storage._write

    def fails_at_the_third(name: str, content: bytes, **only: str) -> bool:
        if len(keys(bucket)) == 2:
            raise RegistryError("The registry's bucket cannot be used.")
        return write(name, content, **only)

    monkeypatch.setattr(storage, "_write", fails_at_the_third)
    with pytest.raises(RegistryError, match="cannot be used"):
        one.publish(tiny_artifact)
    assert keys(bucket) == set()


def test_a_card_whose_answer_never_came_does_not_stay_alone(
    one: Registry, bucket: str, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Any = one._storage
    write: Callable[..., bool] = storage._write

    def times_out(name: str, content: bytes, **only: str) -> bool:
        done = write(name, content, **only)
        if name.endswith("card.json"):
            raise RegistryError("The registry's bucket cannot be used.")
        return done

    monkeypatch.setattr(storage, "_write", times_out)
    with pytest.raises(RegistryError, match="cannot be used"):
        one.publish(tiny_artifact)
    assert keys(bucket) == set()


def test_of_several_publishers_of_one_version_one_wins(
    bucket: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    told: list[str] = []

    def publish(number: int) -> None:
        try:
            told.append(registry(bucket, tmp_path / f"cache-{number}").publish(tiny_artifact))
        except RegistryError as error:
            told.append(error.detail)

    racers = [threading.Thread(target=publish, args=(number,)) for number in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert told.count("1") == 1, told
    assert len(told) == 4
    assert all("exists already" in one or "being published" in one for one in told if one != "1")
    open_artifact(registry(bucket, tmp_path / "reader").folder(CHEST, "1"))


def test_no_change_of_a_state_is_lost(
    one: Registry, bucket: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    """Another machine promotes between the reading and the writing of the state."""
    for version in ("1", "2", "3"):
        one.publish(variant(tiny_artifact, tmp_path / version, version=version))
    one.promote(CHEST, "1")
    other = registry(bucket, tmp_path / "other")
    storage: Any = one._storage
    write: Callable[..., bool] = storage._write
    tries: list[bool] = []

    def overtaken(name: str, content: bytes, **only: str) -> bool:
        if not tries:
            other.promote(CHEST, "2")
        tries.append(write(name, content, **only))
        return tries[-1]

    storage._write = overtaken
    one.promote(CHEST, "3")
    assert tries == [False, True]
    events = [(event.version, event.previous) for event in one.state(CHEST).history]
    assert events == [("1", None), ("2", "1"), ("3", "2")]
    assert one.state(CHEST) == registry(bucket, tmp_path / "reader").state(CHEST)


def test_what_is_not_an_artifact_is_not_fetched(
    one: Registry, bucket: str, tiny_artifact: Path, tmp_path: Path
) -> None:
    one.publish(tiny_artifact)
    for name in ("../../outside", "a/b/c", ".incoming-x"):
        key = f"models/{CHEST}/1/{name}"
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
        with pytest.raises(RegistryError, match="not an artifact"):
            one.folder(CHEST, "1")
        boto3.client("s3").delete_object(Bucket=bucket, Key=key)
    assert {path.name for path in tmp_path.rglob("*")} & {"outside", "c"} == set()


@pytest.mark.parametrize("how", ["late", "late, and another came after", "never"])
def test_a_change_whose_answer_was_lost_is_made_once(
    one: Registry,
    bucket: str,
    tiny_artifact: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """boto3 sends a write again whose answer it missed, and is told that it comes too late: by
    the first one. A rollback that was then done once more would go back two versions."""
    for version in ("1", "2", "3"):
        one.publish(variant(tiny_artifact, tmp_path / version, version=version))
        one.promote(CHEST, version)
    other = registry(bucket, tmp_path / "other")
    storage: Any = one._storage
    put, lost = storage._client.put_object, []

    def loses_one_answer(**asked: Any) -> Any:
        answer = put(**asked)
        if lost:
            return answer
        lost.append(asked["Key"])
        if how == "never":
            raise ReadTimeoutError(endpoint_url="http://bucket")
        if how != "late":
            other.shadow(CHEST, "1")
        raise ClientError({"Error": {"Code": "PreconditionFailed"}}, "PutObject")

    monkeypatch.setattr(storage._client, "put_object", loses_one_answer)
    assert one.rollback(CHEST) == "2"
    assert lost == [f"models/{CHEST}/registry.json"]
    state = registry(bucket, tmp_path / "third").state(CHEST)
    assert state.live == "2"
    assert [event.action for event in state.history].count("rollback") == 1
    assert state.shadow == (None if "another" not in how else "1")


def test_a_write_that_failed_is_said(
    one: Registry, tiny_artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one.publish(tiny_artifact)
    storage: Any = one._storage

    def fails(**_: Any) -> Any:
        raise ReadTimeoutError(endpoint_url="http://bucket")

    monkeypatch.setattr(storage._client, "put_object", fails)
    with pytest.raises(RegistryUnavailable, match="cannot be used"):
        one.promote(CHEST, "1")
    assert one.state(CHEST).live is None


def test_a_bucket_that_does_not_answer_is_said_in_a_sentence(
    one: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_artifact: Path
) -> None:
    missing = registry("no-such-bucket", tmp_path / "cache")
    for ask in (
        lambda: missing.state(CHEST),
        lambda: missing.versions(CHEST),
        lambda: missing.publish(tiny_artifact),
    ):
        with pytest.raises(RegistryUnavailable, match="cannot be used") as error:
            ask()
        assert error.value.status == 503
        assert "NoSuchBucket" in str(error.value.cause)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(RegistryError, match="cannot be used"):
        registry("bucket", tmp_path / "cache").diseases()


@pytest.mark.parametrize(
    "address", ["s3://", "s3://UPPER", "gs://bucket/x", "s3://b/x y", "s3://b/../c"]
)
def test_what_is_no_address_of_a_bucket_is_refused(address: str, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="no address"):
        storage_at(address, tmp_path)
