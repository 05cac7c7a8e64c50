"""Keeps what files of batches came to, in groups: the disk takes as long for one as for eight.

Three steps go on beside each other: images are put; readings are kept, their files counted and
acknowledged with them (`diagnosis.queue`); what is left of the files is seen to. Until the second
has happened nothing of a file is deleted. Where a store does not answer, a step is tried again,
because all of it may have happened.

How long? Images for `PATIENCE`: then their files are given back, because another machine may be
able to keep them. Readings without an end: whether they are kept, and whose a file is, only Redis
knows, so while it is away nobody else can do more. No more piles up meanwhile than a worker holds,
which is eight files a thread, and a few that are kept and wait for the last step; and a worker that
is told to stop does not wait for it (`working.Worker`).
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import structlog

from diagnosis.contracts import Notice, Prediction
from diagnosis.errors import StoreUnavailable
from diagnosis.queue import Finished, Taken, Work
from inference_service.pipeline import Files
from inference_service.service import Service

T = TypeVar("T")

#: Files of which what they came to is kept in one step.
_AT_ONCE = 32
#: Files that are kept and wait to be seen to, with their images in memory. Where that takes longer
#: than the two steps before it, those wait for it.
_UNTIDY = 2 * _AT_ONCE
#: So many are worth a step at once; fewer wait for company, and an answer may be that late.
_COMPANY, _COMPANY_SECONDS = 4, 0.05
#: How long it is waited where something does not answer, at first and at most.
_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
#: How many seconds a worker tries what another machine may be able to do.
PATIENCE = 60.0

log = structlog.get_logger("inference_service")


@dataclass(slots=True)
class Made:
    """What a file came to: a reading with its files, or a problem."""

    taken: Taken
    prediction: Prediction | None = None
    problem: Notice | None = None
    files: Files = field(default_factory=dict)
    alone: bool = False
    """Whether nothing else is read until it is kept, so that it would wait for company in vain."""


class Finishing:
    """Keeps what `add` is given, for as long as `run` runs.

    Args:
        service: everything that makes a reading.
        work: the workers' end of the queue.
        kept: told of each file that is finished, or is somebody else's by now.
        give_back: holds files no longer, so that anybody may take them; no try is counted.
    """

    def __init__(
        self,
        service: Service,
        work: Work,
        kept: Callable[[Taken], None],
        give_back: Callable[[Sequence[Taken]], Awaitable[None]],
    ) -> None:
        self._pipeline, self._intake = service.pipeline, service.intake
        self._metrics, self._results = service.metrics, service.results
        self._work, self._kept, self._give_back = work, kept, give_back
        self._made: asyncio.Queue[Made] = asyncio.Queue()
        self._put: asyncio.Queue[Made] = asyncio.Queue()
        self._finished: asyncio.Queue[tuple[Made, bool, float]] = asyncio.Queue(_UNTIDY)

    def add(self, made: Made) -> None:
        """Keep it, soon."""
        self._made.put_nowait(made)

    async def drained(self) -> None:
        """Return when nothing is left of what was added."""
        await self._made.join()

    async def run(self) -> None:
        """Keep what is added, until it is cancelled."""
        async with asyncio.TaskGroup() as steps:
            for step in (self._keep_putting, self._keep_finishing, self._keep_tidying):
                steps.create_task(step())

    async def _keep_putting(self) -> None:
        while True:
            group = await _some(self._made, _worth_a_step)
            read = [(one, one.prediction) for one in group if one.prediction is not None]
            for one in group:
                if one.prediction is None:
                    self._put.put_nowait(one)
            if not read:
                continue
            pairs = [(prediction, one.files) for one, prediction in read]
            try:
                kept = await _patiently(
                    partial(asyncio.to_thread, self._pipeline.put, pairs), PATIENCE
                )
            except StoreUnavailable:
                # Some of their images may be there, and nobody may read them again.
                for prediction, _ in pairs:
                    self._pipeline.doubt(prediction)
                await _patiently(partial(self._give_back, [one.taken for one, _ in read]))
                for _ in read:
                    self._made.task_done()
            else:
                for (one, _), prediction in zip(read, kept, strict=True):
                    one.prediction = prediction
                    self._put.put_nowait(one)

    async def _keep_finishing(self) -> None:
        while True:
            group = await _some(self._put)
            finished = [Finished(one.taken, one.prediction, one.problem) for one in group]
            began = time.perf_counter()
            ours = await _patiently(partial(self._work.finish, finished))
            seconds = time.perf_counter() - began
            for one, was in zip(group, ours, strict=True):
                # It counts as held until then, so that no more are read meanwhile.
                await self._finished.put((one, was, seconds))
                self._kept(one.taken)

    async def _keep_tidying(self) -> None:
        while True:
            group = await _some(self._finished)
            await self._tidy(group)
            for _ in group:
                self._made.task_done()

    async def _tidy(self, group: Sequence[tuple[Made, bool, float]]) -> None:
        """Count what was finished, in so many seconds, and see to its files: lost, they cost disk
        space until images are swept."""
        items = self._metrics.batch_items
        after: list[tuple[Made, Prediction]] = []
        others: list[tuple[Made, Prediction]] = []
        for one, ours, seconds in group:
            if not ours:
                # Another worker keeps it, it was cancelled or deleted meanwhile, or it was ours and
                # the answer that said so was lost.
                items.labels("kept by another").inc()
                if one.prediction is not None:
                    self._pipeline.doubt(one.prediction)
                    others.append((one, one.prediction))
                continue
            items.labels("failed" if one.prediction is None else "done").inc()
            if one.prediction is not None:
                # As of a reading: until it is durable, which for all of a group is at once.
                stored = seconds + one.prediction.timings_ms.get("store", 0.0) / 1000
                self._metrics.stepped(one.prediction.disease, "store", stored, one.taken.handed)
                after.append((one, one.prediction))
        self._pipeline.count([prediction for _, prediction in after])
        try:
            await self._pipeline.put_again([(prediction, one.files) for one, prediction in after])
            read = [one for one, _ in after]
            # Not of one that another worker set aside: that may be asked for again.
            read += [
                one
                for one, prediction in others
                if await self._results.get(prediction.unit, prediction.id) is not None
            ]
            # Not durably: nobody has asked for it, and the next files wait for the same disk.
            await self._intake.drop(
                [(one.taken.batch, one.taken.item) for one in read], durably=False
            )
        except StoreUnavailable as error:
            log.warning("batches", cause=error.cause)


def _worth_a_step(group: Sequence[Made]) -> bool:
    return len(group) >= _COMPANY or group[-1].alone


async def _some(
    queue: asyncio.Queue[T], enough: Callable[[Sequence[T]], bool] = lambda _: True
) -> list[T]:
    """What is in a queue, one at least; a moment is waited for enough."""
    found = [await queue.get()]
    with suppress(TimeoutError):
        async with asyncio.timeout(_COMPANY_SECONDS):
            while not enough(found):
                found.append(await queue.get())
    while len(found) < _AT_ONCE and not queue.empty():
        found.append(queue.get_nowait())
    return found


async def _patiently(work: Callable[[], Awaitable[T]], seconds: float = math.inf) -> T:
    """Do it; where a store does not answer, again, for so long.

    Raises:
        StoreUnavailable: it does not answer still.
    """
    until, pause = time.monotonic() + seconds, _PAUSE
    while True:
        try:
            return await work()
        except StoreUnavailable as error:
            log.warning("batches", cause=error.cause)
            if time.monotonic() > until:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
