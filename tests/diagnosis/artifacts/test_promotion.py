"""The rule of promotion: a version that catches fewer of the ill needs somebody who says so."""

from pathlib import Path

import pytest

from diagnosis.artifacts import Card, Registry
from diagnosis.contracts import Interval
from diagnosis.errors import PromotionRefused
from tests.fixtures.artifacts import change_card, variant

CHEST = "chest_xray_pneumonia"


def measured(
    folder: Path, *, chosen: float, test: float | None = None, threshold: float = 0.5
) -> Path:
    """The artifact with another sensitivity where its threshold was chosen, and on test images."""

    def change(card: Card) -> Card:
        points = tuple(
            one.model_copy(update={"sensitivity": _figure(chosen), "threshold": threshold})
            if one.name == "balanced"
            else one
            for one in card.operating_points
        )
        on_test = {} if test is None else {"balanced": {"sensitivity": _figure(test)}}
        evaluation = card.evaluation.model_copy(update={"operating_points": on_test})
        return card.model_copy(update={"operating_points": points, "evaluation": evaluation})

    change_card(folder, change)
    return folder


def _figure(value: float) -> Interval:
    return Interval(value=value, low=value - 0.05, high=min(1.0, value + 0.05))


@pytest.fixture
def registry(tiny_artifact: Path, tmp_path: Path) -> Registry:
    """Version 1, live: sensitivity 0.90 where chosen, 0.80 on test images."""
    found = Registry(tmp_path / "registry")
    folder = variant(tiny_artifact, tmp_path / "v1", version="1")
    found.publish(measured(folder, chosen=0.9, test=0.8))
    found.promote(CHEST, "1")
    return found


def publish(registry: Registry, tiny: Path, place: Path, version: str, **figures: float) -> None:
    registry.publish(measured(variant(tiny, place, version=version), **figures))


def test_a_lower_sensitivity_is_refused_until_it_is_acknowledged_by_name(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    publish(registry, tiny_artifact, tmp_path / "v2", "2", chosen=0.95, test=0.7, threshold=0.4)
    with pytest.raises(PromotionRefused, match=r"0\.700.*0\.800"):
        registry.promote(CHEST, "2")
    for nobody in ("", "  ", "x" * 81):
        with pytest.raises(PromotionRefused, match="name"):
            registry.promote(CHEST, "2", nobody)
    assert registry.state(CHEST).live == "1"
    registry.promote(CHEST, "2", "Dr. Ada Example")
    last = Registry(tmp_path / "registry").state(CHEST).history[-1]
    assert (last.action, last.version, last.acknowledged_by) == ("promote", "2", "Dr. Ada Example")


def test_a_threshold_taken_over_is_refused_whoever_acknowledges_it(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    publish(registry, tiny_artifact, tmp_path / "v2", "2", chosen=0.9, test=0.7)
    with pytest.raises(PromotionRefused, match="threshold"):
        registry.promote(CHEST, "2", "Dr. Ada Example")
    assert registry.state(CHEST).live == "1"


def test_a_sensitivity_that_is_no_lower_needs_nobody(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    """A name that was not needed is not kept."""
    publish(registry, tiny_artifact, tmp_path / "v2", "2", chosen=0.1, test=0.8)
    registry.promote(CHEST, "2", "Dr. Ada Example")
    assert registry.state(CHEST).history[-1].acknowledged_by is None


def test_without_test_figures_of_both_the_chosen_ones_are_compared(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    publish(registry, tiny_artifact, tmp_path / "v2", "2", chosen=0.89, threshold=0.4)
    with pytest.raises(PromotionRefused, match=r"0\.890.*0\.900"):
        registry.promote(CHEST, "2")
    publish(registry, tiny_artifact, tmp_path / "v3", "3", chosen=0.9, threshold=0.4)
    assert registry.promote(CHEST, "3").live == "3"


def test_what_was_never_measured_counts_as_lower(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    folder = measured(
        variant(tiny_artifact, tmp_path / "v2", version="2"), chosen=1.0, threshold=0.4
    )

    def unmeasured(card: Card) -> Card:
        nothing = card.evaluation.model_copy(update={"images": 0, "figures": {}})
        return card.model_copy(update={"evaluation": nothing})

    change_card(folder, unmeasured)
    registry.publish(folder)
    with pytest.raises(PromotionRefused, match="not measured"):
        registry.promote(CHEST, "2")


def test_going_back_is_never_held_up(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    publish(registry, tiny_artifact, tmp_path / "v2", "2", chosen=0.95, test=0.9, threshold=0.4)
    registry.promote(CHEST, "2")
    assert registry.rollback(CHEST) == "1"


def test_a_live_version_that_nobody_can_use_holds_nothing_up(
    registry: Registry, tiny_artifact: Path, tmp_path: Path
) -> None:
    publish(registry, tiny_artifact, tmp_path / "v2", "2", chosen=0.5, threshold=0.4)
    (registry.folder(CHEST, "1") / "card.json").write_bytes(b"{}")
    assert registry.promote(CHEST, "2").live == "2"
