"""A backup of a run folder: one file, taken while Sightline runs or while it does not.

The file is a tar of what cannot be made anew, and its last member says what each of the others has
to be: size and SHA-256. Private keys and pictures of patients are in it, so only its owner may
read it, as with the run folder itself.

What is in it belongs to one moment at which nothing was written to Redis. Every reading that was
acknowledged before is in the append-only file by then, because Redis syncs that before it answers;
images are there before their readings, and are copied after. Files of batches that wait to be read
are deleted once they are, so they are held by a second name (a hard link) at that very moment.
"""

import hashlib
import json
import os
import re
import shutil
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, cast
from uuid import uuid4

from diagnosis.durable import INCOMING, exclusive, sweep, sync
from gateway.stack import Places

#: The last member of a backup: what every other one has to be.
CONTENTS = "contents.json"
FORMAT = 1

_APPEND_ONLY = "redis/appendonlydir"
_AOF_MANIFEST = f"{_APPEND_ONLY}/appendonly.aof.manifest"
_IMAGES, _SPOOL = "images", "images/spool"
#: Files and folders of the run folder that a backup holds, beside Redis' append-only file.
_PARTS = (
    "redis/users.acl",
    "patient_reference.key",
    "identity",
    "tls",
    "registry",
    _IMAGES,
)
_AUDIT = "audit"
#: What is being written, and locks, which are nobody's data.
_LEFT_OUT = re.compile(rf"\.?lock|incoming|{re.escape(INCOMING)}.*")
#: Below `images`: files that wait, which are taken in another way, and archives on their way in.
_NOT_IMAGES = ("spool", "archives")

_CHUNK = 1 << 20
_MOST_CONTENTS = 1 << 30
#: How long a moment without a write to Redis is looked for.
_STILL_SECONDS = 60.0


class BackupFailed(Exception):
    """The backup was not made, or not restored. The text is a sentence that says why."""


@dataclass(frozen=True)
class Kept:
    """What a backup holds, or what was restored of it."""

    files: int
    size: int
    """Bytes of those files."""
    digest: str
    """SHA-256 of the backup as a whole, in hexadecimal digits."""


@dataclass(frozen=True)
class _Cut:
    """A file that others add to, and how much of it belongs to the moment."""

    name: str
    file: IO[bytes]
    size: int


def back_up(places: Places, to: Path) -> Kept:
    """Write a backup of a run folder.

    Args:
        places: of the stack, which may be running.
        to: the new file; readable by its owner alone.

    Raises:
        BackupFailed: there is such a file, there is nothing to back up, the disk is full, or Redis
            was never quiet. Nothing is left then.
    """
    if to.exists():
        raise BackupFailed(f"{to} exists; a backup never replaces a file.")
    if not (places.run_dir / _AOF_MANIFEST).is_file():
        raise BackupFailed(f"{places.run_dir} holds no data of Sightline's.")
    incoming = to.with_name(f"{INCOMING}{uuid4().hex}")
    try:
        with ExitStack() as opened:
            opened.enter_context(exclusive(places.run_dir / "backup.lock"))
            held = opened.enter_context(_holding(places.images))
            cuts = _at_one_moment(places, opened, held)
            with _private(incoming) as file:
                kept = _write(places, cuts, held, _Hashing(file))
                file.flush()
                os.fsync(file.fileno())
        # Unlike a rename, a link never replaces what somebody wrote there meanwhile.
        os.link(incoming, to)
        sync(to.parent)
    except FileExistsError:
        raise BackupFailed(f"{to} exists; a backup never replaces a file.") from None
    except OSError as error:
        raise BackupFailed(f"The backup could not be written: {error.strerror}.") from error
    finally:
        incoming.unlink(missing_ok=True)
    return kept


def restore(backup: Path, places: Places) -> Kept:
    """Make a run folder of a backup.

    Args:
        backup: what `back_up` wrote.
        places: of a run folder that is not there yet, or is empty.

    Raises:
        BackupFailed: the folder holds something, the backup is damaged or not whole, or the disk
            is full. Nothing is left then.
    """
    target = places.run_dir
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupFailed(f"{target} is not empty; a backup is restored into a new folder only.")
    target.parent.mkdir(parents=True, exist_ok=True)
    incoming = target.with_name(f"{INCOMING}{uuid4().hex}")
    try:
        incoming.mkdir(mode=0o700)
        with backup.open("rb") as file:
            reading = _Hashing(file)
            kept = _unpack(reading, incoming)
        _sync_all(incoming)
        # Over an empty folder this succeeds, over one that has something since it does not.
        incoming.rename(target)
        sync(target.parent)
    except (OSError, tarfile.TarError, ValueError, KeyError) as error:
        raise BackupFailed(_why_not_restored(error, backup)) from error
    finally:
        shutil.rmtree(incoming, ignore_errors=True)
    return kept


def _why_not_restored(error: Exception, backup: Path) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"The backup could not be restored: {error.strerror}."
    return f"{backup} is damaged or is no backup of Sightline's; nothing was restored."


class _Held:
    """Files that wait to be read, under a second name each, so that they stay."""

    def __init__(self, spool: Path, folder: Path) -> None:
        self._spool, self.folder = spool, folder
        self._linked: set[str] = set()
        #: Those that were there when last looked.
        self.names: list[str] = []

    def look(self) -> None:
        """Hold what is there now."""
        there = [path for path in self._spool.glob("??/*") if path.is_file()]
        for path in there:
            if path.name not in self._linked:
                with suppress(FileNotFoundError):
                    os.link(path, self.folder / path.name)
                    self._linked.add(path.name)
        self.names = sorted(path.name for path in there if path.name in self._linked)


@contextmanager
def _holding(images: Path) -> Iterator[_Held]:
    """A folder for second names; what a killed backup left of one is removed first."""
    images.mkdir(mode=0o700, exist_ok=True)
    sweep(images)
    folder = images / f"{INCOMING}{uuid4().hex}"
    folder.mkdir(mode=0o700)
    try:
        yield _Held(images / "spool", folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _at_one_moment(places: Places, opened: ExitStack, held: _Held) -> list[_Cut]:
    """Open what grows, and see how far it goes at a moment in which Redis wrote nothing."""
    root = places.run_dir
    until = time.monotonic() + _STILL_SECONDS
    while time.monotonic() < until:
        with ExitStack() as attempt:
            before = _redis_files(root, attempt)
            if before is not None:
                held.look()
                # What Redis gives away (events, for the audit trail) is there by then.
                trail = [_cut(root, name, attempt) for name in _names(root, _AUDIT)]
                if _unchanged(root, before):
                    opened.enter_context(attempt.pop_all())
                    return [*before, *trail]
        time.sleep(0.001)
    raise BackupFailed("Redis was written to all the time; try again when there is less to do.")


def _redis_files(root: Path, opened: ExitStack) -> list[_Cut] | None:
    """The files of Redis' append-only file; None while Redis replaces them."""
    try:
        manifest = (root / _AOF_MANIFEST).read_bytes()
        # Each line: file NAME seq N type T.
        names = [line.split()[1].decode() for line in manifest.splitlines() if line.strip()]
        cuts = [_cut(root, f"{_APPEND_ONLY}/{name}", opened) for name in names]
    except FileNotFoundError:
        return None
    return [*cuts, _Cut(_AOF_MANIFEST, BytesIO(manifest), len(manifest))]


def _unchanged(root: Path, before: list[_Cut]) -> bool:
    *files, manifest = before
    return (root / _AOF_MANIFEST).read_bytes() == manifest.file.read() and all(
        os.fstat(one.file.fileno()).st_size == one.size for one in files
    )


def _cut(root: Path, name: str, opened: ExitStack) -> _Cut:
    file = opened.enter_context((root / name).open("rb"))
    return _Cut(name, file, os.fstat(file.fileno()).st_size)


def _names(root: Path, part: str) -> Iterator[str]:
    """The files of a part by their names from the run folder, those that say what is live first."""
    path = root / part
    if path.is_file() and not path.is_symlink():
        yield part
    folders = []
    for entry in sorted(os.scandir(path), key=lambda of: of.name) if path.is_dir() else ():
        if _LEFT_OUT.fullmatch(entry.name) or (part == _IMAGES and entry.name in _NOT_IMAGES):
            continue
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        elif entry.is_file(follow_symlinks=False):
            yield f"{part}/{entry.name}"
    for name in folders:
        yield from _names(root, f"{part}/{name}")


def _write(places: Places, cuts: list[_Cut], held: _Held, file: "_Hashing") -> Kept:
    contents: dict[str, dict[str, object]] = {}
    with tarfile.open(
        fileobj=cast("IO[bytes]", file), mode="w|", format=tarfile.PAX_FORMAT
    ) as archive:

        def add(name: str, source: IO[bytes], size: int, modified: float) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = size, 0o600, modified
            part = _Hashing(source)
            archive.addfile(member, cast("IO[bytes]", part))
            contents[name] = {"bytes": size, "sha256": part.digest}

        for cut in cuts:
            cut.file.seek(0)
            add(cut.name, cut.file, cut.size, time.time())
        waiting = [(f"{_SPOOL}/{one[:2]}/{one}", held.folder / one) for one in held.names]
        kept = [
            (name, places.run_dir / name)
            for part in _PARTS
            for name in _names(places.run_dir, part)
        ]
        for name, path in (*waiting, *kept):
            try:
                source = path.open("rb")
            except FileNotFoundError:
                # Deleted since, and so is what spoke of it.
                continue
            with source:
                status = os.fstat(source.fileno())
                # The time that an image was put at decides how long it is kept.
                add(name, source, status.st_size, status.st_mtime)
        said = {"format": FORMAT, "made_at": datetime.now(UTC).isoformat(), "files": contents}
        data = json.dumps(said, indent=1).encode()
        member = tarfile.TarInfo(CONTENTS)
        member.size, member.mode = len(data), 0o600
        archive.addfile(member, BytesIO(data))
    return Kept(len(contents), _total(contents), file.digest)


def _unpack(file: "_Hashing", into: Path) -> Kept:
    found: dict[str, dict[str, object]] = {}
    said = None
    with tarfile.open(fileobj=cast("IO[bytes]", file), mode="r|") as archive:
        for member in archive:
            source = archive.extractfile(member) if member.isreg() else None
            if source is None or said is not None:
                raise ValueError("a member that no backup has")
            if member.name == CONTENTS:
                said = json.loads(source.read(_MOST_CONTENTS))
                continue
            path = into / _checked(member.name)
            for folder in reversed(path.parents[: len(PurePosixPath(member.name).parts) - 1]):
                folder.mkdir(mode=0o700, exist_ok=True)
            part = _Hashing(source)
            with _private(path) as target:
                shutil.copyfileobj(part, target, _CHUNK)
            os.utime(path, (member.mtime, member.mtime))
            found[member.name] = {"bytes": member.size, "sha256": part.digest}
    while file.read(_CHUNK):
        pass
    if said is None or said["format"] != FORMAT or said["files"] != found:
        raise ValueError("not what it says it holds")
    return Kept(len(found), _total(found), file.digest)


def _checked(name: str) -> PurePosixPath:
    """The name of a member, if it is one that a backup may have."""
    path = PurePosixPath(name)
    known = (_APPEND_ONLY, _AUDIT, *_PARTS)
    if (
        path.is_absolute()
        or any(part in ("..", "") for part in name.split("/"))
        or not any(name == one or name.startswith(f"{one}/") for one in known)
    ):
        raise ValueError("a name that no backup has")
    return path


def _total(contents: dict[str, dict[str, object]]) -> int:
    return sum(int(str(one["bytes"])) for one in contents.values())


def _private(path: Path) -> IO[bytes]:
    """A new file for its owner's eyes only, from the first byte on."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def _sync_all(folder: Path) -> None:
    """After everything was written and not file by file: then one waits for most of them."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


class _Hashing:
    """A file that is read or written from one end to the other, and the digest of what passed."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        return self._file.write(data)
