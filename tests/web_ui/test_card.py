"""The card page: what every card has in words and drawn, and whatever else a card may have."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from diagnosis import heatmap
from tests.web_ui import catalogues
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import card
from tests.web_ui.test_readings import text_of
from web_ui import labels
from web_ui.card_parts import Figure, part_of
from web_ui.card_view import CardView
from web_ui.labels import HEATMAP_COLOURS, figure_name, is_non_commercial
from web_ui.languages import LANGUAGES, speaking

ROOT = Path(__file__).parents[2]
CARD = "/diseases/mole/card"


async def test_the_card_is_told_in_words(client: httpx.AsyncClient) -> None:
    text = text_of((await client.get(CARD)).text)
    for words in (
        "Trained on films of one centre",
        "AUC 0.983 0.973 to 0.993",
        "Always “Melanoma”: 0.500",
        "Always “Vascular lesion”: 0.500",
        "Of 100 images with Melanoma it finds about 95 and misses 5",
        "Calibration error 0.021 0.011 to 0.031",
        "Calibration error before calibration 0.094",
        "made more careful by a temperature of 1.31",
        "photographs 120 90 0.980",
        "Sex: female 100 40 0.971",
        "Sex: unknown 100 40 \N{EN DASH} not measured",
        "Positive predictive value at 10 % prevalence 0.600",
        "Films of another hospital, left out of training: AUC 0.983",
        "No commercial use.",
        "CC BY-NC 4.0, HAM10000",
        "Children of 1 to 5 years",
        "small_residual",
        "model.keras",
    ):
        assert words in text


async def test_each_class_has_its_verdict_in_the_heatmaps(client: httpx.AsyncClient) -> None:
    page = (await client.get(CARD)).text
    section = page.partition('id="heatmaps"')[2].partition("</section>")[0]
    verdicts = re.findall(r"verdict verdict-(yes|no)", section)
    assert verdicts == ["no"] + ["yes"] * 6


async def test_the_figures_are_drawn_with_interval_and_baselines(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get(CARD)).text
    first = page.partition('class="chart-bar"')[2].partition("</svg>")[0]
    assert 'width="98.3%"' in first
    assert re.findall(r'x1="([0-9.]+)%" x2="([0-9.]+)%" y1="9"', first) == [("97.3", "99.3")]
    assert first.count("chart-baseline ") == 2


async def test_the_page_is_linked_from_disease_and_reading(client: httpx.AsyncClient) -> None:
    assert f'href="{CARD}"' in (await client.get("/diseases/mole")).text
    assert "Non-commercial" in (await client.get("/diseases/mole")).text


async def test_a_disease_without_a_model_has_no_card(client: httpx.AsyncClient) -> None:
    answer = await client.get("/diseases/skin_lesion/card")
    assert answer.status_code == 409
    assert "No model is live for this disease" in answer.text


def shipped_cards() -> dict[str, dict[str, Any]]:
    found = sorted(ROOT.glob("models/*/*/card.json"))
    return {str(path.relative_to(ROOT)): json.loads(path.read_text()) for path in found}


@pytest.mark.parametrize("shipped", shipped_cards().values(), ids=shipped_cards().keys())
async def test_every_card_that_ships_is_shown(
    client: httpx.AsyncClient, stand_in: StandIn, shipped: dict[str, Any]
) -> None:
    stand_in.cards["mole"] = shipped
    answer = await client.get(CARD)
    assert answer.status_code == 200
    text = text_of(answer.text)
    for limitation in shipped["limitations"]:
        assert " ".join(limitation.split()) in text
    for name, figure in shipped["evaluation"]["figures"].items():
        assert f"{figure_name(name)} {figure['value']:.3f}" in text
    for measured in shipped["transfer"]:
        assert measured["dataset"] in text


@pytest.mark.parametrize("shipped", shipped_cards().values(), ids=shipped_cards().keys())
@pytest.mark.parametrize("code", [one for one in LANGUAGES if one != "en"])
def test_every_card_that_ships_speaks_the_reader_s_language(
    shipped: dict[str, Any], code: str
) -> None:
    english = CardView.of(shipped)
    with speaking(code):
        told = CardView.of(shipped)
    pairs = [
        (english.summary, told.summary),
        (english.fitted_on, told.fitted_on),
        *zip(english.limitations, told.limitations, strict=True),
        *(
            (one.chosen_by, other.chosen_by)
            for one, other in zip(english.points, told.points, strict=True)
        ),
        *(
            (one.dataset, other.dataset)
            for one, other in zip(english.transfer, told.transfer, strict=True)
        ),
    ]
    assert [one for one, other in pairs if one == other] == []
    # No word of the English one is left over, but for names.
    assert " training images" not in told.summary
    assert "held-out" not in told.fitted_on
    assert not any("validation images" in point.chosen_by for point in told.points)


@pytest.mark.parametrize("shipped", shipped_cards().values(), ids=shipped_cards().keys())
def test_every_name_on_a_card_that_ships_is_in_the_catalogues(
    shipped: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()

    def looked_up(text: str) -> str:
        asked.add(text)
        return text

    monkeypatch.setattr(labels, "_", looked_up)
    CardView.of(shipped)
    known = {one.id for one in catalogues.texts()}
    # The settings of a recipe are the names of its code.
    assert {one for one in asked - known if "." not in one} == set()


def test_two_baselines_that_say_the_same_are_one() -> None:
    shipped = shipped_cards()["models/chest_xray_pneumonia/2/card.json"]
    names = [one.name for one in CardView.of(shipped).evaluation.figures[0].baselines]
    assert names == ["Always “Pneumonia”"]


async def test_a_card_with_fields_of_tomorrow_is_shown_with_them(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    stand_in.cards["mole"] = card("mole") | {
        "fairness": {"by_skin_tone": {"dark": {"images": 12, "auc": None}}, "note": "Too few."}
    }
    text = text_of((await client.get(CARD)).text)
    assert "Fairness" in text
    assert "Too few." in text
    assert "dark" in text.lower()


def test_a_bare_card_is_a_card() -> None:
    view = CardView.of({"classes": [], "operating_points": []})
    assert view.points == ()
    assert not view.gate
    assert not view.explanation


@pytest.mark.parametrize(
    ("record", "shown"),
    [
        ({"value": 0.5, "low": 0.4, "high": 0.6}, True),
        ({"value": 0.5, "low": None, "high": 0.6}, False),
        ({"value": 0.5, "low": 0.4}, False),
    ],
)
def test_a_figure_is_one_with_its_interval(record: dict[str, Any], shown: bool) -> None:
    part = part_of("Part", {"auc": record}, {})
    assert part.figures == ((Figure("auc", "AUC", 0.5, 0.4, 0.6),) if shown else ())


@pytest.mark.parametrize(
    ("licence", "marked"),
    [
        ("CC BY-NC 4.0", True),
        ("Non-commercial use only.", True),
        ("noncommercial", True),
        ("CC BY 4.0, announced by the INC", False),
        ("Apache-2.0", False),
    ],
)
def test_a_non_commercial_licence_is_marked(licence: str, marked: bool) -> None:
    assert is_non_commercial(licence) is marked


def test_the_legend_has_the_colours_of_the_heatmaps() -> None:
    assert heatmap.COLOUR_STOPS[::4] == HEATMAP_COLOURS
