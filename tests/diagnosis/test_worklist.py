"""The list as a clinician works through it, and what is said of readings, in all stores alike."""

import asyncio
import zlib
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from diagnosis.contracts import Prediction, Review, new_prediction_id, now
from diagnosis.errors import (
    AlreadyReviewed,
    InvalidRequest,
    ReadingUnderWay,
    StoreUnavailable,
    UnknownPrediction,
)
from diagnosis.results import RedisResults, ResultStore, connect, listing
from diagnosis.results.keys import could_say, packed
from diagnosis.results.store import says
from tests.diagnosis.test_results import client, redis_cluster, redis_store, store, unit
from tests.fixtures.predictions import make_prediction
from tests.fixtures.redis import RedisServer

__all__ = ["client", "redis_cluster", "redis_store", "store", "unit"]

PATIENT = "ab" * 32


def banded(unit: str, band: str | None, **changes: Any) -> Prediction:
    """A reading with a band; "not_judged" makes one without."""
    top = None if band == "not_judged" else changes.pop("top", "pneumonia")
    made = make_prediction(unit=unit, top=top, **changes)
    return made if top is None else made.model_copy(update={"band": band})


def said(
    reading: Prediction, verdict: str | None = "agree", by: str = "u_ada", **changes: Any
) -> Review:
    fields = {
        "id": new_prediction_id(),
        "prediction_id": reading.id,
        "created_at": now(),
        "created_by": by,
        "author": "Ada",
        "kind": "review" if verdict else "first_opinion",
        "verdict": verdict,
        "class_id": "normal" if verdict == "correct" else None,
    }
    return Review.model_validate(fields | changes)


async def pages(store: ResultStore, unit: str, limit: int = 2, **asked: Any) -> list[UUID]:
    """The ids of all pages; each page is full but the last."""
    found: list[UUID] = []
    cursor = None
    while True:
        items, cursor = await store.list(unit, cursor=cursor, limit=limit, **asked)
        found += [one.id for one in items]
        assert len(items) <= limit
        if cursor is None:
            return found
        assert len(items) == limit


async def add(store: ResultStore, *readings: Prediction) -> list[UUID]:
    """Keep readings; their ids as they were given."""
    for one in readings:
        await store.add(one)
    return [one.id for one in readings]


async def test_the_most_urgent_come_first_and_of_those_the_newest(
    store: ResultStore, unit: str
) -> None:
    bands = ("likely_negative", None, "not_judged", "uncertain", "likely_positive")
    made = [banded(unit, band) for _ in range(3) for band in bands]
    await add(store, *made)
    expected = [made[place + 5 * turn].id for place in (4, 3, 2, 1, 0) for turn in (2, 1, 0)]
    for limit in (1, 2, 3, 4, 100):
        assert await pages(store, unit, limit, sort="urgent") == expected
    newest = [one.id for one in made[::-1]]
    assert await pages(store, unit, sort="newest") == newest


async def test_the_readings_of_a_batch(store: ResultStore, unit: str) -> None:
    batch = new_prediction_id()
    others = [banded(unit, "uncertain") for _ in range(3)]
    of_it = [
        banded(unit, band).model_copy(update={"batch": batch})
        for band in ("uncertain", "not_judged", "uncertain")
    ]
    await add(store, *others, *of_it)
    assert await pages(store, unit, batch=batch) == [one.id for one in of_it[::-1]]
    assert await pages(store, unit, batch=batch, band="uncertain") == [of_it[2].id, of_it[0].id]
    assert await pages(store, unit, batch=new_prediction_id()) == []
    assert await pages(store, "other", batch=batch) == []
    await store.delete(unit, of_it[0].id)
    assert await pages(store, unit, batch=batch) == [of_it[2].id, of_it[1].id]


async def test_each_filter_and_all_of_them_together(store: ResultStore, unit: str) -> None:
    plain = banded(unit, "likely_positive")
    skin = banded(unit, "likely_positive", disease="skin_lesion", top="melanoma")
    sure = banded(unit, "uncertain")
    blurred = banded(unit, "not_judged")
    await add(store, plain, skin, sure, blurred)
    await store.add_review(unit, said(skin, "disagree"))
    for asked, expected in (
        ({"band": "likely_positive"}, [skin, plain]),
        ({"band": "not_judged"}, [blurred]),
        ({"band": "none"}, []),
        ({"review": "open"}, [blurred, sure, plain]),
        ({"review": "disagreed"}, [skin]),
        ({"review": "agreed"}, []),
        ({"disease": "skin_lesion", "review": "open"}, []),
        ({"class_id": "melanoma", "band": "likely_positive", "review": "disagreed"}, [skin]),
        ({"band": "likely_positive", "review": "open", "sort": "urgent"}, [plain]),
        ({"disease": "chest_xray_pneumonia", "sort": "urgent"}, [plain, sure, blurred]),
        ({"patient_reference": plain.patient_reference}, [plain]),
        ({"patient_reference": plain.patient_reference, "band": "uncertain"}, []),
        ({"patient_reference": "cd" * 32}, []),
    ):
        assert await pages(store, unit, **asked) == [one.id for one in expected], asked


async def test_words_are_looked_for_in_what_the_list_shows(store: ResultStore, unit: str) -> None:
    chest, blurred = banded(unit, "uncertain"), banded(unit, "not_judged")
    await add(store, chest, blurred)
    for text, expected in (
        ("pneumonia", [blurred, chest]),
        ("  X-RAY chest ", [blurred, chest]),
        (str(chest.id), [chest]),
        (f"{chest.id} chest", [chest]),
        (f"{chest.id} skin", []),
        (str(chest.id)[-12:], [chest]),
        ("balanced", []),
        ("chest melanoma", []),
    ):
        assert await pages(store, unit, text=text) == [one.id for one in expected], text
    assert await pages(store, unit, text="chest", band="uncertain") == [chest.id]
    assert await pages(store, unit, text=str(chest.id), band="not_judged") == []
    assert await pages(store, unit, text=str(chest.id), review="agreed") == []


@given(name=st.text(min_size=1, max_size=60))
def test_no_row_that_says_a_word_is_passed_over(name: str) -> None:
    """A row is looked through before it is read, as it is written."""
    reading = make_prediction().model_copy(update={"disease_name": name})
    for word in name.lower().split():
        assert not says(reading, [word]) or could_say(packed(reading), [word])
    assert not could_say(packed(reading), ["nowhere-at-all"])


@pytest.mark.parametrize(
    "asked",
    [
        {"band": "sure"},
        {"review": "closed"},
        {"sort": "oldest"},
        {"text": "x" * 101},
        {"cursor": f"0-{'0' * 32}"},
        {"cursor": "0" * 32, "sort": "urgent"},
        {"cursor": f"5-{'0' * 32}", "sort": "urgent"},
    ],
    ids=repr,
)
async def test_a_question_of_another_form_is_refused(
    store: ResultStore, unit: str, asked: dict[str, str]
) -> None:
    with pytest.raises(InvalidRequest):
        await store.list(unit, limit=10, **asked)  # type: ignore[arg-type]


async def test_what_stands_beside_a_reading(store: ResultStore, unit: str) -> None:
    one, again, other = (banded(unit, "uncertain") for _ in range(3))
    one, again = (item.model_copy(update={"patient_reference": PATIENT}) for item in (one, again))
    nobody = banded(unit, "uncertain").model_copy(update={"patient_reference": None})
    elsewhere = one.model_copy(update={"unit": f"{unit}_b", "id": new_prediction_id()})
    await add(store, one, again, other, nobody, elsewhere)
    await store.add_review(unit, said(one, "disagree"))
    await store.add_review(unit, said(one, "correct"))
    found = await store.standings((one, again, other, nobody))
    assert [(each.review, each.patient_readings) for each in found] == [
        ("corrected", 2),
        ("open", 2),
        ("open", 1),
        ("open", 0),
    ]
    assert await store.standings(()) == ()
    await store.delete(unit, again.id)
    (left,) = await store.standings((one,))
    assert left.patient_readings == 1


async def test_reviews_are_added_and_never_changed_and_the_newest_counts(
    store: ResultStore, unit: str
) -> None:
    reading = banded(unit, "uncertain")
    await store.add(reading)
    assert await store.reviews(unit, reading.id) == ()
    given = [
        said(reading, None, class_id="normal"),
        said(reading, "agree", by="u_grace", note="clear"),
        said(reading, "correct"),
        said(reading, "agree", by="u_grace"),
    ]
    for one in given:
        await store.add_review(unit, one)
    assert await store.reviews(unit, reading.id) == tuple(given)
    assert await pages(store, unit, review="agreed") == [reading.id]
    assert await pages(store, unit, review="corrected") == []
    assert await pages(store, unit, review="open") == []
    assert await store.reviews(f"{unit}_b", reading.id) == ()


async def test_a_first_opinion_leaves_a_reading_open(store: ResultStore, unit: str) -> None:
    reading = banded(unit, "uncertain")
    await store.add(reading)
    await store.add_review(unit, said(reading, None))
    assert await pages(store, unit, review="open") == [reading.id]


@pytest.mark.parametrize("before", [None, "agree"], ids=["an opinion", "a review"])
async def test_a_first_opinion_is_given_once_and_before_all_else(
    store: ResultStore, unit: str, before: str | None
) -> None:
    reading = banded(unit, "uncertain")
    await store.add(reading)
    first = said(reading, before)
    await store.add_review(unit, first)
    with pytest.raises(AlreadyReviewed):
        await store.add_review(unit, said(reading, None))
    assert await store.reviews(unit, reading.id) == (first,)
    await store.add_review(unit, said(reading, None, by="u_grace"))


async def test_of_many_first_opinions_at_once_one_is_kept(store: ResultStore, unit: str) -> None:
    reading = banded(unit, "uncertain")
    await store.add(reading)
    answers = await asyncio.gather(
        *(store.add_review(unit, said(reading, None)) for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(one, AlreadyReviewed) for one in answers) == 5
    assert len(await store.reviews(unit, reading.id)) == 1


async def test_reviews_go_with_their_reading_and_none_is_added_to_what_is_gone(
    store: ResultStore, unit: str
) -> None:
    reading = banded(unit, "uncertain")
    await store.add(reading)
    await store.add_review(unit, said(reading, None))
    await store.add_review(unit, said(reading))
    await store.delete(unit, reading.id)
    assert await store.reviews(unit, reading.id) == ()
    assert await store.opined(unit, 10) == ((), True)
    for one in (unit, f"{unit}_b"):
        with pytest.raises(UnknownPrediction):
            await store.add_review(one, said(reading))


async def test_readings_with_a_first_opinion_are_found_the_newest_first(
    store: ResultStore, unit: str
) -> None:
    made = [banded(unit, "uncertain") for _ in range(4)]
    await add(store, *made)
    for one in made[:3]:
        await store.add_review(unit, said(one, None))
    await store.add_review(unit, said(made[3]))
    found, complete = await store.opined(unit, 3)
    assert [one.prediction for one in found] == [made[2], made[1], made[0]]
    assert [len(one.reviews) for one in found] == [1, 1, 1]
    assert complete
    found, complete = await store.opined(unit, 2)
    assert [one.prediction.id for one in found] == [made[2].id, made[1].id]
    assert not complete


async def test_readings_since_one_are_told_oldest_first(store: ResultStore, unit: str) -> None:
    made = [banded(unit, "uncertain") for _ in range(4)]
    await add(store, *made)
    assert await store.since(unit, made[0].id, 2) == (made[1], made[2])
    assert await store.since(unit, made[3].id, 2) == ()
    assert await store.since(f"{unit}_b", UUID(int=0), 2) == ()


async def test_a_key_is_taken_once_and_answers_with_its_reading(
    store: ResultStore, unit: str
) -> None:
    claims = await asyncio.gather(*(store.claim(unit, "a") for _ in range(5)))
    assert sorted(map(str, claims)) == ["ours", *["taken"] * 4]
    assert await store.claim(unit, "b") == "ours"
    await store.release(unit, "a")
    assert await store.claim(unit, "a") == "ours"
    reading = banded(unit, "uncertain")
    await store.add(reading, "a")
    assert await store.claim(unit, "a") == reading.id
    assert await store.claim(f"{unit}_b", "a") == "ours"
    await store.delete(unit, reading.id)
    assert await store.claim(unit, "a") == reading.id


async def test_of_two_that_read_one_image_the_first_to_keep_it_counts(
    store: ResultStore, unit: str
) -> None:
    """The claim of one ran out while it was stopped, and another took the key."""
    first, second = banded(unit, "uncertain"), banded(unit, "uncertain")
    assert await store.claim(unit, "a") == "ours"
    await store.add(first, "a")
    with pytest.raises(ReadingUnderWay):
        await store.add(second, "a")
    await store.release(unit, "a")
    assert await store.claim(unit, "a") == first.id
    assert await store.get(unit, second.id) is None
    await store.add(first, "a")
    assert await pages(store, unit) == [first.id]


async def test_of_many_that_keep_a_reading_under_one_key_one_does(
    store: ResultStore, unit: str
) -> None:
    readings = [banded(unit, "uncertain") for _ in range(6)]
    done = await asyncio.gather(*(store.add(one, "a") for one in readings), return_exceptions=True)
    assert sorted(type(one).__name__ for one in done) == ["NoneType", *["ReadingUnderWay"] * 5]
    (kept,) = await pages(store, unit)
    assert await store.claim(unit, "a") == kept


# ---- Redis alone -----------------------------------------------------------------------------


def few(allowance: listing.Allowance) -> None:
    allowance.ids = allowance.rows = 4


async def test_a_filter_that_finds_little_goes_on_by_its_cursor(
    redis_store: RedisResults, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing.Allowance, "__init__", few)
    monkeypatch.setattr(listing, "_IDS_AT_ONCE", 2)
    monkeypatch.setattr(listing, "_ROWS_AT_ONCE", 2)
    made = [banded(unit, "uncertain") for _ in range(11)]
    await add(redis_store, *made)
    for one in made[1:]:
        await redis_store.add_review(unit, said(one))
    for asked in ({"review": "open"}, {"text": str(made[0].id)[-11:]}):
        cursor, requests, found = None, 0, []
        while cursor is not None or not requests:
            items, cursor = await redis_store.list(unit, cursor=cursor, limit=2, **asked)
            found += [one.id for one in items]
            requests += 1
        assert found == [made[0].id]
        assert requests in (3, 4)


async def without_later_indexes(client: Redis, unit: str) -> None:
    """As a version before left it: rows by themselves, and none of the newer indexes."""
    prefix = f"results:{{{unit}}}:"
    for key in [one async for one in client.scan_iter(f"{prefix}*")]:
        name = key.decode().removeprefix(prefix)
        if name.startswith(("band:", "patients", "indexed")):
            await client.delete(key)
        elif name.startswith("row:"):
            made = Prediction.model_validate_json(listing.keys.unpacked(await client.get(key)))
            await client.set(key, zlib.compress(made.model_dump_json().encode()))


async def test_rows_of_a_version_before_are_listed_as_any_other(
    redis_server: RedisServer, client: Redis, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diagnosis.results.indexing._ROWS_AT_ONCE", 3)
    bands = ("likely_negative", "not_judged", "uncertain", "likely_positive")
    made = [banded(unit, band) for _ in range(2) for band in bands]
    before = connect(redis_server.url)
    await add(before, *made)
    await before.close()
    await without_later_indexes(client, unit)
    store = connect(redis_server.url)
    newest = [one.id for one in made[::-1]]
    assert await pages(store, unit) == newest
    assert [one.id for one in await store.since(unit, UUID(int=0), 9)] == newest[::-1]
    urgent = [made[place].id for place in (7, 3, 6, 2, 5, 1, 4, 0)]
    assert await pages(store, unit, sort="urgent") == urgent
    assert await pages(store, unit, patient_reference=made[3].patient_reference) == [made[3].id]
    # Once for all processes: a row that is taken out by hand is not entered again by the next.
    await client.zrem(f"results:{{{unit}}}:band:likely_negative", made[0].id.hex)
    await store.close()
    later = connect(redis_server.url)
    assert await pages(later, unit, sort="urgent") == urgent[:-1]
    for one in made:
        await later.delete(unit, one.id)
    left = [key async for key in client.scan_iter(f"results:{{{unit}}}:*")]
    assert left == [f"results:{{{unit}}}:indexed".encode()]
    await later.close()


async def test_what_a_version_before_entered_goes_with_its_reading(
    redis_store: RedisResults, client: Redis, unit: str
) -> None:
    reading = banded(unit, "uncertain")
    await redis_store.add(reading)
    top = reading.top[0].id
    await client.zadd(
        f"results:{{{unit}}}:disease:{reading.disease}:class:{top}", {reading.id.hex: 0}
    )
    await redis_store.delete(unit, reading.id)
    assert [key async for key in client.scan_iter(f"results:{{{unit}}}:*")] == []


async def test_a_review_that_cannot_be_read_is_said_and_left_alone(
    redis_store: RedisResults, client: Redis, unit: str
) -> None:
    reading = banded(unit, "uncertain")
    await redis_store.add(reading)
    await client.rpush(f"results:{{{unit}}}:reviews:{reading.id.hex}", b"secret")
    with pytest.raises(StoreUnavailable) as caught:
        await redis_store.reviews(unit, reading.id)
    assert "secret" not in str(caught.value)


async def test_reviews_survive_a_power_cut(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()
    store = connect(server.url)
    reading = banded("default", "uncertain")
    await store.add(reading, "key")
    await store.add_review("default", said(reading))
    server.stop()
    for operation in (
        store.add_review("default", said(reading)),
        store.reviews("default", reading.id),
        store.claim("default", "key"),
        store.opined("default", 9),
        store.standings((reading,)),
    ):
        with pytest.raises(StoreUnavailable, match="redis: "):
            await operation
    server.start()
    assert len(await store.reviews("default", reading.id)) == 1
    assert await store.claim("default", "key") == reading.id
    await store.close()
