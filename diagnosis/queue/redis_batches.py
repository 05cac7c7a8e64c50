"""Batches and their files in Redis; durability is the server's, which runs with AOF `always`."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from diagnosis.contracts import Batch, BatchItem, ItemState, now
from diagnosis.errors import (
    BatchClosed,
    BatchTooLarge,
    ItemTaken,
    StoreUnavailable,
    UnknownBatch,
)
from diagnosis.queue import records
from diagnosis.queue.protocol import Accepted, Backlog, BatchPage, ItemPage, OnDone
from diagnosis.redis_connection import answers

T = TypeVar("T")

#: Files that are changed in one transaction.
AT_ONCE = 100
#: How often a change is tried anew because somebody else changed the same meanwhile.
_MOST_TRIES = 20
POSTED_ELSEWHERE = "This batch is read by whoever posted it."


class RedisBatches:
    """See `Batches`.

    Args:
        client: one that answers in bytes, see `connect`; `close` closes it.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.on_done: OnDone = lambda: None

    async def create(self, batch: Batch) -> None:
        unit, name = batch.unit, batch.id.hex
        async with answers():
            # First, and by itself: it is of no unit, so of another slot. Too much of it harms not.
            await self._client.sadd(records.UNITS, unit)
            async with self._client.pipeline(transaction=True) as transaction:
                transaction.hset(
                    records.record(unit, name),
                    mapping={"batch": batch.model_dump_json(), "stands": records.OPEN},
                )
                transaction.zadd(records.batches(unit), {name: 0})
                await transaction.execute()

    async def post(self, batch: Batch, items: Sequence[BatchItem] = ()) -> None:
        unit, name = batch.unit, batch.id.hex
        async with answers():
            await self._client.sadd(records.UNITS, unit)
            # Of commands that write and read nothing, which is all that the trainer may do.
            async with self._client.pipeline(transaction=True) as transaction:
                transaction.hset(
                    records.record(unit, name),
                    mapping={"batch": batch.model_dump_json(), "stands": records.POSTED},
                )
                transaction.zadd(records.batches(unit), {name: 0})
                standing: dict[str, list[int]] = {place: [] for place in records.PLACES}
                for one in items:
                    fields = records.item_fields(one)
                    transaction.hset(records.item(unit, name, one.number), mapping=fields)
                    standing[str(fields["place"])].append(one.number)
                for place, numbers in standing.items() if items else ():
                    key = records.place(unit, name, place)
                    transaction.zrem(key, *(one.number for one in items))
                    if numbers:
                        transaction.zadd(key, {str(number): number for number in numbers})
                await transaction.execute()

    async def get(self, unit: str, batch_id: UUID) -> Batch:
        async with answers():
            (found,) = await self._batches(unit, [batch_id.hex])
        if found is None:
            raise UnknownBatch
        return found

    async def list(self, unit: str, *, limit: int, cursor: str | None = None) -> BatchPage:
        limit, after = records.page_limit(limit), records.batch_cursor(cursor)
        async with answers():
            answer = await self._client.zrevrangebylex(
                records.batches(unit), "+" if after is None else f"({after}", "-", 0, limit + 1
            )
            names = [one.decode() for one in cast("list[bytes]", answer)]
            found = await self._batches(unit, names[:limit])
        more = names[limit - 1] if len(names) > limit else None
        return tuple(one for one in found if one is not None), more

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
        name = batch_id.hex
        async with answers():
            # In one transaction, or a file that moves meanwhile could be missed.
            async with self._client.pipeline(transaction=True) as asking:
                asking.exists(records.record(unit, name))
                for one in records.places_of(state):
                    asking.zrangebyscore(
                        records.place(unit, name, one), f"({after}", "+inf", 0, limit + 1
                    )
                there, *found = await asking.execute()
            if not there:
                raise UnknownBatch
            numbers = sorted(number for part in found for number in records.numbers(part))
            items = await _items(self._client, unit, name, numbers[:limit])
        return items, str(numbers[limit - 1]) if len(numbers) > limit else None

    async def accept(
        self,
        unit: str,
        batch_id: UUID,
        items: Sequence[BatchItem],
        *,
        queued: bool = True,
        most_bytes: int | None = None,
    ) -> tuple[Accepted, ...]:
        name = batch_id.hex
        record, sizes = records.record(unit, name), records.size(unit, name)
        watched = [record, *(records.item(unit, name, one.number) for one in items)]

        async def change(transaction: Pipeline) -> tuple[Accepted, ...]:
            # On the one connection: who held one and waited for another could wait for ever.
            stands = cast("bytes | None", await transaction.hget(record, "stands"))
            # Not watched: those who send one batch's files side by side do not get into each
            # other's way, and may together be over the limit by what is on its way.
            size = int(cast("bytes | None", await transaction.get(sizes)) or 0)
            kept = [
                cast("list[bytes | None]", await transaction.hmget(key, ["place", "digest"]))
                for key in watched[1:]
            ]
            if stands is None:
                raise UnknownBatch
            there = _there(items, kept)
            if "accepted" in there or not items:
                # What came before it was closed may be sent again: its answer was lost.
                _takes_files(stands)
            new = [one for one, found in zip(items, there, strict=True) if found == "accepted"]
            added = sum(one.size for one in new if one.digest is not None)
            if new and most_bytes is not None and size + added > most_bytes:
                raise BatchTooLarge
            transaction.multi()  # type: ignore[no-untyped-call]
            for one in new:
                transaction.hset(
                    records.item(unit, name, one.number), mapping=records.item_fields(one)
                )
                transaction.zadd(
                    records.place(unit, name, one.state), {str(one.number): one.number}
                )
                if queued and one.state == records.WAITING:
                    transaction.xadd(records.stream(unit, name), records.entry(one.number))
                    transaction.zadd(records.work(unit), {name: 0})
                if one.state != records.WAITING:
                    transaction.set(records.finished_at(unit, name), now().isoformat())
            if added:
                transaction.incrby(sizes, added)
            return there

        async with answers():
            return await guarded(self._client, watched, change)

    async def close_batch(self, unit: str, batch_id: UUID) -> Batch:
        record = records.record(unit, batch_id.hex)

        async def change(transaction: Pipeline) -> bool:
            stands = cast("bytes | None", await transaction.hget(record, "stands"))
            if stands != records.CLOSED:
                _takes_files(stands)
            transaction.multi()  # type: ignore[no-untyped-call]
            transaction.hset(record, "stands", cast("str", records.CLOSED))
            transaction.zcard(records.place(unit, batch_id.hex, records.WAITING))
            return stands == records.OPEN

        async with answers():
            closed, (*_, waiting) = await guarded_answers(self._client, [record], change)
        if closed and not waiting:
            self.on_done()
        return await self.get(unit, batch_id)

    async def cancel(
        self, unit: str, batch_id: UUID, *, though_done: bool = False
    ) -> tuple[BatchItem, ...]:
        batch = await self.get(unit, batch_id)
        if batch.state == "done" and not though_done:
            return ()
        record = records.record(unit, batch_id.hex)

        async def stop(transaction: Pipeline) -> None:
            stands = cast("bytes | None", await transaction.hget(record, "stands"))
            if stands == records.POSTED and not though_done:
                raise BatchClosed(POSTED_ELSEWHERE)
            transaction.multi()  # type: ignore[no-untyped-call]
            if stands is not None:
                transaction.hset(record, "stands", cast("str", records.STOPPED))

        async with answers():
            await guarded(self._client, [record], stop)
        return await cancel_waiting(self._client, unit, batch_id.hex)

    async def retry(self, unit: str, batch_id: UUID, numbers: Sequence[int]) -> int:
        again = 0
        for begin in range(0, len(numbers), AT_ONCE):
            async with answers():
                again += await self._retry(unit, batch_id.hex, numbers[begin : begin + AT_ONCE])
        return again

    async def _retry(self, unit: str, name: str, numbers: Sequence[int]) -> int:
        record, failed = records.record(unit, name), records.place(unit, name, records.FAILED)
        watched = [record, *(records.item(unit, name, number) for number in numbers)]

        async def change(transaction: Pipeline) -> int:
            stands = cast("bytes | None", await transaction.hget(record, "stands"))
            scores = await transaction.zmscore(failed, [str(number) for number in numbers])
            if stands != records.CLOSED:
                _takes_files(stands)
            again = [one for one, at in zip(numbers, scores, strict=True) if at is not None]
            transaction.multi()  # type: ignore[no-untyped-call]
            for number in again:
                key = records.item(unit, name, number)
                transaction.hset(key, "place", records.WAITING)
                transaction.hdel(key, "code", "detail", "remedy", "tries")
                transaction.zrem(failed, number)
                transaction.zadd(records.place(unit, name, records.WAITING), {str(number): number})
                transaction.xadd(records.stream(unit, name), records.entry(number))
            if again:
                transaction.zadd(records.work(unit), {name: 0})
            return len(again)

        return await guarded(self._client, watched, change)

    async def forget(self, unit: str, batch_id: UUID, prediction_id: UUID) -> None:
        name = batch_id.hex
        for place in records.DONE:
            async with answers():
                members = await self._client.zrange(records.place(unit, name, place), 0, -1)
                numbers = records.numbers(cast("list[bytes]", members))
                async with self._client.pipeline(transaction=False) as asking:
                    for number in numbers:
                        asking.hget(records.item(unit, name, number), "reading")
                    readings = await asking.execute()
                for number, reading in zip(numbers, readings, strict=True):
                    if reading == prediction_id.hex.encode():
                        await self._client.hset(records.item(unit, name, number), "name", "")
                        return

    async def delete(self, unit: str, batch_id: UUID) -> None:
        name = batch_id.hex
        while True:
            async with answers():
                async with self._client.pipeline(transaction=True) as asking:
                    for key in records.places(unit, name):
                        asking.zrange(key, 0, AT_ONCE - 1)
                    found = await asking.execute()
                if not any(found):
                    break
                async with self._client.pipeline(transaction=True) as transaction:
                    for key, members in zip(records.places(unit, name), found, strict=True):
                        for number in records.numbers(members):
                            transaction.delete(records.item(unit, name, number))
                            transaction.zrem(key, number)
                    await transaction.execute()
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            transaction.delete(
                records.stream(unit, name),
                records.finished_at(unit, name),
                records.size(unit, name),
                records.record(unit, name),
            )
            transaction.zrem(records.work(unit), name)
            transaction.zrem(records.batches(unit), name)
            await transaction.execute()

    async def backlog(self) -> Backlog:
        async with answers():
            units = [
                one.decode()
                for one in cast("set[bytes]", await self._client.smembers(records.UNITS))
            ]
            async with self._client.pipeline(transaction=False) as asking:
                for unit in units:
                    asking.zrange(records.work(unit), 0, -1)
                working = await asking.execute()
            async with self._client.pipeline(transaction=False) as asking:
                for unit, names in zip(units, working, strict=True):
                    for name in names:
                        asking.xlen(records.stream(unit, name.decode()))
                        asking.xrange(records.stream(unit, name.decode()), count=1)
                answered = await asking.execute()
        # What is finished is deleted from its stream; an id begins with when it was added, in ms.
        oldest = [entry.split(b"-")[0] for found in answered[1::2] for entry, _ in found]
        since = min((int(one) / 1000 for one in oldest), default=None)
        waited = 0.0 if since is None else max(time.time() - since, 0.0)
        return Backlog(sum(answered[::2]), waited)

    async def ping(self) -> None:
        async with answers():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()

    async def _batches(self, unit: str, names: Sequence[str]) -> tuple[Batch | None, ...]:
        if not names:
            return ()
        # In one transaction, so that the counts of a batch are of one moment.
        async with self._client.pipeline(transaction=True) as asking:
            for name in names:
                asking.hmget(records.record(unit, name), ["batch", "stands"])
                asking.get(records.finished_at(unit, name))
                for key in records.places(unit, name):
                    asking.zcard(key)
            answered = await asking.execute()
        width = 2 + len(records.PLACES)
        found: list[Batch | None] = []
        for begin in range(0, len(answered), width):
            (static, stands), finished, *cards = answered[begin : begin + width]
            counts = dict(zip(records.PLACES, cards, strict=True))
            found.append(
                None
                if static is None or stands is None
                else records.batch_of(static, stands, counts, finished)
            )
        return tuple(found)


async def guarded(
    client: Redis, watched: Sequence[str], change: Callable[[Pipeline], Awaitable[T]]
) -> T:
    """Make a change that holds only while what it rests on stays as it is.

    Args:
        client: of the store.
        watched: the keys that the change rests on.
        change: looks, then calls `multi` and adds commands; called anew where a key changed.

    Raises:
        StoreUnavailable: others changed them every time.
    """
    result, _ = await guarded_answers(client, watched, change)
    return result


async def guarded_answers(
    client: Redis, watched: Sequence[str], change: Callable[[Pipeline], Awaitable[T]]
) -> tuple[T, list[Any]]:
    """As `guarded`, with what the commands were answered."""
    async with client.pipeline(transaction=True) as transaction:
        for _ in range(_MOST_TRIES):
            await transaction.watch(*watched)
            result = await change(transaction)
            try:
                answered = await transaction.execute()
            except WatchError:
                continue
            return result, answered
    raise StoreUnavailable(cause="too many changed the same batch")


async def cancel_waiting(client: Redis, unit: str, name: str) -> tuple[BatchItem, ...]:
    """Cancel the files of a stopped batch that wait; which these were."""
    waiting = records.place(unit, name, records.WAITING)
    cancelled: list[BatchItem] = []
    while True:
        async with answers():
            members = await client.zrange(waiting, 0, AT_ONCE - 1)
            if not members:
                break
            numbers = records.numbers(cast("list[bytes]", members))

            async def change(transaction: Pipeline, numbers: list[int] = numbers) -> list[int]:
                scores = await transaction.zmscore(waiting, [str(number) for number in numbers])
                now_waiting = [
                    one for one, at in zip(numbers, scores, strict=True) if at is not None
                ]
                transaction.multi()  # type: ignore[no-untyped-call]
                for number in now_waiting:
                    transaction.hset(records.item(unit, name, number), "place", records.CANCELLED)
                    transaction.zrem(waiting, number)
                    transaction.zadd(
                        records.place(unit, name, records.CANCELLED), {str(number): number}
                    )
                transaction.set(records.finished_at(unit, name), now().isoformat())
                return now_waiting

            keys = [records.item(unit, name, number) for number in numbers]
            done = await guarded(client, keys, change)
            cancelled += await _items(client, unit, name, done)
    async with answers(), client.pipeline(transaction=True) as transaction:
        transaction.delete(records.stream(unit, name))
        transaction.zrem(records.work(unit), name)
        await transaction.execute()
    return tuple(cancelled)


async def _items(
    client: Redis, unit: str, name: str, numbers: Sequence[int]
) -> tuple[BatchItem, ...]:
    if not numbers:
        return ()
    async with client.pipeline(transaction=False) as asking:
        for number in numbers:
            asking.hgetall(records.item(unit, name, number))
        kept = await asking.execute()
    return tuple(
        records.item_of(number, fields)
        for number, fields in zip(numbers, kept, strict=True)
        if fields
    )


def _takes_files(stands: bytes | None) -> None:
    if stands is None:
        raise UnknownBatch
    if stands == records.STOPPED:
        raise BatchClosed("This batch was cancelled.")
    if stands == records.POSTED:
        raise BatchClosed(POSTED_ELSEWHERE)
    if stands != records.OPEN:
        raise BatchClosed


def _there(
    items: Sequence[BatchItem], kept: Sequence[Sequence[bytes | None]]
) -> tuple[Accepted, ...]:
    """Which of the files are there already; `kept` has place and digest of each.

    Raises:
        ItemTaken: with other content.
    """
    found: list[Accepted] = []
    for one, (place, digest) in zip(items, kept, strict=True):
        if place is not None and digest != (None if one.digest is None else one.digest.encode()):
            raise ItemTaken
        found.append("accepted" if place is None else "there")
    return tuple(found)
