"""The figures of a classifier, of each of its classes, and of two models that know nothing."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.bootstrap import DRAWS, SEED, Figure, ratio, with_intervals
from trainer.metrics.curves import Bins, Curve, auc, brier, sensitivity_at
from trainer.metrics.scores import Floats, Scores, confusion

SPECIFICITY = 0.88


def figures(scores: Scores, *, draws: int = DRAWS, seed: int = SEED) -> dict[str, Figure]:
    """The figures of the card and of `trainer evaluate`, each with its interval."""
    rates = Rates(scores)
    return with_intervals(rates.all, scores.groups, draws=draws, seed=seed, among=rates.among())


def class_figures(
    scores: Scores, *, draws: int = DRAWS, seed: int = SEED
) -> dict[str, dict[str, Figure]]:
    """AUC, sensitivity, specificity, PPV and NPV of each class against the rest, by class.

    All but the AUC at the decision: the operating point, or the most probable class.
    """
    rates = Rates(scores)
    found = with_intervals(
        rates.by_class, scores.groups, draws=draws, seed=seed, among=rates.among_by_class()
    )
    result: dict[str, dict[str, Figure]] = {class_id: {} for class_id in scores.class_ids}
    for (class_id, name), figure in found.items():
        result[class_id][name] = figure
    return result


def baseline(scores: Scores) -> dict[str, float]:
    """The figures of a model that calls every image the finding, where they are defined."""
    return {} if scores.finding is None else _always(scores, scores.finding)


def majority_class(scores: Scores) -> str:
    """The most common class of these images; the first of those that are equally common."""
    counts = np.bincount(scores.labels, minlength=len(scores.class_ids))
    return scores.class_ids[int(counts.argmax())]


def majority_baseline(scores: Scores) -> dict[str, float]:
    """The figures of a model that calls every image the most common class."""
    return _always(scores, majority_class(scores))


def _always(scores: Scores, class_id: str) -> dict[str, float]:
    always = np.zeros_like(scores.probabilities)
    always[:, scores.class_ids.index(class_id)] = 1.0
    same = replace(scores, probabilities=always, threshold=None, uncalibrated=None)
    values = Rates(same).all(np.ones((1, len(scores.labels))))
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


class Rates:
    """Computes every figure for many draws at once from weights (draws, N)."""

    def __init__(self, scores: Scores) -> None:
        self.scores = scores
        self._decisions = scores.decisions
        count = len(scores.class_ids)
        self._found = None if scores.finding is None else scores.class_ids.index(scores.finding)
        self._pairs = np.zeros((len(scores.labels), count * count))
        places = scores.labels * count + self._decisions
        self._pairs[np.arange(len(places)), places] = 1.0
        self._curves: dict[int, Curve] = {}
        self._bins = Bins(scores.probabilities, scores.labels)
        self._bins_before = (
            None if scores.uncalibrated is None else Bins(scores.uncalibrated, scores.labels)
        )
        self._brier = brier(scores.probabilities, scores.labels)

    def all(self, weights: Floats) -> dict[str, Floats]:
        """Each figure, (draws,), NaN where a draw does not define it."""
        count, found = len(self.scores.class_ids), self._found
        table = self._table(weights)
        hits = np.einsum("dii->di", table)
        support = table.sum(axis=2)
        nothing = np.full(len(weights), np.nan)
        # Of two classes both curves have the same area.
        ranked = range(count) if count > 2 else (1 if found is None else found,)
        areas, at_fixed = [], nothing
        for place in ranked:
            steps = self._curve(place).steps(weights)
            areas.append(auc(*steps))
            if place == found:
                at_fixed = sensitivity_at(*steps, SPECIFICITY)
        one = self._against_rest(table, found) if found is not None else {}
        result = {
            "accuracy": ratio(hits.sum(axis=1), support.sum(axis=1)),
            "balanced_accuracy": ratio(hits, support).mean(axis=1),
            "auc": np.mean(areas, axis=0),
            "sensitivity": one.get("sensitivity", nothing),
            "specificity": one.get("specificity", nothing),
            "ppv": one.get("ppv", nothing),
            "npv": one.get("npv", nothing),
            "ece": self._bins.ece(weights),
            "sensitivity_at_specificity_88": at_fixed,
            "brier": ratio(weights @ self._brier, weights.sum(axis=1)),
        }
        if self._bins_before is not None:
            result["ece_uncalibrated"] = self._bins_before.ece(weights)
        return result

    def by_class(self, weights: Floats) -> dict[tuple[str, str], Floats]:
        """Each figure of each class against the rest, by class and name."""
        table = self._table(weights)
        result = {}
        for place, class_id in enumerate(self.scores.class_ids):
            result[class_id, "auc"] = auc(*self._curve(place).steps(weights))
            for name, values in self._against_rest(table, place).items():
                result[class_id, name] = values
        return result

    def among(self) -> dict[str, NDArray[np.bool_]]:
        """The images that each share is a share of."""
        labels = self.scores.labels
        sizes = np.bincount(labels, minlength=len(self.scores.class_ids))
        result = {
            "accuracy": np.ones(len(labels), np.bool_),
            "balanced_accuracy": labels == int(sizes.argmin()),
        }
        if self._found is not None:
            result |= self._shares(self._found)
            result["sensitivity_at_specificity_88"] = labels == self._found
        return result

    def among_by_class(self) -> dict[tuple[str, str], NDArray[np.bool_]]:
        """The same for the figures of each class."""
        return {
            (class_id, name): among
            for place, class_id in enumerate(self.scores.class_ids)
            for name, among in self._shares(place).items()
        }

    def _shares(self, place: int) -> dict[str, NDArray[np.bool_]]:
        is_so, said = self.scores.labels == place, self._decisions == place
        return {"sensitivity": is_so, "specificity": ~is_so, "ppv": said, "npv": ~said}

    def _table(self, weights: Floats) -> Floats:
        """The confusion matrices, (draws, true, decided)."""
        count = len(self.scores.class_ids)
        return np.asarray((weights @ self._pairs).reshape(-1, count, count))

    def _curve(self, place: int) -> Curve:
        if place not in self._curves:
            positive = self.scores.labels == place
            self._curves[place] = Curve(self.scores.probabilities[:, place], positive)
        return self._curves[place]

    @staticmethod
    def _against_rest(table: Floats, place: int) -> dict[str, Floats]:
        """A class against all others: a case of the rest that is called another of the rest counts
        as cleared."""
        caught = table[:, place, place]
        ill, called = table[:, place].sum(axis=1), table[:, :, place].sum(axis=1)
        whole = table.sum(axis=(1, 2))
        cleared = whole - ill - called + caught
        return {
            "sensitivity": ratio(caught, ill),
            "specificity": ratio(cleared, whole - ill),
            "ppv": ratio(caught, called),
            "npv": ratio(cleared, whole - called),
        }
