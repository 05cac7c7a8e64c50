"""The ROC curve and the calibration error, for many weightings of the same scores at once."""

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.bootstrap import DRAWS, SEED, Figure, ratio
from trainer.metrics.scores import Floats, Scores

ECE_BINS = 15
_SLACK = 1e-9


class Curve:
    """The ROC curve of one class against the rest, for many weightings of the same scores."""

    def __init__(self, scores: Floats, positive: NDArray[np.bool_]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        # Equal scores are one point of the curve.
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._positive = positive[self._order].astype(np.float64)
        self.thresholds = ordered[self._starts]
        """(points,), the distinct scores, highest first; at or above one counts as positive."""

    def steps(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weight of positives and of negatives, (draws, points), at each distinct score."""
        ordered = weights[:, self._order]
        positives = ordered * self._positive
        if len(self._starts) == ordered.shape[1]:
            return positives, ordered - positives
        return (
            np.add.reduceat(positives, self._starts, axis=1),
            np.add.reduceat(ordered - positives, self._starts, axis=1),
        )


def auc(positives: Floats, negatives: Floats) -> Floats:
    """Area under the curve of `Curve.steps` (Hanley and McNeil 1982); a tie counts one half."""
    total = negatives.sum(axis=1)
    below = total[:, np.newaxis] - negatives.cumsum(axis=1) + negatives / 2
    area = np.einsum("dp,dp->d", positives, below)
    return ratio(area, positives.sum(axis=1) * total)


def sensitivity_at(positives: Floats, negatives: Floats, specificity: float) -> Floats:
    """The highest sensitivity of a threshold whose specificity is at least the given one."""
    allowed = _allowed(negatives, specificity)
    caught = ratio(positives.cumsum(axis=1), positives.sum(axis=1, keepdims=True))
    rows = np.arange(len(allowed))
    reached = np.where(allowed > 0, caught[rows, np.maximum(allowed - 1, 0)], 0.0)
    defined = (positives.sum(axis=1) > 0) & (negatives.sum(axis=1) > 0)
    return np.where(defined, reached, np.nan)


def _allowed(negatives: Floats, specificity: float) -> NDArray[np.int64]:
    """How many of the highest distinct scores may count as positive, (draws,)."""
    alarms = ratio(negatives.cumsum(axis=1), negatives.sum(axis=1, keepdims=True))
    return np.asarray((alarms <= 1 - specificity + _SLACK).sum(axis=1), np.int64)


def threshold_at(scores: Scores, specificity: float) -> dict[str, float] | None:
    """The threshold behind `sensitivity_at`, on the finding's probability against the rest.

    Returns:
        threshold, and the sensitivity and specificity that it has on these images; None without
        a finding, without both kinds of image, or where only a threshold above every score would
        be specific enough.
    """
    if scores.finding is None:
        return None
    found = scores.class_ids.index(scores.finding)
    positive = scores.labels == found
    if positive.all() or not positive.any():
        return None
    curve = Curve(scores.probabilities[:, found], positive)
    _, negatives = curve.steps(np.ones((1, len(positive))))
    allowed = int(_allowed(negatives, specificity)[0])
    if not allowed:
        return None
    threshold = float(curve.thresholds[allowed - 1])
    called = scores.probabilities[:, found] >= threshold
    return {
        "threshold": threshold,
        "sensitivity": round(float(called[positive].mean()), 6),
        "specificity": round(float((~called)[~positive].mean()), 6),
    }


class Bins:
    """Expected calibration error of the most probable class, in 15 bins of equal width.

    Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017.
    """

    def __init__(self, probabilities: Floats, labels: NDArray[np.int64]) -> None:
        confidence = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == labels
        self._place = bin_of(confidence)
        self._gaps = np.zeros((len(confidence), ECE_BINS))
        self._gaps[np.arange(len(confidence)), self._place] = right - confidence

    def ece(self, weights: Floats) -> Floats:
        """The mean distance between confidence and share right, weighted by the bins' sizes."""
        return ratio(np.abs(weights @ self._gaps).sum(axis=1), weights.sum(axis=1))


def chance_ece(probabilities: Floats) -> Figure:
    """The calibration error that a perfectly calibrated model would show with these probabilities.

    On few images it is far from 0: a measured error within this range says nothing against a
    model. The mean of `DRAWS` draws, in each of which an image is right with the probability of
    its most probable class, and the middle 95 % of them.
    """
    confidence = probabilities.max(axis=1)
    place = bin_of(confidence)
    right = np.random.default_rng(SEED).random((DRAWS, len(confidence))) < confidence
    gaps = np.stack(
        [(right - confidence)[:, place == one].sum(axis=1) for one in range(ECE_BINS)], axis=1
    )
    errors = np.abs(gaps).sum(axis=1) / len(confidence)
    low, high = np.quantile(errors, (0.025, 0.975))
    return Figure(float(errors.mean()), float(low), float(high))


def bin_of(probability: Floats) -> NDArray[np.int64]:
    """The bin, 0 to 14, of each probability."""
    return np.minimum((probability * ECE_BINS).astype(np.int64), ECE_BINS - 1)


def brier(probabilities: Floats, labels: NDArray[np.int64]) -> Floats:
    """The Brier score of each image, (N,): 0 is best (Brier 1950).

    Of two classes the square of one probability's error, 0 to 1; of more the sum over the
    classes, 0 to 2.
    """
    errors = probabilities - np.eye(probabilities.shape[1])[labels]
    total = (errors**2).sum(axis=1)
    return np.asarray(total / 2 if probabilities.shape[1] == 2 else total)
