"""Redis goes away and comes back; too many readings come at once."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from diagnosis.contracts import Prediction
from diagnosis.errors import StoreUnavailable
from diagnosis.results import MemoryResults, connect
from inference_service import pipeline
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.fixtures.patience import AT_ONCE
from tests.fixtures.redis import RedisServer
from tests.inference_service.pictures import BRIGHT, DARK, picture, png


def kept_images(live: Live) -> list[str]:
    root = live.service.settings.image_dir
    return [path.name for path in root.rglob("*") if path.is_file() and len(path.name) == 64]


async def test_readings_survive_redis_and_wait_for_it(
    start: Start, start_redis: Callable[..., RedisServer]
) -> None:
    redis = start_redis()
    live = await start(connect(redis.url))
    first = (await live.read(BRIGHT)).json()
    assert (await live.client.get("/readyz")).status_code == 200

    redis.stop()
    for request in (
        live.read(DARK),
        live.client.get("/api/v1/predictions"),
        live.client.get(f"/api/v1/predictions/{first['id']}"),
        live.client.delete(f"/api/v1/predictions/{first['id']}"),
    ):
        began = time.perf_counter()
        answer = await request
        assert (answer.status_code, answer.json()["code"]) == (503, "store-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert time.perf_counter() - began < AT_ONCE
    ready = await live.client.get("/readyz")
    assert ready.status_code == 503
    assert "Redis" in ready.json()["reasons"][0]
    assert (
        'sightline_store_up{service="inference_service"} 0.0'
        in (await live.client.get("/metrics")).text
    )
    assert kept_images(live) == [first["image"]["digest"].removeprefix("sha256:")]
    assert (await live.client.get("/api/v1/diseases")).status_code == 200

    redis.start()

    async def back() -> bool:
        return (await live.client.get("/readyz")).status_code == 200

    await live.until(back)
    assert (await live.client.get(f"/api/v1/predictions/{first['id']}")).json() == first
    assert (await live.read(DARK)).status_code == 201
    assert (
        'sightline_store_up{service="inference_service"} 1.0'
        in (await live.client.get("/metrics")).text
    )


class SaysNothing(MemoryResults):
    """A store that hung while it was told: it kept the reading in the end, or it did not."""

    def __init__(self, keeps: bool) -> None:
        super().__init__()
        self._keeps = keeps

    async def add(self, prediction: Prediction, once: str | None = None) -> None:
        if self._keeps:
            await super().add(prediction, once)
        raise StoreUnavailable(cause="for the test")


async def test_an_image_stays_exactly_as_long_as_its_reading_may_be_kept(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deleted at once, it would be missing where Redis writes the reading down after all."""
    for keeps in (False, True):
        live = await start(SaysNothing(keeps))
        assert (await live.read(BRIGHT)).status_code == 503
        assert len(kept_images(live)) == 1
        await live.service.pipeline.settle()
        assert len(kept_images(live)) == 1, "it is too early to know"
        with monkeypatch.context() as later:
            later.setattr(pipeline, "DOUBT_SECONDS", -1.0)
            await live.service.pipeline.settle()
        assert len(kept_images(live)) == keeps


class FailsOnce(MemoryResults):
    """Keeps the first reading and no other."""

    async def add(self, prediction: Prediction, once: str | None = None) -> None:
        if self._rows:
            raise StoreUnavailable(cause="for the test")
        await super().add(prediction)


async def test_the_image_of_another_reading_stays(start: Start) -> None:
    live = await start(FailsOnce())
    first = (await live.read(BRIGHT)).json()
    assert (await live.read(BRIGHT)).status_code == 503
    image = await live.client.get(f"/api/v1/predictions/{first['id']}/image")
    assert image.status_code == 200


class Held:
    """Makes an engine wait until it is let go."""

    def __init__(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        engine = live.service.models.check(DISEASE).engine
        predict = engine.predict
        self.go = threading.Event()

        def wait(batch: Any) -> Any:
            assert self.go.wait(20)
            return predict(batch)

        monkeypatch.setattr(engine, "predict", wait)


async def test_more_than_may_wait_are_refused_at_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await start(threads=1, max_waiting=2)
    held = Held(live, monkeypatch)
    waiting = [asyncio.create_task(live.read(png(picture(200, seed)))) for seed in range(3)]

    async def full() -> bool:
        return "sightline_readings_waiting 2.0" in (await live.client.get("/metrics")).text

    await live.until(full)
    began = time.perf_counter()
    refused = await live.read(BRIGHT)
    assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
    assert refused.headers["retry-after"] == "2"
    assert time.perf_counter() - began < AT_ONCE
    held.go.set()
    assert [one.status_code for one in await asyncio.gather(*waiting)] == [201, 201, 201]
    assert (await live.read(BRIGHT)).status_code == 201


async def test_a_reading_past_its_deadline_is_given_up_and_its_place_comes_back(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = await start(threads=1, max_waiting=0, deadline_seconds=0.2)
    held = Held(live, monkeypatch)
    late = await live.read(BRIGHT)
    assert (late.status_code, late.json()["code"]) == (503, "overloaded")
    # The thread cannot be stopped, so its place stays taken until it is done.
    assert (await live.read(BRIGHT)).json()["code"] == "overloaded"
    held.go.set()

    async def free() -> bool:
        return (await live.read(DARK)).status_code == 201

    await live.until(free)
    listed = (await live.client.get("/api/v1/predictions")).json()["items"]
    assert [one["top"][0]["id"] for one in listed] == ["normal"]


async def test_readings_at_once_do_not_mix(live: Live) -> None:
    """Each answer belongs to its image, however many come together."""
    shades = [int(one) for one in np.linspace(10, 245, 24)]
    answers = await asyncio.gather(*(live.read(png(picture(shade, 3))) for shade in shades))
    ill = [one.json()["probabilities"][1]["probability"] for one in answers]
    assert ill == sorted(ill)
    assert ill[0] < 0.4 < 0.6 < ill[-1]
