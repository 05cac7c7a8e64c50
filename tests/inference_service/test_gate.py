"""Images that a model was not made for: a reading without probabilities, and the router."""

import shutil
from pathlib import Path

import pytest

from diagnosis.contracts import Prediction, SuggestionList
from tests.fixtures import images
from tests.fixtures.artifacts import change_card
from tests.fixtures.gates import blot, film, give_gate
from tests.fixtures.live_service import DISEASE, Live, Start

pytestmark = pytest.mark.xdist_group("film-gate")

FILM, BLOT = (images.encode(one, "PNG") for one in (film(2001), blot(2001)))
ROUTER = "/api/v1/examinations/suggestions"


@pytest.fixture
def gated(artifacts: Path, tmp_path: Path) -> Path:
    """A `models/` folder whose one artifact has a gate."""
    folder = tmp_path / "gated"
    shutil.copytree(artifacts / DISEASE / "1", folder / DISEASE / "1")
    give_gate(folder / DISEASE / "1")
    return folder


@pytest.fixture
async def guarded(start: Start, gated: Path) -> Live:
    """A service whose live model has a gate."""
    return await start(models_dir=gated)


async def suggest(live: Live, data: bytes) -> SuggestionList:
    answer = await live.client.post(ROUTER, files={"image": ("patient.png", data)})
    assert answer.status_code == 200
    return SuggestionList.model_validate_json(answer.content)


async def test_an_image_that_passes_is_read_as_before(guarded: Live) -> None:
    made = Prediction.model_validate_json((await guarded.read(FILM)).content)
    assert made.outcome == "judged"
    assert made.gate is not None
    assert made.gate.passed
    assert made.gate.score >= made.gate.threshold
    assert [one.name for one in made.operating_points] == ["rule_out", "balanced"]
    assert set(made.timings_ms) == {"queue", "decode", "gate", "preprocess", "infer", "store"}


async def test_an_image_of_another_kind_is_not_judged_and_stays_in_the_history(
    guarded: Live,
) -> None:
    answer = await guarded.read(BLOT)
    assert answer.status_code == 201
    made = Prediction.model_validate_json(answer.content)
    assert made.outcome == "not_judged"
    assert made.reason is not None
    assert made.reason.code == "gate-other-kind"
    assert made.gate is not None
    assert not made.gate.passed
    assert (made.probabilities, made.band, made.operating_point) == ((), None, None)
    assert set(made.timings_ms) == {"queue", "decode", "gate", "preprocess", "store"}
    listed = (await guarded.client.get("/api/v1/predictions")).json()["items"]
    assert [one["id"] for one in listed] == [str(made.id)]
    image = await guarded.client.get(f"/api/v1/predictions/{made.id}/image")
    assert image.status_code == 200
    metrics = (await guarded.client.get("/metrics")).text
    assert f'disease="{DISEASE}",step="gate"' in metrics
    assert 'outcome="not_judged"' in metrics


async def test_a_model_without_a_gate_takes_any_image(live: Live) -> None:
    made = Prediction.model_validate_json((await live.read(BLOT)).content)
    assert made.outcome == "judged"
    assert made.gate is None
    found = await suggest(live, BLOT)
    assert found.items == ()
    assert "choose the disease yourself" in found.detail


async def test_the_router_proposes_what_the_image_may_be_read_for(guarded: Live) -> None:
    found = await suggest(guarded, FILM)
    assert [one.disease for one in found.items] == [DISEASE]
    assert found.items[0].modality == "chest X-ray"
    assert found.items[0].score > 0
    none = await suggest(guarded, BLOT)
    assert none.items == ()
    assert "No model here was made for an image like this one" in none.detail
    # Nothing was kept.
    assert (await guarded.client.get("/api/v1/predictions")).json()["items"] == []


async def test_a_demonstration_is_never_proposed(start: Start, gated: Path, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"
    folder.mkdir()
    source = Path(__file__).parents[2] / f"diagnosis/catalogue/{DISEASE}.toml"
    text = source.read_text(encoding="utf-8")
    changed = text.replace('maturity = "clinical_candidate"', 'maturity = "demonstration"')
    assert changed != text
    (folder / source.name).write_text(changed, encoding="utf-8")
    live = await start(models_dir=gated, catalogue_dir=folder)
    assert (await live.read(FILM)).json()["outcome"] == "judged"
    assert (await suggest(live, FILM)).items == ()


@pytest.mark.parametrize(
    ("data", "code"), [(b"", "empty-file"), (b"not an image at all", "not-an-image")]
)
async def test_the_router_refuses_what_is_no_image(guarded: Live, data: bytes, code: str) -> None:
    answer = await guarded.client.post(ROUTER, files={"image": ("x.png", data)})
    assert answer.status_code in {415, 422}
    assert answer.json()["code"] == code
    answer = await guarded.client.post(ROUTER, files={"other": ("x.png", FILM)})
    assert answer.json()["code"] == "missing-image"


async def test_a_gate_that_was_changed_keeps_the_model_out(start: Start, gated: Path) -> None:
    change_card(gated / DISEASE / "1", lambda card: card)
    path = next((gated / DISEASE / "1").glob("gate-*.bin"))
    path.write_bytes(bytes(path.stat().st_size))
    live = await start(models_dir=gated)
    assert (await live.read(FILM)).json()["code"] == "model-refused"
