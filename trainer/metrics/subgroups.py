"""Figures of parts of the images, by what a manifest's columns say: age, sex, site, view, others.

A model that is good on all images together may be poor on some of them (Oakden-Rayner et al. 2020).
A part with too few images gets no figures: they would say nothing, and look as if they did.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.metrics.bootstrap import DRAWS, SEED, Figure
from trainer.metrics.rates import figures
from trainer.metrics.scores import Scores

#: A part with fewer images has no figures.
LEAST_IMAGES = 30
#: Nor has one with fewer groups, and it is not even named: its name might be a patient's.
LEAST_GROUPS = 10
MOST_LEVELS = 12
MOST_COLUMNS = 8
SHOWN = ("auc", "balanced_accuracy", "sensitivity", "specificity", "ece")
NOT_STATED = "not stated"
OTHERS = f"others, fewer than {LEAST_GROUPS} groups each"
_LONGEST = 40
_IDENTIFIERS = re.compile(
    r"(^|_)(id|uid|name|names|patient|person|mrn|accession|birth|date|time|file|filename|path|url"
    r"|sha\d*|md5|digest|hash|note|notes|comment|comments)$",
    re.IGNORECASE,
)
_AGES = {"age", "age_years", "patient_age"}
_AGE_BANDS = ((0, "0 to 17"), (18, "18 to 39"), (40, "40 to 64"), (65, "65 and older"))


@dataclass(frozen=True)
class Subgroup:
    """One part of the images and its figures."""

    column: str
    level: str
    images: int
    groups: int
    per_class: dict[str, int]
    figures: dict[str, Figure]
    """Empty where the part is too small."""

    @property
    def too_few(self) -> bool:
        """Whether the part is too small for figures."""
        return not self.figures


@dataclass(frozen=True)
class Subgroups:
    """The parts by every usable column, and why other columns are left out."""

    parts: tuple[Subgroup, ...]
    left_out: dict[str, str]


def subgroups(
    scores: Scores,
    facts: Sequence[Mapping[str, str]],
    *,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Subgroups:
    """The figures of each level of each column.

    Args:
        scores: of N images.
        facts: for each image what the columns say, without empty values.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    parts: list[Subgroup] = []
    left_out: dict[str, str] = {}
    used = 0
    for column in sorted({name for one in facts for name in one}):
        if _IDENTIFIERS.search(column):
            left_out[column] = "its name says that it tells images or people apart"
            continue
        levels = _levels(column, [one.get(column, "") for one in facts])
        if isinstance(levels, str):
            left_out[column] = levels
        elif used == MOST_COLUMNS:
            left_out[column] = f"only the first {MOST_COLUMNS} columns are used"
        else:
            used += 1
            parts += _parts(column, levels, scores, draws, seed)
    return Subgroups(tuple(parts), left_out)


def _parts(
    column: str, levels: Sequence[str], scores: Scores, draws: int, seed: int
) -> list[Subgroup]:
    named = np.array(levels)
    small = {
        level
        for level in set(levels) - {NOT_STATED}
        if len(np.unique(scores.groups[named == level])) < LEAST_GROUPS
    }
    named = np.array([OTHERS if level in small else level for level in levels])
    order = sorted(set(levels) - small, key=_natural) + ([OTHERS] if small else [])
    return [_part(column, level, scores.part(named == level), draws, seed) for level in order]


def _part(column: str, level: str, part: Scores, draws: int, seed: int) -> Subgroup:
    groups = len(np.unique(part.groups))
    counts = np.bincount(part.labels, minlength=len(part.class_ids))
    enough = len(part.labels) >= LEAST_IMAGES and groups >= LEAST_GROUPS and level != OTHERS
    found = figures(part, draws=draws, seed=seed) if enough else {}
    return Subgroup(
        column=column,
        level=level,
        images=len(part.labels),
        groups=groups,
        per_class=dict(zip(part.class_ids, counts.tolist(), strict=True)),
        figures={name: found[name] for name in SHOWN if name in found},
    )


def _levels(column: str, values: Sequence[str]) -> list[str] | str:
    """The level of each image, or why the column cannot be used."""
    given = [value for value in values if value]
    numbers = _numbers(given)
    cut: Callable[[str], str] = str
    if numbers is not None and column.lower() in _AGES and len({_age(n) for n in numbers}) > 1:
        cut = _of_number(_age)
    elif len(set(given)) > MOST_LEVELS:
        if numbers is None:
            return f"more than {MOST_LEVELS} different values"
        cut = _of_number(_quarter(numbers))
    if any(len(value) > _LONGEST for value in (column, *given)):
        return f"its name or a value is longer than {_LONGEST} characters"
    levels = [cut(value) if value else NOT_STATED for value in values]
    return levels if len(set(levels)) > 1 else "it says the same of every image"


def _numbers(values: Sequence[str]) -> list[float] | None:
    """The values as numbers, `45` or DICOM's `045Y`; None where one is no number."""
    try:
        numbers = [_number(value) for value in values]
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _number(value: str) -> float:
    return float(value.removesuffix("Y"))


def _of_number(cut: Callable[[float], str]) -> Callable[[str], str]:
    return lambda value: cut(_number(value))


def _age(years: float) -> str:
    return [name for least, name in _AGE_BANDS if years >= least or least == 0][-1]


def _quarter(numbers: Sequence[float]) -> Callable[[float], str]:
    """Quarters of about as many images each."""
    edges = np.unique(np.quantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
    inner = edges[1:-1]

    def cut(value: float) -> str:
        place = int(np.searchsorted(inner, value, side="right"))
        until = "up to" if place == len(inner) else "below"
        return f"{edges[place]:g} {until} {edges[place + 1]:g}" if len(edges) > 1 else f"{value:g}"

    return cut


def _natural(level: str) -> tuple[bool, float, str]:
    """Numbers by their size, what is not stated last."""
    found = re.match(r"-?\d+(\.\d+)?", level)
    return level == NOT_STATED, float(found[0]) if found else float("inf"), level
