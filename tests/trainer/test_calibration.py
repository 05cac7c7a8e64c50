"""Temperature, conformal quantiles and operating points."""

import numpy as np
import pytest

from diagnosis.judgement import softmax
from trainer.calibration import (
    COVERAGE,
    Selection,
    conformal_quantiles,
    fit_temperature,
    operating_points,
    thresholds,
)
from trainer.metrics import Scores


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_that_made_the_labels_is_found(true: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 3, (20_000, 3))
    shares = softmax(logits, true).cumsum(axis=1)
    labels = (random.uniform(size=(20_000, 1)) > shares).sum(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(true, rel=0.05)


def test_a_perfect_model_gets_a_finite_temperature() -> None:
    logits = np.array([[9.0, -9.0], [-9.0, 9.0]] * 10)
    assert 0.05 <= fit_temperature(logits, np.array([0, 1] * 10)) <= 20


def test_quantiles_cover_new_images_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    covered = []
    for _ in range(200):
        labels = random.integers(0, 2, 300)
        score = np.clip(0.3 * labels + random.uniform(0, 0.7, 300), 0, 1)
        probabilities = np.stack([1 - score, score], axis=1)
        found = conformal_quantiles(probabilities[:200], labels[:200], ("n", "p"))
        new, of = probabilities[200:], labels[200:]
        bound = 1 - np.array([found["n"], found["p"]])[of]
        covered.append((new[np.arange(100), of] >= bound).mean())
    assert np.mean(covered) == pytest.approx(COVERAGE, abs=0.015)


def test_a_class_with_few_images_is_never_excluded() -> None:
    probabilities = np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]] * 30)
    labels = np.array([0] * 3 + [1] * 30)
    found = conformal_quantiles(probabilities, labels, ("n", "p"))
    assert found == {"n": 1.0, "p": pytest.approx(0.2, abs=1e-5)}


def selection(count: int = 2000) -> Selection:
    random = np.random.default_rng(2)
    positive = random.uniform(size=count) < 0.3
    score = np.clip(0.4 * positive + random.uniform(0, 0.6, count), 0, 1)
    return Selection(score, positive, np.ones(count), "made scores")


def test_each_threshold_does_what_its_name_says() -> None:
    chosen = selection()
    found = thresholds(chosen)

    def caught(threshold: float) -> float:
        return float((chosen.probability[chosen.positive] >= threshold).mean())

    def cleared(threshold: float) -> float:
        return float((chosen.probability[~chosen.positive] < threshold).mean())

    assert found["rule_out"] <= found["balanced"] <= found["rule_in"]
    assert caught(found["rule_out"]) >= 0.98 > caught(found["rule_out"] + 0.01)
    assert cleared(found["rule_in"]) >= 0.98 > cleared(found["rule_in"] - 0.01)
    worse = [min(caught(t), cleared(t)) for t in np.linspace(0, 1, 501)]
    assert min(caught(found["balanced"]), cleared(found["balanced"])) >= max(worse) - 0.002


def test_weights_count() -> None:
    chosen = selection()
    heavy = np.where(chosen.probability > 0.6, 50.0, 1.0)
    moved = thresholds(Selection(chosen.probability, chosen.positive, heavy, "made scores"))
    assert moved["balanced"] != thresholds(chosen)["balanced"]


def test_points_are_measured_on_the_images_they_are_shown_for() -> None:
    chosen = selection(400)
    values = np.stack([1 - chosen.probability, chosen.probability], axis=1)
    labels = chosen.positive.astype(np.int64)
    scores = Scores(("n", "p"), labels, values, np.arange(400), "p", None)
    points = {one.name: one for one in operating_points(scores, chosen)}
    assert set(points) == {"rule_out", "balanced", "rule_in"}
    assert points["rule_out"].sensitivity.value >= 0.98
    assert points["rule_in"].specificity.value >= 0.98
    assert "made scores" in points["balanced"].chosen_by
    assert operating_points(Scores(("n", "p"), labels, values, labels, None, None), chosen) == ()
