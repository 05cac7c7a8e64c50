"""Bins of about as many images each, and what became of the images in them."""

import numpy as np
import pytest
from pydantic import ValidationError

from diagnosis.artifacts.card import Evaluation, ReliabilityBin
from diagnosis.contracts import Interval
from trainer.metrics import Scores, reliability


def scores_of(probabilities: list[float], labels: list[int]) -> Scores:
    """Of two classes; every image is a group of its own."""
    second = np.array(probabilities)
    return Scores(
        class_ids=("normal", "pneumonia"),
        labels=np.array(labels),
        probabilities=np.stack([1 - second, second], axis=1),
        groups=np.arange(len(labels)),
        finding="pneumonia",
        threshold=0.5,
    )


def test_bins_hold_about_as_many_images_and_cover_every_probability() -> None:
    count = 600
    probabilities = np.linspace(0.001, 0.999, count)
    labels = (np.arange(count) % 10 < probabilities * 10).astype(int)
    bins = reliability(scores_of(list(probabilities), list(labels)))["pneumonia"]
    assert len(bins) == 10
    assert {one.images for one in bins} == {60}
    assert (bins[0].low, bins[-1].high) == (0, 1)
    assert [one.low for one in bins[1:]] == [one.high for one in bins[:-1]]
    for one in bins:
        inside = (probabilities > one.low) & (probabilities <= one.high)
        assert one.share.value == pytest.approx(labels[inside].mean(), abs=1e-4)
        assert one.share.low < one.share.value < one.share.high or one.share.value in (0, 1)
    # Wilson's interval of 0 of 60: 0 to 6.0 %.
    empty = reliability(scores_of([0.1] * 60, [0] * 60))["pneumonia"]
    assert [(one.images, one.share.low, one.share.high) for one in empty] == [
        (60, 0, pytest.approx(0.0602, abs=1e-4))
    ]


@pytest.mark.parametrize(("count", "bins"), [(29, None), (30, 1), (96, 3), (300, 10), (614, 10)])
def test_a_bin_has_at_least_thirty_images(count: int, bins: int | None) -> None:
    rng = np.random.default_rng(1)
    found = reliability(scores_of(list(rng.random(count)), [0] * count))
    if bins is None:
        assert found == {}
        return
    assert len(found["normal"]) == bins
    assert sum(one.images for one in found["normal"]) == count
    assert min(one.images for one in found["normal"]) >= 30


def test_images_of_one_probability_are_in_one_bin() -> None:
    probabilities = [0.0] * 250 + [0.5] * 40 + [1.0] * 310
    bins = reliability(scores_of(probabilities, [0] * 250 + [1] * 350))["pneumonia"]
    assert [one.images for one in bins] == [250, 40, 310]
    assert [one.share.value for one in bins] == [0, 1, 1]


def bin_of(low: float, high: float) -> ReliabilityBin:
    return ReliabilityBin(
        low=low, high=high, images=30, share=Interval(value=0.5, low=0.4, high=0.6)
    )


def evaluation(*bins: ReliabilityBin) -> Evaluation:
    return Evaluation(
        dataset="x", images=60, groups=60, per_class={}, figures={}, reliability={"a": bins}
    )


def test_a_probability_lies_in_one_bin() -> None:
    first, second = bin_of(0, 0.25), bin_of(0.25, 1)
    found = evaluation(first, second)
    for probability, expected in ((0.0, first), (0.25, first), (0.2501, second), (1.0, second)):
        assert found.observed("a", probability) == expected
    assert found.observed("b", 0.5) is None


@pytest.mark.parametrize(
    "bins",
    [
        (bin_of(0, 0.5),),
        (bin_of(0.1, 1),),
        (bin_of(0, 0.5), bin_of(0.6, 1)),
        (bin_of(0, 1), bin_of(1, 1)),
    ],
    ids=["ends early", "begins late", "a gap", "an empty one"],
)
def test_bins_with_a_gap_are_refused(bins: tuple[ReliabilityBin, ...]) -> None:
    with pytest.raises(ValidationError, match="bin"):
        evaluation(*bins)
