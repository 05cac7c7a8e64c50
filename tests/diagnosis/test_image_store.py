"""The image stores, folder, bucket and memory, held to the same behaviour."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest

from diagnosis.errors import StoreUnavailable
from diagnosis.image_bucket import BucketImageStore, images_at
from diagnosis.image_store import FolderImageStore, ImageStore, MemoryImageStore
from diagnosis.images.checked import digest_of

ONE, TWO = digest_of(b"one"), digest_of(b"two")
DAY = timedelta(days=1)


class Clock:
    """A time that only moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, time: timedelta) -> None:
        self.now += time.total_seconds()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["folder", "memory", "bucket", "bucket with versions"])
def store(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> ImageStore:
    if request.param == "folder":
        return FolderImageStore(tmp_path / "images", clock=clock)
    if request.param == "memory":
        return MemoryImageStore(clock=clock)
    name = request.getfixturevalue("bucket")
    # The bucket's own time, by which images grow old.
    now = "moto.s3.models.utcnow"
    monkeypatch.setattr(now, lambda: datetime.fromtimestamp(clock(), UTC).replace(tzinfo=None))
    if request.param == "bucket with versions":
        keep_versions(name)
    return BucketImageStore(f"s3://{name}/images", clock=clock)


def keep_versions(bucket: str) -> None:
    boto3.client("s3").put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
    )


def test_what_is_put_is_got_until_it_is_deleted(store: ImageStore) -> None:
    assert store.get(ONE) is None
    assert store.delete(ONE) is False
    assert store.sweep(DAY) == 0
    assert store.put(ONE, b"one") is True
    assert store.put(TWO, b"two") is True
    assert store.put(TWO, b"two") is False
    assert (store.get(ONE), store.get(TWO)) == (b"one", b"two")
    assert store.delete(ONE) is True
    assert (store.get(ONE), store.get(TWO)) == (None, b"two")
    store.put(ONE, b"one")
    assert store.get(ONE) == b"one"


def test_a_sweep_removes_what_was_not_put_for_long(store: ImageStore, clock: Clock) -> None:
    store.put(ONE, b"one")
    clock.pass_(2 * DAY)
    store.put(TWO, b"two")
    assert store.sweep(3 * DAY) == 0
    assert store.sweep(DAY) == 1
    assert (store.get(ONE), store.get(TWO)) == (None, b"two")


def test_putting_again_renews_the_time(store: ImageStore, clock: Clock) -> None:
    store.put(ONE, b"one")
    clock.pass_(2 * DAY)
    store.put(ONE, b"one")
    assert store.sweep(DAY) == 0
    assert store.get(ONE) == b"one"


def test_many_are_put_and_deleted_as_one_by_one(store: ImageStore, clock: Clock) -> None:
    assert store.put(ONE, b"one") is True
    clock.pass_(2 * DAY)
    assert store.put_many({ONE: b"one", TWO: b"two"}) == {TWO}
    assert store.put_many({}) == frozenset()
    assert (store.get(ONE), store.get(TWO)) == (b"one", b"two")
    assert store.sweep(DAY) == 0
    store.delete_many([ONE, ONE, TWO])
    assert (store.get(ONE), store.get(TWO)) == (None, None)


def test_what_need_not_be_gone_durably_does_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderImageStore(tmp_path / "images")
    store.put_many({ONE: b"one", TWO: b"two"})
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    store.delete_many([ONE], durably=False)
    assert (store.get(ONE), synced) == (None, [])
    store.delete_many([TWO])
    assert (store.get(TWO), len(synced)) == (None, 1)


def test_of_many_none_is_there_where_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderImageStore(tmp_path / "images")
    written = iter([None, OSError(28, "No space left on device")])

    def fsync(_handle: int) -> None:
        if (fault := next(written, None)) is not None:
            raise fault

    store.put(digest_of(b"three"), b"three")
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreUnavailable):
        store.put_many({ONE: b"one", TWO: b"two"})
    monkeypatch.undo()
    assert (store.get(ONE), store.get(TWO)) == (None, None)
    assert not list((tmp_path / "images" / "incoming").iterdir())


@pytest.mark.parametrize(
    "name",
    ["", "one", "sha256:", "sha256:../../etc/passwd", ONE.upper(), f"{ONE}\n", ONE[7:], f"{ONE}0"],
)
def test_a_name_that_is_no_digest_is_refused(store: ImageStore, name: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.put(name, b"x"),
        lambda: store.get(name),
        lambda: store.delete(name),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="digest"):
            call()


def test_many_threads_may_put_get_and_sweep_at_once(store: ImageStore) -> None:
    many = 4 if isinstance(store, BucketImageStore) else 20
    images = [bytes([number]) * 1000 for number in range(many)]
    wrong: list[object] = []

    def work() -> None:
        try:
            for image in images:
                store.put(digest_of(image), image)
                if store.get(digest_of(image)) != image:
                    wrong.append(image)
                store.sweep(DAY)
        except (StoreUnavailable, OSError, KeyError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_image_survives_the_store_that_put_it(tmp_path: Path) -> None:
    FolderImageStore(tmp_path).put(ONE, b"one")
    assert FolderImageStore(tmp_path).get(ONE) == b"one"
    assert (tmp_path / ONE[7:9] / ONE[7:]).read_bytes() == b"one"
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_half_written_file_is_never_seen_and_swept_once_it_is_abandoned(
    tmp_path: Path, clock: Clock
) -> None:
    store = FolderImageStore(tmp_path, clock=clock)
    store.put(TWO, b"two")
    half = tmp_path / "incoming" / "tmp1"
    half.write_bytes(b"on")
    os.utime(half, (clock.now, clock.now))
    assert store.get(ONE) is None
    assert store.sweep(timedelta(0)) == 0
    assert half.exists()
    clock.pass_(timedelta(hours=2))
    assert store.sweep(DAY) == 0
    assert not half.exists()
    assert store.get(TWO) == b"two"


def test_a_write_that_fails_leaves_nothing_and_says_the_store_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FolderImageStore(tmp_path)
    store.put(TWO, b"two")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreUnavailable):
            store.put(ONE, b"one")
    assert store.get(ONE) is None
    assert list((tmp_path / "incoming").iterdir()) == []
    assert store.get(TWO) == b"two"


def test_a_root_that_is_no_folder_is_an_unavailable_store(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_bytes(b"")
    store = FolderImageStore(root)
    for call in (lambda: store.put(ONE, b"one"), lambda: store.get(ONE), lambda: store.delete(ONE)):
        with pytest.raises(StoreUnavailable):
            call()


def test_a_sweep_leaves_files_that_are_not_its_own(tmp_path: Path, clock: Clock) -> None:
    store = FolderImageStore(tmp_path, clock=clock)
    store.put(ONE, b"one")
    stray = tmp_path / ONE[7:9] / "notes.txt"
    stray.write_text("kept")
    os.utime(stray, (0, 0))
    clock.pass_(2 * DAY)
    assert store.sweep(DAY) == 1
    assert stray.exists()


# ---- buckets -------------------------------------------------------------------------------------


def versions(bucket: str) -> list[str]:
    found = boto3.client("s3").list_object_versions(Bucket=bucket)
    return [one["Key"] for kind in ("Versions", "DeleteMarkers") for one in found.get(kind, ())]


def test_what_is_deleted_is_gone_with_every_version(bucket: str) -> None:
    keep_versions(bucket)
    store = BucketImageStore(f"s3://{bucket}/images")
    for _ in range(3):
        store.put(ONE, b"one")
    assert len(versions(bucket)) == 3
    assert store.delete(ONE) is True
    assert versions(bucket) == []


def test_an_image_that_is_renewed_during_a_sweep_stays(
    bucket: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_versions(bucket)
    store = BucketImageStore(f"s3://{bucket}/images", clock=clock)
    store.put(ONE, b"one")
    clock.now = datetime.now(UTC).timestamp() + (2 * DAY).total_seconds()
    real = store._delete

    def renewed_meanwhile(found: list[dict[str, object]]) -> None:
        store.put(ONE, b"one")
        real(found)

    monkeypatch.setattr(store, "_delete", renewed_meanwhile)
    store.sweep(DAY)
    assert store.get(ONE) == b"one"


def test_stores_in_one_bucket_leave_each_others_images_alone(bucket: str) -> None:
    images, spool = (images_at(f"s3://{bucket}/i", Path("x"), below) for below in ("", "spool"))
    images.put(ONE, b"one")
    spool.put(TWO, b"two")
    assert sorted(versions(bucket)) == [f"i/{ONE[7:]}", f"i/spool/{TWO[7:]}"]
    assert images.get(TWO) is None
    assert images.sweep(timedelta(seconds=-60)) == 1
    assert spool.get(TWO) == b"two"


def test_a_bucket_that_is_not_there_is_an_unavailable_store(bucket: str) -> None:
    store = BucketImageStore(f"s3://{bucket}-not/images")
    for call in (
        lambda: store.put(ONE, b"one"),
        lambda: store.get(ONE),
        lambda: store.delete(ONE),
        lambda: store.sweep(DAY),
    ):
        with pytest.raises(StoreUnavailable):
            call()


@pytest.mark.parametrize("address", ["s3://", "https://x/y", "s3://B/x", "s3://bucket/../x"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        images_at(address, Path("x"))


def test_without_an_address_images_are_in_the_folder(tmp_path: Path) -> None:
    images_at("", tmp_path, "spool").put(ONE, b"one")
    assert (tmp_path / "spool" / ONE[7:9] / ONE[7:]).exists()
