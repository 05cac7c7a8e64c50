"""The audit trail: events in append-only files, each record chained to the one before by its hash.

A folder holds one file a month, by the day a record was written:

    audit-2026-11.jsonl     one record a line
    heads.jsonl             signed heads, see `gateway.chain_heads`
    lock                    held by the one process that writes
    torn                    what a kill left of a line that was never finished

A record is canonical JSON: `seq` (1, 2, 3 …), `stream` (the id that Redis gave the event), `event`
(null where the entry could not be read), `previous` (hash of the record before) and `hash`:
SHA-256 over `previous` and the canonical JSON of `seq`, `stream` and `event`.

Nothing is ever rewritten. Who changes, drops or moves a record has to change every later hash, and
then the signed heads do not fit.
"""

import fcntl
import hashlib
import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from diagnosis.audit import Received
from diagnosis.durable import sync

#: What the first record is chained to.
BEGINNING = "0" * 64


class ChainHeld(Exception):
    """Another process writes this audit trail; there may be one only."""


class ChainDamaged(Exception):
    """The end of the audit trail cannot be read, so nothing can be chained to it."""


@dataclass(frozen=True)
class Record:
    """One event in the chain. The event is plain JSON, so that records of another version of
    `AuditEvent` keep their hashes."""

    seq: int
    stream: str
    event: Mapping[str, Any] | None
    previous: str
    hash: str

    @classmethod
    def after(cls, last: "Record | None", entry: Received) -> Self:
        """The record of an entry, chained to the last one."""
        seq = 1 if last is None else last.seq + 1
        previous = BEGINNING if last is None else last.hash
        event = None if entry.event is None else entry.event.model_dump(mode="json")
        digest = _digest(previous, seq, entry.stream_id, event)
        return cls(seq=seq, stream=entry.stream_id, event=event, previous=previous, hash=digest)

    def expected_hash(self) -> str:
        """What `hash` has to be for this content."""
        return _digest(self.previous, self.seq, self.stream, self.event)

    def line(self) -> bytes:
        """The record as its file holds it, without the line's end."""
        return canonical(vars(self))


def canonical(value: Any) -> bytes:
    """The one way to write a value as JSON: sorted keys, no space, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def read_record(line: bytes) -> Record | None:
    """The record of a line; None where the line is not exactly what `Record.line` writes."""
    try:
        content = json.loads(line)
        record = Record(**content)
    except (ValueError, TypeError, RecursionError):
        return None
    fits = (
        type(record.seq) is int
        and isinstance(record.stream, str)
        and isinstance(record.event, dict | None)
        and isinstance(record.previous, str)
        and isinstance(record.hash, str)
    )
    return record if fits and canonical(content) == line else None


def files_of(folder: Path) -> list[Path]:
    """The files that hold records, oldest first."""
    return sorted(folder.glob("audit-[0-9][0-9][0-9][0-9]-[0-9][0-9].jsonl"))


class Chain:
    """The one writer of an audit trail; see `open`.

    Not for several threads.
    """

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self.last: Record | None = None

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Hold the audit trail of a folder, which is made where it is missing.

        A line that a kill left unfinished is moved to the file `torn`: its event was never taken
        out of the stream, and comes again.

        Raises:
            ChainHeld: another process has it.
            ChainDamaged: its last record is not one.
            OSError: the folder cannot be read or written.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            chain = cls(folder, lock)
            chain.mend()
        except BlockingIOError:
            os.close(lock)
            raise ChainHeld(f"Another process writes the audit trail in {folder}.") from None
        except BaseException:
            os.close(lock)
            raise
        return chain

    def close(self) -> None:
        """Let another process write."""
        os.close(self._lock)

    def append(self, entries: Sequence[Received], at: datetime) -> int:
        """Chain entries and write them; when this returns, they are on the disk.

        An entry that is in the chain already is left out, so that one which is given twice is
        written once.

        Args:
            entries: in the order of the stream.
            at: now; names the file.

        Returns:
            How many were written.

        Raises:
            OSError: nothing was written (the disk is full, for example).
        """
        records: list[Record] = []
        last = self.last
        for entry in entries:
            if not self._holds(entry.stream_id):
                last = Record.after(last, entry)
                records.append(last)
        if records:
            self._write(b"".join(one.line() + b"\n" for one in records), at)
            self.last = last
        return len(records)

    def _write(self, content: bytes, at: datetime) -> None:
        path = self.folder / f"audit-{at:%Y-%m}.jsonl"
        files = files_of(self.folder)
        if files and files[-1] > path:
            # The clock was set back: records stay in the order that they were written in.
            path = files[-1]
        new = not path.exists()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        if new:
            sync(self.folder)

    def _holds(self, stream_id: str) -> bool:
        """Whether an entry is in the chain. Ids rise, so mostly a look at the last one tells; an
        older one may be of a kill, of a restored Redis, or of a clock that was set back."""
        if self.last is None or _order(stream_id) > _order(self.last.stream):
            return False
        wanted = canonical({"stream": stream_id})[1:-1]
        return any(_contains(path, wanted) for path in reversed(files_of(self.folder)))

    def mend(self) -> None:
        """Find the last record, and finish or put aside a line that was not finished.

        Raises:
            ChainDamaged: the last record is not one.
            OSError: the folder cannot be read or written.
        """
        for path in reversed(files_of(self.folder)):
            if path.stat().st_size:
                self._mend_end(path)
            line = next(lines_backwards(path), None)
            # What a killed writer wrote may not be on the disk yet, and is not written again.
            sync(path)
            if line is not None:
                self.last = read_record(line)
                if self.last is None:
                    raise ChainDamaged(
                        f"The last record in {path.name} is damaged; `gateway audit verify` says"
                        " what else is. Move the folder away to begin a new trail, and keep it."
                    )
                break
        sync(self.folder)

    def _mend_end(self, path: Path) -> None:
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
            end = content.rfind(b"\n") + 1
            tail = content[end:]
        if not tail:
            return
        if read_record(tail) is not None:
            with path.open("ab") as unfinished:
                unfinished.write(b"\n")
            return
        with (self.folder / "torn").open("ab") as torn:
            torn.write(tail + b"\n")
        os.truncate(path, end)


def lines_backwards(path: Path) -> Iterator[bytes]:
    """The finished lines of a file, last first, without their ends."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            end = content.rfind(b"\n")
            while end >= 0:
                start = content.rfind(b"\n", 0, end) + 1
                yield content[start:end]
                end = start - 1


def lines_forwards(path: Path) -> Iterator[bytes]:
    """Every line of a file, the ends included; an unfinished one has none."""
    with path.open("rb") as file:
        yield from file


def _digest(previous: str, seq: int, stream: str, event: Mapping[str, Any] | None) -> str:
    content = {"seq": seq, "stream": stream, "event": event}
    return hashlib.sha256(previous.encode() + canonical(content)).hexdigest()


def _order(stream_id: str) -> tuple[int, int]:
    milliseconds, _, number = stream_id.partition("-")
    return int(milliseconds), int(number)


def _contains(path: Path, wanted: bytes) -> bool:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return False
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(wanted) >= 0
