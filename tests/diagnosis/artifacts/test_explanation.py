"""What a card says about heatmaps, and that its verdicts are those of its figures."""

import json
from typing import Any

import pytest

from diagnosis.artifacts import Card
from diagnosis.artifacts.card import Explanation, HeatmapCheck, HeatmapLimits, sealed
from diagnosis.contracts import Interval
from diagnosis.errors import CardRefused
from tests.diagnosis.test_judgement import card

LIMITS = HeatmapLimits(
    fewest_images=10, largest_randomised=0.5, smallest_repeated=0.7, smallest_deletion=0.0
)
GOOD: dict[str, Any] = {
    "images": 10,
    "randomised": Interval(value=0.5, low=0.4, high=0.6),
    "repeated": Interval(value=0.7, low=0.6, high=0.8),
    "deletion": Interval(value=0.1, low=0.01, high=0.2),
}


def check(**changes: Any) -> HeatmapCheck:
    found = HeatmapCheck(**{**GOOD, **changes}, passed=False)
    return found.model_copy(update={"passed": LIMITS.met(found)})


def explanation(**classes: HeatmapCheck) -> Explanation:
    return Explanation(
        layer="maps",
        node="Relu_1",
        channels_first=True,
        height=7,
        width=7,
        measured_on="20 images.",
        limits=LIMITS,
        classes=classes,
    )


def test_figures_at_the_limits_pass() -> None:
    assert check().passed


@pytest.mark.parametrize(
    "worse",
    [
        {"images": 9},
        {"randomised": Interval(value=0.51, low=0.4, high=0.6)},
        {"repeated": Interval(value=0.69, low=0.6, high=0.8)},
        {"deletion": Interval(value=0.1, low=0.0, high=0.2)},
        {"randomised": None},
        {"repeated": None},
        {"deletion": None},
    ],
)
def test_a_class_that_misses_one_limit_fails(worse: dict[str, Any]) -> None:
    assert not check(**worse).passed


def test_the_card_lists_the_classes_that_passed() -> None:
    assert card().heatmap_classes == ()
    found = explanation(healthy=check(images=3), ill=check())
    whole = card().model_copy(update={"explanation": found})
    assert Card.from_json(whole.to_json()).heatmap_classes == ("ill",)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda found: found["classes"]["healthy"].update(passed=True), "the verdict"),
        (lambda found: found["limits"].update(smallest_repeated=0.9), "the verdict"),
        (lambda found: found["classes"].pop("healthy"), "not one a class"),
        (lambda found: found.update(height=2000), "height"),
    ],
)
def test_a_verdict_that_contradicts_its_figures_is_refused(change: Any, what: str) -> None:
    found = explanation(healthy=check(images=3), ill=check())
    text = json.loads(card().model_copy(update={"explanation": found}).to_json())
    change(text["explanation"])
    with pytest.raises(CardRefused) as refused:
        Card.from_json(sealed(text))
    assert what in str(refused.value.cause)
