"""Acquisition families: images of one origin, told by their file names, and models without them.

A validation split of the same origin flatters. A model that is fitted without a family and then
measured on it says more about films from elsewhere.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from trainer.data import Example
from trainer.refusals import DataRefused

#: Kermany 2018: two series of normal films, and two kinds of pneumonia.
KERMANY = (
    ("series_2", r"^NORMAL2-IM-"),
    ("series_1", r"^IM-"),
    ("bacterial", r"_bacteria_"),
    ("viral", r"_virus_"),
)
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


def read_families(choice: str | None) -> Families:
    """The families by choice: None for none, `auto` for Kermany's names, else a file of patterns.

    Each line of the file is a name, an equals sign and a regular expression; `#` begins a comment.

    Raises:
        DataRefused: the file is missing, or a line is not of that kind.
    """
    if choice is None:
        return Families()
    if choice == "auto":
        return Families(KERMANY)
    try:
        lines = Path(choice).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataRefused(f"The families {choice} cannot be read: {error}.") from error
    patterns = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        name, equals, pattern = (part.strip() for part in text.partition("="))
        try:
            re.compile(pattern)
        except re.error as error:
            raise DataRefused(f"Line {number} of {choice}: {error}.") from error
        if not (name and equals and pattern):
            raise DataRefused(f"Line {number} of {choice} is not `name = regular expression`.")
        patterns.append((name, pattern))
    return Families(tuple(patterns))


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
        DataRefused: no class has two families, or there would be more fits than are of use.
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
    return [_without(choice, train, val, family_of, class_ids) for choice in choices]


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
