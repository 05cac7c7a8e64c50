"""The kinds of values that an allowed class may hold in `config.json`.

Each kind says in `problem` what is wrong with a value, or None. None itself is a value of every
kind: Keras writes null for what was not set.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

#: No tensor and no layer has a side longer than this.
MAX_DIMENSION = 100_000
#: Of literal lists of numbers, such as the means of a Normalization.
MAX_NUMBERS = 10_000

# No slash: Keras 3 refuses slashes in layer names itself. A dot only in front of a digit, as in
# mobilenetv2_1.00_224, so that no name can be a file's.
NAME = re.compile(r"(?=.{1,100}$)[A-Za-z0-9_][A-Za-z0-9_-]*(?:\.[0-9][A-Za-z0-9_-]*)*")

Category = Literal[
    "model", "layer", "operation", "tensor", "dtype", "initializer", "regularizer", "constraint"
]


def is_whole(value: object) -> bool:
    """An int that is not a bool; JSON's true would pass for 1."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """A finite int or float that is not a bool."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_name(value: object) -> bool:
    """A string that may name a layer."""
    return isinstance(value, str) and NAME.fullmatch(value) is not None


@dataclass(frozen=True)
class Flag:
    """true or false; `only` allows one of them."""

    only: bool | None = None

    def problem(self, value: object) -> str | None:
        if not isinstance(value, bool):
            return "is not true or false"
        return None if self.only is None or value is self.only else f"is not {self.only}"


@dataclass(frozen=True)
class Word:
    """A string from a closed list."""

    words: frozenset[str]

    def problem(self, value: object) -> str | None:
        return None if isinstance(value, str) and value in self.words else "is not an allowed word"


@dataclass(frozen=True)
class Name:
    """The name of a layer."""

    def problem(self, value: object) -> str | None:
        return None if is_name(value) else "is not a plain name"


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, or a list of them nested at most twice."""

    low: int
    high: int

    def problem(self, value: object, depth: int = 0) -> str | None:
        if value is None and depth:
            return None
        if isinstance(value, list):
            if depth == 2 or len(value) > 16:
                return "is nested too deep or too long"
            problems = (self.problem(item, depth + 1) for item in value)
            return next((problem for problem in problems if problem), None)
        if isinstance(value, int) and is_whole(value) and self.low <= value <= self.high:
            return None
        return f"is not a whole number from {self.low} to {self.high}"


@dataclass(frozen=True)
class Number:
    """A finite number, or a nested list of at most MAX_NUMBERS."""

    def problem(self, value: object) -> str | None:
        pending, seen = [value], 0
        while pending:
            item = pending.pop()
            seen += 1
            if seen > MAX_NUMBERS:
                return f"holds more than {MAX_NUMBERS} numbers"
            if isinstance(item, list):
                pending.extend(item)
            elif not is_number(item):
                return "is not a finite number"
        return None


@dataclass(frozen=True)
class Nothing:
    """null and nothing else."""

    def problem(self, value: object) -> str | None:
        return None if value is None else "is not null"


@dataclass(frozen=True)
class Part:
    """Another allowed object of one category, or one of `words` in its place."""

    category: Category
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Layers:
    """The list of layers of a model."""


@dataclass(frozen=True)
class Ends:
    """The inputs or outputs of a model: [name, node, tensor], or a list or mapping of these."""


Kind = Flag | Word | Name | Whole | Number | Nothing | Part | Layers | Ends


@dataclass(frozen=True)
class Allowed:
    """What one class may hold in its `config`."""

    category: Category
    fields: dict[str, Kind]
    registered_name: str | None = None


FLAG = Flag()
NAMED = Name()
AXIS = Whole(-8, 8)
SMALL = Whole(0, 1024)
SIZE = Whole(1, MAX_DIMENSION)
SHAPE = Whole(-1, MAX_DIMENSION)
SEED = Whole(-(2**63), 2**63)
NUMBER = Number()


def words(*allowed: str) -> Word:
    """A closed list of strings."""
    return Word(frozenset(allowed))
