"""Two models on the same images: known answers, and two tests that must agree."""

import numpy as np
import pytest
from scipy.stats import binomtest

from trainer.metrics import Scores
from trainer.metrics.paired import delong, differences, mcnemar


def pair(count: int, better: float, seed: int = 1) -> tuple[Scores, Scores]:
    """Two correlated models; the second one's signal is `better` times the first one's."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    shared = random.normal(0, 0.7, count)
    models = []
    for signal in (1.0, better):
        logit = 1.6 * signal * (labels - 0.5) + shared + random.normal(0, 0.7, count)
        p = 1 / (1 + np.exp(-logit))
        models.append(
            Scores(("n", "p"), labels, np.stack([1 - p, p], axis=1), np.arange(count), "p", 0.5)
        )
    return models[0], models[1]


def test_delong_and_the_bootstrap_agree() -> None:
    a, b = pair(600, 1.3)
    area, drawn = delong(a, b), differences(a, b)["auc"]
    assert area is not None
    assert drawn.low is not None
    assert drawn.high is not None
    assert (area.a, area.b) == pytest.approx((drawn.a, drawn.b), abs=1e-6)
    half = 1.96 * area.standard_error
    assert area.difference - half == pytest.approx(drawn.low, abs=0.15 * half)
    assert area.difference + half == pytest.approx(drawn.high, abs=0.15 * half)


def test_delong_is_that_of_its_definition() -> None:
    """Structural components of the paper, by all pairs of an ill and a healthy image."""
    a, b = pair(40, 1.5)
    ill = a.labels == 1
    parts = []
    for one in (a, b):
        score = one.probabilities[:, 1]
        x, y = score[ill], score[~ill]
        psi = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        parts.append((psi.mean(axis=1), psi.mean(axis=0), psi.mean()))
    v10, v01 = (np.cov(np.stack([one[place] for one in parts])) for place in (0, 1))
    spread = v10 / ill.sum() + v01 / (~ill).sum()
    found = delong(a, b)
    assert found is not None
    assert found.difference == pytest.approx(parts[1][2] - parts[0][2])
    error = np.sqrt(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])
    assert found.standard_error == pytest.approx(error)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    a, b = pair(200, 1.4)
    found = mcnemar(a, b)
    assert found is not None
    right = [one.decisions == one.labels for one in (a, b)]
    assert found.only_a == (right[0] & ~right[1]).sum()
    assert found.only_b == (right[1] & ~right[0]).sum()
    total = found.only_a + found.only_b
    assert found.p == pytest.approx(binomtest(found.only_b, total).pvalue)
    parts = [mcnemar(a, b, of) for of in ("sensitivity", "specificity")]
    assert sum(one.only_a for one in parts if one) == found.only_a
    assert sum(one.only_b for one in parts if one) == found.only_b


def test_a_better_model_is_called_better_and_in_the_right_direction() -> None:
    a, b = pair(800, 1.8)
    for first, second, winner in ((a, b, "b"), (b, a, "a")):
        found = differences(first, second, draws=300)
        assert found["auc"].better == winner
        assert found["balanced_accuracy"].better == winner
        assert (found["auc"].p or 1) < 0.05


def test_less_calibration_error_is_better() -> None:
    a, _ = pair(800, 1.0)
    sharp = a.probabilities**6 / (a.probabilities**6).sum(axis=1, keepdims=True)
    worse = Scores(a.class_ids, a.labels, sharp, a.groups, a.finding, a.threshold)
    found = differences(a, worse, draws=200)
    assert (found["ece"].value or 0) > 0
    assert found["ece"].better == "a"
    assert found["auc"].better is None


def test_the_same_model_twice_shows_no_difference() -> None:
    a, _ = pair(100, 1.0)
    found = differences(a, a, draws=50)
    assert all(one.value == 0 and one.better is None and one.p == 1 for one in found.values())
    area, test = delong(a, a), mcnemar(a, a)
    assert area is not None
    assert test is not None
    assert (area.p, test.p) == (1.0, 1.0)


def test_equal_models_are_told_apart_about_one_time_in_twenty() -> None:
    """Two models alike, many times: the interval leaves out zero no more often than it says."""
    wrong = sum(
        differences(*pair(150, 1.0, seed), draws=200)["auc"].better is not None
        for seed in range(60)
    )
    assert wrong <= 9


def test_pairing_counts_groups_as_wholes() -> None:
    a, b = pair(60, 1.5)
    ten = [
        Scores(
            one.class_ids, np.tile(one.labels, 10), np.tile(one.probabilities, (10, 1)),
            np.tile(np.arange(60), 10), "p", 0.5,
        )
        for one in (a, b)
    ]  # fmt: skip
    alone, copied = differences(a, b, draws=300)["auc"], differences(*ten, draws=300)["auc"]
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=1e-6)


def test_other_images_are_refused() -> None:
    a, _ = pair(50, 1.0)
    b, _ = pair(50, 1.0, seed=2)
    for test in (differences, mcnemar, delong):
        with pytest.raises(ValueError, match="same images"):
            test(a, b)  # type: ignore[operator]


def test_without_a_finding_or_a_class_there_is_nothing_to_rank() -> None:
    a, b = pair(50, 1.0)
    bare = [Scores(s.class_ids, s.labels, s.probabilities, s.groups, None, None) for s in (a, b)]
    assert delong(*bare) is None
    assert mcnemar(*bare, "sensitivity") is None
    ill = [one.part(one.labels == 1) for one in (a, b)]
    assert delong(*ill) is None
    found = differences(*ill, draws=20)
    assert (found["auc"].value, found["specificity"].value) == (None, None)
    assert found["sensitivity"].value is not None
