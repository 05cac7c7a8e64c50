"""The list over HTTP, its thumbnails, new readings as they come, and keys that read once."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image

from diagnosis.audit import Action, AuditOutcome
from diagnosis.contracts import ListedPrediction, Prediction, PredictionPage
from diagnosis.errors import Overloaded, StoreUnavailable
from diagnosis.identity import Role
from diagnosis.image_store import kept_as
from diagnosis.results import MemoryResults
from inference_service.events import Events
from tests.fixtures.identity import Acting
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.fixtures.predictions import make_prediction
from tests.inference_service.pictures import BRIGHT, DARK

READ = f"/api/v1/diseases/{DISEASE}/predictions"


async def made(live: Live, data: bytes = BRIGHT, **fields: str) -> Prediction:
    answer = await live.read(data, **fields)
    assert answer.status_code == 201
    return Prediction.model_validate_json(answer.content)


async def listed(live: Live, **asked: Any) -> list[ListedPrediction]:
    answer = await live.client.get("/api/v1/predictions", params=asked)
    assert answer.status_code == 200, answer.text
    return list(PredictionPage.model_validate_json(answer.content).items)


async def test_the_list_says_what_stands_beside_each_reading(live: Live) -> None:
    first = await made(live, patient_reference="4711")
    dark = await made(live, DARK, patient_reference="4711")
    alone = await made(live)
    path = f"/api/v1/predictions/{first.id}/reviews"
    assert (await live.client.post(path, json={"verdict": "disagree"})).status_code == 201
    found = await listed(live)
    assert [(one.id, one.review, one.patient_readings) for one in found] == [
        (alone.id, "open", 0),
        (dark.id, "open", 2),
        (first.id, "disagreed", 2),
    ]
    assert [one.id for one in await listed(live, sort="urgent")] == [alone.id, first.id, dark.id]
    for asked, expected in (
        ({"review": "disagreed"}, [first]),
        ({"band": "likely_negative"}, [dark]),
        ({"same_patient_as": first.id}, [dark, first]),
        ({"same_patient_as": alone.id}, []),
        ({"q": "normal"}, [dark]),
        ({"q": "pneumonia"}, [alone, dark, first]),
        ({"q": str(dark.id)}, [dark]),
    ):
        assert [one.id for one in await listed(live, **asked)] == [one.id for one in expected]


async def test_pages_of_the_urgent_list_follow_each_other(live: Live) -> None:
    ids = [(await made(live, data)).id for data in (DARK, BRIGHT, DARK, BRIGHT)]
    found: list[UUID] = []
    cursor = None
    while cursor is not None or not found:
        asked = {"sort": "urgent", "limit": 1} | ({"cursor": cursor} if cursor else {})
        page = (await live.client.get("/api/v1/predictions", params=asked)).json()
        found += [UUID(one["id"]) for one in page["items"]]
        cursor = page["next_cursor"]
    assert found == [ids[3], ids[1], ids[2], ids[0]]


async def test_the_patient_of_a_reading_of_another_unit_is_not_told(live: Live) -> None:
    elsewhere = make_prediction(unit="surgery")
    await live.service.results.add(elsewhere)
    answer = await live.client.get(
        "/api/v1/predictions", params={"same_patient_as": str(elsewhere.id)}
    )
    assert answer.status_code == 404
    assert live.events[-1].outcome is AuditOutcome.REFUSED


async def test_a_thumbnail_is_small_and_asked_for_again_by_its_tag(live: Live) -> None:
    reading = await made(live)
    path = f"/api/v1/predictions/{reading.id}/thumbnail"
    answer = await live.client.get(path)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["cache-control"] == "private, no-cache"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.size == (160, 128)
    assert (live.events[-1].action, live.events[-1].object) == (Action.VIEW, str(reading.id))
    again = await live.client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    # Made once: a broken maker does not matter any more.
    live.service.decoders.read = None  # type: ignore[assignment, method-assign]
    assert (await live.client.get(path)).content == answer.content


async def test_of_an_image_that_is_gone_there_is_no_thumbnail(live: Live) -> None:
    reading = await made(live)
    path = f"/api/v1/predictions/{reading.id}/thumbnail"
    assert (await live.client.get(path)).status_code == 200
    live.service.images.delete(kept_as(reading.unit, reading.image.digest))
    answer = await live.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert (await live.client.get(f"/api/v1/predictions/{uuid4()}/thumbnail")).status_code == 404


# ---- keys that read once -----------------------------------------------------------------------


async def send(live: Live, key: str, data: bytes = BRIGHT, **options: Any) -> httpx.Response:
    files = {"image": data}
    headers = {"idempotency-key": key}
    return await live.client.post(READ, files=files, headers=headers, **options)


async def test_an_image_that_is_sent_again_with_its_key_is_read_once(live: Live) -> None:
    key = str(uuid4())
    first = await send(live, key)
    assert "idempotent-replay" not in first.headers
    again = await send(live, key)
    assert again.status_code == 201
    assert again.headers["idempotent-replay"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    assert len(await listed(live)) == 1
    # Another key, and the same key of another person, are other images.
    await send(live, str(uuid4()))
    await send(live, key, auth=Acting(Role.CLINICIAN, sub="u_grace"))
    assert len(await listed(live)) == 3
    assert [one.action for one in live.events].count(Action.UPLOAD) == 3


async def test_of_several_at_once_with_one_key_one_is_read(live: Live) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(send(live, key) for _ in range(5)))
    assert len(await listed(live)) == 1
    for one in answers:
        if one.status_code == 409:
            assert one.json()["code"] == "reading-under-way"
            assert int(one.headers["retry-after"]) > 0
        else:
            assert one.status_code == 201
    assert (await send(live, key)).headers["idempotent-replay"] == "true"


async def test_a_refused_image_leaves_its_key_free(live: Live) -> None:
    key = str(uuid4())
    assert (await send(live, key, b"no image at all")).status_code == 415
    assert (await send(live, key)).status_code == 201


async def test_a_reading_that_was_deleted_does_not_come_back_by_its_key(live: Live) -> None:
    key = str(uuid4())
    reading = (await send(live, key)).json()["id"]
    await live.client.delete(f"/api/v1/predictions/{reading}")
    assert (await send(live, key)).status_code == 404
    assert await listed(live) == []


class Vague(MemoryResults):
    """Keeps what is added, and then does not say so."""

    vague = True

    async def add(self, prediction: Prediction, once: str | None = None) -> None:
        await super().add(prediction, once)
        if self.vague:
            raise StoreUnavailable


async def test_a_lost_answer_of_the_store_does_not_double_a_reading(start: Start) -> None:
    results = Vague()
    live = await start(results)
    key = str(uuid4())
    assert (await send(live, key)).status_code == 503
    results.vague = False
    again = await send(live, key)
    assert (again.status_code, again.headers["idempotent-replay"]) == (201, "true")
    assert len(await listed(live)) == 1


async def test_a_key_of_another_form_is_refused(live: Live) -> None:
    assert (await send(live, "my-key")).status_code == 422


# ---- new readings as they come -----------------------------------------------------------------


def parsed(text: str) -> list[dict[str, str]]:
    """The events of a stream, each as its fields."""
    return [
        dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        for block in text.split("\n\n")
        if block and not block.startswith(":")
    ]


async def test_new_readings_are_told_and_what_was_missed(live: Live) -> None:
    before = await made(live)
    path = "/api/v1/predictions/events"
    begun = await live.client.get(path)
    assert begun.headers["content-type"].startswith("text/event-stream")
    assert begun.headers["x-accel-buffering"] == "no"
    assert live.events[-1].action is Action.EXPORT
    (hello,) = parsed(begun.text)
    assert hello == {"retry": "3000", "id": str(before.id)}
    # The stream has ended by itself; meanwhile something came.
    missed = await made(live, DARK)
    await live.service.results.add(make_prediction(unit="surgery"))
    again = await live.client.get(path, headers={"last-event-id": hello["id"]})
    _, told = parsed(again.text)
    assert told["event"] == "prediction"
    assert told["id"] == str(missed.id)
    assert json.loads(told["data"]) == {"id": str(missed.id), "disease": DISEASE}


async def first_of(stream: AsyncIterator[str], count: int) -> list[str]:
    return [await anext(stream) for _ in range(count)]


async def test_a_reading_is_told_at_once_and_one_that_began_earlier_too() -> None:
    results = MemoryResults()
    events = Events(results, 60)
    early, late = make_prediction(), make_prediction()
    stream = events.stream("default", None)
    await first_of(stream, 1)
    told: list[str] = []
    for one in (late, early):
        await results.add(one)
        events.announce()
        async with asyncio.timeout(0.8):
            told += await first_of(stream, 1)
    assert [json.loads(parsed(one)[0]["data"])["id"] for one in told] == [
        str(late.id),
        str(early.id),
    ]
    await stream.aclose()  # type: ignore[attr-defined]


async def test_streams_end_when_the_service_stops() -> None:
    events = Events(MemoryResults(), 600)
    stream = events.stream("default", None)
    await first_of(stream, 1)
    rest = asyncio.ensure_future(anext(stream, None))
    await asyncio.sleep(0.05)
    assert not rest.done()
    events.close()
    async with asyncio.timeout(0.5):
        assert await rest is None
    with pytest.raises(Overloaded):
        events.check()
