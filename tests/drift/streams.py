"""Readings as they come, day by day, and when the stop rule stops a model."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from diagnosis.drift import COMPARED, Compared, Images, Reference

#: Readings a day.
VOLUME = 50
DAYS = 30


@dataclass(frozen=True)
class Month:
    """What the stop rule made of a stretch of days."""

    windows: int
    past: dict[Compared, int]
    """Windows past the limit of each statistic."""
    stopped_on: float | None
    """The day on which the model was stopped, from 0 on; None where it was not."""
    by: tuple[Compared, ...] = ()
    """The statistics that were past their limits in all windows that stopped it."""


def chosen(
    images: Images, count: int, rng: np.random.Generator, share: float | None = None
) -> Images:
    """So many images by groups, some twice, and so that `share` of them show the second class.

    Args:
        images: to choose from.
        count: how many.
        rng: chooses.
        share: of the second class; None: as it is in the images.
    """
    if share is None:
        return images.of(_by_group(images.groups, np.arange(len(images.groups)), count, rng))
    second = int(rng.binomial(count, share))
    parts = [
        _by_group(images.groups, np.flatnonzero(images.labels == label), number, rng)
        for label, number in ((0, count - second), (1, second))
        if number
    ]
    return images.of(rng.permutation(np.concatenate(parts)))


def _by_group(
    groups: np.ndarray, among: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    names, inverse = np.unique(groups[among], return_inverse=True)
    members = [among[inverse == one] for one in range(len(names))]
    drawn = rng.integers(len(names), size=count)
    return np.concatenate([members[one] for one in drawn])[:count]


def follow(
    reference: Reference, images: Images, *, volume: int = VOLUME, until_stopped: bool = True
) -> Month:
    """Hold readings to a reference, window by window, in the order in which they come."""
    past = dict.fromkeys(COMPARED, 0)
    runs = dict.fromkeys(COMPARED, 0)
    count = len(images.kept) // reference.window
    stopped, by = None, ()
    number = 0
    for number, values in enumerate(_windows(reference, images), start=1):
        for name in COMPARED:
            out = values[name] > reference.limits[name]
            past[name] += out
            runs[name] = runs[name] + 1 if out else 0
        reached = tuple(name for name in COMPARED if runs[name] >= reference.persisted)
        if reached and stopped is None:
            stopped, by = number * reference.window / volume, reached
            if until_stopped:
                break
    return Month(number or count, past, stopped, by)


def _windows(reference: Reference, images: Images) -> Iterator[dict[Compared, float]]:
    for start in range(0, len(images.kept) - reference.window + 1, reference.window):
        one = images.of(np.arange(start, start + reference.window))
        yield reference.compare(one.kept, one.probabilities, one.finding)
