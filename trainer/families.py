"""Acquisition families: images of one origin, told by their file names, and models without them.

The patterns are facts of a data set (see `trainer.about`). A validation split of the same origin
flatters. A model that is fitted without a family and then measured on it says more about films
from elsewhere.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

from trainer.data import Example
from trainer.refusals import DataRefused

_MOST_FITS = 16


@dataclass(frozen=True)
class Families:
    """Names of families, each with a pattern searched for in file names; the first match wins."""

    patterns: tuple[tuple[str, str], ...] = ()

    def of(self, example: Example) -> str:
        """The family of an example; `other` where no pattern matches."""
        for name, pattern in self.patterns:
            if re.search(pattern, example.path.name):
                return name
        return "other"


@dataclass(frozen=True)
class LeftOut:
    """One way to leave families out: one of each class that has several."""

    name: str
    train: tuple[Example, ...]
    val: tuple[Example, ...]
    held: tuple[Example, ...]


def leave_out(
    train: Sequence[Example],
    val: Sequence[Example],
    family_of: Callable[[Example], str],
    class_ids: Sequence[str],
) -> list[LeftOut]:
    """Every way to leave out one family of each class that has at least two.

    A class with one family cannot lose it; a tenth of its groups is held back instead, so that
    both classes stand among the held images.

    Raises:
        DataRefused: no class has two families, there would be more fits than are of use, or one
            of them would lack a class.
    """
    options: list[list[str]] = []
    for class_id in class_ids:
        found = sorted({family_of(one) for one in train if one.class_id == class_id})
        options.append(found if len(found) > 1 else [""])
    if all(names == [""] for names in options):
        raise DataRefused("No class has two acquisition families by these patterns.")
    choices = list(product(*options))
    if len(choices) > _MOST_FITS:
        raise DataRefused(
            f"Leaving families out would take {len(choices)} fits, at most {_MOST_FITS}."
        )
    ways = [_without(choice, train, val, family_of, class_ids) for choice in choices]
    for one in ways:
        for side, examples in (("training", one.train), ("validation", one.val)):
            missing = sorted(set(class_ids) - {example.class_id for example in examples})
            if missing:
                raise DataRefused(
                    f"Leaving {one.name} out leaves no {side} image of {', '.join(missing)}."
                )
    return ways


def _without(
    choice: Sequence[str],
    train: Sequence[Example],
    val: Sequence[Example],
    family_of: Callable[[Example], str],
    class_ids: Sequence[str],
) -> LeftOut:
    gone = dict(zip(class_ids, choice, strict=True))
    spared = {class_id for class_id, family in gone.items() if not family}
    tenth = {
        class_id: set(sorted({one.group for one in train if one.class_id == class_id})[::10])
        for class_id in spared
    }

    def is_held(one: Example) -> bool:
        if one.class_id in spared:
            return one.group in tenth[one.class_id]
        return family_of(one) == gone[one.class_id]

    # A patient with images of two families stays on one side, and it is the held one.
    groups = {one.group for one in train if is_held(one)}
    return LeftOut(
        name=" + ".join(family for family in choice if family),
        train=tuple(one for one in train if one.group not in groups),
        val=tuple(one for one in val if not is_held(one) and one.group not in groups),
        held=tuple(one for one in train if is_held(one)),
    )
