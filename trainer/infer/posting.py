"""Readings and how far a batch is into Redis, and patience while it is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from diagnosis.contracts import Batch, BatchItem, Prediction
from diagnosis.errors import TemporarilyUnavailable
from diagnosis.queue import Batches, connect_batches
from diagnosis.results import ResultStore, connect
from diagnosis.watch import Told, Watch, connect_watch

#: Seconds between two tries, the last for all that follow.
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
#: Seconds after which nobody waits for a store any longer; the same command goes on later.
LONGEST_WAIT = 300.0


class Poster(AbstractContextManager["Poster"]):
    """The stores of readings and batches for a program without an event loop.

    Args:
        url: of Redis, with the trainer's user.
        ca_file: see `diagnosis.redis_connection.open_client`.
        log: tells a person that the store is away.
        pause: for tests.
    """

    def __init__(
        self,
        url: str,
        ca_file: Path | None = None,
        *,
        log: Callable[[str], None] = lambda _: None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._runner = asyncio.Runner()
        self._store: ResultStore = connect(url, ca_file)
        self._batches: Batches = connect_batches(url, ca_file)
        self._watch: Watch = connect_watch(url, ca_file)
        self._log, self._pause = log, pause

    def ping(self) -> None:
        """Return when the store answers. Raises StoreUnavailable."""
        self._runner.run(_awaited(self._store.ping))

    def post(self, readings: Sequence[Prediction]) -> None:
        """Keep readings; when this returns, all of them are durable.

        Raises:
            StoreUnavailable: it was away for five minutes.
        """
        self._patiently(lambda: self._store.add_many(readings))

    def say(self, batch: Batch, items: Sequence[BatchItem]) -> None:
        """State how far a batch is, and what became of these files of it.

        Raises:
            StoreUnavailable: it was away for five minutes.
        """
        self._patiently(lambda: self._batches.post(batch, items))

    def tell(self, done: Sequence[Told]) -> None:
        """State what was done, for the services to count; told twice, it is counted twice.

        Raises:
            StoreUnavailable: it was away for five minutes.
        """
        self._patiently(lambda: self._watch.tell(done))

    def _patiently(self, work: Callable[[], Awaitable[None]]) -> None:
        began, tries = time.monotonic(), 0
        while True:
            try:
                self._runner.run(_awaited(work))
            except TemporarilyUnavailable as error:
                if time.monotonic() - began > LONGEST_WAIT:
                    raise
                if not tries:
                    self._log(f"{error.detail} Waiting for it.")
                self._pause(PAUSES[min(tries, len(PAUSES) - 1)])
                tries += 1
            else:
                return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the connections."""
        with self._runner:
            self._runner.run(_awaited(self._store.close))
            self._runner.run(_awaited(self._batches.close))
            self._runner.run(_awaited(self._watch.close))


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()
