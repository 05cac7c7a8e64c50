"""From scores of patients the model was not trained on to temperature, quantiles and thresholds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from diagnosis.artifacts.card import Calibration, Conformal, OperatingPoint
from diagnosis.contracts import Interval, OperatingPointName
from diagnosis.judgement import softmax
from trainer.metrics import Figure, Floats, Scores, figures

#: Above the share that a good model gets right, sets hold two classes where it is unsure; below,
#: none. Higher would need more calibration images a class than most data sets have.
COVERAGE = 0.95
RULE_OUT_SENSITIVITY = 0.98
RULE_IN_SPECIFICITY = 0.98


def fit_temperature(
    logits: Floats, labels: NDArray[np.int64], weights: Floats | None = None
) -> float:
    """The temperature with the least negative log-likelihood, between 0.05 and 20.

    Args:
        logits: (N, classes).
        labels: (N,), places of the true classes.
        weights: (N,), how much each image counts; equal by default.
    """
    counts = np.ones(len(labels)) if weights is None else weights

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits, math.exp(log_temperature))[np.arange(len(labels)), labels]
        return float(-(counts * np.log(np.maximum(chosen, 1e-12))).sum() / counts.sum())

    found = minimize_scalar(loss, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return round(math.exp(found.x), 6)


def conformal_quantiles(
    probabilities: Floats,
    labels: NDArray[np.int64],
    class_ids: Sequence[str],
    coverage: float = COVERAGE,
) -> dict[str, float]:
    """For each class the quantile of `1 - probability of the true class` that covers its images.

    With n images the `ceil((n + 1) * coverage)`-th smallest score is taken, which holds the
    coverage for one further image; a class with too few images gets 1 and is never excluded.
    """
    quantiles = {}
    for place, class_id in enumerate(class_ids):
        scores = np.sort(1 - probabilities[labels == place, place])
        rank = math.ceil((len(scores) + 1) * coverage)
        # Rounded up: a quantile that is a little too small would exclude its own image.
        exact = float(scores[rank - 1]) if 0 < rank <= len(scores) else 1.0
        quantiles[class_id] = min(1.0, math.ceil(exact * 1e6) / 1e6)
    return quantiles


@dataclass(frozen=True)
class Selection:
    """Scores that thresholds are chosen on: of held-out patients, or of left-out families."""

    probability: Floats
    """(N,), of the finding."""
    positive: NDArray[np.bool_]
    """(N,), whether the image shows the finding."""
    weights: Floats
    """(N,), how much each image counts."""
    described: str
    """A few words for the card: which images these are."""


def thresholds(chosen: Selection) -> dict[OperatingPointName, float]:
    """Thresholds on the finding's probability for the three operating points.

    `rule_out` is the highest threshold with a sensitivity of at least 0.98, `rule_in` the lowest
    with a specificity of at least 0.98, `balanced` the one whose smaller recall is largest.
    """
    candidates = np.unique(np.r_[0.0, chosen.probability, 1.0])
    # Between two scores: a threshold on a score itself would depend on its last bits.
    candidates = np.unique(np.r_[0.0, (candidates[1:] + candidates[:-1]) / 2, 1.0])
    caught = _share_at_or_above(chosen, candidates, chosen.positive)
    cleared = 1 - _share_at_or_above(chosen, candidates, ~chosen.positive)
    out = candidates[caught >= RULE_OUT_SENSITIVITY - 1e-9]
    into = candidates[cleared >= RULE_IN_SPECIFICITY - 1e-9]
    worse = np.minimum(caught, cleared)
    best = candidates[worse >= worse.max() - 1e-9]
    result: dict[OperatingPointName, float] = {
        "rule_out": float(out[-1]) if len(out) else 0.0,
        "balanced": float(best[len(best) // 2]),
        "rule_in": float(into[0]) if len(into) else 1.0,
    }
    return {name: round(value, 6) for name, value in result.items()}


def _share_at_or_above(chosen: Selection, candidates: Floats, among: NDArray[np.bool_]) -> Floats:
    """Weighted share of some images whose score is at or above each candidate."""
    scores, weights = chosen.probability[among], chosen.weights[among]
    order = np.argsort(scores)
    below = np.r_[0.0, np.cumsum(weights[order])]
    places = np.searchsorted(scores[order], candidates, side="left")
    return np.asarray(1 - below[places] / below[-1])


def operating_points(scores: Scores, chosen: Selection) -> tuple[OperatingPoint, ...]:
    """The card's operating points: chosen on one set of scores, measured on another.

    Returns nothing for a disease without a finding.
    """
    if scores.finding is None:
        return ()
    found = scores.class_ids.index(scores.finding)
    # Against the rest, so that the threshold means the same with any number of classes.
    pair = Scores(
        class_ids=("rest", scores.finding),
        labels=(scores.labels == found).astype(np.int64),
        probabilities=np.stack(
            [1 - scores.probabilities[:, found], scores.probabilities[:, found]], axis=1
        ),
        groups=scores.groups,
        finding=scores.finding,
        threshold=None,
    )
    rules: dict[OperatingPointName, str] = {
        "rule_out": f"Highest threshold with a sensitivity of {RULE_OUT_SENSITIVITY} or more",
        "balanced": "Threshold at which the smaller of sensitivity and specificity is largest",
        "rule_in": f"Lowest threshold with a specificity of {RULE_IN_SPECIFICITY} or more",
    }
    points = []
    for name, threshold in thresholds(chosen).items():
        measured = figures(replace(pair, threshold=threshold))
        points.append(
            OperatingPoint(
                name=name,
                threshold=threshold,
                sensitivity=interval(measured["sensitivity"]),
                specificity=interval(measured["specificity"]),
                chosen_by=f"{rules[name]}, on {chosen.described}.",
            )
        )
    return tuple(points)


def interval(figure: Figure) -> Interval:
    """A figure as the card holds it.

    Raises:
        ValueError: the figure is not defined on these images.
    """
    if figure.value is None or figure.low is None or figure.high is None:
        raise ValueError("the figure is not defined on these images")
    return Interval(value=figure.value, low=figure.low, high=figure.high)


def calibrate(
    logits: Floats, labels: NDArray[np.int64], class_ids: Sequence[str], described: str
) -> tuple[Calibration, Conformal]:
    """Temperature and conformal quantiles, both from the same held-out images."""
    temperature = fit_temperature(logits, labels)
    probabilities = softmax(logits, temperature)
    return (
        Calibration(temperature=temperature, fitted_on=described),
        Conformal(
            coverage=COVERAGE,
            quantiles=conformal_quantiles(probabilities, labels, class_ids),
            fitted_on=described,
        ),
    )
