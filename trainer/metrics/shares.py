"""A share of images with its interval."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from diagnosis.contracts import Interval

#: Of a normal distribution, for 95 %.
_Z = 1.959964


def share(chosen: NDArray[np.bool_], groups: Sequence[str]) -> Interval:
    """Share of images, with a Wilson interval that counts groups.

    Images of one patient or one photograph are taken for one observation, which makes the
    interval wider than one that counts images, and right where they are all alike (Wilson 1927).
    """
    value, count = float(chosen.mean()), len(set(groups))
    middle = (value + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * sqrt(value * (1 - value) / count + _Z**2 / (4 * count**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(
        value=round(value, 4), low=round(min(low, value), 4), high=round(max(high, value), 4)
    )
