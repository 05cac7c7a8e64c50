"""All that is measured of a model on some images, once, for the card, the report and the JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagnosis.artifacts.card import Card, Evaluation, SubgroupRecord
from diagnosis.contracts import Interval, OperatingPointName
from trainer import metrics
from trainer.data import Example
from trainer.metrics import Coverage, Figure, Scores, Subgroups

INTERVALS = {
    "method": "percentile bootstrap of whole groups; a share of 0 or 1 gets the exact bound for "
    "as many trials as groups",
    "draws": metrics.DRAWS,
    "seed": metrics.SEED,
    "confidence": 0.95,
}


@dataclass(frozen=True)
class Measures:
    """The figures of a model on some images, and those of two models that know nothing."""

    scores: Scores
    figures: dict[str, Figure]
    always_finding: dict[str, float]
    majority_class: str
    majority: dict[str, float]
    classes: dict[str, dict[str, Figure]]
    """AUC, sensitivity, specificity, PPV and NPV of each class against the rest."""
    points: dict[OperatingPointName, dict[str, Figure]]
    thresholds: dict[OperatingPointName, float]
    at_specificity_88: dict[str, float] | None
    """The threshold behind that figure, and what it does here; None where there is none."""
    chance_ece: Figure
    """The calibration error that a calibrated model would show on so many images."""
    coverage: Coverage
    subgroups: Subgroups

    def as_json(self) -> dict[str, Any]:
        """As the JSON and the report hold it; the names are also those of the card."""
        return {
            "confusion": metrics.confusion(self.scores),
            "baseline_always_finding": self.always_finding,
            "baseline_majority": self.majority,
            "majority_class": self.majority_class,
            "class_figures": {name: _plain(one) for name, one in self.classes.items()},
            "operating_points": {
                name: {"threshold": self.thresholds[name], **_plain(one)}
                for name, one in self.points.items()
            },
            "at_specificity_88": self.at_specificity_88,
            "chance_ece": self.chance_ece.as_dict(),
            "conformal_coverage": _plain(self.coverage.by_class),
            "conformal_sets": {
                "size": self.coverage.set_size.as_dict(),
                "single": self.coverage.single.as_dict(),
                "empty": self.coverage.empty.as_dict(),
            },
            "subgroups": [
                {
                    "column": one.column,
                    "level": one.level,
                    "n": one.images,
                    "groups": one.groups,
                    "per_class": one.per_class,
                    "too_few": one.too_few,
                    "figures": _plain(one.figures),
                }
                for one in self.subgroups.parts
            ],
            "subgroups_left_out": self.subgroups.left_out,
            "intervals": INTERVALS,
        }

    def record(self, examples: Sequence[Example], described: str) -> Evaluation:
        """As the card holds it; figures that the images do not define are left out."""
        counts = dict.fromkeys(self.scores.class_ids, 0)
        for one in examples:
            counts[one.class_id] += 1
        return Evaluation(
            dataset=described,
            images=len(examples),
            groups=len({one.group for one in examples}),
            per_class=counts,
            figures=_intervals(self.figures),
            baseline_always_finding=self.always_finding,
            baseline_majority=self.majority,
            majority_class=self.majority_class,
            classes={name: _intervals(one) for name, one in self.classes.items()},
            operating_points={name: _intervals(one) for name, one in self.points.items()},
            conformal_coverage=_intervals(self.coverage.by_class),
            reliability=metrics.reliability(self.scores),
            subgroups=tuple(
                SubgroupRecord(
                    column=one.column,
                    level=one.level,
                    images=one.images,
                    groups=one.groups,
                    figures=_intervals(one.figures),
                )
                for one in self.subgroups.parts
            ),
        )


def measure(
    scores: Scores,
    examples: Sequence[Example],
    thresholds: Mapping[OperatingPointName, float],
    quantiles: Mapping[str, float],
) -> Measures:
    """Measure everything.

    Args:
        scores: what the model answered for the examples.
        examples: for their subgroups.
        thresholds: of the operating points, on the finding's probability.
        quantiles: conformal, one a class.
    """
    return Measures(
        scores=scores,
        figures=metrics.figures(scores),
        always_finding=metrics.baseline(scores),
        majority_class=metrics.majority_class(scores),
        majority=metrics.majority_baseline(scores),
        classes=metrics.class_figures(scores),
        points=metrics.at_points(scores, thresholds),
        thresholds=dict(thresholds),
        at_specificity_88=metrics.threshold_at(scores, 0.88),
        chance_ece=metrics.chance_ece(scores.probabilities),
        coverage=metrics.coverage(scores, quantiles),
        subgroups=metrics.subgroups(scores, [dict(one.facts) for one in examples]),
    )


def measure_card(card: Card, scores: Scores, examples: Sequence[Example]) -> Measures:
    """Measure everything at the thresholds and quantiles of a card."""
    thresholds = {point.name: point.threshold for point in card.operating_points}
    return measure(scores, examples, thresholds, card.conformal.quantiles)


def _plain(figures: Mapping[str, Figure]) -> dict[str, dict[str, float | None]]:
    return {name: one.as_dict() for name, one in figures.items()}


def _intervals(figures: Mapping[str, Figure]) -> dict[str, Interval]:
    return {
        name: Interval(value=one.value, low=one.low, high=one.high)
        for name, one in figures.items()
        if one.value is not None and one.low is not None and one.high is not None
    }
