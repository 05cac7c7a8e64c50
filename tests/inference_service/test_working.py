"""A worker: what it holds, what it leaves, and what it does of a worker that died."""

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from diagnosis.contracts import Batch, Prediction
from diagnosis.errors import StoreUnavailable
from diagnosis.image_store import FolderImageStore
from diagnosis.queue import Finished, MemoryQueue, Taken, connect_work
from inference_service import finishing
from inference_service import working as working_module
from inference_service.ask import Ask
from inference_service.pipeline import Files
from inference_service.service import Service
from inference_service.worker import _kinds, working
from inference_service.working import Worker
from tests.fixtures.decoders import shared_nursery
from tests.fixtures.live_service import Live, Start, reading_batches
from tests.fixtures.redis import RedisServer
from tests.inference_service.test_batches import (
    get,
    items,
    over,
    picture_of,
    readings,
    sent,
    spooled,
)


async def test_where_the_answer_is_lost_that_files_are_kept_their_bytes_go_all_the_same(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are as they were sent, with what they say of a patient."""
    queue = live.service.batches
    assert isinstance(queue, MemoryQueue)
    finish = queue.finish
    lost: list[Finished] = []

    async def finish_and_lose(finished: Sequence[Finished]) -> tuple[bool, ...]:
        made = await finish(finished)
        if not lost:
            lost.extend(finished)
            raise StoreUnavailable(cause="the answer was lost")
        return made

    monkeypatch.setattr(queue, "finish", finish_and_lose)
    async with sent(live, [picture_of(seed) for seed in range(4)]) as batch, reading_batches(live):
        assert (await over(live, batch)).counts.done == 4
        await live.until(lambda: spooled(live) == 0)
    assert lost
    assert len(await readings(live, batch)) == 4


async def test_a_worker_ends_by_a_fault_in_keeping_and_says_which(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(_: object) -> None:
        raise LookupError("a file of somebody")

    queue = live.service.batches
    assert isinstance(queue, MemoryQueue)
    monkeypatch.setattr(live.service.pipeline, "put", put)
    async with sent(live), asyncio.timeout(20):
        with pytest.raises(BaseExceptionGroup) as fault:
            await Worker(live.service, queue, "faulty").run()
    assert _kinds(fault.value) == ["LookupError"]


async def test_a_worker_that_stops_keeps_or_gives_back_all(live: Live) -> None:
    files = [picture_of(seed) for seed in range(12)]
    async with sent(live, files) as batch:
        async with reading_batches(live):

            async def has_begun() -> bool:
                return (await get(live, batch)).counts.done > 0

            await live.until(has_begun)
        left = (await get(live, batch)).counts.waiting
        async with reading_batches(live):
            began = asyncio.get_running_loop().time()
            done = await over(live, batch)
            # No lease had to end.
            assert asyncio.get_running_loop().time() - began < 14
        assert done.counts.done == 12
        assert len(await readings(live, batch)) == 12
        assert {one.tries for one in await items(live, batch)} <= {1, 2}
    assert left <= 12


@pytest.mark.parametrize("away", ["redis is dead", "redis hangs", "the disk keeps nothing"])
async def test_a_worker_that_waits_for_a_store_stops_in_time_and_loses_nothing(
    away: str, start: Start, start_redis: Callable[..., RedisServer]
) -> None:
    """It was told to stop while it tried again and again to keep what it had read."""
    redis = start_redis()
    live = await start(redis=True, redis_url=SecretStr(redis.url), batch_lease_seconds=1)
    settings = live.service.settings
    incoming = settings.image_dir / "incoming"
    files = [picture_of(seed) for seed in range(6)]
    async with sent(live, files) as batch:
        service = Service(settings, nursery=shared_nursery(), name="worker")
        work = connect_work(redis.url)
        finish, put = work.finish, service.pipeline.put
        waits = threading.Event()

        async def finish_without(finished: Sequence[Finished]) -> tuple[bool, ...]:
            (redis.stop if away == "redis is dead" else redis.freeze)()
            with suppress(StoreUnavailable):
                await finish(finished)
            waits.set()
            raise StoreUnavailable(cause="it is away")

        def put_without(made: Sequence[tuple[Prediction, Files]]) -> list[Prediction]:
            incoming.touch()
            try:
                return put(made)
            finally:
                waits.set()

        if away == "the disk keeps nothing":
            service.pipeline.put = put_without  # type: ignore[method-assign]
        else:
            work.finish = finish_without  # type: ignore[method-assign]
        async with working(service, work):
            await live.until(waits.is_set)
            await asyncio.sleep(0.3)
            began = time.monotonic()
        # Two seconds for what is at work, two for giving it back, and what closing takes.
        stopped = time.monotonic() - began
        assert stopped < 15
        if away == "redis is dead":
            redis.start()
        elif away == "redis hangs":
            redis.thaw()
        else:
            incoming.unlink()
            # All of it was given back: another start is no try.
            another = connect_work(redis.url)
            taken = await another.reclaim("x", timedelta(seconds=1), 50, _any)
            await another.close()
            assert {one.item.tries for one in taken} == {1}
        async with reading_batches(live):
            done = await over(live, batch)
        assert done.counts.done == len(files)
        assert len(await readings(live, batch)) == len(files)


async def test_what_is_kept_does_not_pile_up_before_it_is_seen_to(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their images are in memory until then; a bucket may be slow at what comes last."""
    monkeypatch.setattr(finishing, "_AT_ONCE", 2)
    monkeypatch.setattr(finishing, "_UNTIDY", 4)
    service, queue = live.service, live.service.batches
    assert isinstance(queue, MemoryQueue)
    sick = Service(
        service.settings, service.results, service.audit, shared_nursery(), queue, service.watch
    )
    put_again, goes_on = sick.pipeline.put_again, asyncio.Event()

    async def put_again_late(kept: Sequence[tuple[Prediction, Files]]) -> None:
        await goes_on.wait()
        await put_again(kept)

    sick.pipeline.put_again = put_again_late  # type: ignore[method-assign]
    files = [picture_of(seed) for seed in range(30)]
    async with sent(live, files) as batch:
        async with working(sick, queue) as worker:
            await live.until(worker._finishing._finished.full)
            await asyncio.sleep(1)
            # Two are seen to, four wait for that, and of two more it is just known.
            assert (await queue.get("default", batch.id)).counts.done <= 8
            goes_on.set()
            done = await over(live, batch)
        assert done.counts.done == len(files)


def _any(_: Batch) -> bool:
    return True


@pytest.mark.parametrize("broken", ["images", "spool"])
async def test_what_one_worker_cannot_keep_or_read_another_gets(
    broken: str, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own way to the images may be broken. It gives back what it holds, without a try."""
    for module in (finishing, working_module):
        monkeypatch.setattr(module, "PATIENCE", 0.2)
    # Long enough for no lease to end while this machine has other work.
    live = await start(batch_lease_seconds=3)
    nowhere = tmp_path / "nowhere"
    nowhere.touch()
    queue = live.service.batches
    assert isinstance(queue, MemoryQueue)
    async with sent(live, [picture_of(seed) for seed in range(8)] + [b"no image"]) as batch:
        theirs = live.service
        sick = Service(
            theirs.settings, theirs.results, theirs.audit, shared_nursery(), queue, theirs.watch
        )
        if broken == "images":
            sick.pipeline._images = FolderImageStore(nowhere)
        else:
            sick.intake.spool = FolderImageStore(nowhere)
        released: list[Taken] = []
        release = queue.release

        async def noted(worker: str, taken: Sequence[Taken]) -> None:
            released.extend(taken)
            await release(worker, taken)

        monkeypatch.setattr(queue, "release", noted)
        async with working(sick, queue):
            await live.until(lambda: len(released) >= 4)
            async with reading_batches(live):
                done = await over(live, batch)
        assert (done.counts.done, done.counts.failed) == (8, 1)
        assert len(await readings(live, batch)) == 8
        assert {one.tries for one in await items(live, batch)} == {1}


async def test_all_that_a_dead_worker_held_is_taken_over_at_one_look(live: Live) -> None:
    """A few are taken over at a time; the rest do not wait for the next look, seconds later."""
    queue = live.service.batches
    assert isinstance(queue, MemoryQueue)
    files = [picture_of(seed) for seed in range(14)]
    async with sent(live, files) as batch:
        taken: list[Taken] = []
        while len(taken) < len(files):
            taken += await queue.claim("dead", len(files), lambda _: True)
        await queue.release("dead", taken)
        worker = Worker(live.service, queue, "alive")
        worker._looked = -math.inf
        began = asyncio.get_running_loop().time()
        task = asyncio.create_task(worker.run())
        done = await over(live, batch)
        worker.stop()
        await task
        assert done.counts.done == len(files)
        # Four at a look, one look in five seconds: it would be fifteen.
        assert asyncio.get_running_loop().time() - began < 10


async def test_what_a_dead_worker_held_is_read_alone(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of it, too: what is new and waits beside it begins when it is kept."""
    queue = live.service.batches
    assert isinstance(queue, MemoryQueue)
    files = [picture_of(seed) for seed in range(12)]
    at_work: set[UUID | None] = set()
    beside: list[UUID | None] = []
    lock = threading.Lock()
    real = live.service.pipeline.work

    async with sent(live, files) as batch:
        held = await queue.claim("dead", 3, lambda _: True)
        suspects = {one.item.prediction_id for one in held}

        def work(ask: Ask, waited: float) -> tuple[Prediction, Files]:
            with lock:
                at_work.add(ask.prediction_id)
            time.sleep(0.1)
            with lock:
                if at_work & suspects:
                    beside.extend(at_work - {ask.prediction_id})
            try:
                return real(ask, waited)
            finally:
                with lock:
                    at_work.discard(ask.prediction_id)

        monkeypatch.setattr(live.service.pipeline, "work", work)
        worker = Worker(live.service, queue, "alive")
        worker._lease, worker._looked = timedelta(seconds=0.5), -math.inf
        await asyncio.sleep(0.6)
        task = asyncio.create_task(worker.run())
        done = await over(live, batch)
        worker.stop()
        await task
        tries = {one.prediction_id: one.tries for one in await items(live, batch)}
    assert done.counts.done == len(files)
    assert {one for one, count in tries.items() if count > 1} == suspects
    assert beside == []
