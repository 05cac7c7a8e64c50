"""A reading from the upload to the history, and what may be asked of it."""

from datetime import datetime
from pathlib import Path

import httpx
import pytest

from diagnosis import WARNING
from diagnosis.artifacts import Card
from diagnosis.contracts import DiseaseList, DiseaseView, Prediction, PredictionPage
from diagnosis.errors import StoreUnavailable
from diagnosis.images import read_image
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.inference_service.pictures import BRIGHT, DARK


async def test_a_reading_is_made_and_kept(live: Live) -> None:
    answer = await live.read(BRIGHT)
    assert answer.status_code == 201
    made = Prediction.model_validate_json(answer.content)
    assert made.outcome == "judged"
    assert [one.id for one in made.probabilities] == ["normal", "pneumonia"]
    assert sum(one.probability for one in made.probabilities) == pytest.approx(1, abs=1e-9)
    assert made.top[0].id == "pneumonia"
    assert made.top[0].probability > 0.7
    assert made.conformal_set == ("pneumonia",)
    assert made.band == "likely_positive"
    assert made.warning == WARNING
    assert made.artifact.version == "2"
    assert made.image.digest == read_image(BRIGHT).digest
    assert (made.image.width, made.image.height) == (200, 160)
    assert not made.image.demo
    assert set(made.timings_ms) == {"queue", "decode", "preprocess", "infer", "store"}
    assert made.patient_reference is None

    again = await live.client.get(answer.headers["location"])
    assert again.status_code == 200
    assert Prediction.model_validate_json(again.content) == made
    page = PredictionPage.model_validate_json(
        (await live.client.get("/api/v1/predictions")).content
    )
    assert [
        Prediction(**one.model_dump(include=set(Prediction.model_fields))) for one in page.items
    ] == [made]
    image = await live.client.get(f"/api/v1/predictions/{made.id}/image")
    assert image.headers["content-type"] == made.image.media_type
    assert image.headers["cache-control"] == "no-store"
    assert read_image(image.content).digest == made.image.digest


async def test_a_dark_image_is_likely_negative(live: Live) -> None:
    made = Prediction.model_validate_json((await live.read(DARK)).content)
    assert made.band == "likely_negative"
    assert made.operating_point is not None
    assert not made.operating_point.positive


async def test_a_reading_says_what_each_operating_point_says(live: Live) -> None:
    made = Prediction.model_validate_json(
        (await live.read(BRIGHT, operating_point="rule_out")).content
    )
    assert [point.name for point in made.operating_points] == ["rule_out", "balanced"]
    assert made.operating_point == made.operating_points[0]
    for point in made.operating_points:
        assert point.positive == (made.probabilities[1].probability >= point.threshold)


async def test_the_card_is_answered_whole_and_known_by_its_seal(live: Live) -> None:
    path = f"/api/v1/diseases/{DISEASE}/card"
    answer = await live.client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    card = live.service.models.check(DISEASE).card
    assert Card.from_json(answer.content) == card
    assert answer.headers["etag"] == f'"{answer.json()["seal"]}"'
    known = {"if-none-match": f'"other", W/{answer.headers["etag"]}'}
    again = await live.client.get(path, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    other = await live.client.get(path, headers={"if-none-match": '"other"'})
    assert other.content == answer.content


async def test_a_card_is_refused_as_a_demo_image_is(live: Live) -> None:
    for disease in ("hiccups", "skin_lesion"):
        card = await live.client.get(f"/api/v1/diseases/{disease}/card")
        demo = await live.client.get(f"/api/v1/diseases/{disease}/demo-images/x.png")
        assert card.status_code >= 400
        assert (card.status_code, card.json()["code"]) == (demo.status_code, demo.json()["code"])


async def test_the_operating_point_is_balanced_unless_another_is_asked_for(live: Live) -> None:
    made = Prediction.model_validate_json((await live.read(BRIGHT)).content)
    assert made.operating_point is not None
    assert made.operating_point.name == "balanced"
    assert made.operating_point.says == (
        "At the balanced threshold (0.43) this image counts as positive for pneumonia. In"
        " validation patients this threshold found 94 % (89 to 97) of those with pneumonia and"
        " cleared 90 % (85 to 93) of those without."
    )
    made = Prediction.model_validate_json(
        (await live.read(BRIGHT, operating_point="rule_out")).content
    )
    assert made.operating_point is not None
    assert (made.operating_point.name, made.operating_point.threshold) == ("rule_out", 0.2)


@pytest.mark.parametrize("name", ["rule_in", "whatever"])
async def test_an_operating_point_that_is_not_there_is_refused(live: Live, name: str) -> None:
    answer = await live.read(BRIGHT, operating_point=name)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid-request"
    assert answer.json()["errors"][0]["field"] == "operating_point"
    assert (await live.client.get("/api/v1/predictions")).json()["items"] == []


async def test_a_patient_reference_is_kept_as_a_keyed_hash_only(live: Live) -> None:
    first = (await live.read(BRIGHT, patient_reference="Mueller-1950")).json()
    second = (await live.read(DARK, patient_reference=" Mueller-1950 ")).json()
    other = (await live.read(DARK, patient_reference="Mueller-1951")).json()
    assert first["patient_reference"] == second["patient_reference"]
    assert first["patient_reference"] != other["patient_reference"]
    assert len(first["patient_reference"]) == 64
    assert "Mueller" not in str(first)
    answer = await live.read(BRIGHT, patient_reference="M" * 201)
    assert answer.status_code == 422
    assert "MMM" not in answer.text


async def test_fields_that_nobody_asked_for_are_ignored(live: Live) -> None:
    assert (await live.read(BRIGHT, colour="red")).status_code == 201


async def test_demo_images_are_served_and_marked(live: Live) -> None:
    view = DiseaseView.model_validate_json(
        (await live.client.get(f"/api/v1/diseases/{DISEASE}")).content
    )
    assert view.status == "live"
    assert view.model is not None
    assert [one.class_id for one in view.model.demo_images] == ["normal", "pneumonia"]
    for demo in view.model.demo_images:
        image = await live.client.get(demo.url)
        assert image.headers["content-type"] == "image/png"
        made = Prediction.model_validate_json((await live.read(image.content)).content)
        assert made.image.demo
        assert made.top[0].id == demo.class_id
    missing = await live.client.get(f"/api/v1/diseases/{DISEASE}/demo-images/other.png")
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")


async def test_the_catalogue_says_what_can_be_answered(live: Live) -> None:
    found = DiseaseList.model_validate_json((await live.client.get("/api/v1/diseases")).content)
    assert [one.id for one in found.items] == list(live.service.models.diseases)
    assert {one.status for one in found.items if one.id != DISEASE} == {"no_model"}
    assert all("adding-a-disease" in one.status_detail for one in found.items if not one.model)
    assert found.warning == WARNING


async def test_a_disease_without_a_model_says_what_to_do(live: Live) -> None:
    answer = await live.read(BRIGHT, disease="malaria_cell")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "no-live-model")
    assert "docs/adding-a-disease.md" in problem["remedy"]


async def test_pages_of_the_history_and_its_filters(live: Live) -> None:
    ids = [(await live.read(data)).json()["id"] for data in (BRIGHT, DARK, BRIGHT)]
    first = (await live.client.get("/api/v1/predictions", params={"limit": 2})).json()
    assert [one["id"] for one in first["items"]] == [ids[2], ids[1]]
    rest = (
        await live.client.get(
            "/api/v1/predictions", params={"limit": 2, "cursor": first["next_cursor"]}
        )
    ).json()
    assert [one["id"] for one in rest["items"]] == [ids[0]]
    assert rest["next_cursor"] is None
    ill = await live.client.get("/api/v1/predictions", params={"class_id": "pneumonia"})
    assert [one["id"] for one in ill.json()["items"]] == [ids[2], ids[0]]
    none = await live.client.get("/api/v1/predictions", params={"disease": "malaria_cell"})
    assert none.json()["items"] == []


@pytest.mark.parametrize(
    "params",
    [{"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"cursor": "x"}, {"disease": "X y"}],
)
async def test_a_query_out_of_range_is_refused_by_name(live: Live, params: dict[str, str]) -> None:
    answer = await live.client.get("/api/v1/predictions", params=params)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["field"] == next(iter(params))


async def test_no_image_is_left_where_a_deletion_was_cut_off(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody could ever delete an image again that no reading leads to."""
    reading = (await live.read(BRIGHT)).json()
    path = f"/api/v1/predictions/{reading['id']}"

    async def away(*_: object) -> None:
        raise StoreUnavailable

    with monkeypatch.context() as cut:
        cut.setattr(live.service.results, "delete", away)
        assert (await live.client.delete(path)).status_code == 503
    assert (await live.client.get(f"{path}/image")).status_code in (404, 410)
    assert (await live.client.get(path)).status_code == 200
    assert (await live.client.delete(path)).status_code == 204
    assert (await live.client.get(path)).status_code == 404


async def test_a_deleted_reading_takes_its_image_with_it_unless_another_shows_it(
    live: Live,
) -> None:
    first, second = [(await live.read(BRIGHT)).json() for _ in range(2)]
    assert (await live.client.delete(f"/api/v1/predictions/{first['id']}")).status_code == 204
    gone = await live.client.get(f"/api/v1/predictions/{first['id']}")
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown-prediction")
    assert (await live.client.get(f"/api/v1/predictions/{second['id']}/image")).status_code == 200
    assert (await live.client.delete(f"/api/v1/predictions/{second['id']}")).status_code == 204
    assert live.service.images.get(second["image"]["digest"]) is None
    again = await live.client.delete(f"/api/v1/predictions/{second['id']}")
    assert again.status_code == 404


async def test_an_expired_image_says_so_and_its_reading_stays(start: Start) -> None:
    live = await start(image_retention_days=0.2 / 86400, sweep_seconds=0.05)
    made = (await live.read(BRIGHT)).json()
    image = f"/api/v1/predictions/{made['id']}/image"

    async def expired() -> bool:
        return (await live.client.get(image)).status_code == 404

    await live.until(expired)
    problem = (await live.client.get(image)).json()
    assert problem["code"] == "not-found"
    assert "not kept any more" in problem["detail"]
    assert (await live.client.get(f"/api/v1/predictions/{made['id']}")).status_code == 200


async def test_readings_are_counted_and_timed(live: Live) -> None:
    await live.read(BRIGHT)
    await live.read(b"")
    text = (await live.client.get("/metrics")).text
    labels = f'band="likely_positive",disease="{DISEASE}",outcome="judged"'
    assert f"sightline_readings_total{{{labels}}} 1.0" in text
    assert 'sightline_refusals_total{code="empty-file"} 1.0' in text
    assert f'sightline_reading_step_seconds_count{{disease="{DISEASE}",step="store"}} 1.0' in text
    assert "sightline_readings_waiting 0.0" in text
    route = 'route="/api/v1/diseases/{disease}/predictions"'
    assert f'{route},service="inference_service",status="201"' in text


async def test_it_is_ready_once_the_models_were_tried(start: Start) -> None:
    live = await start(wait=False)
    early = await live.client.get("/readyz")
    assert (await live.client.get("/healthz")).status_code == 200
    assert (early.status_code, early.json()["ready"]) == (503, False)
    assert "being loaded" in early.json()["reasons"][0]
    refused = await live.read(BRIGHT)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")

    async def ready() -> bool:
        return (await live.client.get("/readyz")).status_code == 200

    await live.until(ready)
    assert (await live.read(BRIGHT)).status_code == 201


async def test_times_are_in_order(live: Live) -> None:
    answers: list[httpx.Response] = [await live.read(DARK) for _ in range(3)]
    times = [datetime.fromisoformat(one.json()["created_at"]) for one in answers]
    assert times == sorted(times)


def test_the_key_file_is_for_its_owner(tmp_path: Path) -> None:
    from inference_service.references import PatientReferences

    path = tmp_path / "below" / "key"
    made = PatientReferences(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["key"]
    assert PatientReferences(path).hashed("a", "default") == made.hashed("a", "default")
    assert made.hashed("a", "default") != made.hashed("a", "other")
    other = PatientReferences(tmp_path / "other")
    assert other.hashed("a", "default") != made.hashed("a", "default")
    path.write_text("short")
    with pytest.raises(ValueError, match="key file"):
        PatientReferences(path)
