"""What `trainer infer` posts into Redis is counted, and watched for drift, as what is read here."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from diagnosis.contracts import Prediction, new_prediction_id
from diagnosis.watch import Told
from tests.fixtures.drift import WINDOW, give_reference, png
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.fixtures.redis import RedisServer
from trainer.infer.running import Asked, Ran, infer
from trainer.settings import Settings

pytestmark = pytest.mark.xdist_group("film-gate")


class Nobody:
    """Watches a batch and says nothing."""

    def begin(self, done: int, total: int) -> None:
        """See `trainer.infer.running.Watcher`."""

    def advance(self, files: int) -> None:
        """See `trainer.infer.running.Watcher`."""


class Ward:
    """A service on a Redis of its own, and a trainer that posts into it."""

    def __init__(self, live: Live, settings: Settings, folder: Path) -> None:
        self.live, self._settings, self._folder = live, settings, folder

    async def infer(self, name: str, count: int, *, first: int, darker: float = 1.0) -> Ran:
        """Let `trainer infer` read a folder of made films, and wait until all of it is counted."""
        films = self._folder / name
        films.mkdir()
        for seed in range(first, first + count):
            (films / f"{seed}.png").write_bytes(png(seed, darker=darker))
        return await self.again(name)

    async def again(self, name: str) -> Ran:
        """The same for a folder that is there."""
        asked = Asked(DISEASE, str(self._folder / name), name, engine="openvino")
        ran = await asyncio.to_thread(infer, asked, self._settings, Nobody(), lambda _: None)
        await self.live.service.posted.count()
        return ran

    async def looked(self) -> None:
        """Look for drift."""
        await self.live.service.drift.close()
        await self.live.service.drift.look()

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        return sum(
            one.value
            for family in self.live.service.metrics.registry.collect()
            for one in family.samples
            if one.name == name and labels.items() <= one.labels.items()
        )

    def drift(self, statistic: str) -> float:
        """A statistic of the last window, as a share of its limit; 0 where there was none."""
        value = self.total("sightline_drift", statistic=statistic)
        return value and value / self.total("sightline_drift_limit", statistic=statistic)

    def is_live(self) -> bool:
        return self.live.service.registry.state(DISEASE).live == "1"


@pytest.fixture(scope="module")
def models(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `models/` folder whose one artifact has a gate and a reference."""
    folder = tmp_path_factory.mktemp("referenced")
    shutil.copytree(artifacts / DISEASE / "1", folder / DISEASE / "1")
    give_reference(folder / DISEASE / "1")
    return folder


@pytest.fixture
async def ward(
    start: Start, start_redis: Callable[..., RedisServer], models: Path, tmp_path: Path
) -> Ward:
    server = start_redis()
    # Counted and looked at when a test says so, and not beside it.
    slowly = {"reload_seconds": 3600, "drift_seconds": 3600}
    live = await start(redis=True, redis_url=server.url, models_dir=models, **slowly)
    settings = Settings(
        registry=str(tmp_path / "trainers-registry"),
        models_dir=models,
        runs_dir=tmp_path / "runs",
        cache_dir=tmp_path / "cache",
        redis_url=SecretStr(server.url_for("trainer")),
    )
    return Ward(live, settings, tmp_path)


async def test_readings_files_and_batches_are_counted_once(ward: Ward, tmp_path: Path) -> None:
    (tmp_path / "monday").mkdir()
    (tmp_path / "monday" / "notes.txt").write_text("no image")
    for seed in range(4000, 4012):
        (tmp_path / "monday" / f"{seed}.png").write_bytes(png(seed))
    ran = await ward.again("monday")
    found, _ = await ward.live.service.results.list("default", limit=100)
    judged = [one for one in found if one.outcome == "judged"]
    assert judged

    def counted() -> list[float]:
        return [
            ward.total("sightline_predictions_total", disease=DISEASE),
            ward.total("sightline_readings_total", disease=DISEASE),
            ward.total("sightline_prediction_confidence_count", disease=DISEASE),
            ward.total("sightline_posted_files_total", disease=DISEASE, outcome="done"),
            ward.total("sightline_posted_files_total", disease=DISEASE, outcome="failed"),
            ward.total("sightline_batches_total", outcome="accepted"),
            ward.total("sightline_batches_total", outcome="done"),
        ]

    once = [len(judged), 12, len(judged), 12, 1, 1, 1]
    assert counted() == once
    for one in judged:
        assert ward.total(
            "sightline_predictions_total", band=one.band or "none", **{"class": one.top[0].id}
        )
    # The alert on files that no worker reads goes by the workers' own.
    assert ward.total("sightline_batch_items_total") == 0
    # Asked for again there is nothing left to read, and nothing to count.
    assert (await ward.again("monday")).files == 0
    assert ran.files == 13
    assert counted() == once


async def test_they_keep_the_numbers_that_drift_is_seen_by(ward: Ward, tmp_path: Path) -> None:
    await ward.infer("monday", 6, first=4000)
    by_trainer, _ = await ward.live.service.results.list("default", limit=100)
    of_image = {one.image.digest: one.statistics for one in by_trainer}
    assert {len(one.statistics) for one in by_trainer if one.outcome == "judged"} == {16}
    for seed in range(4000, 4006):
        answer = Prediction.model_validate_json((await ward.live.read(png(seed))).content)
        assert of_image[answer.image.digest] == answer.statistics


async def test_an_export_of_many_windows_is_one_and_a_second_one_stops(ward: Ward) -> None:
    await ward.infer("export", 4 * WINDOW, first=4000, darker=0.55)
    # As the version before left it, where this window was full before anybody looked again.
    for gauge in (ward.live.service.metrics.drift, ward.live.service.metrics.drift_limit):
        gauge.labels(DISEASE, "input").set(1)
    for _ in range(3):
        await ward.looked()
    assert ward.drift("posted_input") > 1
    assert ward.drift("input") == 0
    assert ward.is_live()
    # What is left of it was passed by, but for less than a window.
    assert await ward.live.service.watch.waiting("posted", DISEASE) < WINDOW
    await ward.infer("another", 2 * WINDOW, first=6000, darker=0.55)
    await ward.looked()
    assert not ward.is_live()
    stopped = ward.live.service.registry.state(DISEASE).under_review[0]
    assert "posted_input" in stopped.past
    assert all(one.startswith("posted_") for one in stopped.past)


async def test_posted_readings_and_those_of_wards_are_in_no_window_together(ward: Ward) -> None:
    await ward.infer("export", 2 * WINDOW, first=4000, darker=0.55)
    judged, seed = 0, 4000
    while judged < WINDOW:
        answer = (await ward.live.read(png(seed, darker=0.55))).json()
        judged += answer["outcome"] == "judged"
        seed += 1
    await ward.looked()
    # Past in a window of each, which is no two in a row of either.
    assert ward.drift("posted_input") > 1
    assert ward.drift("input") > 1
    assert ward.is_live()
    await ward.infer("good", 2 * WINDOW, first=6000)
    await ward.looked()
    assert 0 < ward.drift("posted_input") <= 1
    assert ward.drift("input") > 1
    assert ward.is_live()


async def test_nothing_is_taken_before_it_is_known_which_version_is_live(ward: Ward) -> None:
    service = ward.live.service
    await service.watch.tell([Told("failed", DISEASE)])
    service.models.loaded = False
    await service.posted.count()
    assert ward.total("sightline_posted_files_total") == 0
    service.models.loaded = True
    await service.posted.count()
    assert ward.total("sightline_posted_files_total") == 1


async def test_what_another_version_answered_is_counted_and_not_watched(ward: Ward) -> None:
    service = ward.live.service
    answer = Prediction.model_validate_json((await ward.live.read(png(4000))).content)
    older = answer.artifact.model_copy(update={"version": "0"})
    await service.drift.posted([answer.model_copy(update={"artifact": older})])
    assert await service.watch.waiting("posted", DISEASE) == 0
    await service.drift.posted([answer])
    assert await service.watch.waiting("posted", DISEASE) == 1


async def test_what_cannot_be_understood_holds_up_nothing(ward: Ward) -> None:
    reading = new_prediction_id()
    await ward.live.service.watch.tell(
        [
            Told("failed", "no_such_disease"),
            Told("reading", "no_such_disease", "default", reading),
            Told("reading", DISEASE, "default", reading),  # deleted meanwhile
            Told("reading", DISEASE, "no id"),
            Told("failed", "of two words"),
            Told("failed", DISEASE),
        ]
    )
    await ward.live.service.posted.count()
    assert ward.total("sightline_posted_files_total", outcome="failed") == 1
    assert ward.total("sightline_posted_files_total", outcome="done") == 1
    assert ward.total("sightline_readings_total") == 0
