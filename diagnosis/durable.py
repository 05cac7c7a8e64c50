"""Folders and files that are there whole or not at all, whenever the process is killed."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

#: What is being written, and what a killed writer leaves behind, begins with this.
INCOMING = ".incoming-"


@contextmanager
def exclusive(lock: Path) -> Iterator[None]:
    """Hold a lock that ends with the process at the latest; waits for whoever holds it.

    Raises:
        OSError: the lock's file cannot be made.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove what a killed writer left in `folder`; its lock must be held."""
    for left in folder.glob(f"{INCOMING}*"):
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink()


def put_folder(parent: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write `files` (by relative name, at most one folder deep) as the new folder `parent/name`.

    All of it is on the disk before the folder gets its name.

    Raises:
        OSError: the disk is full or not writable, or the name is taken; nothing is left then.
    """
    incoming = parent / f"{INCOMING}{uuid4().hex}"
    try:
        incoming.mkdir()
        for relative, content in files.items():
            path = incoming / relative
            path.parent.mkdir(exist_ok=True)
            _write(path, content)
        for inner in {(incoming / relative).parent for relative in files} | {incoming}:
            sync(inner)
        incoming.rename(parent / name)
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    sync(parent)


def replace_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a file in one step: readers see the old or the new one.

    Args:
        path: the file.
        content: all of it.
        private: whether only its owner may read it, from the first byte on.

    Raises:
        OSError: the disk is full or not writable; the old file is untouched then.
    """
    incoming = path.with_name(f"{INCOMING}{uuid4().hex}")
    try:
        _write(incoming, content, 0o600 if private else 0o666)
        incoming.replace(path)
    except BaseException:
        incoming.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _write(path: Path, content: bytes, mode: int = 0o666) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk.

    Raises:
        OSError: it is not there, or the disk fails.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
