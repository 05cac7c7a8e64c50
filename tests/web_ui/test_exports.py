"""What is carried away: a reading as JSON, the worklist as CSV."""

import csv
import io
import json
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from diagnosis import WARNING
from diagnosis.contracts import Prediction
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, coloured_picture
from web_ui import exports

CHEST, BRAIN = "chest_xray_pneumonia", "brain_mri_tumour"


def made(stand_in: StandIn, image: bytes = BRIGHT, disease: str = CHEST) -> Prediction:
    """A reading that is there."""
    return stand_in.read(stand_in.disease(disease), image)


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


async def test_a_reading_is_the_api_s_own_with_its_reviews(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    reading = made(stand_in)
    reference = "4e" * 32
    stand_in.readings[reading.id] = reading.model_copy(update={"patient_reference": reference})
    transport = httpx.ASGITransport(stand_in.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as api:
        said = {"kind": "review", "verdict": "disagree", "note": "no"}
        await api.post(f"/api/v1/predictions/{reading.id}/reviews", json=said)
    answer = await client.get(f"/readings/{reading.id}.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert f'filename="reading-{reading.id}.json"' in answer.headers["content-disposition"]
    assert answer.json()["prediction"] == json.loads(reading.model_dump_json())
    assert [one["verdict"] for one in answer.json()["reviews"]] == ["disagree"]
    assert answer.json()["warning"] == WARNING
    assert reference not in answer.text
    assert stand_in.purposes == ["export"]


async def test_an_address_with_another_ending_is_no_reading(client: httpx.AsyncClient) -> None:
    assert (await client.get("/readings/nonsense.json")).status_code == 404


async def test_the_table_has_a_row_a_reading_and_the_warning_in_each(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    made(stand_in, DARK)
    made(stand_in, coloured_picture())
    newest = made(stand_in)
    answer = await client.get("/worklist.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    found = rows(answer)
    assert tuple(found[0]) == exports.COLUMNS
    assert [one["band"] for one in found] == ["likely_positive", "not_judged", "likely_negative"]
    assert {one["warning"] for one in found} == {WARNING}
    first = found[0]
    assert first["reading"] == str(newest.id)
    assert first["address"] == f"/readings/{newest.id}"
    assert first["most_probable_class"] == "pneumonia"
    assert float(first["its_probability"]) == pytest.approx(newest.top[0].probability, rel=1e-5)
    assert first["positive"] == "yes"
    assert {one["model_under_review"] for one in found} == {"no"}
    assert found[1]["not_judged_because"] == "image-gate"
    assert found[1]["its_probability"] == ""


async def test_the_table_says_which_readings_a_stopped_model_made_also_to_who_reads_first(
    client: httpx.AsyncClient, stand_in: StandIn, pages: FastAPI
) -> None:
    made(stand_in)
    stand_in.under_review(made(stand_in, DARK))
    found = rows(await client.get("/worklist.csv"))
    assert [one["model_under_review"] for one in found] == ["yes", "no"]
    context = pages.state.context
    always = context.settings.model_copy(update={"read_first": "always"})
    pages.state.context = replace(context, settings=always)
    shut = rows(await client.get("/worklist.csv"))
    assert [(one["band"], one["model_under_review"]) for one in shut] == [
        ("kept_back", "yes"),
        ("kept_back", "no"),
    ]


async def test_the_table_keeps_the_filters_and_takes_every_page(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    for _ in range(exports._PAGE + 3):
        made(stand_in)
    made(stand_in, DARK)
    made(stand_in, BRIGHT, BRAIN)
    everything = rows(await client.get("/worklist.csv"))
    assert len(everything) == exports._PAGE + 5
    assert len({one["reading"] for one in everything}) == len(everything)
    some = rows(await client.get(f"/worklist.csv?disease={CHEST}&band=likely_negative"))
    assert [one["band"] for one in some] == ["likely_negative"]


async def test_a_list_that_is_too_long_says_so_in_its_last_row(
    client: httpx.AsyncClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "MOST", 2)
    for _ in range(3):
        made(stand_in)
    found = rows(await client.get("/worklist.csv"))
    assert len(found) == 3
    assert found[2]["reading"].startswith("The list is longer: only its first 2 readings")


@pytest.mark.parametrize("evil", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
async def test_no_cell_is_a_formula(
    evil: str, client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    reading = made(stand_in)
    artifact = reading.artifact.model_copy(update={"version": evil})
    stand_in.readings[reading.id] = reading.model_copy(update={"artifact": artifact})
    (row,) = rows(await client.get("/worklist.csv"))
    assert row["model_version"] == f"'{evil}"


async def test_the_table_gives_no_answer_away_to_who_reads_first(
    client: httpx.AsyncClient, stand_in: StandIn, pages: FastAPI
) -> None:
    context = pages.state.context
    always = context.settings.model_copy(update={"read_first": "always"})
    pages.state.context = replace(context, settings=always)
    made(stand_in)
    made(stand_in, DARK)
    refused = made(stand_in, coloured_picture())
    # Narrowed by what was answered, a list would tell it.
    found = rows(await client.get("/worklist.csv?band=likely_positive&class_id=pneumonia"))
    assert [one["band"] for one in found] == ["not_judged", "kept_back", "kept_back"]
    assert found[0]["reading"] == str(refused.id)
    for one in found:
        assert {one[name] for name in ("its_probability", "positive", "finding")} == {""}


async def test_a_filter_of_no_use_is_refused_with_a_sentence(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    for strange in ("band=purple", "sort=random", "same_patient_as=nobody", "disease=UPPER"):
        answer = await client.get(f"/worklist.csv?{strange}")
        assert answer.status_code == 422, strange
        assert "There is no such list" in answer.text
