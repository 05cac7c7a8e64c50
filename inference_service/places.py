"""Places among what may be at work at once, and the threads that do it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, TypeVar

from diagnosis.errors import Overloaded
from diagnosis.telemetry import Metrics

T = TypeVar("T")

#: Of what is no reading and waits for a thread; one more is refused.
MOST_ASIDE = 8


class Place:
    """A place among the readings that may be at work; given back when its work has ended."""

    def __init__(self) -> None:
        self.work: asyncio.Future[Any] | None = None


class Places:
    """Threads, as many places as may be at work or wait for one, and a deadline.

    Args:
        metrics: how many wait.
        threads: readings at work at once.
        max_waiting: readings that may wait beside them.
        deadline_seconds: from the end of the upload to the end of the computation.
    """

    def __init__(
        self, metrics: Metrics, *, threads: int, max_waiting: int, deadline_seconds: float
    ) -> None:
        self._metrics = metrics
        self.threads = threads
        self._places = threads + max_waiting
        self._taken = 0
        self._given_back = asyncio.Event()
        self._asides = 0
        self._one_aside = asyncio.Semaphore(1)
        self._deadline = deadline_seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="reading")

    def close(self) -> None:
        """End the threads after the work they have."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def take(self) -> Iterator[Place]:
        """Take a place, before the upload is read, so that a full house costs no memory.

        Raises:
            Overloaded: all are taken.
        """
        if self._taken >= self._places:
            raise Overloaded
        self._taken += 1
        place = Place()
        try:
            yield place
        finally:
            if place.work is None or place.work.done():
                self._give_back()
            else:
                # The caller has given up; the thread has not, and cannot be stopped.
                place.work.add_done_callback(lambda _: self._give_back())

    def _give_back(self) -> None:
        self._taken -= 1
        self._given_back.set()

    async def run(self, place: Place, work: Callable[[float], T]) -> T:
        """Do some work in a thread, with the seconds that it waited for one.

        Raises:
            Overloaded: it did not begin, or did not end, by the deadline.
        """
        submitted = time.perf_counter()

        def begin() -> T:
            self._metrics.queue_depth.dec()
            waited = time.perf_counter() - submitted
            if waited > self._deadline:
                # Its caller was told so already.
                raise Overloaded
            return work(waited)

        self._metrics.queue_depth.inc()
        # In the thread too it is known which request, and which span, it is done for.
        here = copy_context()
        future = asyncio.get_running_loop().run_in_executor(self._pool, here.run, begin)
        place.work = future
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.shield(future)
        except TimeoutError as error:
            raise Overloaded(cause="it was not done by its deadline") from error

    async def aside(self, work: Callable[[], T]) -> T:
        """Do something that is no reading in a reading's thread: one at a time, readings first.

        It begins only while a thread has nothing to do, and then takes that thread's place.

        Args:
            work: what to do; it should take no longer than a few seconds.

        Raises:
            Overloaded: too many wait already, or readings left no thread free by the deadline.
        """
        if self._asides >= MOST_ASIDE:
            raise Overloaded
        self._asides += 1
        try:
            async with asyncio.timeout(self._deadline):
                return await self._alone(work)
        except TimeoutError as error:
            raise Overloaded(cause="no thread was free for it by its deadline") from error
        finally:
            self._asides -= 1

    async def _alone(self, work: Callable[[], T]) -> T:
        await self._one_aside.acquire()
        begun = False
        try:
            while self._taken >= self.threads:
                self._given_back.clear()
                await self._given_back.wait()
            with self.take() as place:
                here = copy_context()
                done = asyncio.get_running_loop().run_in_executor(self._pool, here.run, work)
                place.work, begun = done, True
                # Whoever gives up waiting does not stop the thread: the next one waits for it.
                done.add_done_callback(lambda _: self._one_aside.release())
                return await asyncio.shield(done)
        finally:
            if not begun:
                self._one_aside.release()
