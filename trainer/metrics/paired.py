"""Two models on the same images: differences with intervals, and the classical paired tests."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import bdtr, ndtr

from trainer.metrics.bootstrap import DRAWS, SEED, bootstrap_weights
from trainer.metrics.rates import Rates
from trainer.metrics.scores import Floats, Scores

COMPARED = ("auc", "balanced_accuracy", "sensitivity", "specificity", "ece")
LOWER_IS_BETTER = {"ece", "ece_uncalibrated", "brier"}
Side = Literal["a", "b"]
Decided = Literal["accuracy", "sensitivity", "specificity"]


@dataclass(frozen=True)
class Difference:
    """A figure of the second model minus that of the first, on the same images."""

    a: float | None
    b: float | None
    value: float | None
    low: float | None
    high: float | None
    p: float | None
    """Two-sided, from the share of draws on the other side of zero; at least 2 / (draws + 1)."""
    better: Side | None
    """Whose figure is better where the 95 % interval leaves out zero; None says nothing shown."""


@dataclass(frozen=True)
class McNemar:
    """Decisions that only one of two models got right."""

    only_a: int
    only_b: int
    p: float
    """Exact, two-sided; images count as independent of each other."""


@dataclass(frozen=True)
class DeLong:
    """The difference of two correlated areas under the ROC curve, second minus first."""

    a: float
    b: float
    difference: float
    standard_error: float
    p: float
    """Two-sided, normal; images count as independent of each other."""


def differences(
    a: Scores, b: Scores, *, draws: int = DRAWS, seed: int = SEED
) -> dict[str, Difference]:
    """Paired bootstrap of whole groups: each draw is of the same images for both models.

    Args:
        a: the first model's answers.
        b: the second's, for the same images in the same order.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        ValueError: they are not answers for the same images.
    """
    _same_images(a, b)
    both = (Rates(a), Rates(b))
    whole = [one.all(np.ones((1, len(a.labels)))) for one in both]
    drawn: dict[str, list[Floats]] = {name: [] for name in COMPARED}
    for weights in bootstrap_weights(a.groups, draws=draws, seed=seed):
        first, second = (one.all(weights) for one in both)
        for name in COMPARED:
            drawn[name].append(second[name] - first[name])
    return {
        name: _difference(
            name, float(whole[0][name][0]), float(whole[1][name][0]), np.concatenate(drawn[name])
        )
        for name in COMPARED
    }


def _difference(name: str, a: float, b: float, spread: Floats) -> Difference:
    spread = spread[np.isfinite(spread)]
    if not (math.isfinite(a) and math.isfinite(b) and len(spread)):
        return Difference(None, None, None, None, None, None, None)
    low, high = (float(one) for one in np.percentile(spread, [2.5, 97.5]))
    beyond = min(int((spread <= 0).sum()), int((spread >= 0).sum()))
    p = min(1.0, 2 * (beyond + 1) / (len(spread) + 1))
    better: Side | None = None
    if low > 0 or high < 0:
        better = "b" if (low > 0) != (name in LOWER_IS_BETTER) else "a"
    return Difference(
        round(a, 6),
        round(b, 6),
        round(b - a, 6),
        round(low, 6),
        round(high, 6),
        round(p, 6),
        better,
    )


def mcnemar(a: Scores, b: Scores, of: Decided = "accuracy") -> McNemar | None:
    """McNemar's test (1947), exact, on which decisions are right.

    Args:
        a: the first model's answers.
        b: the second's, for the same images in the same order.
        of: all decisions, those on images with the finding (called so or not), or those on images
            without it (cleared or not). None for the last two without a finding.
    """
    _same_images(a, b)
    if of == "accuracy":
        right_a, right_b = (one.decisions == one.labels for one in (a, b))
    elif a.finding is None:
        return None
    else:
        found = a.class_ids.index(a.finding)
        among = (a.labels == found) == (of == "sensitivity")
        right_a, right_b = (
            ((one.decisions == found) == (of == "sensitivity")) & among for one in (a, b)
        )
        # Outside of the images in question both are wrong, which the test passes over.
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    total = only_a + only_b
    p = min(1.0, 2 * float(bdtr(min(only_a, only_b), total, 0.5))) if total else 1.0
    return McNemar(only_a, only_b, p)


def delong(a: Scores, b: Scores) -> DeLong | None:
    """DeLong, DeLong and Clarke-Pearson (1988), with the ranks of Sun and Xu (2014).

    Of the finding against the rest. None without a finding or without two images of either kind.
    """
    _same_images(a, b)
    if a.finding is None:
        return None
    found = a.class_ids.index(a.finding)
    ill = a.labels == found
    positives, negatives = int(ill.sum()), int((~ill).sum())
    if min(positives, negatives) < 2:
        return None
    areas, of_ill, of_rest = [], [], []
    for one in (a, b):
        score = one.probabilities[:, found]
        ranks = _ranks(score)
        above = (ranks[ill] - _ranks(score[ill])) / negatives
        of_ill.append(above)
        of_rest.append(1 - (ranks[~ill] - _ranks(score[~ill])) / positives)
        areas.append(float(above.mean()))
    spread = np.cov(np.stack(of_ill)) / positives + np.cov(np.stack(of_rest)) / negatives
    difference = areas[1] - areas[0]
    error = math.sqrt(max(0.0, float(spread[0, 0] + spread[1, 1] - 2 * spread[0, 1])))
    if error < 1e-12:
        p = 1.0 if abs(difference) < 1e-12 else 0.0
    else:
        p = float(2 * ndtr(-abs(difference) / error))
    return DeLong(areas[0], areas[1], difference, error, p)


def _ranks(values: Floats) -> Floats:
    """Ranks from 1; equal values share the middle of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[places])


def _same_images(a: Scores, b: Scores) -> None:
    same = (
        a.class_ids == b.class_ids
        and a.finding == b.finding
        and np.array_equal(a.labels, b.labels)
        and np.array_equal(a.groups, b.groups)
    )
    if not same:
        raise ValueError("the two models did not answer for the same images")
