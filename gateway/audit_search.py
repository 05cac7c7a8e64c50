"""Finds records of the audit trail: by who, what, on what and when; newest first, page by page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from gateway.chain import Record, canonical, files_of, lines_backwards, read_record

#: How much later than its event a record may have been written and still be looked for: an
#: event waits in the stream while the chainer is away, never in the other direction.
_CLOCKS_APART = timedelta(days=1)

_MONTH = re.compile(r"audit-(\d{4})-(\d{2})\.jsonl")


@dataclass(frozen=True)
class Query:
    """What is looked for; None means any."""

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    since: datetime | None = None
    """The first moment; with its zone."""
    until: datetime | None = None
    """The first moment after the last."""

    def marks(self) -> tuple[bytes, ...]:
        """What every line that fits has in it; far quicker to look for than to read the line."""
        wanted = {"actor": self.actor, "action": self.action, "object": self.object}
        return tuple(
            canonical({name: value})[1:-1] for name, value in wanted.items() if value is not None
        )

    def fits(self, record: Record) -> bool:
        """Whether a record is one of those. One without an event fits only where any would."""
        event = record.event
        if event is None:
            return self == Query()
        wanted = {"actor": self.actor, "action": self.action, "object": self.object}
        if any(value is not None and event.get(name) != value for name, value in wanted.items()):
            return False
        if self.since is None and self.until is None:
            return True
        at = datetime.fromisoformat(str(event["at"]))
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def search(
    folder: Path, query: Query, *, before: int | None = None, limit: int
) -> tuple[tuple[Record, ...], int | None]:
    """A page of records, newest first.

    Args:
        folder: of the trail.
        query: what is looked for.
        before: what the page before gave; None for the first page.
        limit: records on the page.

    Returns:
        The records, and `before` of the next page: None when there is none.

    Raises:
        OSError: the folder cannot be read.
    """
    found: list[Record] = []
    for record in newest_first(folder, query, before=before):
        if len(found) == limit:
            return tuple(found), found[-1].seq
        found.append(record)
    return tuple(found), None


def newest_first(folder: Path, query: Query, *, before: int | None = None) -> Iterator[Record]:
    """The records that fit, last first. A damaged line is left out: `verify` tells of it."""
    marks = query.marks()
    for path in reversed(files_of(folder)):
        if query.since is not None and _end_of(path) + _CLOCKS_APART < query.since:
            return
        for line in lines_backwards(path):
            if not all(mark in line for mark in marks):
                continue
            record = read_record(line)
            if (
                record is not None
                and (before is None or record.seq < before)
                and query.fits(record)
            ):
                yield record


def oldest_first(folder: Path, query: Query, last: int) -> Iterator[Record]:
    """The records that fit, in the order of the chain, up to the one with the number `last`."""
    for path in files_of(folder):
        if query.since is not None and _end_of(path) + _CLOCKS_APART < query.since:
            continue
        with path.open("rb") as lines:
            for line in lines:
                record = read_record(line.removesuffix(b"\n"))
                if record is not None and record.seq > last:
                    return
                if record is not None and query.fits(record):
                    yield record


def _end_of(path: Path) -> datetime:
    """The first moment after the month of a file."""
    match = _MONTH.fullmatch(path.name)
    assert match is not None, "named by files_of"
    year, month = int(match[1]), int(match[2])
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)
