"""A registry in an S3 bucket, laid out as in a folder.

A version's card is written last, so that a version is there whole or not at all; its first file is
written only where no other writer's is, so that two publishers of one version do not mix unless one
of them takes longer than an hour (what is mixed does not fit its card, and is refused). The
state is replaced only if it is still the one that was read.
"""

import hashlib
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from diagnosis.artifacts.artifact import CARD_NAME
from diagnosis.artifacts.storage import DISEASE, STATE, VERSION, Change
from diagnosis.durable import exclusive, put_folder, sweep
from diagnosis.errors import RegistryError, RegistryUnavailable

_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
ADDRESS = re.compile(
    rf"s3://([a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])(?:/((?:{_NAME}(?:/{_NAME})*)?)/?)?"
)
#: A state is believed for so long before the bucket is asked again.
FRESH_SECONDS = 5.0
#: A version without a card that is older than this was left by a publisher that was killed.
ABANDONED_SECONDS = 3600.0
#: How often a state is read anew because another writer was faster.
_TRIES = 10
_FILE = re.compile(rf"(?:{_NAME}/)?{_NAME}")
_MOST_FILES = 200
_MOST_BYTES = 2_000_000_000
_MOST_STATE_BYTES = 5_000_000
_LOST_RACE = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_MISSING = {"NoSuchKey", "404", "NotFound"}


@dataclass(frozen=True)
class _State:
    content: bytes | None
    etag: str
    """Empty where there is no state."""
    at: float
    """When it was asked for, by the monotonic clock."""


class Bucket:
    """A registry in a bucket. Credentials and region are found as boto3 finds them.

    Args:
        address: `s3://BUCKET` or `s3://BUCKET/PREFIX`.
        cache: folder for the versions that are used; each is fetched once, as it never changes.

    Raises:
        RegistryError: the address is not one, or boto3 is not installed.
    """

    def __init__(self, address: str, cache: Path) -> None:
        match = ADDRESS.fullmatch(address)
        if match is None:
            raise RegistryError(
                f"{address[:80]} is no address of a bucket.", remedy="Write s3://BUCKET/PREFIX."
            )
        self._bucket = match[1]
        self._prefix = f"{match[2]}/" if match[2] else ""
        place = hashlib.sha256(f"{self._bucket}/{self._prefix}".encode()).hexdigest()[:16]
        self._cache = cache / place
        self._client = _client()
        self._states: dict[str, _State] = {}

    def diseases(self) -> tuple[str, ...]:
        """As `Storage.diseases`."""
        found = (prefix for page in self._pages("", "/") for prefix in _prefixes(page))
        folders = (one.removeprefix(self._prefix).rstrip("/") for one in found)
        return tuple(sorted(name for name in folders if DISEASE.fullmatch(name)))

    def versions(self, disease: str) -> tuple[str, ...]:
        """As `Storage.versions`."""
        parts = (name.partition("/") for name in self._names(f"{disease}/"))
        return tuple(v for v, _, file in parts if file == CARD_NAME and VERSION.fullmatch(v))

    def folder(self, disease: str, version: str) -> Path | None:
        """As `Storage.folder`: a copy in the cache."""
        home = self._cache / disease
        place = home / version
        if (place / CARD_NAME).is_file():
            return place
        found = self._names(f"{disease}/{version}/")
        if CARD_NAME not in found:
            return None
        files = self._fetch(disease, version, found)
        try:
            home.mkdir(parents=True, exist_ok=True)
            with exclusive(home / ".lock"):
                sweep(home)
                if not place.exists():
                    put_folder(home, version, files)
        except OSError as error:
            raise RegistryUnavailable(
                "The cache of the registry's bucket cannot be written.",
                remedy="Check that its folder is not read-only, and has space left.",
                cause=f"{type(error).__name__}: {error.strerror}",
            ) from error
        return place

    def put(self, disease: str, version: str, files: Mapping[str, bytes]) -> bool:
        """As `Storage.put`.

        Raises:
            RegistryError: another publisher is at this version, or was killed at it lately.
        """
        base = f"{disease}/{version}/"
        there = self._names(base)
        if CARD_NAME in there:
            return False
        *first, card = sorted(files, key=lambda name: name == CARD_NAME)
        claim, *rest = first
        only = {"IfNoneMatch": "*"}
        if claim in there and (abandoned := self._abandoned(base + claim)):
            only = {"IfMatch": abandoned}
        if not self._write(base + claim, files[claim], **only):
            if CARD_NAME in self._names(base):
                return False
            raise RegistryError(
                f"Version {version} of {disease} is being published, or was left half-way within "
                "the last hour.",
                remedy="Publish it again in an hour, or now under the next number.",
            )
        try:
            self._delete(base, [name for name in there if name not in files])
            for name in rest:
                self._write(base + name, files[name])
            return self._write(base + card, files[card], IfNoneMatch="*")
        except BaseException:
            # What cannot be deleted now is when it counts as abandoned.
            # The card first: it may be there although its answer never came.
            with suppress(RegistryError):
                self._delete(base, [card, *first])
            raise

    def state(self, disease: str) -> bytes | None:
        """As `Storage.state`; up to `FRESH_SECONDS` old."""
        return self._state(disease).content

    def stamp(self, disease: str) -> str:
        """As `Storage.stamp`."""
        return self._state(disease).etag

    def change(self, disease: str, change: Change) -> None:
        """As `Storage.change`."""
        for _ in range(_TRIES):
            before = self._state(disease, fresh=True)
            after = change(before.content)
            if after is None:
                return
            only = {"IfMatch": before.etag} if before.etag else {"IfNoneMatch": "*"}
            try:
                written = self._write(f"{disease}/{STATE}", after, **only)
            except RegistryError:
                # It may have been written although no answer came.
                if not self._holds(disease, after):
                    raise
                return
            if written:
                self._state(disease, fresh=True)
                return
        raise RegistryError(f"The state of {disease} is being changed by others.")

    def _holds(self, disease: str, content: bytes) -> bool:
        """Whether this is the state by now; no, where nobody can tell."""
        try:
            return self._state(disease, fresh=True).content == content
        except RegistryError:
            return False

    def _state(self, disease: str, *, fresh: bool = False) -> _State:
        known = self._states.get(disease)
        now = time.monotonic()
        if known is not None and not fresh and now - known.at < FRESH_SECONDS:
            return known
        only = {"IfNoneMatch": known.etag} if known is not None and known.etag else {}
        with _asking():
            try:
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=f"{self._prefix}{disease}/{STATE}", **only
                )
                content = answer["Body"].read(_MOST_STATE_BYTES)
                found = _State(content, answer["ETag"], now)
            except self._client.exceptions.ClientError as error:
                if _code(error) in _MISSING:
                    found = _State(None, "", now)
                elif _code(error) in {"304", "NotModified"} and known is not None:
                    found = _State(known.content, known.etag, now)
                else:
                    raise
        self._states[disease] = found
        return found

    def _pages(self, below: str, delimiter: str = "") -> Iterator[Any]:
        """What lies below a prefix, page by page."""
        with _asking():
            yield from self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + below, Delimiter=delimiter
            )

    def _names(self, below: str) -> list[str]:
        """The names of all objects below a prefix, without it."""
        start = len(self._prefix + below)
        return [
            one["Key"][start:] for page in self._pages(below) for one in page.get("Contents", ())
        ]

    def _fetch(self, disease: str, version: str, found: list[str]) -> dict[str, bytes]:
        """The files of a version, as far as a version may hold them."""
        files: dict[str, bytes] = {}
        left = _MOST_BYTES
        if len(found) > _MOST_FILES or not all(map(_FILE.fullmatch, found)):
            raise RegistryError(
                f"Version {version} of {disease} in the bucket holds what is not an artifact."
            )
        for name in found:
            with _asking():
                answer = self._client.get_object(
                    Bucket=self._bucket, Key=f"{self._prefix}{disease}/{version}/{name}"
                )
                left -= answer["ContentLength"]
                if left < 0:
                    raise RegistryError(
                        f"Version {version} of {disease} in the bucket is over {_MOST_BYTES} bytes."
                    )
                files[name] = answer["Body"].read()
        return files

    def _abandoned(self, name: str) -> str:
        """The tag of an object that is too old to be somebody's at work, else an empty text.

        By the bucket's own clock.
        """
        with _asking():
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except self._client.exceptions.ClientError as error:
                if _code(error) in _MISSING:
                    return ""
                raise
        age = (_clock(answer) - answer["LastModified"]).total_seconds()
        return str(answer["ETag"]) if age > ABANDONED_SECONDS else ""

    def _write(self, name: str, content: bytes, **only: str) -> bool:
        """Write an object; False where the condition does not hold."""
        with _asking():
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._prefix + name, Body=content, **only
                )
            except self._client.exceptions.ClientError as error:
                if only and _code(error) in _LOST_RACE:
                    return False
                raise
        return True

    def _delete(self, base: str, found: list[str]) -> None:
        with _asking():
            for name in found:
                self._client.delete_object(Bucket=self._bucket, Key=self._prefix + base + name)


def _client() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ImportError as error:
        raise RegistryError(
            "The registry is a bucket, and boto3 is not installed.",
            remedy='Install it: pip install "sightline[s3]".',
        ) from error
    retries = {"max_attempts": 3, "mode": "standard"}
    return boto3.client("s3", config=Config(connect_timeout=3, read_timeout=30, retries=retries))


@contextmanager
def _asking() -> Iterator[None]:
    """Turn what boto3 raises into a sentence."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        code = _code(error) if isinstance(error, ClientError) else ""
        raise RegistryUnavailable(
            "The registry's bucket cannot be used.",
            remedy="Check its name, the permissions on it, and that it can be reached.",
            cause=f"{type(error).__name__} {code}".strip(),
        ) from error


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _prefixes(page: Any) -> list[str]:
    return [one["Prefix"] for one in page.get("CommonPrefixes", ())]


def _clock(answer: Any) -> datetime:
    return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
