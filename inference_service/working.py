"""Reads files of batches: several at once, in turn from each batch, and loses none.

A file is held from its claim until what it came to is kept (`finishing`): its lease is renewed all
the while.

A file that was taken over from a worker that died is read alone: if it is the one that ends
workers, it costs no other file a try.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from diagnosis.contracts import Batch, Notice
from diagnosis.errors import (
    BytesGone,
    InputRefused,
    ModelUnavailable,
    SightlineError,
    StoreUnavailable,
    TemporarilyUnavailable,
)
from diagnosis.queue import Taken, Work
from diagnosis.telemetry import taken_up
from inference_service.ask import Ask
from inference_service.finishing import PATIENCE, Finishing, Made
from inference_service.service import Service, end_tasks

#: How long it is waited for work where there was none, at first and at most.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
#: How long it is waited where something does not answer.
_PAUSE = 0.5
#: Files that are taken over at once; they are read one after the other.
_TAKEN_OVER = 4
#: How long files at work may take after the worker is told to stop.
_LAST_SECONDS = 2.0

log = structlog.get_logger("inference_service")


class Worker:
    """Reads files of batches until it is told to stop.

    Args:
        service: everything that makes a reading; started and stopped by whoever made it.
        work: the workers' end of the queue.
        name: a name that no other worker has.
    """

    def __init__(self, service: Service, work: Work, name: str) -> None:
        settings = service.settings
        self._service = service
        self._work = work
        work.on_done = service.batch_done
        self._name = name
        self._lease = timedelta(seconds=settings.batch_lease_seconds)
        # Enough to keep every thread at work while others are taken and kept, and no more: whatever
        # is held when a worker dies has one try less, and is read alone.
        self._most = 4 * settings.threads
        self._loading = asyncio.Semaphore(service.places.threads + min(1, settings.max_waiting))
        self._held: dict[str, Taken] = {}
        self._suspects: list[Taken] = []
        self._alone: str | None = None
        self._reading: set[asyncio.Task[None]] = set()
        self._came: set[str | None] = set()
        self._finishing = Finishing(service, work, self._let_go, self._give_back)
        self._something_ended = asyncio.Event()
        self._stopping = asyncio.Event()
        self._looked = time.monotonic()

    def stop(self) -> None:
        """Take nothing more; `run` returns when what is at work is finished or given back."""
        self._stopping.set()
        self._something_ended.set()

    async def run(self) -> None:
        """Work until `stop`."""
        others = [
            asyncio.create_task(self._finishing.run()),
            asyncio.create_task(self._keep_renewing()),
        ]
        for one in others:
            one.add_done_callback(lambda _: self._something_ended.set())
        try:
            pause = _SHORTEST_PAUSE
            while not self._stopping.is_set():
                for one in others:
                    if one.done():
                        # By a fault. Another process begins anew; what is held here comes there.
                        one.result()
                        return
                self._something_ended.clear()
                try:
                    found = await self._take()
                except StoreUnavailable as error:
                    log.warning("batches", cause=error.cause)
                    # Whoever was cut off as well renews its leases before any is taken over.
                    self._looked = time.monotonic()
                    found, pause = False, max(pause, _PAUSE)
                self._begin()
                pause = _SHORTEST_PAUSE if found else min(2 * pause, _LONGEST_PAUSE)
                if not found or self._full:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(None if self._full else pause):
                            await self._something_ended.wait()
            await self._last_ones()
        finally:
            await end_tasks([*self._reading, *others])
        # Not before: who renews a lease once more takes back what was just given.
        with suppress(StoreUnavailable):
            await self._give_back(list(self._held.values()))

    @property
    def _full(self) -> bool:
        """Whether so many are held that it is not worth a round trip to take more."""
        return bool(self._suspects) or self._alone in self._held or self._room < self._most // 2

    @property
    def _room(self) -> int:
        """Files that may be taken: as many again as wait or are read may be on their way to the
        disk."""
        held = len(self._held)
        return min(self._most - (held - len(self._came)), 2 * self._most - held)

    async def _take(self) -> bool:
        """Take files where there is room for them; whether there were any."""
        if self._full:
            return True
        taken: tuple[Taken, ...] = ()
        if time.monotonic() - self._looked > self._lease.total_seconds() / 3:
            self._looked = time.monotonic()
            over = await self._work.reclaim(self._name, self._lease, _TAKEN_OVER, self._readable)
            self._service.metrics.batch_items_taken_over.inc(len(over))
            taken += over
            if over:
                # There may be more: after many deaths, far more than one look takes.
                self._looked = -math.inf
        taken += await self._work.claim(self._name, self._room, self._readable)
        for one in taken:
            assert one.entry is not None
            if one.entry in self._held:
                # Its lease ended here, and it came back here: it is at work already.
                continue
            self._held[one.entry] = one
            if one.item.tries > 1:
                self._suspects.append(one)
            else:
                self._start(one)
        return bool(taken)

    def _readable(self, batch: Batch) -> bool:
        try:
            self._service.models.check(batch.disease)
        except SightlineError:
            return False
        return True

    def _begin(self) -> None:
        """Begin a file that was taken over, once nothing else is read or about to be kept."""
        if self._suspects and len(self._held) == len(self._suspects):
            one = self._suspects.pop(0)
            self._alone = one.entry
            self._start(one)

    def _start(self, taken: Taken) -> None:
        task = asyncio.create_task(self._read(taken))
        self._reading.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._reading.discard(task)
        self._something_ended.set()

    async def _read(self, taken: Taken) -> None:
        """Read one file, and leave what it came to for the next group that is finished."""
        with taken_up("batch.item", taken.handed, disease=taken.batch.disease):
            await self._read_on(taken)

    async def _read_on(self, taken: Taken) -> None:
        began = time.perf_counter()
        while not self._stopping.is_set():
            try:
                made = await self._made_of(taken)
            except TemporarilyUnavailable as error:
                # Of what keeps all files from being read none is to be set aside; what keeps this
                # worker from it may keep no other.
                log.warning("file", code=error.code, cause=error.cause)
                if time.perf_counter() - began > PATIENCE and await self._given_back(taken):
                    return None
                await asyncio.sleep(_PAUSE)
            except ModelUnavailable as error:
                log.warning("file", code=error.code, cause=error.cause)
                if await self._given_back(taken):
                    return None
                await asyncio.sleep(_PAUSE)
            except Exception as error:  # noqa: BLE001 - one file must not stop the others
                # It comes again when its lease has ended, and is set aside if it goes on so. Only
                # the kind: a message could quote what the file holds.
                log.error("file", kind=type(error).__qualname__)  # noqa: TRY400
                return self._let_go(taken)
            else:
                self._came.add(taken.entry)
                made.alone = taken.entry == self._alone
                self._finishing.add(made)
                log.info(
                    "file",
                    outcome="read" if made.problem is None else made.problem.code,
                    milliseconds=round((time.perf_counter() - began) * 1000, 1),
                )
                return None
        return None

    async def _made_of(self, taken: Taken) -> Made:
        """Read one file, all of it in one thread."""
        batch, item = taken.batch, taken.item
        service = self._service

        def make(waited: float) -> Made:
            data = service.intake.spool.get(service.intake.spooled(batch, item))
            if data is None:
                raise BytesGone
            ask = Ask(
                batch.disease,
                data,
                batch.operating_point,
                batch.unit,
                batch.created_by,
                None,
                item.prediction_id,
                batch.id,
            )
            prediction, files = service.pipeline.work(ask, waited)
            return Made(taken, prediction, files=files)

        try:
            async with self._loading:
                with service.places.take() as place:
                    return await service.places.run(place, make)
        except InputRefused as refused:
            problem = Notice(code=refused.code, detail=refused.detail, remedy=refused.remedy)
            return Made(taken, problem=problem)

    async def _given_back(self, taken: Taken) -> bool:
        """Give a file back; False where Redis does not answer, and it is held on."""
        try:
            await self._give_back([taken])
        except StoreUnavailable:
            return False
        return True

    async def _give_back(self, taken: Sequence[Taken]) -> None:
        """Hold files no longer: whoever looks next may take them, and this was no try.

        Raises:
            StoreUnavailable: all are held still.
        """
        await self._work.release(self._name, taken)
        # Whoever else looks does so before this worker takes them once more.
        self._looked = time.monotonic()
        for one in taken:
            self._let_go(one)

    def _let_go(self, taken: Taken) -> None:
        """Hold a file no longer."""
        if taken.entry is not None:
            self._held.pop(taken.entry, None)
        self._came.discard(taken.entry)
        self._something_ended.set()

    async def _keep_renewing(self) -> None:
        while True:
            await asyncio.sleep(self._lease.total_seconds() / 3)
            with suppress(StoreUnavailable):
                await self._work.renew(self._name, list(self._held.values()))

    async def _last_ones(self) -> None:
        """Let what is at work end, and keep what it came to, for as long as there is time. The rest
        is given back. Of that some may be kept all the same, where the answer is on its way: that
        was acknowledged, and nobody gets it again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                while self._reading:
                    self._something_ended.clear()
                    await self._something_ended.wait()
                await self._finishing.drained()
