"""Whatever workers, senders and clinicians do in whatever order, each item ends once.

Every step is one that a process can be killed before or after; leases end whenever a step says
so, so that two workers hold the same item as often as not.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diagnosis.contracts import Batch, ListedBand
from diagnosis.errors import BatchClosed
from diagnosis.queue import Finished, MemoryQueue, Taken
from diagnosis.results import MemoryResults
from tests.fixtures.queues import PROBLEM, Queue, make_batch, make_item, queue_at, reading_of
from tests.fixtures.redis import RedisServer

ITEMS = 4
WORKERS = ("ada", "bob")
BANDS: tuple[ListedBand, ...] = ("likely_positive", "uncertain", "not_judged")

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("send", "send", "claim", "claim", "reclaim", "finish", "finish"),
                *("finish twice", "fail", "crash", "reclaim", "renew", "retry", "close", "cancel"),
            )
        ),
        st.integers(0, ITEMS - 1),
        st.sampled_from(WORKERS),
        st.sampled_from(BANDS),
    ),
    min_size=10,
    max_size=40,
)
Steps = list[tuple[str, int, str, ListedBand]]


@dataclass
class House:
    """The queue, who holds what, and a ledger of what was accepted."""

    queue: Queue
    batch: Batch
    held: dict[str, list[Taken]] = field(default_factory=lambda: {one: [] for one in WORKERS})
    accepted: set[int] = field(default_factory=set)
    ours: Counter[int] = field(default_factory=Counter)
    """How often somebody was told that it was their call that finished an item with a reading."""
    done: dict[int, object] = field(default_factory=dict)

    async def step(self, what: str, number: int, worker: str, band: ListedBand) -> None:
        doing: dict[str, Callable[[], Awaitable[object]]] = {
            "send": lambda: self.send(number),
            "claim": lambda: self.take(worker, number),
            "finish": lambda: self.finish(worker, band, again=False),
            "finish twice": lambda: self.finish(worker, band, again=True),
            "fail": lambda: self.fail(worker),
            "crash": lambda: self.crash(worker),
            "reclaim": lambda: self.take_over(worker),
            "renew": lambda: self.queue.work.renew(worker, self.held[worker]),
            "retry": lambda: self.queue.batches.retry(self.queue.unit, self.batch.id, range(ITEMS)),
            "close": lambda: self.queue.batches.close_batch(self.queue.unit, self.batch.id),
            # Seldom, because little comes after it.
            "cancel": lambda: self.cancel(number),
        }
        try:
            await doing[what]()
        except BatchClosed:
            assert (await self.queue.get(self.batch)).state != "open"

    async def send(self, number: int) -> None:
        await self.queue.accept(self.batch, [make_item(number)])
        self.accepted.add(number)

    async def take(self, worker: str, most: int) -> None:
        self.held[worker] += await self.queue.claim(worker, most + 1)

    async def take_over(self, worker: str) -> None:
        self.held[worker] += await self.queue.reclaim(worker)

    async def finish(self, worker: str, band: ListedBand, *, again: bool) -> None:
        finished = [reading_of(one, band) for one in self.held[worker]]
        for one, was in zip(finished, await self.queue.work.finish(finished), strict=True):
            self.ours[one.taken.item.number] += was
        if again:
            # The answer was lost on the way.
            assert not any(await self.queue.work.finish(finished))
        self.held[worker] = []

    async def fail(self, worker: str) -> None:
        await self.queue.work.finish([Finished(one, problem=PROBLEM) for one in self.held[worker]])
        self.held[worker] = []

    async def crash(self, worker: str) -> None:
        self.held[worker] = []

    async def cancel(self, number: int) -> None:
        if number == 0:
            await self.queue.batches.cancel(self.queue.unit, self.batch.id)

    async def check(self) -> None:
        """What holds after every step."""
        batch, items = await self.queue.get(self.batch), await self.queue.items(self.batch)
        assert {one.number for one in items} == self.accepted
        assert batch.counts.items == len(items)
        states = Counter(one.state for one in items)
        counted = batch.counts.model_dump(exclude={"items"})
        assert {state: states[state] for state in ("waiting", "done", "failed", "cancelled")} == (
            counted
        )
        readings = {one.id: one for one in await self.queue.readings(self.batch)}
        done = [one for one in items if one.state == "done"]
        assert {one.prediction_id for one in done} == set(readings)
        for one in done:
            assert self.done.setdefault(one.number, one) == one, "what is done stays as it is"
        assert self.ours == Counter({one.number: 1 for one in done})


async def goes_well(queue: Queue, steps: Steps) -> None:
    batch = make_batch(queue.unit)
    await queue.batches.create(batch)
    house = House(queue, batch)
    for step in steps:
        await house.step(*step)
        await house.check()
    # Everybody dies; whoever comes then reads the rest.
    for worker in WORKERS:
        await house.crash(worker)
    for _ in range(3):
        await house.take_over("ada")
        await house.take("ada", ITEMS)
        await house.finish("ada", "uncertain", again=True)
    await house.check()
    assert (await queue.get(batch)).counts.waiting == 0, "nothing is stuck"
    assert await queue.claim() == ()


@given(steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_in_memory(steps: Steps) -> None:
    results = MemoryResults()
    both = MemoryQueue(results)
    asyncio.run(goes_well(Queue(both, both, results, "default"), steps))


@given(steps=STEPS)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_in_redis(redis_server: RedisServer, steps: Steps) -> None:
    async def run() -> None:
        url = redis_server.url
        queue = queue_at(url, f"u{uuid4().hex[:10]}")
        try:
            await goes_well(queue, steps)
        finally:
            await queue.close()

    asyncio.run(run())


@pytest.mark.parametrize("number", range(3))
async def test_side_by_side(redis_server: RedisServer, number: int) -> None:
    """The same where all of it happens at once, and answers of different calls cross."""
    url = redis_server.url
    queue = queue_at(url, f"u{uuid4().hex[:10]}")
    batch = make_batch(queue.unit)
    await queue.batches.create(batch)
    ours: Counter[int] = Counter()

    async def send() -> None:
        for one in range(20):
            await queue.accept(batch, [make_item(one)])

    async def work(name: str, place: int) -> None:
        for turn in range(25):
            taken = [*await queue.claim(name, 3), *await queue.reclaim(name, most=2)]
            if (turn + place) % 4 == 0:
                continue
            finished = [reading_of(one, BANDS[place]) for one in taken]
            made = await queue.work.finish(finished)
            ours.update(one.item.number for one, was in zip(taken, made, strict=True) if was)

    await asyncio.gather(send(), send(), *(work(one, n) for n, one in enumerate((*WORKERS, "cyd"))))
    while taken := [*await queue.reclaim("last"), *await queue.claim("last")]:
        made = await queue.work.finish([reading_of(one) for one in taken])
        ours.update(one.item.number for one, was in zip(taken, made, strict=True) if was)
    items = await queue.items(batch)
    done = {one.number: one.prediction_id for one in items if one.state == "done"}
    assert len(items) == 20
    assert {one.state for one in items} <= {"done", "failed"}
    assert ours == Counter(dict.fromkeys(done, 1))
    assert {one.id for one in await queue.readings(batch)} == {*done.values()}
    await queue.close()
