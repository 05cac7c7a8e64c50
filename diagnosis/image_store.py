"""Where the images of readings are kept: checked, de-identified bytes under their digest."""

import fcntl
import hashlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from diagnosis.durable import sync
from diagnosis.errors import StoreUnavailable

#: Seconds since the epoch.
Clock = Callable[[], float]

#: The unit that everybody is of until there are more.
FIRST_UNIT = "default"

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_HEX = re.compile(r"[0-9a-f]{64}")
#: A write takes well under a second; a temporary file this old belongs to a dead process.
_ABANDONED_AFTER = 3600.0
_INCOMING = "incoming"


def kept_as(unit: str, digest: str) -> str:
    """The name that a unit's readings keep an image under.

    Each unit keeps its own copy, so that deleting one unit's reading never takes another's image.
    The first unit's name is the image's own digest, as it was before there were more.
    """
    if unit == FIRST_UNIT:
        return digest
    return f"sha256:{hashlib.sha256(f'{unit}/{digest}'.encode()).hexdigest()}"


def spooled_as(unit: str, batch: str, number: int, digest: str) -> str:
    """The name that a file of a batch is kept under until it is read.

    Each file has its own, so that one that was read takes no other's bytes; and of two files that
    are sent under one number, none replaces the other.
    """
    whole = f"{unit}/{batch}/{number}/{digest}"
    return f"sha256:{hashlib.sha256(whole.encode()).hexdigest()}"


class ImageStore(Protocol):
    """Keeps images by digest; safe to call from many threads.

    Every method raises `StoreUnavailable` where the store cannot be reached or written, and
    ValueError for a name that is not `sha256:` and 64 lower-case hexadecimal digits.
    """

    def put(self, digest: str, data: bytes) -> bool:
        """Keep `data` durably before returning; True where it was not there.

        A digest that is there has its time renewed.
        """

    def put_many(self, images: Mapping[str, bytes]) -> frozenset[str]:
        """As `put` for each; those that were not there. Where it raises, some may be kept."""

    def get(self, digest: str) -> bytes | None:
        """The bytes, or None where there are none under this digest."""

    def delete(self, digest: str) -> bool:
        """Remove an image; True where there was one."""

    def delete_many(self, digests: Iterable[str], *, durably: bool = True) -> None:
        """As `delete` for each. Where it raises, some may be gone; where they need not be gone
        `durably`, a power failure just after it may bring some back until they are swept."""

    def sweep(self, older_than: timedelta) -> int:
        """Remove the images last put longer ago than `older_than`; how many there were."""


class MemoryImageStore:
    """Images in this process's memory: for tests, and for trying things out."""

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._images: dict[str, tuple[float, bytes]] = {}

    def put(self, digest: str, data: bytes) -> bool:
        """See `ImageStore.put`."""
        name = digits_of(digest)
        with self._lock:
            new = name not in self._images
            self._images[name] = (self._clock(), bytes(data))
        return new

    def put_many(self, images: Mapping[str, bytes]) -> frozenset[str]:
        """See `ImageStore.put_many`."""
        return frozenset(digest for digest, data in images.items() if self.put(digest, data))

    def get(self, digest: str) -> bytes | None:
        """See `ImageStore.get`."""
        with self._lock:
            kept = self._images.get(digits_of(digest))
        return None if kept is None else kept[1]

    def delete(self, digest: str) -> bool:
        """See `ImageStore.delete`."""
        with self._lock:
            return self._images.pop(digits_of(digest), None) is not None

    def delete_many(self, digests: Iterable[str], *, durably: bool = True) -> None:  # noqa: ARG002
        """See `ImageStore.delete_many`."""
        for digest in digests:
            self.delete(digest)

    def sweep(self, older_than: timedelta) -> int:
        """See `ImageStore.sweep`."""
        limit = self._clock() - older_than.total_seconds()
        with self._lock:
            old = [name for name, (at, _) in self._images.items() if at < limit]
            for name in old:
                del self._images[name]
        return len(old)


class FolderImageStore:
    """Images as files `<root>/<first two digits>/<64 digits>`, shared by any number of processes.

    A file appears whole or not at all: it is written and synced under `<root>/incoming/`, then
    renamed. Its modification time is when it was last put.

    Args:
        root: made when the first image comes.
        clock: for tests.
    """

    def __init__(self, root: Path, *, clock: Clock = time.time) -> None:
        self._root = root
        self._clock = clock

    def put(self, digest: str, data: bytes) -> bool:
        """See `ImageStore.put`."""
        return bool(self.put_many({digest: data}))

    def put_many(self, images: Mapping[str, bytes]) -> frozenset[str]:
        """See `ImageStore.put_many`. Together they go to the disk in about the time of one."""
        paths = {digest: self._path(digest) for digest in images}
        with _as_store_errors(), self._locked(fcntl.LOCK_SH):
            new = [digest for digest, path in paths.items() if not self._renew(path)]
            if new:
                self._write([(paths[digest], images[digest]) for digest in new])
        return frozenset(new)

    def get(self, digest: str) -> bytes | None:
        """See `ImageStore.get`."""
        path = self._path(digest)
        with _as_store_errors():
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def delete(self, digest: str) -> bool:
        """See `ImageStore.delete`."""
        return bool(self._deleted([digest], durably=True))

    def delete_many(self, digests: Iterable[str], *, durably: bool = True) -> None:
        """See `ImageStore.delete_many`."""
        self._deleted(digests, durably=durably)

    def _deleted(self, digests: Iterable[str], *, durably: bool) -> list[Path]:
        """Those that were there."""
        gone = []
        with _as_store_errors():
            for path in map(self._path, digests):
                with suppress(FileNotFoundError):
                    path.unlink()
                    gone.append(path)
            for folder in {path.parent for path in gone if durably}:
                sync(folder)
        return gone

    def sweep(self, older_than: timedelta) -> int:
        """See `ImageStore.sweep`; removes what dead writers left behind as well."""
        limit = self._clock() - older_than.total_seconds()
        with _as_store_errors():
            if not self._root.is_dir():
                return 0
            swept = sum(self._unlink_if_older(path, limit) for path in self._images())
            for path in (self._root / _INCOMING).glob("*"):
                self._unlink_if_older(path, self._clock() - _ABANDONED_AFTER)
        return swept

    def _path(self, digest: str) -> Path:
        name = digits_of(digest)
        return self._root / name[:2] / name

    def _images(self) -> Iterator[Path]:
        for folder in self._root.iterdir():
            if len(folder.name) == 2 and folder.is_dir():
                yield from (path for path in folder.iterdir() if is_digits(path.name))

    def _renew(self, path: Path) -> bool:
        """Give an image that is there the present time; False where it is not."""
        now = self._clock()
        try:
            os.utime(path, (now, now))
        except FileNotFoundError:
            return False
        return True

    def _write(self, files: Sequence[tuple[Path, bytes]]) -> None:
        """Write files that are not there. All are written before the first is brought to the disk:
        a file system then does it in one go."""
        incoming = self._root / _INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        folders = {path.parent for path, _ in files}
        if not all(folder.is_dir() for folder in folders):
            # All at once: to bring a new one to the disk takes longer than an image.
            for number in range(256):
                (self._root / f"{number:02x}").mkdir(exist_ok=True)
            sync(self._root)
        written: list[tuple[Path, Path]] = []
        try:
            with ExitStack() as opened:
                handles = []
                for path, data in files:
                    handle, name = tempfile.mkstemp(dir=incoming)
                    written.append((Path(name), path))
                    file = opened.enter_context(os.fdopen(handle, "wb"))
                    handles.append(handle)
                    file.write(data)
                    file.flush()
                    os.utime(handle, (self._clock(), self._clock()))
                for handle in handles:
                    os.fsync(handle)
            for temporary, path in written:
                temporary.replace(path)
        except BaseException:
            for temporary, _ in written:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
            raise
        for folder in folders:
            sync(folder)

    def _unlink_if_older(self, path: Path, limit: float) -> bool:
        """Remove one file, unless it was put again since it was listed."""
        try:
            if path.stat().st_mtime >= limit:
                return False
            # Exclusive, and only for this file: nobody renews it between the look and the removal,
            # and nobody waits for the whole sweep.
            with self._locked(fcntl.LOCK_EX):
                if path.stat().st_mtime >= limit:
                    return False
                path.unlink()
        except FileNotFoundError:
            return False
        return True

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        self._root.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, kind)
            yield
        finally:
            os.close(handle)


def digits_of(digest: str) -> str:
    """The digits of a digest.

    Raises:
        ValueError: it is not one; so no name ever leads out of the store.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ValueError("not a SHA-256 digest")
    return match[1]


def is_digits(name: str) -> bool:
    """Whether a name is the digits of a digest."""
    return _HEX.fullmatch(name) is not None


@contextmanager
def _as_store_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(cause=f"image store: {type(error).__name__}") from error
