"""What operating points do: sensitivity, specificity and the predictive values.

A predictive value depends on how common the finding is. Data sets hold far more of it than a
waiting room does, so each is also stated for prevalences that a reader can compare with his own.
"""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.bootstrap import DRAWS, SEED, Figure, ratio, with_intervals
from trainer.metrics.scores import Floats, Scores

#: Shares of patients with the finding for which predictive values are stated.
PREVALENCES = (0.01, 0.05, 0.1, 0.2, 0.5)
Name = TypeVar("Name", bound=str)


def predictive_name(value: str, prevalence: float) -> str:
    """`ppv_at_prevalence_10` for the positive predictive value at 10 %."""
    return f"{value}_at_prevalence_{round(100 * prevalence):d}"


def at_points(
    scores: Scores, thresholds: Mapping[Name, float], *, draws: int = DRAWS, seed: int = SEED
) -> dict[Name, dict[str, Figure]]:
    """Figures of each operating point: the finding against the rest at its threshold.

    Args:
        scores: of any number of classes.
        thresholds: of the finding's probability, 0 to 1, by the point's name.
        draws: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        For each point `sensitivity`, `specificity`, `ppv`, `npv` as on these images, and
        `ppv_at_prevalence_1` to `npv_at_prevalence_50` by Bayes' theorem (Altman and Bland 1994).
        Empty without a finding.
    """
    if scores.finding is None or not thresholds:
        return {}
    found = scores.class_ids.index(scores.finding)
    ill = scores.labels == found
    called = {name: scores.probabilities[:, found] >= at for name, at in thresholds.items()}
    columns = [ill, *(part for one in called.values() for part in (one, one & ill))]
    cells = np.stack(columns, axis=1).astype(np.float64)

    def statistic(weights: Floats) -> dict[tuple[Name, str], Floats]:
        sums, whole = weights @ cells, weights.sum(axis=1)
        result: dict[tuple[Name, str], Floats] = {}
        for place, name in enumerate(called):
            rates = _rates(sums[:, 0], sums[:, 1 + 2 * place], sums[:, 2 + 2 * place], whole)
            result |= {(name, key): values for key, values in rates.items()}
        return result

    among: dict[tuple[Name, str], NDArray[np.bool_]] = {}
    for name, one in called.items():
        shares = {"sensitivity": ill, "specificity": ~ill, "ppv": one, "npv": ~one}
        among |= {(name, key): images for key, images in shares.items()}
    found_figures = with_intervals(statistic, scores.groups, draws=draws, seed=seed, among=among)
    points: dict[Name, dict[str, Figure]] = {name: {} for name in called}
    for (name, key), figure in found_figures.items():
        points[name][key] = figure
    for point in points.values():
        _open_predictive_values(point)
    return points


def _open_predictive_values(point: dict[str, Figure]) -> None:
    """Where no image was a false alarm, or none was missed, every draw says so too.

    Then the predictive value's low end is that of the exact low end of the rate it hangs on.
    """
    sensitivity, specificity = point["sensitivity"], point["specificity"]
    for value, certain, other in (
        ("ppv", specificity, sensitivity),
        ("npv", sensitivity, specificity),
    ):
        if certain.value != 1 or certain.low is None or not other.value:
            continue
        for one in PREVALENCES:
            share = one if value == "ppv" else 1 - one
            true, false = other.value * share, (1 - certain.low) * (1 - share)
            low = round(true / (true + false), 6)
            point[predictive_name(value, one)] = Figure(1.0, low, 1.0)


def _rates(ill: Floats, called: Floats, caught: Floats, whole: Floats) -> dict[str, Floats]:
    cleared = whole - ill - called + caught
    sensitivity, specificity = ratio(caught, ill), ratio(cleared, whole - ill)
    rates = {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": ratio(caught, called),
        "npv": ratio(cleared, whole - called),
    }
    for one in PREVALENCES:
        true, false = sensitivity * one, (1 - specificity) * (1 - one)
        rates[predictive_name("ppv", one)] = ratio(true, true + false)
        true, false = specificity * (1 - one), (1 - sensitivity) * one
        rates[predictive_name("npv", one)] = ratio(true, true + false)
    return rates
