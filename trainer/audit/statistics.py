"""What the counts of an audit mean: sets too small to measure on, marks that tell the class."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
from scipy.stats import chi2_contingency

_Z = 1.959964
#: Of a 95 % interval; a wider one says too little to compare models by.
LARGEST_HALF_WIDTH = 0.10
#: The sensitivity that the interval is stated for; at 0.5 it is wider, at 0.99 narrower.
EXPECTED = 0.90
#: Difference between two classes' shares, and significance, from which on a property is reported.
LEAST_DIFFERENCE = 0.10
LARGEST_P = 0.01
#: A class needs so many images for its share to count.
_FEWEST = 20


def half_width(n: int, p: float = EXPECTED) -> float:
    """Half the width of Wilson's 95 % interval of a share `p` measured on `n` images, 0 to 0.5."""
    return _Z * sqrt(p * (1 - p) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)


def small_sets(
    units: Mapping[str, Mapping[str, int]], splits: Sequence[str] = ("val", "test")
) -> list[dict[str, Any]]:
    """For each class of the splits that are measured on, how well a sensitivity can be known.

    Args:
        units: by split and class, the number of groups, or of images where no groups are known:
            several images of one patient say little more than one.
        splits: the splits that are measured on.
    """
    rows = []
    for split in splits:
        for class_id, count in units.get(split, {}).items():
            wide = half_width(count) if count else 0.5
            rows.append(
                {
                    "split": split,
                    "class": class_id,
                    "units": count,
                    "half_width": round(wide, 3),
                    "too_small": wide > LARGEST_HALF_WIDTH,
                }
            )
    return rows


def shares(values: Sequence[bool], classes: Sequence[str]) -> dict[str, float]:
    """The share of each class's images that have a property."""
    by_class: defaultdict[str, list[bool]] = defaultdict(list)
    for value, class_id in zip(values, classes, strict=True):
        by_class[class_id].append(value)
    return {name: round(float(np.mean(of)), 4) for name, of in sorted(by_class.items())}


def tells_the_class(values: Sequence[str], classes: Sequence[str]) -> dict[str, Any] | None:
    """Whether a property of the file, which is no sign of disease, depends on the class.

    Its values are compared by a chi-squared test; reported is the value whose share differs most
    between two classes of at least 20 images.

    Returns:
        The value, its lowest and highest share and their classes, and Cramer's V; None where no
        share differs by 10 percentage points with p under 0.01.
    """
    totals = Counter(classes)
    kept = sorted(name for name, count in totals.items() if count >= _FEWEST)
    counts = Counter(zip(values, classes, strict=True))
    # Of "with" and "without" the first is reported: they differ alike.
    names = sorted(
        (name for name, _ in Counter(values).most_common(20)), key=lambda name: name == "without"
    )
    table = np.array([[counts[value, name] for name in kept] for value in names])
    rest = np.array([totals[name] for name in kept]) - table.sum(axis=0)
    if rest.any():
        table = np.vstack([table, rest])
    table = table[table.sum(axis=1) > 0]
    if len(kept) < 2 or len(table) < 2:
        return None
    test = chi2_contingency(table, correction=False)
    share = np.array([[counts[value, name] / totals[name] for name in kept] for value in names])
    widest = int(np.ptp(share, axis=1).round(9).argmax())
    low, high = int(share[widest].argmin()), int(share[widest].argmax())
    difference = float(share[widest, high] - share[widest, low])
    if difference < LEAST_DIFFERENCE or test.pvalue > LARGEST_P:
        return None
    return {
        "value": names[widest],
        "lowest": {"class": kept[low], "share": round(float(share[widest, low]), 4)},
        "highest": {"class": kept[high], "share": round(float(share[widest, high]), 4)},
        "cramers_v": round(float(sqrt(test.statistic / table.sum() / (min(table.shape) - 1))), 3),
    }
