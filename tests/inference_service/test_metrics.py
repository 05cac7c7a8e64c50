"""What a reading, a batch, a review and a model leave in the metrics, from the text of /metrics."""

import asyncio
import re
import shutil
import timeit
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from diagnosis.catalogue import catalogue
from diagnosis.errors import SightlineError
from diagnosis.gate import look, statistics
from diagnosis.telemetry import OTHER_CLASS, Metrics
from diagnosis.telemetry.metrics import LABELS
from inference_service.access import TABLE
from tests.fixtures import images
from tests.fixtures.exposition import value
from tests.fixtures.gates import blot, film, give_gate
from tests.fixtures.live_service import DISEASE, Live, Start, reading_batches
from tests.inference_service.pictures import BRIGHT, DARK

pytestmark = pytest.mark.xdist_group("film-gate")

FILM, BLOT = (images.encode(one, "PNG") for one in (film(2001), blot(2001)))
BATCHES = "/api/v1/batches"
STATISTICS = LABELS["sightline_input_statistic", "statistic"]


@pytest.fixture
async def guarded(start: Start, artifacts: Path, tmp_path: Path) -> Live:
    """A service whose live model has a gate."""
    folder = tmp_path / "gated"
    shutil.copytree(artifacts / DISEASE / "1", folder / DISEASE / "1")
    give_gate(folder / DISEASE / "1")
    return await start(models_dir=folder)


async def text_of(live: Live) -> str:
    return (await live.client.get("/metrics")).text


async def batch_of(live: Live, *files: bytes, close: bool = True) -> str:
    batch = (await live.client.post(BATCHES, json={"disease": DISEASE})).json()["id"]
    for number, data in enumerate(files):
        sent = {"file": ("patient-name.png", data)}
        answer = await live.client.put(f"{BATCHES}/{batch}/files/{number}", files=sent)
        assert answer.status_code == 201
    if close:
        await live.client.post(f"{BATCHES}/{batch}/close")
    return str(batch)


async def drive(live: Live) -> None:
    """Something of everything that is counted."""
    made = (await live.read(FILM)).json()
    await live.read(BLOT)
    await live.read(b"no image at all")
    await live.read(FILM, "no_such_disease")
    await live.client.get(f"/{made['id']}")
    path = f"/api/v1/predictions/{made['id']}"
    await live.client.get(f"{path}/heatmap")
    await live.client.post(f"{path}/reviews", json={"kind": "first_opinion"})
    await live.client.post(f"{path}/reviews", json={"verdict": "agree"})
    async with reading_batches(live):
        batch = await batch_of(live, FILM, BLOT)

        async def done() -> bool:
            found = (await live.client.get(f"{BATCHES}/{batch}")).json()["state"] == "done"
            return bool(found)

        await live.until(done)
    await live.client.delete(f"{BATCHES}/{batch}")


async def test_a_judged_reading_is_counted_by_class_and_band_with_its_confidence(
    live: Live,
) -> None:
    bright, dark = [(await live.read(one)).json() for one in (BRIGHT, DARK)]
    text = await text_of(live)
    for reading in (bright, dark):
        assert (
            value(
                text,
                "sightline_predictions_total",
                disease=DISEASE,
                class_=reading["top"][0]["id"],
                band=reading["band"],
            )
            == 1
        )
    assert value(text, "sightline_prediction_confidence_count", disease=DISEASE) == 2
    total = sum(one["top"][0]["probability"] for one in (bright, dark))
    assert value(text, "sightline_prediction_confidence_sum") == pytest.approx(total)
    # The probability is in the bucket of its tenth and in none below.
    assert value(text, "sightline_prediction_confidence_bucket", le="0.1") == 0
    assert value(text, "sightline_prediction_confidence_bucket", le="1.0") == 2


async def test_what_the_gate_sees_is_counted_whether_it_passes_or_not(guarded: Live) -> None:
    await guarded.read(FILM)
    refused = (await guarded.read(BLOT)).json()
    text = await text_of(guarded)
    for name in STATISTICS:
        labels = {"disease": DISEASE, "statistic": name}
        assert value(text, "sightline_input_statistic_count", **labels) == 2
    seen = [statistics(look(one).features) for one in (film(2001), blot(2001))]
    for name in STATISTICS:
        total = value(text, "sightline_input_statistic_sum", statistic=name)
        assert total == pytest.approx(sum(one[name] for one in seen), abs=1e-6)
    reason = refused["reason"]["code"]
    assert value(text, "sightline_gate_refusals_total", disease=DISEASE, reason=reason) == 1
    assert value(text, "sightline_gate_refusals_total") == 1
    # Of what was not judged there is no class.
    assert value(text, "sightline_predictions_total") == 1


async def test_loads_are_counted_by_how_they_went_with_their_time_and_size(live: Live) -> None:
    registry = Path(live.service.settings.registry) / DISEASE
    text = await text_of(live)
    loads = "sightline_model_loads_total"
    assert value(text, loads, disease=DISEASE, outcome="loaded") == 1
    assert value(text, loads) == 1
    assert 0 < value(text, "sightline_model_load_seconds", disease=DISEASE) < 60
    size = (registry / "2" / "model.bin").stat().st_size
    assert value(text, "sightline_model_bytes", disease=DISEASE) == size

    await asyncio.to_thread(live.service.registry.promote, DISEASE, "1")
    await live.until(lambda: live.service.models.check(DISEASE).card.version == "1")
    await live.until(lambda: counted(live, "swapped") == 1)

    card = registry / "1" / "card.json"
    card.write_bytes(card.read_bytes().replace(b"pneumonia", b"pneumonja"))
    await live.until(lambda: counted(live, "refused") == 1)
    await live.until(lambda: size_of(live) == 0)


def counted(live: Live, outcome: str) -> float:
    text = live.service.metrics.render().decode()
    return value(text, "sightline_model_loads_total", disease=DISEASE, outcome=outcome)


def size_of(live: Live) -> float:
    return value(live.service.metrics.render().decode(), "sightline_model_bytes", disease=DISEASE)


@pytest.mark.parametrize(
    ("said", "opinion"),
    [
        ({"kind": "first_opinion"}, "first_opinion"),
        ({"verdict": "agree"}, "agree"),
        ({"verdict": "disagree"}, "disagree"),
        ({"verdict": "correct", "class_id": "normal"}, "correct"),
    ],
)
async def test_what_clinicians_say_is_counted(
    live: Live, said: dict[str, str], opinion: str
) -> None:
    made = (await live.read(BRIGHT)).json()
    path = f"/api/v1/predictions/{made['id']}/reviews"
    assert (await live.client.post(path, json=said)).status_code == 201
    assert (await live.client.post(path, json={"verdict": "no such"})).status_code == 422
    text = await text_of(live)
    assert value(text, "sightline_reviews_total", disease=DISEASE, opinion=opinion) == 1
    assert value(text, "sightline_reviews_total") == 1


async def test_a_batch_is_counted_once_at_each_end(live: Live) -> None:
    def batches(outcome: str) -> float:
        text = live.service.metrics.render().decode()
        return value(text, "sightline_batches_total", outcome=outcome)

    waits = await batch_of(live, BRIGHT)
    assert (batches("accepted"), batches("done")) == (1, 0)
    for _ in range(2):
        await live.client.post(f"{BATCHES}/{waits}/cancel")
    assert batches("cancelled") == 1
    empty = await batch_of(live)
    await live.client.post(f"{BATCHES}/{empty}/close")
    assert batches("done") == 1
    for one in (waits, empty):
        assert (await live.client.delete(f"{BATCHES}/{one}")).status_code == 204
    assert (batches("accepted"), batches("cancelled"), batches("deleted")) == (2, 1, 2)


async def test_a_worker_counts_what_it_did_last_of_a_batch(live: Live) -> None:
    batch = await batch_of(live, BRIGHT, DARK, b"no image")
    async with reading_batches(live) as worker:
        metrics = worker._service.metrics
        await live.until(
            lambda: value(metrics.render().decode(), "sightline_batches_total", outcome="done") == 1
        )
        text = metrics.render().decode()
        assert value(text, "sightline_batch_items_total", outcome="done") == 2
        assert value(text, "sightline_batch_items_total", outcome="failed") == 1
        for step in ("queue", "decode", "preprocess", "infer", "store"):
            count = value(text, "sightline_reading_step_seconds_count", step=step)
            assert count == 2 + (step in {"queue", "decode"})
        assert value(text, "sightline_predictions_total") == 2
    assert (await live.client.get(f"{BATCHES}/{batch}")).json()["state"] == "done"


async def test_the_oldest_file_of_a_batch_tells_how_long_it_waits(live: Live) -> None:
    service = live.service
    await service._count_waiting()
    assert value(await text_of(live), "sightline_batch_oldest_waiting_seconds") == 0
    await batch_of(live, BRIGHT)
    await asyncio.sleep(0.1)
    await batch_of(live, DARK)
    await service._count_waiting()
    assert 0.1 <= value(await text_of(live), "sightline_batch_oldest_waiting_seconds") < 20
    assert value(await text_of(live), "sightline_batch_items_waiting") == 2


async def test_every_label_is_of_a_closed_list_whatever_comes(guarded: Live) -> None:
    await drive(guarded)
    text = await text_of(guarded)
    diseases = set(catalogue())
    classes = {name for one in catalogue().values() for name in one.class_ids} | {OTHER_CLASS}
    routes = {path for _, path in TABLE} | {"unmatched"}
    codes = {one.code for one in every_error(SightlineError)}
    seen: set[str] = set()
    for family in text_string_to_metric_families(text):
        if not family.name.startswith("sightline_"):
            continue
        for sample in family.samples:
            seen.add(family.name)
            labels = dict(sample.labels)
            labels.pop("le", None)
            for label, said in labels.items():
                closed = LABELS.get((family.name, label))
                if closed is not None:
                    assert said in closed, (family.name, label, said)
                elif label == "disease":
                    assert said in diseases
                elif label == "class":
                    assert said in classes
                elif label == "route":
                    assert said in routes
                elif label == "code":
                    assert said in codes
                elif label == "method":
                    assert said in {"GET", "POST", "PUT", "DELETE"}
                elif label == "status":
                    assert re.fullmatch("[2345][0-9][0-9]", said)
                elif label == "service":
                    assert said == "inference_service"
                else:
                    assert label == "version"
                    assert said in {"1", version("sightline")}
    shown = {"predictions", "input_statistic", "gate_refusals", "reviews", "batches", "model_loads"}
    assert {f"sightline_{name}" for name in shown} <= seen


def every_error(kind: type[SightlineError]) -> Iterator[type[SightlineError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from every_error(one)


async def test_a_process_shows_its_version_its_memory_and_its_start(live: Live) -> None:
    text = await text_of(live)
    assert value(text, "sightline_build_info", service="inference_service") == 1
    assert value(text, "process_resident_memory_bytes") > 1e7
    assert value(text, "process_start_time_seconds") > 1.7e9


def test_counting_a_reading_takes_microseconds() -> None:
    metrics, seen = Metrics("test"), look(film(1)).features

    def count() -> None:
        metrics.saw(DISEASE, statistics(seen))
        metrics.predictions.labels(DISEASE, "normal", "uncertain").inc()
        metrics.confidence.labels(DISEASE).observe(0.7)

    # The fastest of many: others work on this machine too.
    assert min(timeit.repeat(count, number=100, repeat=30)) / 100 < 200e-6
