"""Batches in this process, gone when it ends: the peer of Redis for tests."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from uuid import UUID

from diagnosis.contracts import Batch, BatchItem, ItemState, Notice, listed_band, now
from diagnosis.errors import BatchClosed, BatchTooLarge, GaveUp, ItemTaken, UnknownBatch
from diagnosis.queue import records
from diagnosis.queue.protocol import (
    MOST_TRIES,
    Accepted,
    Backlog,
    BatchPage,
    Finished,
    ItemPage,
    OnDone,
    Readable,
    Taken,
)
from diagnosis.queue.redis_batches import POSTED_ELSEWHERE
from diagnosis.results import ResultStore
from diagnosis.telemetry import handed_on


@dataclass
class _Held:
    """An entry that somebody holds."""

    number: int
    worker: str
    at: float
    times: int = 1


@dataclass
class _Kept:
    batch: Batch
    stands: bytes = records.OPEN
    items: dict[int, BatchItem] = field(default_factory=dict)
    new: dict[str, int] = field(default_factory=dict)
    """Entries that nobody took yet."""
    held: dict[str, _Held] = field(default_factory=dict)
    finished: datetime | None = None
    since: dict[int, float] = field(default_factory=dict)
    """When each file began to wait, on the queue's clock."""
    handed: dict[int, dict[str, str]] = field(default_factory=dict)

    def now(self) -> Batch:
        counts: dict[str, int] = {}
        for one in self.items.values():
            place = f"done:{one.band}" if one.state == "done" else one.state
            counts[place] = counts.get(place, 0) + 1
        finished = None if self.finished is None else self.finished.isoformat().encode()
        return records.batch_of(
            self.batch.model_dump_json().encode(), self.stands, counts, finished
        )


class MemoryQueue:
    """See `Batches` and `Work`, of which it is both.

    Args:
        results: where readings are kept.
        clock: seconds, for leases.
    """

    def __init__(
        self, results: ResultStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._results = results
        self._clock = clock
        self._kept: dict[tuple[str, UUID], _Kept] = {}
        self._entries = count()
        self._last: tuple[str, UUID] = ("", UUID(int=0))
        self.on_done: OnDone = lambda: None

    async def create(self, batch: Batch) -> None:
        self._kept[batch.unit, batch.id] = _Kept(batch)

    async def post(self, batch: Batch, items: Sequence[BatchItem] = ()) -> None:
        kept = self._kept.setdefault((batch.unit, batch.id), _Kept(batch))
        kept.batch, kept.stands = batch, records.POSTED
        kept.items |= {one.number: one for one in items}

    async def get(self, unit: str, batch_id: UUID) -> Batch:
        return self._of(unit, batch_id).now()

    async def list(self, unit: str, *, limit: int, cursor: str | None = None) -> BatchPage:
        limit, after = records.page_limit(limit), records.batch_cursor(cursor)
        found = sorted(
            (
                one
                for owner, one in self._kept
                if owner == unit and (after is None or one.hex < after)
            ),
            key=lambda one: one.hex,
            reverse=True,
        )
        page = tuple(self._of(unit, one).now() for one in found[:limit])
        return page, found[limit - 1].hex if len(found) > limit else None

    async def items(
        self,
        unit: str,
        batch_id: UUID,
        *,
        limit: int,
        cursor: str | None = None,
        state: ItemState | None = None,
    ) -> ItemPage:
        limit, after = records.page_limit(limit), records.item_cursor(cursor)
        found = [
            one
            for number, one in sorted(self._of(unit, batch_id).items.items())
            if number > after and state in (None, one.state)
        ]
        return tuple(found[:limit]), str(found[limit - 1].number) if len(found) > limit else None

    async def accept(
        self,
        unit: str,
        batch_id: UUID,
        items: Sequence[BatchItem],
        *,
        queued: bool = True,
        most_bytes: int | None = None,
    ) -> tuple[Accepted, ...]:
        kept = self._of(unit, batch_id)
        found: list[Accepted] = []
        for one in items:
            there = kept.items.get(one.number)
            if there is not None and there.digest != one.digest:
                raise ItemTaken
            found.append("accepted" if there is None else "there")
        if "accepted" in found or not items:
            self._takes_files(kept)
        new = [one for one, said in zip(items, found, strict=True) if said == "accepted"]
        size = sum(one.size for one in (*kept.items.values(), *new) if one.digest is not None)
        if new and most_bytes is not None and size > most_bytes:
            raise BatchTooLarge
        for one in new:
            kept.items[one.number] = one
            if one.state != "waiting":
                kept.finished = now()
            elif queued:
                kept.new[str(next(self._entries))] = one.number
                kept.since[one.number] = self._clock()
                kept.handed[one.number] = handed_on()
        return tuple(found)

    async def close_batch(self, unit: str, batch_id: UUID) -> Batch:
        kept = self._of(unit, batch_id)
        if kept.stands != records.CLOSED:
            self._takes_files(kept)
        was_open, kept.stands = kept.stands == records.OPEN, records.CLOSED
        if was_open and kept.now().state == "done":
            self.on_done()
        return kept.now()

    async def cancel(
        self, unit: str, batch_id: UUID, *, though_done: bool = False
    ) -> tuple[BatchItem, ...]:
        kept = self._of(unit, batch_id)
        if kept.now().state == "done" and not though_done:
            return ()
        if kept.stands == records.POSTED and not though_done:
            raise BatchClosed(POSTED_ELSEWHERE)
        kept.stands = records.STOPPED
        waiting = [one for one in kept.items.values() if one.state == "waiting"]
        cancelled = tuple(one.model_copy(update={"state": "cancelled"}) for one in waiting)
        kept.items |= {one.number: one for one in cancelled}
        kept.new.clear()
        kept.held.clear()
        if cancelled:
            kept.finished = now()
        return cancelled

    async def retry(self, unit: str, batch_id: UUID, numbers: Sequence[int]) -> int:
        kept = self._of(unit, batch_id)
        if kept.stands != records.CLOSED:
            self._takes_files(kept)
        again = [
            number
            for number in numbers
            if number in kept.items and kept.items[number].state == "failed"
        ]
        for number in again:
            kept.items[number] = kept.items[number].model_copy(
                update={"state": "waiting", "problem": None, "tries": 0}
            )
            kept.new[str(next(self._entries))] = number
            kept.since[number] = self._clock()
            kept.handed[number] = handed_on()
        return len(again)

    async def forget(self, unit: str, batch_id: UUID, prediction_id: UUID) -> None:
        kept = self._kept.get((unit, batch_id))
        for one in () if kept is None else tuple(kept.items.values()):
            if one.state == "done" and one.prediction_id == prediction_id:
                assert kept is not None
                kept.items[one.number] = one.model_copy(update={"name": ""})

    async def delete(self, unit: str, batch_id: UUID) -> None:
        self._kept.pop((unit, batch_id), None)

    async def backlog(self) -> Backlog:
        waiting = [
            self._clock() - one.since[number]
            for one in self._kept.values()
            for number in (*one.new.values(), *(held.number for held in one.held.values()))
        ]
        return Backlog(len(waiting), max(waiting, default=0.0))

    async def claim(self, worker: str, most: int, readable: Readable) -> tuple[Taken, ...]:
        order = sorted(place for place, one in self._kept.items() if readable(one.batch))
        turn = [one for one in order if one > self._last]
        turn += [one for one in order if one <= self._last]
        taken: list[Taken] = []
        while turn and len(taken) < most:
            asked = turn[: most - len(taken)]
            share = max(1, (most - len(taken)) // len(asked))
            turn, self._last = turn[len(asked) :], asked[-1]
            for place in asked:
                kept = self._kept[place]
                for entry, number in tuple(kept.new.items())[:share]:
                    del kept.new[entry]
                    kept.held[entry] = _Held(number, worker, self._clock())
                    taken.append(self._taken(kept, entry))
                if kept.new:
                    turn.append(place)
        return tuple(taken)

    async def reclaim(
        self, worker: str, lease: timedelta, most: int, readable: Readable
    ) -> tuple[Taken, ...]:
        taken: list[Taken] = []
        for kept in self._kept.values():
            if not readable(kept.batch):
                continue
            for entry, held in tuple(kept.held.items()):
                if len(taken) < most and self._clock() - held.at >= lease.total_seconds():
                    held.worker, held.at, held.times = worker, self._clock(), held.times + 1
                    one = self._taken(kept, entry)
                    if held.times > MOST_TRIES:
                        refused = GaveUp()
                        problem = Notice(
                            code=refused.code, detail=refused.detail, remedy=refused.remedy
                        )
                        await self.finish([Finished(one, problem=problem)])
                    else:
                        taken.append(one)
        return tuple(taken)

    async def renew(self, worker: str, taken: Sequence[Taken]) -> None:
        for one in taken:
            kept = self._kept.get((one.batch.unit, one.batch.id))
            if kept is not None and one.entry in kept.held:
                kept.held[one.entry].worker = worker
                kept.held[one.entry].at = self._clock()

    async def release(self, worker: str, taken: Sequence[Taken]) -> None:
        for one in taken:
            kept = self._kept.get((one.batch.unit, one.batch.id))
            if kept is not None and one.entry in kept.held:
                held = kept.held[one.entry]
                held.worker, held.at = worker, float("-inf")
                held.times = max(0, one.item.tries - 1)

    async def finish(self, finished: Sequence[Finished]) -> tuple[bool, ...]:
        made: list[bool] = []
        for one in finished:
            kept = self._kept.get((one.taken.batch.unit, one.taken.batch.id))
            item = None if kept is None else kept.items.get(one.taken.item.number)
            waits = item is not None and item.state == "waiting"
            made.append(waits)
            if kept is None:
                continue
            kept.held.pop(one.taken.entry or "", None)
            if not waits or item is None:
                continue
            changes: dict[str, object] = {"state": "failed", "problem": one.problem}
            if one.prediction is not None:
                await self._results.add(one.prediction)
                changes = {"state": "done", "band": listed_band(one.prediction)}
            changes["tries"] = one.taken.item.tries
            kept.items[item.number] = item.model_copy(update=changes)
            kept.finished = now()
            if kept.now().state == "done":
                self.on_done()
        return tuple(made)

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return

    def _of(self, unit: str, batch_id: UUID) -> _Kept:
        try:
            return self._kept[unit, batch_id]
        except KeyError:
            raise UnknownBatch from None

    @staticmethod
    def _takes_files(kept: _Kept) -> None:
        if kept.stands == records.STOPPED:
            raise BatchClosed("This batch was cancelled.")
        if kept.stands == records.POSTED:
            raise BatchClosed(POSTED_ELSEWHERE)
        if kept.stands != records.OPEN:
            raise BatchClosed

    @staticmethod
    def _taken(kept: _Kept, entry: str) -> Taken:
        held = kept.held[entry]
        item = kept.items[held.number].model_copy(update={"tries": held.times})
        return Taken(kept.batch, item, entry, kept.handed.get(held.number, {}))
