"""Batches over the API, read by a worker in this process."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import httpx
import pytest

from diagnosis.audit import Action, AuditOutcome
from diagnosis.contracts import (
    MOST_ITEMS,
    Batch,
    BatchItem,
    BatchItemList,
    BatchList,
    PredictionPage,
)
from diagnosis.errors import StoreUnavailable
from diagnosis.identity import Role
from inference_service import intake
from tests.fixtures.identity import Acting
from tests.fixtures.live_service import DISEASE, Live, Start, reading_batches
from tests.fixtures.redis import RedisServer
from tests.inference_service.pictures import BRIGHT, DARK, picture, png

BATCHES = "/api/v1/batches"


async def begin(live: Live, **fields: str) -> Batch:
    answer = await live.client.post(BATCHES, json={"disease": DISEASE, **fields})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{BATCHES}/{answer.json()['id']}"
    return Batch.model_validate_json(answer.content)


async def put(
    live: Live, batch: Batch, number: int, data: bytes, name: str = "patient-name.png"
) -> httpx.Response:
    return await live.client.put(
        f"{BATCHES}/{batch.id}/files/{number}",
        files={"file": ("patient-name.png", data)},
        data={"name": name},
    )


async def do(live: Live, batch: Batch, what: str) -> Batch:
    answer = await live.client.post(f"{BATCHES}/{batch.id}/{what}")
    assert answer.status_code == 200, answer.text
    return Batch.model_validate_json(answer.content)


async def get(live: Live, batch: Batch) -> Batch:
    return Batch.model_validate_json((await live.client.get(f"{BATCHES}/{batch.id}")).content)


async def items(live: Live, batch: Batch, **asked: str | int) -> list[BatchItem]:
    answer = await live.client.get(f"{BATCHES}/{batch.id}/items", params=asked)
    assert answer.status_code == 200, answer.text
    return list(BatchItemList.model_validate_json(answer.content).items)


async def over(live: Live, batch: Batch) -> Batch:
    async def is_over() -> bool:
        return (await get(live, batch)).over

    await live.until(is_over)
    return await get(live, batch)


def spooled(live: Live) -> int:
    folder = live.service.settings.image_dir / "spool"
    return sum(1 for path in folder.glob("??/*") if path.is_file())


async def readings(live: Live, batch: Batch) -> Sequence[UUID]:
    answer = await live.client.get("/api/v1/predictions", params={"batch": str(batch.id)})
    return [one.id for one in PredictionPage.model_validate_json(answer.content).items]


@asynccontextmanager
async def sent(
    live: Live, files: Sequence[bytes] = (BRIGHT, DARK, b"no image"), *, close: bool = True
) -> AsyncIterator[Batch]:
    batch = await begin(live)
    for number, data in enumerate(files):
        assert (await put(live, batch, number, data)).status_code == 201
    if close:
        await do(live, batch, "close")
    yield batch


async def test_a_batch_is_read(live: Live) -> None:
    async with sent(live) as batch, reading_batches(live):
        done = await over(live, batch)
        assert done.state == "done"
        assert done.counts.model_dump() == {
            "items": 3, "waiting": 0, "done": 2, "failed": 1, "cancelled": 0,
        }  # fmt: skip
        bright, dark, broken = await items(live, batch)
        assert broken.problem is not None
        assert broken.problem.code == "not-an-image"
        assert broken.problem.remedy
        assert {bright.name, dark.name} == {"patient-name.png"}
        assert {*await readings(live, batch)} == {bright.prediction_id, dark.prediction_id}
        reading = (await live.client.get(f"/api/v1/predictions/{bright.prediction_id}")).json()
        assert reading["batch"] == str(batch.id)
        assert reading["created_by"] == batch.created_by
        assert reading["top"][0]["id"] == "pneumonia"
        image = await live.client.get(f"/api/v1/predictions/{bright.prediction_id}/image")
        assert image.status_code == 200
        # What failed is kept, to be read again.
        await live.until(lambda: spooled(live) == 1)


async def test_files_are_read_while_more_come(live: Live) -> None:
    async with sent(live, [BRIGHT], close=False) as batch, reading_batches(live):

        async def is_read() -> bool:
            return (await get(live, batch)).counts.done == 1

        await live.until(is_read)
        assert (await get(live, batch)).state == "open"
        assert (await put(live, batch, 7, DARK)).status_code == 201
        await do(live, batch, "close")
        assert (await over(live, batch)).counts.done == 2


async def test_the_same_file_again_doubles_nothing(live: Live) -> None:
    async with sent(live, [BRIGHT], close=False) as batch:
        first = (await items(live, batch))[0]
        again = await put(live, batch, 0, BRIGHT, "other-name.png")
        assert again.status_code == 200
        assert BatchItem.model_validate_json(again.content) == first
        other = await put(live, batch, 0, DARK)
        assert (other.status_code, other.json()["code"]) == (409, "item-taken")
        assert spooled(live) == 1
        await do(live, batch, "close")
        assert (await put(live, batch, 0, BRIGHT)).status_code == 200
        late = await put(live, batch, 1, BRIGHT)
        assert (late.status_code, late.json()["code"]) == (409, "batch-closed")
        assert spooled(live) == 1
        async with reading_batches(live):
            await over(live, batch)
            await live.until(lambda: spooled(live) == 0)
            assert (await put(live, batch, 0, BRIGHT)).status_code == 200
            assert spooled(live) == 0
            assert len(await readings(live, batch)) == 1


async def test_a_cancelled_batch_is_read_no_more(live: Live) -> None:
    async with sent(live, [BRIGHT, DARK]) as batch:
        cancelled = await do(live, batch, "cancel")
        assert (cancelled.state, cancelled.counts.cancelled) == ("cancelled", 2)
        assert spooled(live) == 0
        async with reading_batches(live):
            other = await begin(live)
            await put(live, other, 0, DARK)
            await do(live, other, "close")
            await over(live, other)
        assert await readings(live, batch) == []
        assert {one.state for one in await items(live, batch)} == {"cancelled"}
        refused = await live.client.post(f"{BATCHES}/{batch.id}/retry")
        assert (refused.status_code, refused.json()["code"]) == (409, "batch-closed")


async def test_failed_files_are_read_again(live: Live) -> None:
    async with sent(live, [b"no image", DARK]) as batch, reading_batches(live):
        await over(live, batch)
        name = live.service.intake.spooled(batch, (await items(live, batch, state="failed"))[0])
        # What kept it from being read is mended.
        live.service.intake.spool.delete(name)
        live.service.intake.spool.put(name, BRIGHT)
        assert (await do(live, batch, "retry")).counts.failed == 0
        assert (await over(live, batch)).counts.done == 2


async def test_a_file_whose_bytes_are_gone_says_so(live: Live) -> None:
    async with sent(live, [BRIGHT]) as batch:
        live.service.intake.spool.delete(
            live.service.intake.spooled(batch, (await items(live, batch))[0])
        )
        async with reading_batches(live):
            await over(live, batch)
        (item,) = await items(live, batch)
        assert item.problem is not None
        assert item.problem.code == "bytes-gone"


async def test_nothing_is_left_of_a_deleted_batch(live: Live) -> None:
    other = await live.read(picture_of(5))
    async with sent(live, [BRIGHT, DARK, b"no image"]) as batch, reading_batches(live):
        await over(live, batch)
        ids = await readings(live, batch)
        assert (await live.client.delete(f"{BATCHES}/{batch.id}")).status_code == 204
        for path in ("", "/items", "/events"):
            gone = await live.client.get(f"{BATCHES}/{batch.id}{path}")
            assert (gone.status_code, gone.json()["code"]) == (404, "unknown-batch")
        for one in ids:
            assert (await live.client.get(f"/api/v1/predictions/{one}")).status_code == 404
        # The worker may be about to look after the images once more; in the end only the other
        # reading's is left.
        images = live.service.settings.image_dir
        await live.until(lambda: len([*images.glob("??/*")]) == 1 and spooled(live) == 0)
        assert (await live.client.delete(f"{BATCHES}/{batch.id}")).status_code == 404
    assert other.status_code == 201


def picture_of(seed: int) -> bytes:
    return png(picture(230, seed))


async def test_a_deleted_readings_file_has_no_name_any_more(live: Live) -> None:
    async with sent(live, [BRIGHT]) as batch, reading_batches(live):
        await over(live, batch)
        (one,) = await readings(live, batch)
        assert (await live.client.delete(f"/api/v1/predictions/{one}")).status_code == 204
        (item,) = await items(live, batch)
        assert (item.name, item.state) == ("", "done")


async def test_a_stream_tells_how_far_it_is(live: Live) -> None:
    async with sent(live, [BRIGHT, DARK]) as batch:
        before = await live.client.get(f"{BATCHES}/{batch.id}/events")
        assert before.headers["content-type"].startswith("text/event-stream")
        assert told(before.text)[-1].state == "running", "it ends by itself"
        async with reading_batches(live):
            await over(live, batch)
            after = told((await live.client.get(f"{BATCHES}/{batch.id}/events")).text)
            assert [one.state for one in after] == ["done"]


def told(text: str) -> list[Batch]:
    return [
        Batch.model_validate_json(line.removeprefix("data: "))
        for line in text.splitlines()
        if line.startswith("data: ")
    ]


async def test_batches_are_listed_and_are_the_units_own(live: Live) -> None:
    mine = await begin(live, name="Ward 7")
    theirs = httpx.AsyncClient(
        transport=httpx.ASGITransport(live.app),
        base_url="http://inference",
        auth=Acting(Role.CLINICIAN, via="key", unit="elsewhere"),
    )
    async with theirs as client:
        assert (await client.get(BATCHES)).json()["items"] == []
        for method, path in (
            ("GET", ""),
            ("GET", "/items"),
            ("GET", "/events"),
            ("DELETE", ""),
            ("POST", "/close"),
            ("POST", "/cancel"),
            ("POST", "/retry"),
        ):
            answer = await client.request(method, f"{BATCHES}/{mine.id}{path}")
            assert answer.status_code == 404, path
        upload = await client.put(f"{BATCHES}/{mine.id}/files/0", files={"file": ("a", BRIGHT)})
        assert upload.status_code == 404
    listed = BatchList.model_validate_json((await live.client.get(BATCHES)).content)
    assert listed.items == (mine,)
    assert mine.name == "Ward 7"


async def test_what_is_no_batch_is_refused(live: Live) -> None:
    for body, status, code in (
        ({"disease": "unheard_of"}, 404, "unknown-disease"),
        ({"disease": "malaria_cell"}, 409, "no-live-model"),
        ({"disease": DISEASE, "operating_point": "lucky"}, 422, "invalid-request"),
        ({"disease": DISEASE, "name": "a\nb"}, 422, "invalid-request"),
        ({"disease": DISEASE, "name": "a" * 101}, 422, "invalid-request"),
        ({}, 422, "invalid-request"),
    ):
        answer = await live.client.post(BATCHES, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body
    batch = await begin(live)
    for number in (-1, MOST_ITEMS):
        assert (await put(live, batch, number, BRIGHT)).status_code == 422
    large = await put(live, batch, 0, bytes(26 * 1024 * 1024))
    assert (large.status_code, large.json()["code"]) == (413, "file-too-large")
    nothing = await live.client.put(f"{BATCHES}/{batch.id}/files/0", data={"name": "x"})
    assert nothing.json()["code"] in ("missing-image", "invalid-request")
    missing = await live.client.get(f"{BATCHES}/{uuid4()}")
    assert missing.status_code == 404
    assert await items(live, batch) == []


async def test_too_many_waiting_files_are_refused_for_a_while(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "_BACKLOG_SECONDS", -1.0)
    live = await start(batch_items_waiting=2)
    async with sent(live, [BRIGHT, DARK], close=False) as batch:
        full = await put(live, batch, 2, BRIGHT)
        assert (full.status_code, full.json()["code"]) == (503, "queue-full")
        assert int(full.headers["retry-after"]) > 0
        another = await live.client.post(BATCHES, json={"disease": DISEASE})
        assert another.json()["code"] == "queue-full"
        async with reading_batches(live):
            await do(live, batch, "close")
            await over(live, batch)
        await begin(live)


async def test_a_name_is_shown_as_text_and_comes_nowhere_else(
    live: Live, caplog: pytest.LogCaptureFixture
) -> None:
    name = "Jane\u202eDoe\x07/1970.png"
    batch = await begin(live)
    await put(live, batch, 0, b"no image", name)
    await put(live, batch, 1, BRIGHT, "x" * 300 + name)
    async with reading_batches(live):
        await do(live, batch, "close")
        await over(live, batch)
    broken, long = await items(live, batch)
    assert broken.name == "Jane\u202eDoe\N{REPLACEMENT CHARACTER}/1970.png"
    assert long.name.startswith("xxx")
    assert broken.problem is not None
    assert "Jane" not in json.dumps(broken.problem.model_dump())
    assert "Jane" not in live.service.metrics.render().decode()
    assert "Jane" not in caplog.text
    assert "Jane" not in str(live.events)


async def test_what_is_done_to_a_batch_is_written_down(live: Live) -> None:
    async with sent(live, [BRIGHT]) as batch, reading_batches(live):
        await over(live, batch)
        (reading,) = await readings(live, batch)
        await do(live, batch, "retry")
        await live.client.delete(f"{BATCHES}/{batch.id}")
        unknown = uuid4()
        await live.client.delete(f"{BATCHES}/{unknown}")
    written = [(one.action, one.outcome, one.object) for one in live.events]
    allowed = AuditOutcome.ALLOWED
    about = [one for one in written if one[0] not in (Action.VIEW, Action.EXPORT)]
    assert about == [
        (Action.UPLOAD, allowed, str(batch.id)),
        (Action.BATCH_CHANGE, allowed, str(batch.id)),
        (Action.BATCH_CHANGE, allowed, str(batch.id)),
        (Action.DELETE, allowed, str(batch.id)),
        (Action.DELETE, allowed, str(reading)),
        (Action.DELETE, AuditOutcome.REFUSED, None),
    ]


async def test_a_worker_survives_a_store_that_is_away(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = live.service.batches
    failures = {"claim": 2, "finish": 2, "reclaim": 1}

    def breaking(name: str) -> None:
        real = getattr(queue, name)

        async def call(*given: object) -> object:
            if failures[name] > 0:
                failures[name] -= 1
                if name == "finish":
                    # It was done, and the answer was lost.
                    await real(*given)
                raise StoreUnavailable
            return await real(*given)

        monkeypatch.setattr(queue, name, call)

    for name in failures:
        breaking(name)
    async with sent(live, [BRIGHT, DARK]) as batch, reading_batches(live):
        done = await over(live, batch)
    assert done.counts.done == 2
    assert len(await readings(live, batch)) == 2


async def test_two_workers_and_redis(start: Start, redis_server: RedisServer) -> None:
    live = await start(redis=True, redis_url=redis_server.url)
    files = [picture_of(seed) for seed in range(10)]
    async with sent(live, files) as batch, reading_batches(live), reading_batches(live):
        done = await over(live, batch)
        assert done.counts.done == 10
        assert len(await readings(live, batch)) == 10
        await live.until(lambda: spooled(live) == 0)
        assert (await live.client.delete(f"{BATCHES}/{batch.id}")).status_code == 204
