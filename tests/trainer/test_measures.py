"""Classes, operating points, coverage and subgroups, against scikit-learn and known answers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from diagnosis.artifacts import Card
from diagnosis.artifacts.card import sealed
from diagnosis.gate import SIZE, Gate, Kind, OpenGate, Parameters, look
from diagnosis.images import read_image
from diagnosis.judgement import conformal_set
from tests.trainer.conftest import MakeImages
from tests.trainer.test_metrics import binary, several
from trainer.data import Example
from trainer.evaluate import refusals
from trainer.measures import measure
from trainer.metrics import (
    Figure,
    Scores,
    at_points,
    class_figures,
    coverage,
    figures,
    majority_baseline,
    majority_class,
    subgroups,
    threshold_at,
)
from trainer.metrics.subgroups import LEAST_IMAGES, NOT_STATED, OTHERS

SHIPPED = Path(__file__).parents[2] / "models" / "chest_xray_pneumonia" / "2" / "card.json"


def value(figure: Figure) -> float:
    assert figure.value is not None
    return figure.value


def low(figure: Figure) -> float:
    assert figure.low is not None
    return figure.low


def test_each_class_agrees_with_scikit_learn() -> None:
    scores = several(500)
    said = scores.probabilities.argmax(axis=1)
    found = class_figures(scores, draws=20)
    assert tuple(found) == scores.class_ids
    for place, name in enumerate(scores.class_ids):
        truth, called = scores.labels == place, said == place
        one = {key: value(figure) for key, figure in found[name].items()}
        assert one == pytest.approx(
            {
                "auc": reference.roc_auc_score(truth, scores.probabilities[:, place]),
                "sensitivity": reference.recall_score(truth, called),
                "specificity": reference.recall_score(~truth, ~called),
                "ppv": reference.precision_score(truth, called),
                "npv": reference.precision_score(~truth, ~called),
            },
            abs=1e-6,
        )
    macro = np.mean([value(found[name]["auc"]) for name in scores.class_ids])
    assert value(figures(scores, draws=5)["auc"]) == pytest.approx(macro, abs=1e-6)


@pytest.mark.parametrize("scores", [binary(300), several(300)], ids=["two", "three"])
def test_brier_and_predictive_values_agree_with_scikit_learn(scores: Scores) -> None:
    found = figures(scores, draws=5)
    classes = len(scores.class_ids)
    expected = reference.brier_score_loss(
        scores.labels if classes == 2 else np.array(scores.class_ids)[scores.labels],
        scores.probabilities[:, 1] if classes == 2 else scores.probabilities,
        labels=None if classes == 2 else list(scores.class_ids),
    )
    assert value(found["brier"]) == pytest.approx(expected, abs=1e-6)
    truth, called = scores.labels == 1, scores.decisions == 1
    assert value(found["ppv"]) == pytest.approx(reference.precision_score(truth, called), abs=1e-6)
    assert value(found["npv"]) == pytest.approx(
        reference.precision_score(~truth, ~called), abs=1e-6
    )


def test_the_order_of_classes_changes_no_figure() -> None:
    scores = several(300)
    order = [2, 0, 1]
    turned = replace(
        scores,
        class_ids=tuple(scores.class_ids[place] for place in order),
        labels=np.argsort(order)[scores.labels],
        probabilities=scores.probabilities[:, order],
    )
    assert figures(turned, draws=50) == figures(scores, draws=50)
    assert class_figures(turned, draws=50) == class_figures(scores, draws=50)


def test_calibration_before_is_measured_where_it_is_known() -> None:
    scores = binary(400)
    sharp = scores.probabilities**8 / (scores.probabilities**8).sum(axis=1, keepdims=True)
    assert "ece_uncalibrated" not in figures(scores, draws=5)
    found = figures(replace(scores, uncalibrated=sharp), draws=5)
    alone = figures(replace(scores, probabilities=sharp), draws=5)
    assert found["ece_uncalibrated"] == alone["ece"]
    assert value(found["ece_uncalibrated"]) != value(found["ece"])


@pytest.mark.parametrize("scores", [binary(500), several(500)], ids=["two", "three"])
def test_sensitivity_at_a_specificity_has_the_threshold_that_gives_it(scores: Scores) -> None:
    at = threshold_at(scores, 0.88)
    assert at is not None
    called = scores.probabilities[:, 1] >= at["threshold"]
    ill = scores.labels == 1
    assert at["sensitivity"] == pytest.approx(called[ill].mean(), abs=1e-6)
    assert at["specificity"] == pytest.approx((~called)[~ill].mean(), abs=1e-6)
    assert at["specificity"] >= 0.88
    assert at["sensitivity"] == value(figures(scores, draws=5)["sensitivity_at_specificity_88"])
    lower = scores.probabilities[scores.probabilities[:, 1] < at["threshold"], 1].max()
    assert (scores.probabilities[~ill, 1] < lower).mean() < 0.88


def test_points_compare_the_finding_with_its_threshold_whatever_the_other_classes() -> None:
    scores = several(400)
    found = at_points(scores, {"rule_out": 0.2, "rule_in": 0.6}, draws=50)
    truth = scores.labels == 1
    for name, threshold in (("rule_out", 0.2), ("rule_in", 0.6)):
        called = scores.probabilities[:, 1] >= threshold
        one = found[name]
        assert value(one["sensitivity"]) == pytest.approx(called[truth].mean(), abs=1e-6)
        assert value(one["specificity"]) == pytest.approx((~called)[~truth].mean(), abs=1e-6)
        assert value(one["ppv"]) == pytest.approx(truth[called].mean(), abs=1e-6)
        assert value(one["npv"]) == pytest.approx((~truth)[~called].mean(), abs=1e-6)
    assert at_points(replace(scores, finding=None), {"balanced": 0.5}) == {}


def test_predictive_values_at_a_prevalence_are_those_of_bayes() -> None:
    """Sensitivity 0.9 and specificity 0.8 at 10 %: 90 of 270 alarms in 1,000 are true."""
    labels = np.r_[np.ones(500), np.zeros(500)].astype(np.int64)
    called = np.r_[np.ones(450), np.zeros(50), np.ones(100), np.zeros(400)]
    score = np.stack([1 - called, called], axis=1)
    scores = Scores(("n", "p"), labels, score, np.arange(1000), "p", 0.5)
    point = at_points(scores, {"balanced": 0.5}, draws=100)["balanced"]
    assert value(point["ppv_at_prevalence_10"]) == pytest.approx(90 / 270, abs=1e-6)
    assert value(point["npv_at_prevalence_10"]) == pytest.approx(720 / 730, abs=1e-6)
    assert value(point["ppv"]) == pytest.approx(450 / 550, abs=1e-6)
    assert value(point["ppv_at_prevalence_50"]) == pytest.approx(value(point["ppv"]))


def test_a_share_of_one_has_an_interval_all_the_same() -> None:
    """None of 40 healthy patients was called: up to 8.8 % may be (Clopper and Pearson)."""
    labels = np.r_[np.ones(40), np.zeros(80)].astype(np.int64)
    score = np.where(labels == 1, 0.9, 0.1)
    score[0] = 0.2
    groups = np.r_[np.arange(40), 100 + np.arange(80) // 2]
    scores = Scores(("n", "p"), labels, np.stack([1 - score, score], axis=1), groups, "p", 0.5)
    found = figures(scores, draws=100)["specificity"]
    assert (found.value, found.high) == (1.0, 1.0)
    assert low(found) == pytest.approx(0.025 ** (1 / 40), abs=1e-6)
    point = at_points(scores, {"balanced": 0.5}, draws=100)["balanced"]
    assert point["specificity"] == found
    alarms = 0.99 * (1 - low(found))
    caught = 0.01 * value(point["sensitivity"])
    assert low(point["ppv_at_prevalence_1"]) == pytest.approx(caught / (caught + alarms), abs=1e-5)


def test_the_majority_baseline_calls_everything_the_most_common_class() -> None:
    scores = several(300)
    common = int(np.bincount(scores.labels).argmax())
    assert majority_class(scores) == scores.class_ids[common]
    found = majority_baseline(scores)
    assert found["accuracy"] == pytest.approx((scores.labels == common).mean())
    assert found["balanced_accuracy"] == pytest.approx(1 / 3)
    assert found["auc"] == 0.5


def test_coverage_counts_the_sets_that_the_service_makes() -> None:
    scores = several(200)
    quantiles = {"a": 0.5, "b": 0.7, "c": 0.9}
    found = coverage(scores, quantiles, draws=50)
    sets = [
        conformal_set(dict(zip(scores.class_ids, row, strict=True)), quantiles)
        for row in scores.probabilities
    ]
    for place, name in enumerate(scores.class_ids):
        own = [
            name in one for one, label in zip(sets, scores.labels, strict=True) if label == place
        ]
        assert value(found.by_class[name]) == pytest.approx(np.mean(own), abs=1e-6)
    sizes = [len(one) for one in sets]
    assert value(found.set_size) == pytest.approx(np.mean(sizes), abs=1e-6)
    assert value(found.single) == pytest.approx(np.mean([one == 1 for one in sizes]), abs=1e-6)
    assert value(found.empty) == pytest.approx(np.mean([one == 0 for one in sizes]), abs=1e-6)


def facts(count: int) -> list[dict[str, str]]:
    """Sex, age in DICOM's way, a site with a small part, and columns that may not be used."""
    return [
        {
            "sex": "female" if number % 3 else "male",
            "age": f"{number % 90:03}Y",
            "site": "north" if number % 2 else "small" if number < 10 else "south",
            "patient_id": f"p{number % 4}",
            "sha256": f"{number:x}",
            "device": f"model {number % 30}",
            "study": "one",
        }
        for number in range(count)
    ]


def test_subgroups_are_parts_with_the_figures_of_that_part_alone() -> None:
    scores = binary(400)
    found = subgroups(scores, facts(400), draws=30)
    parts = {(one.column, one.level): one for one in found.parts}
    female = np.arange(400) % 3 > 0
    one = parts["sex", "female"]
    alone = figures(scores.part(female), draws=30)
    assert one.images == female.sum()
    assert one.figures == {name: alone[name] for name in one.figures}
    assert set(one.figures) == {"auc", "balanced_accuracy", "sensitivity", "specificity", "ece"}
    assert [level for column, level in parts if column == "age"] == [
        "0 to 17", "18 to 39", "40 to 64", "65 and older",
    ]  # fmt: skip
    assert sum(one.images for one in found.parts if one.column == "age") == 400
    assert set(found.left_out) == {"patient_id", "sha256", "device", "study"}


def test_a_small_part_says_too_few_and_a_very_small_one_is_not_named() -> None:
    scores = binary(100)
    columns = [{"site": "a" if n < 60 else "b" if n < 85 else f"dr {n}"} for n in range(93)]
    found = subgroups(scores, [*columns, *[{} for _ in range(7)]], draws=10)
    sizes = {one.level: (one.images, one.too_few) for one in found.parts}
    assert sizes["a"] == (60, False)
    assert sizes["b"] == (25, True)
    assert sizes[OTHERS] == (8, True)
    assert sizes[NOT_STATED] == (7, True)
    assert LEAST_IMAGES > 25


def test_numbers_that_are_no_ages_are_cut_into_quarters() -> None:
    scores = binary(200)
    found = subgroups(scores, [{"kilovolts": str(60 + n / 4)} for n in range(200)], draws=10)
    assert [one.images for one in found.parts] == [50, 50, 50, 50]
    assert found.parts[0].level.startswith("60 below")


def test_the_card_keeps_what_was_measured_and_reads_it_back() -> None:
    scores = replace(binary(120), uncalibrated=binary(120).probabilities)
    examples = [
        Example(Path(f"{n}.png"), scores.class_ids[scores.labels[n]], f"{n:x}", f"g{n}", None,
                (("sex", "female" if n % 2 else "male"),))
        for n in range(120)
    ]  # fmt: skip
    quantiles = {"normal": 0.8, "pneumonia": 0.8}
    found = measure(scores, examples, {"balanced": 0.5}, quantiles)
    record = found.record(examples, "made")
    card = Card.from_json(SHIPPED.read_bytes())
    again = Card.from_json(card.model_copy(update={"evaluation": record}).to_json()).evaluation
    assert again == record
    assert again.majority_class == majority_class(scores)
    assert again.baseline_majority["balanced_accuracy"] == 0.5
    assert again.classes["normal"]["sensitivity"] == again.classes["pneumonia"]["specificity"]
    assert "ppv_at_prevalence_10" in again.operating_points["balanced"]
    assert set(again.conformal_coverage) == set(quantiles)
    assert [(one.column, one.level, one.images) for one in again.subgroups] == [
        ("sex", "female", 60),
        ("sex", "male", 60),
    ]
    assert {"ppv", "npv", "brier", "ece_uncalibrated"} <= set(again.figures)


def test_a_card_that_was_sealed_before_still_reads() -> None:
    content = json.loads(SHIPPED.read_bytes())
    newer = ("dataset", "images", "groups", "per_class", "figures", "baseline_always_finding")
    for one in (content["evaluation"], *content["transfer"]):
        for name in set(one) - set(newer):
            del one[name]
    card = Card.from_json(sealed(content))
    assert card.evaluation.subgroups == ()
    assert card.evaluation.operating_points == {}
    assert Card.from_json(card.to_json()) == card


def test_the_gate_s_refusals_are_counted_by_their_reason(
    tmp_path: Path, make_images: MakeImages
) -> None:
    """A gate that lets half the images through, as it answers for each of them."""
    random = np.random.default_rng(0)
    parameters = Parameters(
        centre=random.uniform(0, 1, SIZE),
        scale=np.ones(SIZE),
        weights=random.normal(0, 0.1, (2, SIZE)),
        bias=np.zeros(2),
        posture=np.zeros(0),
        mean=np.zeros(SIZE),
        components=np.eye(1, SIZE),
        spread=np.ones(1),
        rest=np.ones(1),
        low=np.full(3, -100.0),
        typical=np.full(3, 100.0),
    )
    record = Gate(
        threshold=0.0,
        kinds=(Kind(id="other", name="other"),),
        posture=False,
        components=1,
        fitted_on="made images",
    )
    films = make_images(tmp_path, {"NORMAL": 4, "PNEUMONIA": 4})
    examples = [
        Example(path, "normal", path.name, path.name) for path in sorted(films.rglob("*.png"))
    ]
    card = Card.from_json(SHIPPED.read_bytes())
    gate = OpenGate(record, parameters, "chest X-ray", "A film.")
    scores = [
        gate.reading(look(read_image(one.path.read_bytes()).pixels)).score for one in examples
    ]
    half = record.model_copy(update={"threshold": float(np.median(scores))})
    refused = refusals(replace(gate, gate=half), card, examples, workers=2)
    assert len(refused) == 4
    assert {code.partition("-")[0] for code in refused} == {"gate"}
    everyone = record.model_copy(update={"threshold": min(scores)})
    assert refusals(replace(gate, gate=everyone), card, examples, workers=2) == ()
