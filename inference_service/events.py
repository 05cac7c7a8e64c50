"""New readings of a unit, told to pages that are open: server-sent events.

Redis is asked every second, so that readings of other processes are told too; what this process
reads is told at once. Ids sort by the time at which a reading was begun, and one that was begun
earlier may be stored later: so the last seconds are always asked for again. The id of a batch's
reading is as old as its file's acceptance; how far a batch is its own stream tells
(`routes.batches`).
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID

from diagnosis.errors import Overloaded, StoreUnavailable
from diagnosis.results import ResultStore

#: Streams at once in this process.
MOST_STREAMS = 500
#: How long after a lost stream a browser comes again.
RETRY_MS = 3000
HEARTBEAT_SECONDS = 15.0

_ASK_SECONDS = 1.0
_AT_ONCE = 100
#: How much later than a younger one a reading may be stored.
_OVERLAP_MS = 3000


class Events:
    """Streams of new readings.

    Args:
        results: where readings are kept.
        seconds: after which a stream ends by itself; whoever may not look any more is out by then.
    """

    def __init__(self, results: ResultStore, seconds: float) -> None:
        self._results = results
        self._seconds = seconds
        self._open: set[asyncio.Event] = set()
        self.closing = False

    def announce(self) -> None:
        """A reading was kept here: ask the store now."""
        for waiting in self._open:
            waiting.set()

    def close(self) -> None:
        """End all streams, and begin none; a server waits for them when it stops."""
        self.closing = True
        self.announce()

    def check(self) -> None:
        """Raise Overloaded where no further stream is taken."""
        if self.closing or len(self._open) >= MOST_STREAMS:
            raise Overloaded("Too many pages wait for new readings at the moment.")

    async def stream(self, unit: str, after: UUID | None) -> AsyncIterator[str]:
        """The text of a stream.

        Args:
            unit: whose readings.
            after: the last one that the page knows of; None: from now on.
        """
        with self.waiting() as waiting:
            try:
                async for text in self._told(unit, after, waiting):
                    yield text
            except StoreUnavailable:
                # The browser comes again, and begins where it was.
                return

    @contextmanager
    def waiting(self) -> Iterator[asyncio.Event]:
        """What is set when there may be news; a stream that holds one is counted."""
        waiting = asyncio.Event()
        self._open.add(waiting)
        try:
            yield waiting
        finally:
            self._open.discard(waiting)

    async def _told(
        self, unit: str, after: UUID | None, waiting: asyncio.Event
    ) -> AsyncIterator[str]:
        ends = time.monotonic() + self._seconds
        newest = after or await self._newest(unit)
        # An id without data is no event; the browser sends it when it comes again.
        yield f"retry: {RETRY_MS}\nid: {newest}\n\n"
        known = {one async for one, _ in self._since(unit, _earlier(newest)) if one <= newest}
        beat = time.monotonic() + HEARTBEAT_SECONDS
        while not self.closing and time.monotonic() < ends:
            waiting.clear()
            found = [one async for one in self._since(unit, _earlier(newest))]
            for one, disease in found:
                if one not in known:
                    newest = max(newest, one)
                    data = json.dumps({"id": str(one), "disease": disease})
                    yield f"id: {newest}\nevent: prediction\ndata: {data}\n\n"
            known = {one for one, _ in found}
            if time.monotonic() >= beat:
                beat += HEARTBEAT_SECONDS
                yield ": still here\n\n"
            pause = min(_ASK_SECONDS, max(ends - time.monotonic(), 0.0))
            try:
                async with asyncio.timeout(pause):
                    await waiting.wait()
            except TimeoutError:
                pass

    async def _newest(self, unit: str) -> UUID:
        items, _ = await self._results.list(unit, limit=1)
        return items[0].id if items else UUID(int=0)

    async def _since(self, unit: str, after: UUID) -> AsyncIterator[tuple[UUID, str]]:
        while True:
            found = await self._results.since(unit, after, _AT_ONCE)
            for one in found:
                yield one.id, one.disease
            if len(found) < _AT_ONCE:
                return
            after = found[-1].id


def _earlier(one: UUID) -> UUID:
    """The lowest id of some seconds before this one was made."""
    milliseconds = max((one.int >> 80) - _OVERLAP_MS, 0)
    return UUID(int=milliseconds << 80)
