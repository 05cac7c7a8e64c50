"""The two stores of readings behave alike, and Redis survives what happens to servers."""

import asyncio
import hashlib
import logging
import time
import zlib
from collections.abc import AsyncIterator, Callable
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from diagnosis.contracts import Prediction, new_prediction_id
from diagnosis.errors import InvalidRequest, StoreUnavailable
from diagnosis.redis_connection import DEADLINE
from diagnosis.results import MemoryResults, RedisResults, ResultStore, connect
from gateway.servers import packaged_valkey
from tests.fixtures.predictions import make_prediction
from tests.fixtures.redis import RedisServer

#: What a reading may take in Redis, indexes included.
MAX_BYTES = 2048


@pytest.fixture
def unit() -> str:
    """A unit of the test's own, because the tests of a worker share one server."""
    return f"u{uuid4().hex[:10]}"


@pytest.fixture(params=["memory", "redis", "cluster"])
async def store(
    request: pytest.FixtureRequest, start_redis: Callable[..., RedisServer]
) -> AsyncIterator[ResultStore]:
    if request.param == "memory":
        opened: ResultStore = MemoryResults()
    elif request.param == "redis":
        opened = connect(request.getfixturevalue("redis_server").url)
    else:
        opened = connect(request.getfixturevalue("redis_cluster").url)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def redis_cluster(start_redis: Callable[..., RedisServer]) -> RedisServer:
    """A node in cluster mode, which refuses a transaction over more than one slot."""
    return start_redis(cluster=True)


@pytest.fixture
async def redis_store(redis_server: RedisServer) -> AsyncIterator[RedisResults]:
    opened = connect(redis_server.url)
    yield opened
    await opened.close()


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Redis]:
    # Services may look at no key but those they know.
    async with Redis.from_url(redis_server.admin_url) as opened:
        yield opened


async def fill(store: ResultStore, unit: str, count: int) -> list[Prediction]:
    """Add readings and return them newest first."""
    made = [make_prediction(unit=unit) for _ in range(count)]
    await store.add_many(made)
    return made[::-1]


async def every_page(
    store: ResultStore,
    unit: str,
    *,
    limit: int,
    disease: str | None = None,
    class_id: str | None = None,
) -> list[tuple[UUID, ...]]:
    """The ids of page after page, by following the cursors."""
    pages: list[tuple[UUID, ...]] = []
    cursor = None
    while True:
        items, cursor = await store.list(
            unit, disease=disease, class_id=class_id, cursor=cursor, limit=limit
        )
        pages.append(tuple(one.id for one in items))
        if cursor is None:
            return pages


async def test_a_reading_comes_back_as_it_was_added(store: ResultStore, unit: str) -> None:
    reading = make_prediction(unit=unit)
    await store.add(reading)
    assert await store.get(unit, reading.id) == reading


async def test_what_was_never_added_is_none(store: ResultStore, unit: str) -> None:
    assert await store.get(unit, new_prediction_id()) is None
    assert await store.delete(unit, new_prediction_id()) is None
    assert await store.list(unit, limit=10) == ((), None)


async def test_adding_twice_keeps_one_and_the_first(store: ResultStore, unit: str) -> None:
    reading = make_prediction(unit=unit)
    await store.add(reading)
    await store.add(reading.model_copy(update={"created_by": "somebody_else"}))
    await store.add_many([reading.model_copy(update={"created_by": "another"})] * 2)
    assert await store.list(unit, limit=10) == ((reading,), None)


async def test_a_unit_never_sees_the_readings_of_another(store: ResultStore, unit: str) -> None:
    reading = make_prediction(unit=unit)
    await store.add(reading)
    other = f"{unit}_b"
    assert await store.get(other, reading.id) is None
    assert await store.list(other, limit=10) == ((), None)
    assert await store.delete(other, reading.id) is None
    assert not await store.keeps_image(other, reading.image.digest)
    assert await store.get(unit, reading.id) == reading


async def test_the_readings_of_a_patient_are_those_of_the_unit_with_the_reference(
    store: ResultStore, unit: str
) -> None:
    made = await fill(store, unit, 3)
    reference = str(made[0].patient_reference)
    again = make_prediction(unit=unit).model_copy(update={"patient_reference": reference})
    elsewhere = make_prediction(unit=f"{unit}_b").model_copy(
        update={"patient_reference": reference}
    )
    for one in (again, elsewhere):
        await store.add(one)
    assert await store.of_patient(unit, reference) == (again.id, made[0].id)
    assert await store.of_patient(unit, "cd" * 32) == ()


async def test_pages_are_newest_first_and_the_last_has_no_cursor(
    store: ResultStore, unit: str
) -> None:
    made = [one.id for one in await fill(store, unit, 7)]
    assert await every_page(store, unit, limit=3) == [
        tuple(made[:3]),
        tuple(made[3:6]),
        tuple(made[6:]),
    ]
    # A full last page is the last one: no empty page follows it.
    assert await every_page(store, unit, limit=7) == [tuple(made)]


async def test_readings_added_while_paging_do_not_shift_the_pages(
    store: ResultStore, unit: str
) -> None:
    made = await fill(store, unit, 4)
    first, cursor = await store.list(unit, limit=2)
    await fill(store, unit, 3)
    second, end = await store.list(unit, cursor=cursor, limit=2)
    assert [*first, *second] == made
    assert end is None


async def test_a_cursor_stays_good_when_its_reading_is_deleted(
    store: ResultStore, unit: str
) -> None:
    made = await fill(store, unit, 4)
    _, cursor = await store.list(unit, limit=2)
    await store.delete(unit, made[1].id)
    rest, end = await store.list(unit, cursor=cursor, limit=2)
    assert (list(rest), end) == (made[2:], None)


async def test_filters_by_disease_by_top_class_and_by_both(store: ResultStore, unit: str) -> None:
    made = {
        name: make_prediction(unit=unit, disease=disease, top=top)
        for name, disease, top in [
            ("chest normal", "chest_xray_pneumonia", "normal"),
            ("chest pneumonia", "chest_xray_pneumonia", "pneumonia"),
            ("oct normal", "retinal_oct", "normal"),
            ("oct not judged", "retinal_oct", None),
        ]
    }
    for one in made.values():
        await store.add(one)

    async def found(**filters: str) -> set[str]:
        items, _ = await store.list(unit, limit=10, **filters)
        return {name for name, one in made.items() if one in items}

    assert await found() == set(made)
    assert await found(disease="retinal_oct") == {"oct normal", "oct not judged"}
    assert await found(class_id="normal") == {"chest normal", "oct normal"}
    assert await found(disease="retinal_oct", class_id="normal") == {"oct normal"}
    assert await found(disease="malaria_cell") == set()


async def test_delete_returns_the_reading_and_takes_it_out_of_every_list(
    store: ResultStore, unit: str
) -> None:
    kept, gone = await fill(store, unit, 2)
    assert await store.delete(unit, gone.id) == gone
    assert await store.get(unit, gone.id) is None
    assert await store.delete(unit, gone.id) is None
    for filters in (
        {},
        {"disease": gone.disease},
        {"class_id": "pneumonia"},
        {"disease": gone.disease, "class_id": "pneumonia"},
    ):
        assert await store.list(unit, limit=10, **filters) == ((kept,), None)


async def test_of_many_deletes_at_once_exactly_one_gets_the_reading(
    store: ResultStore, unit: str
) -> None:
    (reading,) = await fill(store, unit, 1)
    # Open connections first, so that all of them find the reading before one deletes it.
    await asyncio.gather(*(store.get(unit, reading.id) for _ in range(8)))
    answers = await asyncio.gather(*(store.delete(unit, reading.id) for _ in range(8)))
    assert answers.count(reading) == 1
    assert answers.count(None) == 7


async def test_an_image_is_kept_until_its_last_reading_is_gone(
    store: ResultStore, unit: str
) -> None:
    first, second = await fill(store, unit, 2)
    digest = first.image.digest
    assert await store.release_image(unit, digest, first.id)
    await store.delete(unit, first.id)
    assert await store.keeps_image(unit, digest)
    assert not await store.release_image(unit, digest, second.id)
    await store.delete(unit, second.id)
    assert not await store.keeps_image(unit, digest)


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": ""},
        {"cursor": "not-a-cursor"},
        {"cursor": "A" * 32},
        {"cursor": "0" * 33},
        {"cursor": "0" * 31 + "\n"},
        {"limit": 0},
        {"limit": -1},
        {"limit": 101},
        {"disease": "x:class:normal"},
        {"class_id": "no such{class}"},
    ],
    ids=repr,
)
async def test_a_malformed_query_is_refused(
    store: ResultStore, unit: str, query: dict[str, str | int]
) -> None:
    with pytest.raises(InvalidRequest):
        await store.list(unit, **{"limit": 10, **query})


@pytest.mark.parametrize("limit", [1, 100])
async def test_the_limits_of_a_page_are_allowed(store: ResultStore, unit: str, limit: int) -> None:
    await fill(store, unit, 2)
    items, cursor = await store.list(unit, limit=limit)
    assert len(items) == min(limit, 2)
    assert (cursor is None) == (limit > 1)


async def test_ping_answers(store: ResultStore) -> None:
    await store.ping()


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.integers(0, 9),
            st.sampled_from(["chest_xray_pneumonia", "retinal_oct"]),
            st.sampled_from(["normal", "cnv", None]),
        ),
        st.tuples(st.just("delete"), st.integers(0, 9)),
        st.tuples(
            st.just("list"),
            st.sampled_from([None, "chest_xray_pneumonia", "retinal_oct"]),
            st.sampled_from([None, "normal", "cnv"]),
            st.integers(1, 4),
        ),
    ),
    max_size=25,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations=OPERATIONS, ids=st.lists(st.uuids(), min_size=10, max_size=10, unique=True))
def test_redis_and_memory_answer_alike(
    redis_server: RedisServer, operations: list[tuple[object, ...]], ids: list[UUID]
) -> None:
    # A unit an example, because an example starts on an empty store.
    unit = f"u{uuid4().hex[:10]}"

    async def answers(store: ResultStore, readings: dict[int, Prediction]) -> list[object]:
        given: list[object] = []
        for name, *arguments in operations:
            if name == "add":
                number, disease, top = arguments
                # An id never comes back with another content.
                reading = readings.setdefault(
                    number,
                    make_prediction(unit=unit, prediction_id=ids[number], disease=disease, top=top),
                )
                await store.add(reading)
            elif name == "delete":
                given.append(await store.delete(unit, ids[arguments[0]]))
            else:
                disease, class_id, limit = arguments
                given.append(
                    await every_page(store, unit, limit=limit, disease=disease, class_id=class_id)
                )
        given += [await store.get(unit, one) for one in ids]
        return given

    async def compare() -> None:
        readings: dict[int, Prediction] = {}
        redis = connect(redis_server.url)
        try:
            expected = await answers(MemoryResults(), readings)
            assert await answers(redis, readings) == expected
        finally:
            await redis.close()

    asyncio.run(compare())


async def test_rows_that_are_gone_do_not_end_the_list(
    redis_store: RedisResults, client: Redis, unit: str
) -> None:
    made = await fill(redis_store, unit, 9)
    await client.delete(*(f"results:{{{unit}}}:row:{one.id.hex}" for one in made[1:7]))
    kept = [one.id for one in (made[0], made[7], made[8])]
    assert await every_page(redis_store, unit, limit=2) == [tuple(kept[:2]), (kept[2],)]


@pytest.mark.parametrize(
    "row",
    [
        zlib.compress(b'{"schema_version":2,"note":"secret"}'),
        zlib.compress(b"\xff"),
        b"secret",
        b"",
    ],
    ids=["a newer schema", "not JSON", "not compressed", "empty"],
)
async def test_a_row_that_cannot_be_read_is_left_alone(
    redis_store: RedisResults,
    client: Redis,
    unit: str,
    caplog: pytest.LogCaptureFixture,
    row: bytes,
) -> None:
    newest, unreadable, oldest = await fill(redis_store, unit, 3)
    key = f"results:{{{unit}}}:row:{unreadable.id.hex}"
    await client.set(key, row)
    with caplog.at_level(logging.WARNING):
        assert await redis_store.list(unit, limit=2) == ((newest, oldest), None)
    assert [(one.levelname, one.name) for one in caplog.records] == [
        ("WARNING", "diagnosis.results")
    ]
    assert "secret" not in caplog.text
    for refused in (redis_store.get, redis_store.delete):
        with pytest.raises(StoreUnavailable, match="cannot read") as caught:
            await refused(unit, unreadable.id)
        assert "secret" not in str(caught.value)
    assert await client.get(key) == row


@pytest.mark.parametrize("classes", [2, 7])
async def test_a_reading_takes_little_memory(
    redis_store: RedisResults, client: Redis, unit: str, classes: int
) -> None:
    # Every reading shows another image and has figures of its own, and there are enough of them
    # for the sorted sets to be large.
    count = 300
    for number in range(count):
        image = hashlib.sha256(str(number).encode()).hexdigest()
        await redis_store.add(make_prediction(unit=unit, image=image, classes=classes))
    keys = [key async for key in client.scan_iter(f"results:{{{unit}}}:*")]
    taken = sum([await client.memory_usage(key, samples=0) for key in keys]) / count
    assert taken <= MAX_BYTES, f"{taken:.0f} bytes a reading"


async def test_nothing_is_left_when_every_reading_is_deleted(
    redis_store: RedisResults, client: Redis, unit: str
) -> None:
    for one in await fill(redis_store, unit, 5):
        await redis_store.delete(unit, one.id)
    assert [key async for key in client.scan_iter(f"results:{{{unit}}}:*")] == []


async def test_all_keys_carry_the_prefix_and_the_units_hash_tag(
    redis_store: RedisResults, client: Redis, unit: str
) -> None:
    (reading,) = await fill(redis_store, unit, 1)
    keys = [key.decode() async for key in client.scan_iter(f"*{unit}*")]
    assert len(keys) == 7
    assert all(key.startswith(f"results:{{{unit}}}:") for key in keys)
    # Nothing about the patient stands in a key or an index, where a slow log would show it.
    patients = await client.zrange(f"results:{{{unit}}}:patients", 0, -1)
    for shown in (*keys, *(one.decode() for one in patients)):
        assert str(reading.patient_reference)[:16] not in shown


async def test_readings_survive_a_power_cut(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    store = connect(server.url)
    (reading,) = await fill(store, "default", 1)
    server.stop()
    for operation in (
        store.ping(),
        store.add(make_prediction()),
        store.get("default", reading.id),
        store.list("default", limit=10),
        store.delete("default", reading.id),
        store.keeps_image("default", reading.image.digest),
    ):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="redis: "):
            await operation
        assert time.monotonic() - began < 2 * DEADLINE
    server.start()
    # The same store: nobody had to connect again.
    assert await store.list("default", limit=10) == ((reading,), None)
    await store.close()


async def test_a_redis_that_hangs_is_given_up_in_time_and_found_again(
    start_redis: Callable[..., RedisServer],
) -> None:
    server = start_redis()
    used, fresh = connect(server.url), connect(server.url)
    (reading,) = await fill(used, "default", 1)
    server.freeze()
    try:
        began = time.monotonic()
        answers = await asyncio.gather(
            used.get("default", reading.id),
            used.add(make_prediction()),
            fresh.ping(),
            return_exceptions=True,
        )
        assert all(isinstance(answer, StoreUnavailable) for answer in answers)
        assert time.monotonic() - began < 2 * DEADLINE
    finally:
        server.thaw()
    assert await used.get("default", reading.id) == reading
    await fresh.ping()
    await used.close()
    await fresh.close()


async def test_a_redis_that_refuses_writes_is_unavailable_and_not_a_fault_of_ours(
    start_redis: Callable[..., RedisServer],
) -> None:
    server = start_redis()
    store = connect(server.url)
    (reading,) = await fill(store, "default", 1)
    # A replica whose primary is away refuses writes, as one does in a failover.
    assert server.command("REPLICAOF 127.0.0.1 1").startswith("+OK")
    with pytest.raises(StoreUnavailable):
        await store.add(make_prediction())
    assert server.command("REPLICAOF NO ONE").startswith("+OK")
    added = make_prediction()
    await store.add(added)
    assert await store.list("default", limit=10) == ((added, reading), None)
    await store.close()


async def test_more_callers_than_connections_wait_their_turn(
    redis_store: RedisResults, unit: str
) -> None:
    (reading,) = await fill(redis_store, unit, 1)
    answers = await asyncio.gather(*(redis_store.get(unit, reading.id) for _ in range(200)))
    assert answers == [reading] * 200


async def test_the_server_that_comes_by_pip_serves_as_well(
    start_redis: Callable[..., RedisServer],
) -> None:
    binary = packaged_valkey()
    assert binary is not None
    store = connect(start_redis(binary=binary).url)
    made = await fill(store, "default", 3)
    assert await store.list("default", limit=10) == (tuple(made), None)
    await store.close()
