"""Carries a part of the audit trail away: as JSON Lines or CSV, into a folder or an S3 bucket.

With the records goes a signed head of the chain. Kept where whoever can write here cannot, it
shows later whether the trail's end was cut off: `gateway audit verify --head FILE`.
"""

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit_search import Query, newest_first, oldest_first
from gateway.chain import Record
from gateway.chain_heads import Head, add_head

_BUCKET = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([A-Za-z0-9._/-]*))?")
COLUMNS = (
    *("seq", "at", "action", "actor", "roles", "unit", "outcome", "object"),
    *("stream", "previous", "hash"),
)


class ExportFailed(Exception):
    """The export was not made. The text is a sentence that says why."""


class Format(StrEnum):
    """How an export is written."""

    JSONL = "jsonl"
    """Records as the chain holds them, so that their hashes can be checked."""
    CSV = "csv"
    """A table of the same."""


@dataclass(frozen=True)
class Exported:
    """What an export made."""

    records: int
    head: Head | None
    """None where the trail is empty."""
    places: tuple[str, ...]
    """Files or addresses, the records first."""


def sign_head(folder: Path, key: Ed25519PrivateKey, at: datetime) -> Head | None:
    """Sign the head of the trail as it is now and write it down; None where it is empty.

    Raises:
        OSError: the folder cannot be read or written.
    """
    last = next(newest_first(folder, Query()), None)
    if last is None:
        return None
    head = Head.sign(last, at, key)
    add_head(folder, head)
    return head


def as_jsonl(records: Iterable[Record]) -> Iterator[bytes]:
    """The lines of a JSON Lines file."""
    for record in records:
        yield record.line() + b"\n"


def as_csv(records: Iterable[Record]) -> Iterator[bytes]:
    """The lines of a CSV file. No field can be taken for a formula: none begins with a sign."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for record in records:
        yield _taken(text)
        event = record.event or {}
        fields = vars(record) | dict(event) | {"roles": " ".join(event.get("roles", ()))}
        writer.writerow([fields.get(name) for name in COLUMNS])
    yield _taken(text)


_WRITERS = {Format.JSONL: as_jsonl, Format.CSV: as_csv}


def export(
    folder: Path, query: Query, form: Format, key: Ed25519PrivateKey, at: datetime, target: str
) -> Exported:
    """Write the records that fit, and the head, to `target`.

    Args:
        folder: of the trail.
        query: which records.
        form: of the file.
        key: the gateway's, signs the head.
        at: now.
        target: a folder, made where it is missing, or `s3://BUCKET/PREFIX`. An object or a file
            of the same name is replaced; the name holds the time.

    Raises:
        ExportFailed: the target cannot be written, or boto3 is not installed.
        OSError: the trail cannot be read.
    """
    with _place(target) as place:
        head = sign_head(folder, key, at)
        name = f"audit-{at:%Y%m%dT%H%M%SZ}"
        count = 0

        def counted() -> Iterator[Record]:
            nonlocal count
            for record in oldest_first(folder, query, 0 if head is None else head.seq):
                count += 1
                yield record

        places = [place.put(f"{name}.{form.value}", _WRITERS[form](counted()))]
        if head is not None:
            places.append(place.put(f"{name}.head.json", [head.line() + b"\n"]))
    return Exported(count, head, tuple(places))


class _Folder:
    def __init__(self, path: Path) -> None:
        self._path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, name: str, parts: Iterable[bytes]) -> str:
        path = self._path / name
        # Through a file of another name, so that a half-written export is not taken for one.
        with tempfile.NamedTemporaryFile(dir=self._path, prefix=".incoming-", delete=False) as file:
            try:
                file.writelines(parts)
                file.flush()
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
        return str(path)


class _Bucket:
    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _s3()

    def put(self, name: str, parts: Iterable[bytes]) -> str:
        key = self._prefix + name
        with tempfile.TemporaryFile() as file:
            file.writelines(parts)
            file.seek(0)
            self._client.upload_fileobj(file, self._bucket, key)
        return f"s3://{self._bucket}/{key}"


@contextmanager
def _place(target: str) -> Iterator[_Folder | _Bucket]:
    match = _BUCKET.fullmatch(target)
    if match is None:
        if target.startswith("s3:"):
            raise ExportFailed(f"{target[:80]} is no address of a bucket: s3://BUCKET/PREFIX.")
        try:
            yield _Folder(Path(target))
        except OSError as error:
            raise ExportFailed(
                f"The export cannot be written to that folder: {error.strerror}."
            ) from error
        return
    place = _Bucket(match[1], match[2] or "")
    from boto3.exceptions import Boto3Error
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield place
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise ExportFailed(
            "The bucket cannot be written: check its name and the permissions on it"
            f" ({type(error).__name__})."
        ) from error


def _s3() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise ExportFailed(
            'The target is a bucket, and boto3 is not installed: pip install "sightline[s3]".'
        ) from error
    retries = {"max_attempts": 3, "mode": "standard"}
    return boto3.client("s3", config=Config(connect_timeout=3, read_timeout=30, retries=retries))


def _taken(text: io.StringIO) -> bytes:
    content = text.getvalue().encode()
    text.seek(0)
    text.truncate()
    return content
