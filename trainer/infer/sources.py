"""Where the images of a batch lie: a folder, or a bucket. Both are named and read alike."""

from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from diagnosis.artifacts.bucket import ADDRESS
from diagnosis.images import MAX_BYTES
from trainer.data import files_below
from trainer.refusals import DataRefused

SCHEME = "s3://"
#: Connections to a bucket; one a thread that reads.
_CONNECTIONS = 64


class Source(Protocol):
    """Files by name; a name is the path below the source. Can be pickled, and read by threads."""

    def names(self) -> list[str]:
        """Every file, in the order of the names.

        Raises:
            DataRefused: there is no such place, or nothing in it.
        """
        ...

    def read(self, name: str) -> bytes:
        """The bytes of a file; of one that is too large for an image, one byte too many.

        Raises:
            OSError: it cannot be read.
        """
        ...


class Folder:
    """A folder and all folders below it; hidden files are passed over.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def names(self) -> list[str]:
        """See `Source.names`."""
        if not self._root.is_dir():
            raise DataRefused(f"{self._root} is not a folder.")
        paths = (one.relative_to(self._root).as_posix() for one in files_below(self._root))
        # A name that is no text cannot be written down anywhere: that file fails as unreadable.
        found = sorted(
            one.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for one in paths
        )
        if not found:
            raise DataRefused(f"{self._root} holds no files.")
        return found

    def read(self, name: str) -> bytes:
        """See `Source.read`."""
        with (self._root / name).open("rb") as file:
            return file.read(MAX_BYTES + 1)


class Bucket:
    """What lies below a prefix of an S3 bucket; credentials are found as boto3 finds them.

    Args:
        address: `s3://BUCKET/PREFIX`.

    Raises:
        DataRefused: it is no such address.
    """

    def __init__(self, address: str) -> None:
        match = ADDRESS.fullmatch(address.rstrip("/"))
        if match is None:
            raise DataRefused(
                f"{address[:80]} is no address of a bucket: write s3://BUCKET/PREFIX."
            )
        self._bucket = match[1]
        self._prefix = f"{match[2]}/" if match[2] else ""

    def names(self) -> list[str]:
        """See `Source.names`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        except (BotoCoreError, ClientError) as error:
            raise DataRefused(
                f"The bucket {self._bucket} cannot be listed ({type(error).__name__}): check its "
                "name and the permissions on it (s3:ListBucket, s3:GetObject)."
            ) from error
        found = sorted(one.removeprefix(self._prefix) for one in keys if not one.endswith("/"))
        if not found:
            raise DataRefused(f"{SCHEME}{self._bucket}/{self._prefix} holds no files.")
        return found

    def read(self, name: str) -> bytes:
        """See `Source.read`."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            data: bytes = answer["Body"].read(MAX_BYTES + 1)
        except (BotoCoreError, ClientError) as error:
            raise OSError(f"the bucket does not give it: {type(error).__name__}") from error
        return data

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise DataRefused(
                'Reading a bucket needs boto3, which is not installed: pip install "sightline[s3]".'
            ) from error
        retries = {"max_attempts": 5, "mode": "standard"}
        return boto3.client(
            "s3",
            config=Config(
                connect_timeout=3,
                read_timeout=30,
                retries=retries,
                max_pool_connections=_CONNECTIONS,
            ),
        )

    def __getstate__(self) -> dict[str, Any]:
        """All but the client, which each process opens for itself."""
        return {name: one for name, one in self.__dict__.items() if name != "_client"}


def source_at(place: str) -> Source:
    """The source at `s3://BUCKET/PREFIX`, or a folder.

    Raises:
        DataRefused: the address is none.
    """
    return Bucket(place) if place.startswith(SCHEME) else Folder(Path(place))
