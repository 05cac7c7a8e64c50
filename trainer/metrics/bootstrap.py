"""Intervals: the percentile bootstrap of whole groups (Efron 1979; groups as in Field 2007)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.scores import Floats

DRAWS = 1000
SEED = 20_260_101
#: Draws weighted at once: bounds the memory at a few tens of megabytes.
_CHUNK = 100
_TAIL = 0.025

Key = TypeVar("Key")
#: From weights (draws, N) to each figure, (draws,), NaN where a draw does not define it.
Statistic = Callable[[Floats], Mapping[Key, Floats]]


@dataclass(frozen=True)
class Figure:
    """A figure with its 95 % interval; all None where the data do not define it."""

    value: float | None
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, float | None]:
        """As the report and the JSON write it."""
        return {"value": self.value, "low": self.low, "high": self.high}


def with_intervals(
    statistic: Statistic[Key],
    groups: NDArray[np.int64],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    among: Mapping[Key, NDArray[np.bool_]] | None = None,
) -> dict[Key, Figure]:
    """Each figure of a statistic with its interval.

    Args:
        statistic: computes all figures for many draws at once.
        groups: (N,), a number for each image's group.
        draws: of the bootstrap.
        seed: of the bootstrap.
        among: for figures that are shares, the images (N,) they are shares of. Where such a share
            is 0 or 1 every draw says the same, and the interval would be a point: then the exact
            bound for as many trials as there are groups is taken (Clopper and Pearson 1934).
    """
    whole = statistic(np.ones((1, len(groups))))
    drawn: dict[Key, list[Floats]] = {name: [] for name in whole}
    for weights in bootstrap_weights(groups, draws=draws, seed=seed):
        for name, values in statistic(weights).items():
            drawn[name].append(values)
    result = {}
    for name, value in whole.items():
        figure = _figure(float(value[0]), np.concatenate(drawn[name]))
        shared = (among or {}).get(name)
        result[name] = figure if shared is None else _opened(figure, groups[shared])
    return result


def _figure(value: float, spread: Floats) -> Figure:
    if not np.isfinite(value):
        return Figure(None, None, None)
    spread = spread[np.isfinite(spread)]
    if not len(spread):
        return Figure(round(value, 6), None, None)
    low, high = np.percentile(spread, [100 * _TAIL, 100 * (1 - _TAIL)])
    return Figure(*(round(float(one), 6) for one in (value, low, high)))


def _opened(figure: Figure, groups: NDArray[np.int64]) -> Figure:
    """A share of exactly 0 or 1 with the end of its interval that the bootstrap cannot see."""
    trials = len(np.unique(groups))
    if figure.low is None or figure.low != figure.high or figure.value not in (0, 1) or not trials:
        return figure
    bound = _TAIL ** (1 / trials)
    if figure.value == 1:
        return Figure(1.0, round(bound, 6), 1.0)
    return Figure(0.0, 0.0, round(1 - bound, 6))


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


def ratio(top: Floats, bottom: Floats) -> Floats:
    """`top / bottom`, NaN where there is nothing below."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)
