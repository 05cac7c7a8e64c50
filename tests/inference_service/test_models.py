"""Live models: taken in, replaced under load, refused when they are not what they should be."""

import asyncio
import shutil
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from diagnosis.artifacts import Card, Registry, storage_at
from tests.fixtures.artifacts import change_card, rename_classes, variant
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.inference_service.pictures import BRIGHT


async def status(live: Live) -> str:
    found = (await live.client.get(f"/api/v1/diseases/{DISEASE}")).json()["status"]
    assert isinstance(found, str)
    return found


@pytest.fixture
def models(tmp_path: Path, artifacts: Path) -> Path:
    """A copy of the shipped models that a test may break."""
    return Path(shutil.copytree(artifacts, tmp_path / "shipped"))


async def test_versions_change_under_load_and_no_reading_fails(live: Live) -> None:
    registry = live.service.registry
    versions: list[str] = []
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            answer = await live.read(BRIGHT)
            assert answer.status_code == 201, answer.text
            versions.append(answer.json()["artifact"]["version"])

    async def seen(version: str) -> None:
        before = len(versions)
        await live.until(lambda: version in versions[before:])

    async def change() -> None:
        try:
            await seen("2")
            for _ in range(3):
                await asyncio.to_thread(registry.promote, DISEASE, "1")
                await seen("1")
                await asyncio.to_thread(registry.rollback, DISEASE)
                await seen("2")
        finally:
            done.set()

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(read())
        group.create_task(change())
    assert set(versions) == {"1", "2"}
    text = (await live.client.get("/metrics")).text
    assert f'sightline_model_live{{disease="{DISEASE}",version="2"}} 1.0' in text
    assert f'sightline_model_live{{disease="{DISEASE}",version="1"}}' not in text


async def test_a_replaced_engine_is_closed_after_its_last_reading(live: Live) -> None:
    models, registry = live.service.models, live.service.registry
    with models.held(DISEASE) as old:
        await asyncio.to_thread(registry.promote, DISEASE, "1")
        await live.until(lambda: models.check(DISEASE) is not old)
        assert old.retired
        # Still whole: what holds it can finish.
        assert (await asyncio.to_thread(_ask, old)).shape == (1, 2)
    with pytest.raises(AttributeError):
        _ask(old)


def _ask(model):  # type: ignore[no-untyped-def]
    import numpy as np

    return model.engine.predict(np.zeros((1, 32, 32, 1), np.float32))


async def test_a_retired_model_leaves_the_disease_without_one(live: Live) -> None:
    for version in ("2", "1"):
        await asyncio.to_thread(live.service.registry.retire, DISEASE, version)

    async def gone() -> bool:
        return await status(live) == "no_model"

    await live.until(gone)
    assert (await live.read(BRIGHT)).json()["code"] == "no-live-model"


@pytest.mark.parametrize("name", ["model.keras", "model.xml", "model.bin", "card.json"])
async def test_a_shipped_artifact_that_was_tampered_with_is_refused(
    start: Start, models: Path, name: str
) -> None:
    for version in ("1", "2"):
        path = models / DISEASE / version / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x40
        path.write_bytes(data)
    with capture_logs() as logs:
        live = await start(models_dir=models)
    assert await status(live) == "unavailable"
    answer = await live.read(BRIGHT)
    assert (answer.status_code, answer.json()["code"]) == (409, "model-refused")
    causes = [one["cause"] for one in logs if one["event"] == "seed"]
    assert causes
    assert all("digest-mismatch" in one or "card-refused" in one for one in causes)
    assert "digest" not in answer.text
    assert (await live.client.get("/readyz")).status_code == 200


async def test_a_live_artifact_that_changes_on_disk_is_refused_and_comes_back(live: Live) -> None:
    path = Path(live.service.settings.registry) / DISEASE / "2" / "model.bin"
    good = path.read_bytes()

    async def is_now(expected: str) -> None:
        async def reached() -> bool:
            return await status(live) == expected

        await live.until(reached)

    path.chmod(0o600)
    path.write_bytes(good[:-1] + b"\xff")
    await is_now("unavailable")
    text = (await live.client.get("/metrics")).text
    assert f'sightline_model_live{{disease="{DISEASE}",version="2"}} 0.0' in text
    path.write_bytes(good)
    await is_now("live")
    assert (await live.read(BRIGHT)).status_code == 201


async def test_others_are_served_while_one_is_refused(
    start: Start, models: Path, artifacts: Path
) -> None:
    """The same tiny model as another disease of two classes, beside a broken one."""
    (models / DISEASE / "1" / "model.bin").write_bytes(b"?")
    (models / DISEASE / "2" / "model.bin").write_bytes(b"?")
    other = models / "malaria_cell"
    other.mkdir()
    variant(artifacts / DISEASE / "1", other / "1", disease="malaria_cell", version="1")

    rename_classes(other / "1", {"pneumonia": "parasitized", "normal": "uninfected"})

    def reordered(card: Card) -> Card:
        return card.model_copy(update={"classes": card.classes[::-1]})

    change_card(other / "1", reordered)
    live = await start(models_dir=models)
    assert await status(live) == "unavailable"
    assert (await live.read(BRIGHT, disease="malaria_cell")).status_code == 201


async def test_an_engine_that_answers_otherwise_than_the_reference_is_refused(
    start: Start, models: Path
) -> None:
    def lie(card: Card) -> Card:
        golden = tuple(
            one.model_copy(update={"logits": (one.logits[0] + 0.1, one.logits[1])})
            for one in card.golden
        )
        return card.model_copy(update={"golden": golden})

    change_card(models / DISEASE / "2", lie)
    with capture_logs() as logs:
        live = await start(models_dir=models)
    assert await status(live) == "unavailable"
    [refused] = [one for one in logs if one["event"] == "model refused"]
    assert "from the reference" in refused["cause"]


async def test_a_card_of_other_classes_is_refused(start: Start, models: Path) -> None:
    change_card(
        models / DISEASE / "2",
        lambda card: card.model_copy(update={"classes": tuple(reversed(card.classes))}),
    )
    with capture_logs() as logs:
        live = await start(models_dir=models)
    assert await status(live) == "unavailable"
    [refused] = [one for one in logs if one["event"] == "model refused"]
    assert "catalogue-classes" in refused["cause"]


async def test_a_registry_that_cannot_be_read_keeps_what_is_loaded(live: Live) -> None:
    state = live.service.registry.state(DISEASE)
    path = Path(live.service.settings.registry) / DISEASE / "registry.json"
    with capture_logs() as logs:
        path.write_text("{")
        await live.until(lambda: any(one["event"] == "registry" for one in logs))
        await asyncio.sleep(0.3)
        assert (await live.read(BRIGHT)).status_code == 201
    # Once, not at every look.
    assert len([one for one in logs if one["event"] == "registry"]) == 1
    path.write_text(state.model_dump_json())
    Registry(Path(live.service.settings.registry)).promote(DISEASE, "1")

    async def reloaded() -> bool:
        return (await live.read(BRIGHT)).json()["artifact"]["version"] == "1"

    await live.until(reloaded)


async def test_a_registry_in_a_bucket_is_seeded_served_and_followed(
    start: Start, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer's command, on another machine, takes the live version back."""
    monkeypatch.setattr("diagnosis.artifacts.bucket.FRESH_SECONDS", 0.0)
    place = f"s3://{bucket}/models"
    live = await start(registry=place, registry_cache_dir=tmp_path / "cache")
    assert (await live.read(BRIGHT)).json()["artifact"]["version"] == "2"
    Registry(storage_at(place, tmp_path / "other")).promote(DISEASE, "1")

    async def answers(version: str) -> bool:
        return (await live.read(BRIGHT)).json()["artifact"]["version"] == version

    await live.until(lambda: answers("1"))
    # As an outage looks: what is loaded goes on.
    with capture_logs() as logs:
        monkeypatch.setattr(live.service.registry._storage, "_bucket", "no-such-bucket")
        await live.until(lambda: any(one["event"] == "registry" for one in logs))
        assert await answers("1")


async def test_a_start_without_any_model_is_ready(start: Start, tmp_path: Path) -> None:
    live = await start(models_dir=tmp_path / "nothing")
    assert (await live.client.get("/readyz")).status_code == 200
    assert await status(live) == "no_model"
