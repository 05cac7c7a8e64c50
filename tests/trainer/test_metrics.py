"""Figures against scikit-learn, and intervals against cases whose answer is known."""

import time

import numpy as np
import pytest
from sklearn import metrics as reference

from trainer.metrics import (
    Figure,
    Scores,
    baseline,
    bootstrap_weights,
    chance_ece,
    confusion,
    figures,
    per_class,
)
from trainer.metrics.curves import Bins


def binary(count: int, seed: int = 0, threshold: float = 0.5, digits: int = 2) -> Scores:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    # Rounded, so that ties occur.
    score = np.round(np.clip(0.35 * labels + random.uniform(0, 0.65, count), 0, 1), digits)
    return Scores(
        ("normal", "pneumonia"),
        labels,
        np.stack([1 - score, score], axis=1),
        np.arange(count),
        "pneumonia",
        threshold,
    )


def several(count: int, seed: int = 0) -> Scores:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    logits = random.normal(0, 1, (count, 3)) + 1.2 * np.eye(3)[labels]
    values = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Scores(("a", "b", "c"), labels, values, np.arange(count), "b", None)


def test_two_classes_agree_with_scikit_learn() -> None:
    scores = binary(400, threshold=0.47)
    found = figures(scores, draws=20)
    truth, score = scores.labels, scores.probabilities[:, 1]
    said = (score >= 0.47).astype(int)
    assert found["auc"].value == pytest.approx(reference.roc_auc_score(truth, score), abs=1e-6)
    assert found["accuracy"].value == pytest.approx(reference.accuracy_score(truth, said), abs=1e-6)
    assert found["balanced_accuracy"].value == pytest.approx(
        reference.balanced_accuracy_score(truth, said), abs=1e-6
    )
    assert found["sensitivity"].value == pytest.approx(
        reference.recall_score(truth, said), abs=1e-6
    )
    assert found["specificity"].value == pytest.approx(
        reference.recall_score(truth, said, pos_label=0), abs=1e-6
    )
    alarms, caught, _ = reference.roc_curve(truth, score, drop_intermediate=False)
    assert found["sensitivity_at_specificity_88"].value == pytest.approx(
        caught[alarms <= 0.12].max(), abs=1e-6
    )
    table = reference.confusion_matrix(truth, said)
    assert [list(row.values()) for row in confusion(scores).values()] == table.tolist()


def test_three_classes_agree_with_scikit_learn() -> None:
    scores = several(500)
    found = figures(scores, draws=20)
    said = scores.probabilities.argmax(axis=1)
    assert found["auc"].value == pytest.approx(
        reference.roc_auc_score(
            scores.labels, scores.probabilities, multi_class="ovr", average="macro"
        ),
        abs=1e-6,
    )
    assert found["sensitivity"].value == pytest.approx(
        reference.recall_score(scores.labels == 1, said == 1), abs=1e-6
    )
    assert found["specificity"].value == pytest.approx(
        reference.recall_score(scores.labels != 1, said != 1), abs=1e-6
    )
    precision, recall, f1, _ = reference.precision_recall_fscore_support(scores.labels, said)
    rows = per_class(scores)
    assert [row["precision"] for row in rows.values()] == pytest.approx(precision)
    assert [row["recall"] for row in rows.values()] == pytest.approx(recall)
    assert [row["f1"] for row in rows.values()] == pytest.approx(f1)


def test_calibration_error_is_right_where_it_is_known() -> None:
    labels = np.array([1] * 8 + [0] * 2)
    sure = np.tile([0.1, 0.9], (10, 1))
    scores = Scores(("n", "p"), labels, sure, np.arange(10), "p", 0.5)
    assert figures(scores, draws=5)["ece"].value == pytest.approx(0.1)


@pytest.mark.parametrize("count", [60, 600])
def test_the_calibration_error_of_chance_is_what_calibrated_answers_show(count: int) -> None:
    random = np.random.default_rng(count)
    first = random.uniform(0, 1, count)
    probabilities = np.stack([first, 1 - first], axis=1)
    expected = chance_ece(probabilities)
    found = []
    for _ in range(200):
        labels = (random.uniform(0, 1, count) > first).astype(np.int64)
        found.append(float(Bins(probabilities, labels).ece(np.ones((1, count)))[0]))
    assert expected.value == pytest.approx(np.mean(found), rel=0.1)
    assert expected.low is not None
    assert expected.high is not None
    inside = np.mean([expected.low <= one <= expected.high for one in found])
    assert inside == pytest.approx(0.95, abs=0.05)
    assert chance_ece(np.array([[1.0, 0.0]] * 9)).value == 0.0


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    labels = np.ones(400, np.int64)
    labels[::2] = 0
    said = np.where(np.arange(400) % 10 < 8, labels, 1 - labels).astype(float)
    scores = Scores(
        ("n", "p"), labels, np.stack([1 - said, said], axis=1), np.arange(400), "p", 0.5
    )
    found = figures(scores)["accuracy"]
    assert found.value == pytest.approx(0.8)
    spread = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert found.low == pytest.approx(0.8 - spread, abs=0.01)
    assert found.high == pytest.approx(0.8 + spread, abs=0.01)


def test_groups_widen_the_interval() -> None:
    scores = binary(300)
    by_image = figures(scores)["accuracy"]
    # Ten copies of thirty patients: the same images say as much as thirty of them.
    few = Scores(
        scores.class_ids,
        np.tile(scores.labels[:30], 10),
        np.tile(scores.probabilities[:30], (10, 1)),
        np.tile(np.arange(30), 10),
        "pneumonia",
        0.5,
    )
    by_patient = figures(few)["accuracy"]
    assert width(by_patient) > 2 * width(by_image)


def width(figure: Figure) -> float:
    assert figure.high is not None
    assert figure.low is not None
    return figure.high - figure.low


def test_draws_take_whole_groups_and_are_the_same_every_time() -> None:
    groups = np.array([5, 5, 9, 9, 9, 2])
    first = np.concatenate(list(bootstrap_weights(groups, draws=250, seed=3)))
    again = np.concatenate(list(bootstrap_weights(groups, draws=250, seed=3)))
    assert first.shape == (250, 6)
    assert np.array_equal(first, again)
    assert np.array_equal(first[:, 0], first[:, 1])
    assert np.array_equal(first[:, 2], first[:, 4])
    assert np.array_equal(first[:, 0] + first[:, 2] + first[:, 5], np.full(250, 3.0))


def test_a_missing_class_leaves_only_what_is_defined() -> None:
    whole = binary(200)
    only = whole.labels == 1
    scores = Scores(
        whole.class_ids,
        whole.labels[only],
        whole.probabilities[only],
        np.arange(int(only.sum())),
        "pneumonia",
        0.5,
    )
    found = figures(scores, draws=50)
    nothing = Figure(None, None, None)
    for name in ("auc", "specificity", "balanced_accuracy", "sensitivity_at_specificity_88"):
        assert found[name] == nothing
    for name in ("accuracy", "sensitivity", "ece"):
        assert found[name].value is not None


def test_without_a_finding_there_is_no_sensitivity() -> None:
    scores = several(60)
    found = figures(Scores(*[getattr(scores, n) for n in FIELDS], None, None), draws=10)
    assert found["sensitivity"].value is None
    assert found["auc"].value is not None


FIELDS = ("class_ids", "labels", "probabilities", "groups")


def test_the_baseline_calls_everything_the_finding() -> None:
    scores = binary(200)
    found = baseline(scores)
    assert found["sensitivity"] == 1.0
    assert found["specificity"] == 0.0
    assert found["balanced_accuracy"] == 0.5
    assert found["auc"] == 0.5
    assert found["accuracy"] == pytest.approx(scores.labels.mean())


def test_a_thousand_draws_over_six_thousand_images_take_seconds() -> None:
    scores = binary(6000, digits=6)
    start = time.process_time()
    figures(scores)
    assert time.process_time() - start < 20
