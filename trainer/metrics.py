"""Figures of a classifier with 95 % intervals: 1,000 bootstrap draws of whole groups.

A draw is a weight an image (how often its group was drawn), so every figure is a weighted sum and
a thousand draws are a matrix product; nothing is sorted twice.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DRAWS = 1000
SEED = 20_260_101
ECE_BINS = 15
#: Draws weighted at once: bounds the memory at a few tens of megabytes.
_CHUNK = 100


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval; all None where the data do not define it."""

    value: float | None
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, float | None]:
        """As the report and the JSON write it."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Scores:
    """What a model answered for labelled images."""

    class_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    """(N,), place of the true class."""
    probabilities: Floats
    """(N, classes)."""
    groups: NDArray[np.int64]
    """(N,), a number for each group."""
    finding: str | None
    threshold: float | None
    """On the finding's probability; None decides by the most probable class."""

    @property
    def decisions(self) -> NDArray[np.int64]:
        """(N,), place of the class that was decided for."""
        most_probable = self.probabilities.argmax(axis=1)
        if self.threshold is None or self.finding is None or len(self.class_ids) != 2:
            return np.asarray(most_probable, np.int64)
        found = self.class_ids.index(self.finding)
        positive = self.probabilities[:, found] >= self.threshold
        return np.where(positive, found, 1 - found).astype(np.int64)


def confusion(scores: Scores) -> dict[str, dict[str, int]]:
    """Counts by true class, then by decided class."""
    counts = np.zeros((len(scores.class_ids),) * 2, np.int64)
    np.add.at(counts, (scores.labels, scores.decisions), 1)
    return {
        true: {said: int(counts[i, j]) for j, said in enumerate(scores.class_ids)}
        for i, true in enumerate(scores.class_ids)
    }


def figures(scores: Scores, *, draws: int = DRAWS, seed: int = SEED) -> dict[str, Figure]:
    """The figures of the card and of `trainer evaluate`, each with its interval."""
    rates = _Rates(scores)
    return _with_intervals(rates.all, scores.groups, draws, seed)


def baseline(scores: Scores) -> dict[str, float]:
    """The figures of a model that calls every image the finding, where they are defined."""
    if scores.finding is None:
        return {}
    finding = scores.class_ids.index(scores.finding)
    always = np.zeros_like(scores.probabilities)
    always[:, finding] = 1.0
    same = Scores(scores.class_ids, scores.labels, always, scores.groups, scores.finding, None)
    values = _Rates(same).all(np.ones((1, len(scores.labels))))
    return {name: float(value[0]) for name, value in values.items() if np.isfinite(value[0])}


def per_class(scores: Scores) -> dict[str, dict[str, float | int | None]]:
    """Precision, recall, F1 and support of each class at the decision."""
    table = confusion(scores)
    rows: dict[str, dict[str, float | int | None]] = {}
    for name in scores.class_ids:
        hits = table[name][name]
        support = sum(table[name].values())
        called = sum(row[name] for row in table.values())
        rows[name] = {
            "precision": hits / called if called else None,
            "recall": hits / support if support else None,
            "f1": 2 * hits / (called + support) if called + support else None,
            "support": support,
        }
    return rows


class _Rates:
    """Computes every figure for many draws at once from weights (draws, N)."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        count = len(scores.class_ids)
        self._pairs = np.zeros((len(scores.labels), count * count))
        places = scores.labels * count + scores.decisions
        self._pairs[np.arange(len(places)), places] = 1.0
        self._curves = [
            _Curve(scores.probabilities[:, place], scores.labels == place) for place in range(count)
        ]
        self._bins = _Bins(scores)

    def all(self, weights: Floats) -> dict[str, Floats]:
        """Each figure, (draws,), NaN where a draw does not define it."""
        scores, count = self.scores, len(self.scores.class_ids)
        table = (weights @ self._pairs).reshape(-1, count, count)
        hits = np.einsum("dii->di", table)
        support = table.sum(axis=2)
        recalls = _ratio(hits, support)
        result = {
            "accuracy": _ratio(hits.sum(axis=1), support.sum(axis=1)),
            "balanced_accuracy": recalls.mean(axis=1),
        }
        nothing = np.full(len(weights), np.nan)
        sensitivity = specificity = at_88 = nothing
        found = None if scores.finding is None else scores.class_ids.index(scores.finding)
        auc = [curve.auc(weights) for curve in (self._curves if count > 2 else self._curves[-1:])]
        result["auc"] = np.mean(auc, axis=0)
        if found is not None:
            sensitivity = recalls[:, found]
            rest = np.delete(np.arange(count), found)
            cleared = table[:, rest][:, :, rest].sum(axis=(1, 2))
            specificity = _ratio(cleared, support[:, rest].sum(axis=1))
            at_88 = self._curves[found].sensitivity_at(weights, 0.88)
        result["sensitivity"] = sensitivity
        result["specificity"] = specificity
        result["ece"] = self._bins.ece(weights)
        result["sensitivity_at_specificity_88"] = at_88
        return result


class _Curve:
    """The ROC curve of one class against the rest, for many weightings of the same scores."""

    def __init__(self, scores: Floats, positive: NDArray[np.bool_]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ordered = scores[self._order]
        # Equal scores are one point of the curve.
        self._starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
        self._positive = positive[self._order].astype(np.float64)

    def _steps(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weight of positives and of negatives at each distinct score, highest first."""
        ordered = weights[:, self._order]
        positives = np.add.reduceat(ordered * self._positive, self._starts, axis=1)
        negatives = np.add.reduceat(ordered * (1 - self._positive), self._starts, axis=1)
        return positives, negatives

    def auc(self, weights: Floats) -> Floats:
        """Area under the curve; a tie counts one half."""
        positives, negatives = self._steps(weights)
        below = negatives[:, ::-1].cumsum(axis=1)[:, ::-1] - negatives / 2
        return _ratio(
            (positives * below).sum(axis=1), positives.sum(axis=1) * negatives.sum(axis=1)
        )

    def sensitivity_at(self, weights: Floats, specificity: float) -> Floats:
        """The highest sensitivity of a threshold whose specificity is at least the given one."""
        positives, negatives = self._steps(weights)
        false_alarms = _ratio(negatives.cumsum(axis=1), negatives.sum(axis=1, keepdims=True))
        caught = _ratio(positives.cumsum(axis=1), positives.sum(axis=1, keepdims=True))
        allowed = (false_alarms <= 1 - specificity + 1e-9).sum(axis=1)
        rows = np.arange(len(weights))
        reached = np.where(allowed > 0, caught[rows, np.maximum(allowed - 1, 0)], 0.0)
        defined = np.isfinite(caught[:, -1]) & np.isfinite(false_alarms[:, -1])
        return np.where(defined, reached, np.nan)


class _Bins:
    """Expected calibration error of the most probable class, in 15 bins of equal width."""

    def __init__(self, scores: Scores) -> None:
        confidence = scores.probabilities.max(axis=1)
        right = scores.probabilities.argmax(axis=1) == scores.labels
        place = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
        self._gaps = np.zeros((len(confidence), ECE_BINS))
        self._gaps[np.arange(len(place)), place] = right - confidence

    def ece(self, weights: Floats) -> Floats:
        """The mean distance between confidence and share right, weighted by the bins' sizes."""
        return _ratio(np.abs(weights @ self._gaps).sum(axis=1), weights.sum(axis=1))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)


def _with_intervals(
    statistic: Callable[[Floats], Mapping[str, Floats]],
    groups: NDArray[np.int64],
    draws: int,
    seed: int,
) -> dict[str, Figure]:
    whole = statistic(np.ones((1, len(groups))))
    drawn: dict[str, list[Floats]] = {name: [] for name in whole}
    for weights in bootstrap_weights(groups, draws=draws, seed=seed):
        for name, values in statistic(weights).items():
            drawn[name].append(values)
    result = {}
    for name, value in whole.items():
        if not np.isfinite(value[0]):
            result[name] = Figure(None, None, None)
            continue
        spread = np.concatenate(drawn[name])
        spread = spread[np.isfinite(spread)]
        if not len(spread):
            result[name] = Figure(round(float(value[0]), 6), None, None)
            continue
        low, high = np.percentile(spread, [2.5, 97.5])
        result[name] = Figure(*(round(float(one), 6) for one in (value[0], low, high)))
    return result


def bootstrap_weights(
    groups: NDArray[np.int64], *, draws: int = DRAWS, seed: int = SEED
) -> Iterator[Floats]:
    """Weights (at most 100, N) of draws of whole groups with replacement, `draws` in all."""
    names, places = np.unique(groups, return_inverse=True)
    random = np.random.default_rng(seed)
    for start in range(0, draws, _CHUNK):
        size = min(_CHUNK, draws - start)
        drawn = random.integers(0, len(names), (size, len(names)))
        offsets = np.arange(size)[:, np.newaxis] * len(names)
        times = np.bincount((drawn + offsets).ravel(), minlength=size * len(names))
        yield times.reshape(size, -1)[:, places].astype(np.float64)
