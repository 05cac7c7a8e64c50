"""The workers' end of the queue in Redis: streams with a group, leases, and one step to finish.

A stream holds the files of a batch that nobody has finished. Who reads one holds its entry; the
entry's idle time is the age of its lease. Workers take from each batch with work in turn.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from diagnosis.contracts import Batch, Notice, now
from diagnosis.errors import GaveUp
from diagnosis.queue import records
from diagnosis.queue.protocol import MOST_TRIES, Finished, OnDone, Readable, Taken
from diagnosis.queue.redis_batches import cancel_waiting, guarded, guarded_answers
from diagnosis.redis_connection import answers, stream_entries
from diagnosis.results.entering import enter

#: Files that are finished in one transaction.
_AT_ONCE = 32
_LONG_AGO_MS = 24 * 60 * 60 * 1000
#: A batch with work: its unit and the name of it.
_Place = tuple[str, str]
_Entry = tuple[_Place, str, int, Mapping[str, str]]


class RedisWork:
    """See `Work`.

    Args:
        client: one that answers in bytes, see `connect`; `close` closes it.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self.on_done: OnDone = lambda: None
        # Where the last claim ended.
        self._last: _Place = ("", "")

    async def claim(self, worker: str, most: int, readable: Readable) -> tuple[Taken, ...]:
        async with answers():
            batches = await self._readable(readable)
            order = sorted(batches)
            # After the one that was served last: every batch has its turn.
            turn = [one for one in order if one > self._last]
            turn += [one for one in order if one <= self._last]
            entries: list[_Entry] = []
            empty: list[_Place] = []
            while turn and len(entries) < most:
                asked = turn[: most - len(entries)]
                share = max(1, (most - len(entries)) // len(asked))
                found = await self._read_new(worker, asked, share)
                self._last = asked[-1]
                turn = turn[len(asked) :]
                for one, got in zip(asked, found, strict=True):
                    entries += got
                    if len(got) == share:
                        turn.append(one)
                    elif not got:
                        empty.append(one)
            taken = await self._taken(batches, entries, {})
            await self._retire(empty)
        return taken

    async def reclaim(
        self, worker: str, lease: timedelta, most: int, readable: Readable
    ) -> tuple[Taken, ...]:
        idle = int(lease.total_seconds() * 1000)
        async with answers():
            batches = await self._readable(readable)
            entries: list[_Entry] = []
            for one in sorted(batches):
                if len(entries) >= most:
                    break
                entries += await self._take_over(worker, one, idle, most - len(entries))
            begun = await self._times_begun(entries)
            taken = await self._taken(batches, entries, begun)
        lost = [one for one in taken if one.item.tries > MOST_TRIES]
        if lost:
            refused = GaveUp()
            problem = Notice(code=refused.code, detail=refused.detail, remedy=refused.remedy)
            await self.finish([Finished(one, problem=problem) for one in lost])
        return tuple(one for one in taken if one not in lost)

    async def renew(self, worker: str, taken: Sequence[Taken]) -> None:
        # Without counting it as another try, and never what was acknowledged.
        await self._claim_again(worker, taken)

    async def release(self, worker: str, taken: Sequence[Taken]) -> None:
        # As if its lease had ended long ago, and one try less; those that ended workers count on.
        for tries in {one.item.tries for one in taken}:
            those = [one for one in taken if one.item.tries == tries]
            times = max(0, tries - 1)
            await self._claim_again(worker, those, idle=_LONG_AGO_MS, times=times)

    async def _claim_again(
        self,
        worker: str,
        taken: Sequence[Taken],
        *,
        idle: int | None = None,
        times: int | None = None,
    ) -> None:
        held: dict[_Place, list[str]] = {}
        for one in taken:
            if one.entry is not None:
                held.setdefault((one.batch.unit, one.batch.id.hex), []).append(one.entry)
        if not held:
            return
        async with answers(), self._client.pipeline(transaction=False) as claiming:
            for (unit, name), entries in held.items():
                claiming.xclaim(
                    records.stream(unit, name),
                    records.GROUP,
                    worker,
                    0,
                    [*entries],
                    idle=idle,
                    retrycount=times,
                    justid=True,
                )
            for answer in await claiming.execute(raise_on_error=False):
                _unless_no_group(answer)

    async def finish(self, finished: Sequence[Finished]) -> tuple[bool, ...]:
        made: dict[int, bool] = {}
        by_unit: dict[str, list[tuple[int, Finished]]] = {}
        for place, one in enumerate(finished):
            by_unit.setdefault(one.taken.batch.unit, []).append((place, one))
        for unit, all_of_it in by_unit.items():
            for begin in range(0, len(all_of_it), _AT_ONCE):
                part = all_of_it[begin : begin + _AT_ONCE]
                async with answers():
                    done = await self._finish(unit, [one for _, one in part])
                made |= {place: was for (place, _), was in zip(part, done, strict=True)}
        return tuple(made[place] for place in range(len(finished)))

    async def _finish(self, unit: str, finished: Sequence[Finished]) -> tuple[bool, ...]:
        names = [one.taken.batch.id.hex for one in finished]
        numbers = [one.taken.item.number for one in finished]
        keys = [
            records.item(unit, name, number) for name, number in zip(names, numbers, strict=True)
        ]

        async def change(transaction: Pipeline) -> tuple[tuple[bool, ...], int]:
            waiting: set[tuple[str, int]] = set()
            for name in {*names}:
                asked = [one for of, one in zip(names, numbers, strict=True) if of == name]
                scores = await transaction.zmscore(
                    records.place(unit, name, records.WAITING), [str(one) for one in asked]
                )
                waiting |= {
                    (name, one) for one, at in zip(asked, scores, strict=True) if at is not None
                }
            waits: list[bool] = []
            for place in zip(names, numbers, strict=True):
                waits.append(place in waiting)
                # Who took it twice, because the lease ended in between, finishes it once.
                waiting.discard(place)
            transaction.multi()  # type: ignore[no-untyped-call]
            enter(
                transaction,
                (
                    one.prediction
                    for one, waits_still in zip(finished, waits, strict=True)
                    if waits_still and one.prediction is not None
                ),
            )
            for name in {*names}:
                of_it = [
                    (one, still)
                    for one, still in zip(finished, waits, strict=True)
                    if one.taken.batch.id.hex == name
                ]
                _keep(transaction, unit, name, [one for one, still in of_it if still])
                entries = [one.taken.entry for one, _ in of_it if one.taken.entry is not None]
                if entries:
                    transaction.xack(records.stream(unit, name), records.GROUP, *entries)
                    transaction.xdel(records.stream(unit, name), *entries)
            changed = {name for name, waited in zip(names, waits, strict=True) if waited}
            for name in changed:
                transaction.hget(records.record(unit, name), "stands")
                transaction.zcard(records.place(unit, name, records.WAITING))
            return tuple(waits), len(changed)

        (kept, changed), answered = await guarded_answers(self._client, keys, change)
        ends = answered[-2 * changed :] if changed else []
        for stands, waiting in zip(ends[::2], ends[1::2], strict=True):
            if stands == records.CLOSED and not waiting:
                self.on_done()
        return kept

    async def ping(self) -> None:
        async with answers():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()

    async def _readable(self, readable: Readable) -> dict[_Place, Batch]:
        """The batches with work that can be read now. Those that were cancelled while whoever
        did it died are cancelled to their end."""
        units = [
            one.decode() for one in cast("set[bytes]", await self._client.smembers(records.UNITS))
        ]
        async with self._client.pipeline(transaction=False) as asking:
            for unit in units:
                asking.zrange(records.work(unit), 0, -1)
            working = await asking.execute()
        places = [
            (unit, name.decode())
            for unit, names in zip(units, working, strict=True)
            for name in names
        ]
        async with self._client.pipeline(transaction=False) as asking:
            for unit, name in places:
                asking.hmget(records.record(unit, name), ["batch", "stands"])
            kept = await asking.execute()
        found: dict[_Place, Batch] = {}
        for (unit, name), (static, stands) in zip(places, kept, strict=True):
            if static is None or stands == records.STOPPED:
                await cancel_waiting(self._client, unit, name)
                continue
            batch = records.static_batch(static)
            if readable(batch):
                found[unit, name] = batch
        return found

    async def _read_new(
        self, worker: str, batches: Sequence[_Place], share: int
    ) -> list[list[_Entry]]:
        async with self._client.pipeline(transaction=False) as asking:
            for unit, name in batches:
                asking.xreadgroup(
                    records.GROUP, worker, {records.stream(unit, name): ">"}, count=share
                )
            answered = await asking.execute(raise_on_error=False)
        found: list[list[_Entry]] = []
        for place, answer in zip(batches, answered, strict=True):
            if isinstance(answer, Exception):
                # Nobody has read of it yet.
                _unless_no_group(answer)
                made = await self._make_group(place)
                found += await self._read_new(worker, [place], share) if made else [[]]
            else:
                found.append(_entries(place, stream_entries(answer)))
        return found

    async def _make_group(self, place: _Place) -> bool:
        """Whether the stream has its group now; it has none where there is nothing to read."""
        try:
            await self._client.xgroup_create(records.stream(*place), records.GROUP, id="0")
        except ResponseError as error:
            if str(error).startswith("BUSYGROUP"):
                return True
            if "requires the key to exist" in str(error):
                return False
            raise
        return True

    async def _take_over(self, worker: str, place: _Place, idle_ms: int, most: int) -> list[_Entry]:
        try:
            answer = await self._client.xautoclaim(
                records.stream(*place), records.GROUP, worker, idle_ms, count=most
            )
        except ResponseError as error:
            _unless_no_group(error)
            return []
        return _entries(place, answer[1])

    async def _times_begun(self, entries: Sequence[_Entry]) -> dict[tuple[_Place, str], int]:
        """How often each entry was handed out."""
        if not entries:
            return {}
        async with self._client.pipeline(transaction=False) as asking:
            for place, entry, *_ in entries:
                asking.xpending_range(records.stream(*place), records.GROUP, entry, entry, 1)
            answered = await asking.execute(raise_on_error=False)
        return {
            (place, entry): answer[0]["times_delivered"]
            for (place, entry, *_), answer in zip(entries, answered, strict=True)
            if isinstance(answer, list) and answer
        }

    async def _taken(
        self,
        batches: dict[_Place, Batch],
        entries: Sequence[_Entry],
        begun: dict[tuple[_Place, str], int],
    ) -> tuple[Taken, ...]:
        """The files of entries; entries of files that do not wait any more are removed."""
        if not entries:
            return ()
        async with self._client.pipeline(transaction=False) as asking:
            for place, _, number, _ in entries:
                asking.hgetall(records.item(*place, number))
            kept = await asking.execute()
        taken: list[Taken] = []
        over: list[_Entry] = []
        for one, fields in zip(entries, kept, strict=True):
            place, entry, number, handed = one
            if fields.get(b"place") != records.WAITING.encode():
                over.append(one)
                continue
            item = records.item_of(number, fields)
            tries = begun.get((place, entry), 1)
            item = item.model_copy(update={"tries": tries})
            taken.append(Taken(batches[place], item, entry, handed))
        if over:
            async with self._client.pipeline(transaction=False) as removing:
                for place, entry, *_ in over:
                    removing.xack(records.stream(*place), records.GROUP, entry)
                    removing.xdel(records.stream(*place), entry)
                await removing.execute(raise_on_error=False)
        return tuple(taken)

    async def _retire(self, batches: Sequence[_Place]) -> None:
        """Ask those of the batches for no more work in which no file waits."""
        if not batches:
            return
        async with self._client.pipeline(transaction=False) as asking:
            for place in batches:
                asking.zcard(records.place(*place, records.WAITING))
            waiting = await asking.execute()
        for place, count in zip(batches, waiting, strict=True):
            if count == 0:
                await self._retire_one(*place)

    async def _retire_one(self, unit: str, name: str) -> None:
        waiting = records.place(unit, name, records.WAITING)

        async def change(transaction: Pipeline) -> None:
            none_waits = await transaction.zcard(waiting) == 0
            transaction.multi()  # type: ignore[no-untyped-call]
            if none_waits:
                transaction.zrem(records.work(unit), name)
                transaction.delete(records.stream(unit, name))

        await guarded(self._client, [waiting], change)


def _keep(transaction: Pipeline, unit: str, name: str, finished: Sequence[Finished]) -> None:
    """Add the commands that state what became of files of a batch that wait."""
    if not finished:
        return
    numbers: dict[str, dict[str, float]] = {}
    for one in finished:
        number = one.taken.item.number
        place = records.place_of(one.prediction)
        fields: records.Fields = {"place": place, "tries": str(one.taken.item.tries)}
        if one.problem is not None:
            fields |= records.problem_fields(one.problem)
        transaction.hset(records.item(unit, name, number), mapping=fields)
        numbers.setdefault(place, {})[str(number)] = number
    transaction.zrem(
        records.place(unit, name, records.WAITING), *(one for at in numbers.values() for one in at)
    )
    for place, those in numbers.items():
        transaction.zadd(records.place(unit, name, place), those)
    transaction.set(records.finished_at(unit, name), now().isoformat())


def _entries(
    place: _Place, found: Sequence[tuple[bytes, dict[bytes, bytes] | None]]
) -> list[_Entry]:
    entries: list[_Entry] = []
    for entry, kept in found:
        if kept:
            fields = {key.decode(): value.decode() for key, value in kept.items()}
            number = int(fields.pop(records.NUMBER))
            entries.append((place, entry.decode(), number, fields))
    return entries


def _unless_no_group(answer: object) -> None:
    """Raise what an answer is, unless it says that the stream or its group is not there."""
    if isinstance(answer, Exception) and not str(answer).startswith("NOGROUP"):
        raise answer
