"""Images in an S3 bucket, a peer of the folder (`diagnosis.image_store`).

An image is one object under its digest. In a bucket that keeps versions, which ours does, an image
that is renewed is another version of the same bytes: deleting takes every version away, so that
what is deleted is gone, and a sweep takes versions by their ids, so that one that is renewed at the
same moment stays.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from diagnosis.artifacts.bucket import ADDRESS
from diagnosis.errors import StoreUnavailable
from diagnosis.image_store import Clock, FolderImageStore, ImageStore, digits_of, is_digits

_THERE_ALREADY = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_MISSING = {"NoSuchKey", "404", "NotFound"}
#: More requests at once wait for each other: threads that read and keep images.
_CONNECTIONS = 32
#: Of a group that is put or deleted.
_TOGETHER = 8
#: As many objects as S3 deletes in one request.
_AT_ONCE = 1000


def images_at(address: str, folder: Path, below: str = "") -> ImageStore:
    """The store of an address, `s3://BUCKET/PREFIX`; of a folder where the address is empty.

    Args:
        address: of the bucket, or empty.
        folder: where images are kept without one.
        below: a part of either that is a store of its own, such as `spool`.

    Raises:
        ValueError: the address is not one.
        StoreUnavailable: boto3 is not installed.
    """
    if not address:
        return FolderImageStore(folder / below if below else folder)
    return BucketImageStore(f"{address.rstrip('/')}/{below}" if below else address)


class BucketImageStore:
    """Images as objects `<prefix>/<64 digits>`. Credentials and region are found as boto3 does.

    Args:
        address: `s3://BUCKET` or `s3://BUCKET/PREFIX`.
        clock: for tests; when an image was last put is what the bucket says.

    Raises:
        ValueError: the address is not one.
        StoreUnavailable: boto3 is not installed.
    """

    def __init__(self, address: str, *, clock: Clock = time.time) -> None:
        match = ADDRESS.fullmatch(address)
        if match is None:
            raise ValueError("no address of a bucket: write s3://BUCKET/PREFIX")
        self._bucket = match[1]
        self._prefix = f"{match[2]}/" if match[2] else ""
        self._clock = clock
        self._client = _client()

    def put(self, digest: str, data: bytes) -> bool:
        """See `ImageStore.put`."""
        key = self._key(digest)
        with _as_store_errors():
            new = self._write(key, data, IfNoneMatch="*")
            if not new:
                self._write(key, data)
        return new

    def put_many(self, images: Mapping[str, bytes]) -> frozenset[str]:
        """See `ImageStore.put_many`. Some requests are under way at a time."""
        with ThreadPoolExecutor(_TOGETHER) as pool:
            new = pool.map(self.put, images, images.values())
            return frozenset(digest for digest, was in zip(images, new, strict=True) if was)

    def get(self, digest: str) -> bytes | None:
        """See `ImageStore.get`."""
        key = self._key(digest)
        with _as_store_errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key)
            except self._client.exceptions.ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
            return bytes(answer["Body"].read())

    def delete(self, digest: str) -> bool:
        """See `ImageStore.delete`; every version of it."""
        key = self._key(digest)
        with _as_store_errors():
            versions = [one for one in self._versions(key) if one["Key"] == key]
            self._delete(versions)
        return any(one["IsLatest"] and "Size" in one for one in versions)

    def delete_many(self, digests: Iterable[str], *, durably: bool = True) -> None:  # noqa: ARG002
        """See `ImageStore.delete_many`. What a bucket deletes stays deleted."""
        with ThreadPoolExecutor(_TOGETHER) as pool:
            list(pool.map(self.delete, digests))

    def sweep(self, older_than: timedelta) -> int:
        """See `ImageStore.sweep`; by the bucket's times."""
        limit = self._clock() - older_than.total_seconds()
        swept = 0
        old: list[dict[str, Any]] = []
        with _as_store_errors():
            for one in self._versions(self._prefix):
                name = one["Key"].removeprefix(self._prefix)
                if is_digits(name) and one["LastModified"].timestamp() < limit:
                    old.append(one)
                    swept += one["IsLatest"] and "Size" in one
            self._delete(old)
        return swept

    def _key(self, digest: str) -> str:
        return self._prefix + digits_of(digest)

    def _write(self, key: str, data: bytes, **only: str) -> bool:
        """Write an object; False where the condition does not hold."""
        try:
            self._client.put_object(Bucket=self._bucket, Key=key, Body=data, **only)
        except self._client.exceptions.ClientError as error:
            if only and _code(error) in _THERE_ALREADY:
                return False
            raise
        return True

    def _versions(self, prefix: str) -> Iterator[dict[str, Any]]:
        """Every version below a prefix, and the marks of deleted ones, which have no size."""
        pages = self._client.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix):
            yield from page.get("Versions", ())
            yield from page.get("DeleteMarkers", ())

    def _delete(self, versions: list[dict[str, Any]]) -> None:
        named = [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in versions]
        for start in range(0, len(named), _AT_ONCE):
            some = {"Objects": named[start : start + _AT_ONCE], "Quiet": True}
            answer = self._client.delete_objects(Bucket=self._bucket, Delete=some)
            for failed in answer.get("Errors", ()):
                raise StoreUnavailable(cause=f"image store: {failed.get('Code')}")


def _client() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise StoreUnavailable(cause="image store: boto3 is not installed") from error
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"max_attempts": 3, "mode": "standard"},
        max_pool_connections=_CONNECTIONS,
    )
    return boto3.client("s3", config=config)


@contextmanager
def _as_store_errors() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        code = _code(error) if isinstance(error, ClientError) else ""
        cause = f"image store: {type(error).__name__} {code}".strip()
        raise StoreUnavailable(cause=cause) from error


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
