"""The queues of batches behave alike, and lose and double nothing however workers die."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from diagnosis.contracts import (
    BatchItem,
    ListedBand,
    listed_band,
)
from diagnosis.errors import (
    BatchClosed,
    BatchTooLarge,
    InvalidRequest,
    ItemTaken,
    StoreUnavailable,
    UnknownBatch,
)
from diagnosis.queue import (
    MOST_TRIES,
    Finished,
    MemoryQueue,
    Taken,
)
from diagnosis.results import MemoryResults
from tests.diagnosis.test_results import redis_cluster
from tests.fixtures.queues import ENDED, PROBLEM, Queue, make_batch, make_item, queue_at, reading_of
from tests.fixtures.redis import RedisServer

__all__ = ["redis_cluster"]


@pytest.fixture(params=["memory", "redis", "cluster"])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[Queue]:
    unit = f"u{uuid4().hex[:10]}"
    if request.param == "memory":
        results = MemoryResults()
        both = MemoryQueue(results)
        yield Queue(both, both, results, unit)
        return
    name = "redis_server" if request.param == "redis" else "redis_cluster"
    server: RedisServer = request.getfixturevalue(name)
    opened = queue_at(server.url, unit)
    yield opened
    await opened.close()


HOUR = timedelta(hours=1)


async def test_a_batch_goes_from_open_to_done(queue: Queue) -> None:
    batch = await queue.make(items=3)
    assert await queue.get(batch) == batch.model_copy(
        update={"counts": batch.counts.model_copy(update={"items": 3, "waiting": 3})}
    )
    taken = await queue.claim()
    assert [one.item.number for one in taken] == [0, 1, 2]
    assert {one.item.tries for one in taken} == {1}
    bands: tuple[ListedBand, ...] = ("likely_positive", "not_judged")
    finished = [reading_of(one, band) for one, band in zip(taken[:2], bands, strict=True)]
    done = await queue.work.finish([*finished, Finished(taken[2], problem=PROBLEM)])
    assert done == (True, True, True)
    half = await queue.get(batch)
    assert half.state == "open"
    assert half.finished_at is None
    closed = await queue.batches.close_batch(queue.unit, batch.id)
    assert closed.state == "done"
    assert closed.finished_at is not None
    assert closed.counts.model_dump() == {
        "items": 3, "waiting": 0, "done": 2, "failed": 1, "cancelled": 0,
    }  # fmt: skip
    assert (closed.bands.likely_positive, closed.bands.not_judged) == (1, 1)
    items = await queue.items(batch)
    assert [one.state for one in items] == ["done", "done", "failed"]
    assert [one.band for one in items] == ["likely_positive", "not_judged", None]
    assert items[2].problem == PROBLEM
    assert items[0].name == "folder/0.png"
    readings = {one.id for one in await queue.readings(batch)}
    assert readings == {one.prediction_id for one in items[:2]}
    assert await queue.claim() == ()


async def test_what_is_handed_in_again_is_there_once(queue: Queue) -> None:
    batch = await queue.make(items=1)
    again = make_item(0)
    assert await queue.batches.accept(queue.unit, batch.id, [again]) == ("there",)
    with pytest.raises(ItemTaken):
        await queue.accept(batch, [make_item(1), make_item(0, "cd")])
    assert [one.number for one in await queue.items(batch)] == [0], "all of them, or none"
    (taken,) = await queue.claim()
    assert taken.item.prediction_id != again.prediction_id
    assert await queue.claim() == ()


async def test_a_batch_has_so_many_bytes(queue: Queue) -> None:
    batch = await queue.make()
    accept = queue.batches.accept
    assert await accept(queue.unit, batch.id, [make_item(0)], most_bytes=150) == ("accepted",)
    with pytest.raises(BatchTooLarge):
        await accept(queue.unit, batch.id, [make_item(1)], most_bytes=150)
    assert await accept(queue.unit, batch.id, [make_item(0)], most_bytes=50) == ("there",)


async def test_a_refused_file_is_a_failed_item(queue: Queue) -> None:
    batch = await queue.make()
    await queue.accept(batch, [BatchItem(number=4, name="x", state="failed", problem=PROBLEM)])
    assert await queue.claim() == ()
    assert (await queue.batches.close_batch(queue.unit, batch.id)).state == "done"
    (item,) = await queue.items(batch)
    assert (item.problem, item.prediction_id) == (PROBLEM, None)


async def test_what_no_worker_is_to_read_no_worker_takes(queue: Queue) -> None:
    batch = await queue.make()
    await queue.batches.accept(queue.unit, batch.id, [make_item(0)], queued=False)
    assert await queue.claim() == ()
    (item,) = await queue.items(batch)
    done = await queue.work.finish([reading_of(Taken(batch, item))])
    assert done == (True,)
    assert (await queue.get(batch)).counts.done == 1


async def test_a_batch_that_is_posted_says_what_it_was_posted_with(queue: Queue) -> None:
    made = make_batch(queue.unit)
    counts = made.counts.model_copy(update={"items": 9000, "waiting": 8999, "done": 1})
    batch = made.model_copy(update={"state": "running", "counts": counts})
    waiting = make_item(0).model_copy(update={"digest": None})
    await queue.batches.post(batch, [waiting, make_item(1)])
    done = waiting.model_copy(update={"state": "done", "band": "uncertain", "tries": 1})
    for _ in range(2):
        await queue.batches.post(batch, [done])
    assert await queue.get(batch) == batch
    assert (await queue.items(batch))[0] == done
    listed, _ = await queue.batches.items(queue.unit, batch.id, limit=9, state="waiting")
    assert [one.number for one in listed] == [1]
    assert await queue.claim() == ()
    assert (await queue.batches.list(queue.unit, limit=9))[0] == (batch,)
    for about in (
        queue.accept(batch, [make_item(9)]),
        queue.batches.close_batch(queue.unit, batch.id),
        queue.batches.cancel(queue.unit, batch.id),
        queue.batches.retry(queue.unit, batch.id, [1]),
    ):
        with pytest.raises(BatchClosed):
            await about
    await queue.batches.cancel(queue.unit, batch.id, though_done=True)
    await queue.batches.delete(queue.unit, batch.id)
    with pytest.raises(UnknownBatch):
        await queue.get(batch)


async def test_a_closed_batch_takes_no_more(queue: Queue) -> None:
    batch = await queue.make(closed=True)
    assert batch.state == "done"
    assert (await queue.batches.close_batch(queue.unit, batch.id)).state == "done"
    with pytest.raises(BatchClosed):
        await queue.accept(batch, [make_item(0)])


async def test_what_came_before_a_batch_was_closed_may_be_sent_again(queue: Queue) -> None:
    batch = await queue.make(items=1, closed=True)
    assert await queue.batches.accept(queue.unit, batch.id, [make_item(0)]) == ("there",)
    await queue.batches.cancel(queue.unit, batch.id)
    assert await queue.batches.accept(queue.unit, batch.id, [make_item(0)]) == ("there",)
    assert len(await queue.items(batch)) == 1


@pytest.mark.parametrize("tries", [1, MOST_TRIES])
async def test_what_is_given_back_is_taken_at_once_and_was_no_try(queue: Queue, tries: int) -> None:
    await queue.make(items=1)
    (taken,) = await queue.claim("a")
    # Those that ended their workers count on, or it would end more of them.
    for _ in range(1, tries):
        (taken,) = await queue.reclaim("a")
    for _ in range(MOST_TRIES + 2):
        assert taken.item.tries == tries
        await queue.work.release("a", [taken])
        (taken,) = await queue.reclaim("b", HOUR)
    assert await queue.reclaim("c", HOUR) == ()


async def test_another_units_batch_is_nobodys(queue: Queue) -> None:
    batch = await queue.make(items=1)
    for about in (
        queue.batches.get("other", batch.id),
        queue.batches.close_batch("other", batch.id),
        queue.batches.cancel("other", batch.id),
        queue.batches.retry("other", batch.id, [0]),
        queue.batches.items("other", batch.id, limit=5),
        queue.batches.accept("other", batch.id, [make_item(2)]),
    ):
        with pytest.raises(UnknownBatch):
            await about
    assert (await queue.batches.list("other", limit=5))[0] == ()


async def test_batches_come_in_pages_newest_first(queue: Queue) -> None:
    made = [await queue.make() for _ in range(5)]
    first, cursor = await queue.batches.list(queue.unit, limit=3)
    rest, end = await queue.batches.list(queue.unit, limit=3, cursor=cursor)
    assert [one.id for one in (*first, *rest)] == [one.id for one in made[::-1]]
    assert end is None
    for bad in ("x", "g" * 32, "A" * 32):
        with pytest.raises(InvalidRequest):
            await queue.batches.list(queue.unit, limit=3, cursor=bad)
    with pytest.raises(InvalidRequest):
        await queue.batches.items(queue.unit, made[0].id, limit=3, cursor="-1")


async def test_items_are_listed_by_state(queue: Queue) -> None:
    batch = await queue.make(items=12)
    taken = await queue.claim(most=8)
    await queue.work.finish(
        [reading_of(one, ("uncertain", "likely_negative")[n % 2]) for n, one in enumerate(taken)]
    )
    done, cursor = await queue.batches.items(queue.unit, batch.id, limit=5, state="done")
    more, end = await queue.batches.items(
        queue.unit, batch.id, limit=5, state="done", cursor=cursor
    )
    assert [one.number for one in (*done, *more)] == list(range(8))
    assert end is None
    waiting, _ = await queue.batches.items(queue.unit, batch.id, limit=9, state="waiting")
    assert [one.number for one in waiting] == [8, 9, 10, 11]


async def test_batches_are_served_in_turn(queue: Queue) -> None:
    large = await queue.make(items=40)
    small = await queue.make(items=4)
    first = await queue.claim(most=8)
    assert sorted({one.batch.id for one in first}) == sorted({large.id, small.id})
    served = [one.batch.id for one in first].count(small.id)
    assert served == 4
    assert len(first) == 8
    assert {one.batch.id for one in await queue.claim(most=8)} == {large.id}


async def test_one_at_a_time_goes_around(queue: Queue) -> None:
    batches = [await queue.make(items=3) for _ in range(3)]
    order = [one.batch.id for _ in range(9) for one in await queue.claim(most=1)]
    assert order == [one.id for one in batches] * 3


async def test_a_batch_that_cannot_be_read_now_waits(queue: Queue) -> None:
    await queue.make(items=2)
    assert await queue.work.claim("w", 9, lambda _: False) == ()
    assert await queue.work.reclaim("w", ENDED, 9, lambda _: False) == ()
    assert len(await queue.claim()) == 2


async def test_a_dead_workers_items_are_taken_over_after_its_lease(queue: Queue) -> None:
    batch = await queue.make(items=2)
    await queue.claim("dead")
    assert await queue.claim("other") == ()
    assert await queue.reclaim("other", timedelta(seconds=60)) == ()
    taken = await queue.reclaim("other")
    assert [(one.item.number, one.item.tries) for one in taken] == [(0, 2), (1, 2)]
    assert await queue.work.finish([reading_of(one) for one in taken]) == (True, True)
    assert await queue.reclaim("other") == ()
    assert (await queue.get(batch)).counts.done == 2
    assert {one.tries for one in await queue.items(batch)} == {2}


async def test_a_lease_that_is_renewed_does_not_end(queue: Queue) -> None:
    await queue.make(items=1)
    taken = await queue.claim("slow")
    lease = timedelta(seconds=0.5)
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began + 0.8:
        await queue.work.renew("slow", taken)
        assert await queue.reclaim("other", lease) == ()
    (again,) = await queue.reclaim("other")
    assert again.item.tries == 2, "to renew it is no try"


async def test_an_item_that_ends_its_workers_is_set_aside(queue: Queue) -> None:
    batch = await queue.make(items=1, closed=True)
    await queue.claim("w0")
    for number in range(1, MOST_TRIES):
        assert len(await queue.reclaim(f"w{number}")) == 1
    assert await queue.reclaim("last") == ()
    (item,) = await queue.items(batch)
    assert item.state == "failed"
    assert item.problem is not None
    assert item.problem.code == "gave-up"
    assert (await queue.get(batch)).state == "done"
    assert await queue.readings(batch) == []
    # And once more where somebody asks for it.
    assert await queue.batches.retry(queue.unit, batch.id, [0, 5]) == 1
    (taken,) = await queue.claim()
    assert taken.item.tries == 1
    assert (await queue.get(batch)).state == "running"
    assert await queue.work.finish([reading_of(taken)]) == (True,)
    assert (await queue.get(batch)).state == "done"
    assert await queue.batches.retry(queue.unit, batch.id, [0]) == 0


async def test_of_two_who_finish_an_item_one_does(queue: Queue) -> None:
    batch = await queue.make(items=3)
    slow = await queue.claim("slow")
    fast = await queue.reclaim("fast")
    made = [reading_of(one, "uncertain") for one in fast]
    others = [reading_of(one, "likely_negative") for one in slow]
    answers = await asyncio.gather(queue.work.finish(made), queue.work.finish(others))
    for one, other in zip(*answers, strict=True):
        assert one != other
    assert await queue.work.finish(others) == (False, False, False)
    readings = {one.id: one for one in await queue.readings(batch)}
    counted = (await queue.get(batch)).bands
    assert len(readings) == 3
    assert counted.uncertain + counted.likely_negative == 3
    for item in await queue.items(batch):
        assert item.prediction_id is not None
        assert listed_band(readings[item.prediction_id]) == item.band
        found, _ = await queue.results.list(queue.unit, limit=9, batch=batch.id, band=item.band)
        assert item.prediction_id in {one.id for one in found}
    total = sum(
        [
            len((await queue.results.list(queue.unit, limit=9, band=band))[0])
            for band in ("uncertain", "likely_negative")
        ]
    )
    assert total == 3, "no reading is listed under two bands"


async def test_nothing_is_read_of_what_was_cancelled(queue: Queue) -> None:
    batch = await queue.make(items=5)
    done, held, *_ = await queue.claim(most=2)
    await queue.work.finish([reading_of(done)])
    cancelled = await queue.batches.cancel(queue.unit, batch.id)
    assert [one.number for one in cancelled] == [1, 2, 3, 4]
    assert {one.state for one in cancelled} == {"cancelled"}
    assert await queue.work.finish([reading_of(held)]) == (False,)
    found = await queue.get(batch)
    assert (found.state, found.counts.done, found.counts.cancelled) == ("cancelled", 1, 4)
    assert len(await queue.readings(batch)) == 1
    assert await queue.claim() == ()
    assert await queue.reclaim("w") == ()
    for late in (
        queue.accept(batch, [make_item(9)]),
        queue.batches.close_batch(queue.unit, batch.id),
        queue.batches.retry(queue.unit, batch.id, [1]),
    ):
        with pytest.raises(BatchClosed):
            await late
    assert await queue.batches.cancel(queue.unit, batch.id) == ()


async def test_a_done_batch_is_not_cancelled_but_before_it_is_deleted(queue: Queue) -> None:
    batch = await queue.make(items=1, closed=True)
    await queue.work.finish([Finished(*(await queue.claim()), problem=PROBLEM)])
    await queue.batches.cancel(queue.unit, batch.id)
    assert (await queue.get(batch)).state == "done"
    await queue.batches.cancel(queue.unit, batch.id, though_done=True)
    with pytest.raises(BatchClosed):
        await queue.batches.retry(queue.unit, batch.id, [0])


async def test_nothing_is_left_of_a_deleted_batch(queue: Queue) -> None:
    batch = await queue.make(items=150)
    (held,) = await queue.claim(most=1)
    await queue.batches.cancel(queue.unit, batch.id)
    await queue.batches.delete(queue.unit, batch.id)
    await queue.batches.delete(queue.unit, batch.id)
    with pytest.raises(UnknownBatch):
        await queue.get(batch)
    assert (await queue.batches.list(queue.unit, limit=9))[0] == ()
    assert await queue.work.finish([reading_of(held)]) == (False,)
    await queue.work.renew("w", [held])
    assert await queue.readings(batch) == []


async def test_the_name_of_a_deleted_readings_file_is_forgotten(queue: Queue) -> None:
    batch = await queue.make(items=2)
    taken = await queue.claim()
    await queue.work.finish([reading_of(one) for one in taken])
    assert taken[1].item.prediction_id is not None
    await queue.batches.forget(queue.unit, batch.id, taken[1].item.prediction_id)
    await queue.batches.forget(queue.unit, batch.id, uuid4())
    await queue.batches.forget(queue.unit, UUID(int=7), uuid4())
    assert [one.name for one in await queue.items(batch)] == ["folder/0.png", ""]


async def test_the_backlog_is_what_waits(queue: Queue) -> None:
    before = await queue.batches.backlog()
    await queue.make(items=3)
    taken = await queue.claim(most=2)
    assert (await queue.batches.backlog()).files == before.files + 3
    await queue.work.finish([reading_of(one) for one in taken])
    assert (await queue.batches.backlog()).files == before.files + 1


async def test_whoever_does_the_last_of_a_batch_is_told_once(queue: Queue) -> None:
    told: list[str] = []
    queue.work.on_done = lambda: told.append("work")
    queue.batches.on_done = lambda: told.append("batches")
    # In memory both ends are one.
    work, batches = ("batches", "batches") if queue.work is queue.batches else ("work", "batches")
    batch = await queue.make(items=40, closed=True)
    taken = await queue.claim()
    made = [reading_of(one) for one in taken]
    await queue.work.finish(made[:39])
    assert told == []
    # Twice at the same time, as where a lease ended in between.
    await asyncio.gather(queue.work.finish(made[30:]), queue.work.finish(made[30:]))
    assert told == [work]
    await queue.work.finish(made)
    await queue.batches.close_batch(queue.unit, batch.id)
    assert told == [work]

    # All is read before it is closed: then closing it is the last.
    batch = await queue.make(items=2)
    await queue.work.finish([reading_of(one) for one in await queue.claim()])
    assert told == [work]
    for _ in range(2):
        await queue.batches.close_batch(queue.unit, batch.id)
    assert told == [work, batches]

    # What is cancelled is not done.
    batch = await queue.make(items=2)
    await queue.batches.cancel(queue.unit, batch.id)
    assert told == [work, batches]


async def test_the_backlog_tells_how_long_its_oldest_file_waits(queue: Queue) -> None:
    batch = await queue.make(items=1)
    await asyncio.sleep(0.06)
    await queue.make(items=1)
    before = (await queue.batches.backlog()).oldest_seconds
    assert before >= 0.05
    await queue.work.finish([reading_of(one) for one in await queue.claim()])
    # Tests share a server: others may have files that wait, but not these.
    assert await queue.items(batch)
    left = await queue.batches.backlog()
    assert left.files > 0 or left.oldest_seconds == 0


async def test_many_workers_read_each_item_once(queue: Queue) -> None:
    batch = await queue.make(items=60, closed=True)
    finished: list[int] = []

    async def work(name: str) -> None:
        while taken := await queue.claim(name, most=4):
            made = await queue.work.finish([reading_of(one) for one in taken])
            finished.extend(one.item.number for one, ours in zip(taken, made, strict=True) if ours)

    await asyncio.gather(*(work(f"w{number}") for number in range(5)))
    assert sorted(finished) == list(range(60))
    assert (await queue.get(batch)).state == "done"
    assert len(await queue.readings(batch)) == 60


async def test_many_hand_in_files_of_one_batch_at_once(queue: Queue) -> None:
    batch = await queue.make()
    await asyncio.gather(*(queue.accept(batch, [make_item(number)]) for number in range(30)))
    assert [one.number for one in await queue.items(batch)] == list(range(30))


async def test_a_cancellation_that_was_cut_off_is_ended_by_a_worker(
    redis_server: RedisServer,
) -> None:
    unit = f"u{uuid4().hex[:10]}"
    queue = queue_at(redis_server.url, unit)
    batch = await queue.make(items=3)
    async with Redis.from_url(redis_server.admin_url) as admin:
        await admin.hset(f"queue:{{{unit}}}:{batch.id.hex}", "stands", "stopped")
    assert await queue.claim() == ()
    found = await queue.get(batch)
    assert (found.state, found.counts.cancelled, found.counts.waiting) == ("cancelled", 3, 0)
    await queue.close()


async def test_what_was_accepted_survives_the_end_of_the_server(
    start_redis: Callable[..., RedisServer],
) -> None:
    server = start_redis()
    queue = queue_at(server.url, "default")
    batch = await queue.make(items=3, closed=True)
    taken = await queue.claim("dead", most=2)
    await queue.work.finish([reading_of(taken[0])])
    server.stop()
    with pytest.raises(StoreUnavailable):
        await queue.get(batch)
    server.start()
    assert (await queue.get(batch)).counts.waiting == 2
    rest = [*await queue.reclaim("w"), *await queue.claim()]
    assert sorted(one.item.number for one in rest) == [1, 2]
    assert await queue.work.finish([reading_of(one) for one in rest]) == (True, True)
    assert (await queue.get(batch)).state == "done"
    await queue.close()
    server.stop()
