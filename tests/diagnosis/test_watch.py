"""Each reading is looked at once, whoever looks, and what is kept of it is bounded."""

import asyncio
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

from diagnosis import watch as watching
from diagnosis.contracts import Prediction
from diagnosis.watch import Entry, MemoryWatch, Told, Watch, connect_watch
from tests.fixtures.predictions import make_prediction
from tests.fixtures.redis import RedisServer


@pytest.fixture(params=["memory", "redis", "cluster"])
async def watch(
    request: pytest.FixtureRequest, start_redis: Callable[..., RedisServer]
) -> AsyncIterator[Watch]:
    if request.param == "memory":
        opened: Watch = MemoryWatch()
    elif request.param == "redis":
        opened = connect_watch(request.getfixturevalue("redis_server").url)
    else:
        opened = connect_watch(start_redis(cluster=True).url)
    yield opened
    await opened.close()


def reading() -> Prediction:
    """Of a disease of the test's own, because the tests of a worker share one server."""
    return make_prediction().model_copy(update={"disease": f"d{uuid4().hex[:10]}"})


async def test_readings_come_out_in_the_order_in_which_they_were_kept(watch: Watch) -> None:
    one = reading()
    others = [make_prediction().model_copy(update={"disease": one.disease}) for _ in range(3)]
    for prediction in (one, *others):
        await watch.enter("readings", one.disease, [prediction])
    assert await watch.waiting("readings", one.disease) == 4
    assert await watch.waiting("reviews", one.disease) == 0
    oldest = await watch.oldest("readings", one.disease, 2)
    assert list(oldest) == [Entry.of(one), Entry.of(others[0])]
    assert await watch.advance("readings", one.disease, 2, None, b"first")
    assert await watch.standing(one.disease) == b"first"
    assert list(await watch.oldest("readings", one.disease, 9)) == [
        Entry.of(other) for other in others[1:]
    ]


async def test_of_several_who_look_at_one_window_one_counts_it(watch: Watch) -> None:
    one = reading()
    for _ in range(4):
        await watch.enter("readings", one.disease, [one])
    done = await asyncio.gather(
        *(watch.advance("readings", one.disease, 2, None, b"%d" % number) for number in range(5))
    )
    assert done.count(True) == 1
    assert await watch.waiting("readings", one.disease) == 2
    assert await watch.standing(one.disease) == b"%d" % done.index(True)
    assert not await watch.advance("readings", one.disease, 2, b"other", b"late")
    assert await watch.waiting("readings", one.disease) == 2


async def test_what_nobody_looks_at_does_not_grow_for_ever(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST", 3)
    kept = [reading()]
    kept += [make_prediction().model_copy(update={"disease": kept[0].disease}) for _ in range(4)]
    for one in kept:
        await watch.enter("readings", one.disease, [one])
    assert list(await watch.oldest("readings", kept[0].disease, 9)) == [
        Entry.of(one) for one in kept[2:]
    ]


async def test_what_the_trainer_tells_is_taken_once_in_its_order(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    while await watch.take(1000):
        pass  # Other tests of this worker have told something too.
    await watch.tell([])
    told = [Told("accepted", "d"), Told.of(make_prediction()), Told("failed", "d")]
    told += [Told.of(make_prediction()) for _ in range(5)]
    await watch.tell(told[:3])
    await watch.tell(told[3:])
    assert list(await watch.take(3)) == told[:3]
    taken = await asyncio.gather(*(watch.take(2) for _ in range(4)))
    assert sorted(str(one) for some in taken for one in some) == sorted(map(str, told[3:]))
    monkeypatch.setattr(watching, "MOST_TOLD", 3)
    await watch.tell(told[:2])
    await watch.tell(told[2:])
    assert list(await watch.take(100)) == told[-3:]


@pytest.mark.parametrize(
    "text", ["", "reading", "reading d u", "reading d u id", "failed d u id more", "burnt d"]
)
def test_what_cannot_be_understood_is_nothing(text: str) -> None:
    assert Told.parse(text) is None
