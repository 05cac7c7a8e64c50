"""`RUN.partial`: what an unfinished run leaves on the disk, so that the same command goes on.

It holds the request's digest, the checkpoints of each fit, and the candidate while it is written.
The run's own folder appears when it is whole; then the work folder goes.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diagnosis.durable import replace_file
from trainer.checkpoints import Checkpoints
from trainer.refusals import TrainerRefused

SUFFIX = ".partial"
_REQUEST = "request.json"
_CANDIDATE = "candidate"


class Workplace:
    """The work folder of a run that becomes `out`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out.with_name(out.name + SUFFIX)

    def checkpoints(self, fit: str) -> Checkpoints:
        """The checkpoints of one of the run's fits."""
        return Checkpoints(self.folder / "fits" / fit)

    @property
    def has_checkpoints(self) -> bool:
        """Whether there is anything to go on from."""
        return any(self.folder.glob("fits/*/*.npz"))

    def finish(self, write: Callable[[Path], None]) -> None:
        """Have the run's folder written, put it in its place and remove the work folder.

        Raises:
            TrainerRefused: the place was taken meanwhile.
        """
        draft = self.folder / _CANDIDATE
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        write(draft)
        if self.out.exists():
            raise TrainerRefused(f"{self.out} appeared meanwhile; the result is in {draft}.")
        draft.rename(self.out)
        shutil.rmtree(self.folder, ignore_errors=True)


def digest_of_request(facts: Mapping[str, Any]) -> str:
    """What tells one request from another: SHA-256 of everything that changes its result."""
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@contextmanager
def workplace(out: Path, digest: str, *, resume: bool = False) -> Iterator[Workplace]:
    """The work folder of a request; an unfinished one of the same request is taken up.

    Args:
        out: the run's folder. Its work folder lies beside it.
        digest: of the request.
        resume: insist on going on. Then an unfinished run of the same request is looked for among
            the neighbours of `out` too, and its name is kept.

    Raises:
        TrainerRefused: `out` or its work folder belongs to another request, another process works
            there, or there is nothing to go on from.
    """
    place = Workplace(out)
    if resume and _digest_in(place.folder) != digest:
        unfinished = [
            one for one in sorted(out.parent.glob(f"*{SUFFIX}")) if _digest_in(one) == digest
        ]
        if not unfinished:
            raise TrainerRefused(
                f"There is no unfinished run of this request in {out.parent}; leave --resume out. "
                "Other settings, images or seeds make it another request."
            )
        place = Workplace(unfinished[-1].with_name(unfinished[-1].name.removesuffix(SUFFIX)))
    if place.out.exists():
        raise TrainerRefused(f"{place.out} exists already; name another folder with --out.")
    known = _digest_in(place.folder)
    if known not in (None, digest):
        raise TrainerRefused(
            f"{place.folder} is an unfinished run of another request (other settings, images or "
            "seed): name another --out, or remove it."
        )
    place.folder.mkdir(parents=True, exist_ok=True)
    with alone(place.folder):
        try:
            if known is None:
                content = json.dumps({"digest": digest}, indent=1)
                replace_file(place.folder / _REQUEST, content.encode())
            yield place
        except BaseException:
            # What was refused before it began leaves nothing behind.
            if not place.has_checkpoints:
                shutil.rmtree(place.folder, ignore_errors=True)
            raise


def _digest_in(folder: Path) -> str | None:
    """The digest of the request that a work folder belongs to; None where there is no folder.

    A folder without one was left by a process that was killed before its first line.
    """
    try:
        return str(json.loads((folder / _REQUEST).read_text())["digest"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return "unreadable"


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder, which ends with the process at the latest.

    Raises:
        TrainerRefused: another process holds it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise TrainerRefused(f"Another process works in {path}; wait for it.") from error
    finally:
        os.close(descriptor)
