"""The arithmetic between a model's outputs and what is said."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diagnosis.artifacts.card import Calibration, Card
from diagnosis.judgement import (
    band,
    conformal_set,
    is_positive,
    probabilities,
    rounded,
    softmax,
)
from diagnosis.preprocess import Greyscale, Preprocessing, Resize

LOGITS = hnp.arrays(np.float64, st.integers(2, 12), elements=st.floats(-60, 60))


def card(output: str = "logits", temperature: float = 1.0) -> Card:
    preprocessing = Preprocessing(name="grey-8", steps=(Greyscale(), Resize(width=8, height=8)))
    interval = {"value": 0.9, "low": 0.8, "high": 1.0}
    digest = f"sha256:{'0' * 64}"
    return Card.model_validate(
        {
            "disease": "test_disease",
            "version": "1",
            "created_at": datetime(2025, 1, 1, tzinfo=UTC),
            "summary": "A card for arithmetic.",
            "licence": "Apache-2.0",
            "files": {"keras": {"name": "model.keras", "digest": digest, "bytes": 1}},
            "classes": [{"id": "healthy", "name": "Healthy"}, {"id": "ill", "name": "Ill"}],
            "finding": "ill",
            "input": {"height": 8, "width": 8, "channels": 1},
            "preprocessing": preprocessing.model_dump(),
            "preprocessing_digest": preprocessing.digest,
            "output": output,
            "calibration": Calibration(temperature=temperature, fitted_on="nothing").model_dump(),
            "operating_points": [
                {
                    "name": "balanced",
                    "threshold": 0.5,
                    "sensitivity": interval,
                    "specificity": interval,
                    "chosen_by": "hand",
                }
            ],
            "conformal": {
                "coverage": 0.9,
                "quantiles": {"healthy": 0.7, "ill": 0.6},
                "fitted_on": "nothing",
            },
            "population": {"description": "nobody"},
            "training": {
                "recipe": "none",
                "dataset": "none",
                "images": 1,
                "groups": 1,
                "per_class": {},
                "seed": 1,
                "keras_version": "3",
            },
            "evaluation": {
                "dataset": "none",
                "images": 1,
                "groups": 1,
                "per_class": {},
                "figures": {},
            },
        }
    )


@given(LOGITS, st.floats(0.05, 50))
def test_softmax_is_a_distribution_that_keeps_the_order(
    logits: np.ndarray, temperature: float
) -> None:
    values = softmax(logits, temperature)
    assert values.sum() == pytest.approx(1.0, abs=1e-12)
    assert (values >= 0).all()
    assert values[np.argmax(logits)] == values.max()


def test_softmax_of_known_logits() -> None:
    assert softmax([0.0, np.log(3.0)]) == pytest.approx([0.25, 0.75])
    assert softmax([0.0, 2 * np.log(3.0)], temperature=2.0) == pytest.approx([0.25, 0.75])
    assert softmax([[1000.0, 0.0], [0.0, 1000.0]]) == pytest.approx(np.eye(2))


def test_a_model_that_answers_probabilities_is_calibrated_like_one_that_answers_logits() -> None:
    given_probabilities = np.array([[0.2, 0.8], [0.999, 0.001]])
    same = probabilities(given_probabilities, card("probabilities"))
    assert same == pytest.approx(given_probabilities)
    warm = probabilities(given_probabilities, card("probabilities", temperature=3.0))
    assert warm == pytest.approx(
        probabilities(np.log(given_probabilities), card("logits", temperature=3.0))
    )


def test_a_zero_probability_is_not_infinitely_sure() -> None:
    assert probabilities([0.0, 1.0], card("probabilities")) == pytest.approx([1e-7, 1.0])


@pytest.mark.parametrize("outputs", [[1.0], [1.0, 2.0, 3.0], 1.0])
def test_an_output_too_few_or_too_many_is_refused(outputs: list[float]) -> None:
    with pytest.raises(ValueError, match="shape"):
        probabilities(outputs, card())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_that_answers_nonsense_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        probabilities([0.0, value], card())


@given(LOGITS)
def test_rounded_probabilities_sum_to_one_and_hardly_move(logits: np.ndarray) -> None:
    exact = softmax(logits)
    short = rounded(exact)
    assert sum(short) == pytest.approx(1.0, abs=1e-9)
    assert short == pytest.approx(exact, abs=1.001e-6)
    assert all(0.0 <= value <= 1.0 and round(value, 6) == value for value in short)


def test_rounding_gives_the_missing_millionths_to_the_largest_remainders() -> None:
    assert rounded([1 / 3, 1 / 3, 1 / 3]) == (0.333334, 0.333333, 0.333333)
    assert rounded([0.25, 0.75]) == (0.25, 0.75)


QUANTILES = {"healthy": 0.7, "ill": 0.6}


@pytest.mark.parametrize(
    ("ill", "kept", "says"),
    [
        (0.95, ("ill",), "likely_positive"),
        (0.40, ("healthy", "ill"), "uncertain"),
        (0.10, ("healthy",), "likely_negative"),
    ],
)
def test_the_set_and_the_band(ill: float, kept: tuple[str, ...], says: str) -> None:
    found = conformal_set({"healthy": 1 - ill, "ill": ill}, QUANTILES)
    assert found == kept
    assert band(found, "ill") == says
    assert band(found, None) is None


def test_an_empty_set_is_uncertain() -> None:
    strict = {"healthy": 0.1, "ill": 0.1}
    assert conformal_set({"healthy": 0.5, "ill": 0.5}, strict) == ()
    assert band((), "ill") == "uncertain"


def test_an_excluded_finding_among_several_classes_is_likely_negative() -> None:
    assert band(("drusen", "normal"), "cnv") == "likely_negative"
    assert band(("cnv", "normal"), "cnv") == "uncertain"


def test_a_class_at_the_bound_is_kept() -> None:
    assert conformal_set({"ill": 0.4}, {"ill": 0.6}) == ("ill",)
    assert conformal_set({"ill": 0.399}, {"ill": 0.6}) == ()


@pytest.mark.parametrize(("probability", "positive"), [(0.43, True), (0.429999, False), (1, True)])
def test_the_threshold_itself_counts_as_positive(probability: float, positive: bool) -> None:
    assert is_positive(probability, 0.43) is positive
