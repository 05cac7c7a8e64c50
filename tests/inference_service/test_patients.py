""" "Delete this patient's data" leaves nothing of the patient, and takes nothing of another."""

import zlib
from contextlib import nullcontext, suppress

import pytest
from redis.asyncio import Redis

from diagnosis.contracts import Prediction, new_prediction_id
from diagnosis.errors import StoreUnavailable
from diagnosis.results import RedisResults, connect
from diagnosis.results.keys import unpacked
from tests.fixtures.live_service import Live, Start
from tests.fixtures.predictions import make_prediction
from tests.fixtures.redis import RedisServer
from tests.inference_service.pictures import BRIGHT, DARK

DELETION = "/api/v1/patients/deletion"
HERS, HIS = "Reference-4711", "Reference-4712"


async def delete(live: Live, reference: str) -> dict[str, int]:
    answer = await live.client.post(DELETION, json={"patient_reference": reference})
    assert answer.status_code == 200
    counts: dict[str, int] = answer.json()
    return counts


async def test_all_readings_and_images_of_a_patient_go(live: Live) -> None:
    hers = [(await live.read(BRIGHT, patient_reference=HERS)).json() for _ in range(2)]
    his = (await live.read(DARK, patient_reference=HIS)).json()
    nobodys = (await live.read(DARK)).json()
    assert await delete(live, f" {HERS} ") == {"readings": 2, "images": 1}
    assert live.service.images.get(hers[0]["image"]["digest"]) is None
    listed = (await live.client.get("/api/v1/predictions")).json()["items"]
    assert [one["id"] for one in listed] == [nobodys["id"], his["id"]]
    assert await delete(live, HERS) == {"readings": 0, "images": 0}


async def test_an_image_that_another_reading_shows_stays_with_it(live: Live) -> None:
    await live.read(BRIGHT, patient_reference=HERS)
    kept = (await live.read(BRIGHT, patient_reference=HIS)).json()
    assert await delete(live, HERS) == {"readings": 1, "images": 0}
    assert (await live.client.get(f"/api/v1/predictions/{kept['id']}/image")).status_code == 200
    assert await delete(live, HIS) == {"readings": 1, "images": 1}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"patient_reference": " "}',
        b'{"patient_reference": 4711}',
        b'{"patient_reference": "Reference-4711", "more": 1}',
        b'{"patient_reference": "' + b"4711" * 60 + b'"}',
        b'{"patient_reference": "' + b"4711" * 5000 + b'"}',
    ],
)
async def test_a_body_that_is_none_is_refused_and_never_quoted(live: Live, body: bytes) -> None:
    await live.read(BRIGHT, patient_reference=HERS)
    answer = await live.client.post(DELETION, content=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert "4711" not in answer.text
    assert len((await live.client.get("/api/v1/predictions")).json()["items"]) == 1


async def test_nothing_of_the_patient_is_left_in_redis(
    redis_server: RedisServer, start: Start
) -> None:
    live = await start(results=connect(redis_server.url))
    made = (await live.read(BRIGHT, patient_reference=HERS)).json()
    async with Redis.from_url(redis_server.admin_url) as client:
        before = await everything(client)
        assert any(made["patient_reference"].encode() in value for value in before)
        assert await delete(live, HERS) == {"readings": 1, "images": 1}
        after = await everything(client)
    for trace in (made["patient_reference"], made["id"], made["id"].replace("-", "")):
        assert not any(trace.encode() in value for value in after)


async def everything(client: Redis) -> list[bytes]:
    """All keys and all values, unpacked."""
    found: list[bytes] = []
    async for key in client.scan_iter(count=1000):
        found.append(key)
        match await client.type(key):
            case b"string":
                value = await client.get(key) or b""
                found.append(value)
                # A row of another test may be damaged on purpose.
                with suppress(zlib.error):
                    found.append(unpacked(value))
            case b"zset":
                found += await client.zrange(key, 0, -1)
            case b"set":
                found += list(await client.smembers(key))
    return found


async def test_a_reading_that_cannot_be_read_keeps_none_of_the_others(
    redis_server: RedisServer, live: Live
) -> None:
    """One that a newer version wrote is found, and it is said that it could not be deleted."""
    results = connect(redis_server.url)
    unit, reference = "patients_test", "ab" * 32
    made = [
        make_prediction(unit=unit).model_copy(update={"patient_reference": reference})
        for _ in range(3)
    ]
    for one in made:
        await results.add(one)
    async with Redis.from_url(redis_server.admin_url) as client:
        newer = made[1].model_dump_json().replace('"schema_version":1', '"schema_version":9')
        row = f"results:{{{unit}}}:row:{made[1].id.hex}"
        await client.set(row, zlib.compress(newer.encode()))
        live.service.pipeline._results = results
        with pytest.raises(StoreUnavailable, match="cannot read"):
            await live.service.pipeline.delete_patient(unit, reference, lambda _: nullcontext())
        assert await results.of_patient(unit, reference) == (made[1].id,)
        await client.delete(row)
    await results.close()


async def test_readings_beyond_the_first_page_are_found(redis_server: RedisServer) -> None:
    results: RedisResults = connect(redis_server.url)
    unit = f"p{new_prediction_id().hex[-10:]}"
    readings: list[Prediction] = [make_prediction(unit=unit) for _ in range(1203)]
    for one in readings:
        await results.add(one)
    oldest, newest = readings[0], readings[-1]
    for one in (oldest, newest):
        assert await results.of_patient(unit, str(one.patient_reference)) == (one.id,)
    assert await results.of_patient("nobody", str(oldest.patient_reference)) == ()
    await results.close()
