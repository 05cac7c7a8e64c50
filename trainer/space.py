"""The space of a search: a TOML file that names settings of a recipe and what they may be.

["fine-tuning.learning_rate"]
low = 1e-4
high = 1e-2
log = true

[weighting]
choices = ["class", "family"]
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from trainer.overrides import Key, as_word, keys, read_value
from trainer.recipes import Recipe
from trainer.refusals import RecipeRefused


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; evenly by their logarithm with `log`."""

    low: float
    high: float
    log: bool
    whole: bool


@dataclass(frozen=True)
class Choices:
    """One of a few values, each as its word."""

    words: tuple[str, ...]


@dataclass(frozen=True)
class Dimension:
    """A setting that is searched."""

    key: Key
    extent: Range | Choices

    def own(self) -> Any:
        """The recipe's own value, as the search stores it; None where it lies outside."""
        if isinstance(self.extent, Choices):
            word = as_word(self.key.name, self.key.value).partition("=")[2]
            return word if word in self.extent.words else None
        value = self.key.value
        inside = isinstance(value, int | float) and self.extent.low <= value <= self.extent.high
        return value if inside else None

    def value(self, stored: Any) -> Any:
        """A setting's value from what the search stored."""
        return read_value(self.key, stored) if isinstance(self.extent, Choices) else stored


def read_space(path: Path, recipe: Recipe) -> tuple[Dimension, ...]:
    """The dimensions of a search, in the order of their names.

    Raises:
        RecipeRefused: the file is missing or no TOML, names a setting that the recipe does not
            have, or says of one what it cannot be.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeRefused(f"The space {path} does not exist.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeRefused(f"{path} cannot be read as TOML: {error}.") from error
    known = keys(recipe)
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise RecipeRefused(
            f"{recipe.name} has no setting {unknown[0]!r}, which {path} names; a name with a dot "
            f"stands in quotes. It has: {', '.join(known)}."
        )
    if not found:
        raise RecipeRefused(f"{path} names no setting to search.")
    return tuple(
        Dimension(known[name], _extent(known[name], found[name])) for name in sorted(found)
    )


def _extent(key: Key, table: Any) -> Range | Choices:
    if isinstance(table, dict) and set(table) == {"choices"}:
        listed = table["choices"]
        if isinstance(listed, list) and len(listed) > 1:
            words = tuple(_word(key, one) for one in listed)
            for word in words:
                read_value(key, word)
            return Choices(words)
    if isinstance(table, dict) and {"low", "high"} <= set(table) <= {"low", "high", "log"}:
        return _range(key, table)
    raise RecipeRefused(
        f"{key.name} takes `choices`, a list of at least two, or `low` and `high`, with `log` "
        "where a factor matters more than a difference."
    )


def _range(key: Key, table: Mapping[str, Any]) -> Range:
    kinds = get_args(key.kind) or (key.kind,)
    low, high, log = table["low"], table["high"], table.get("log", False)
    numbers = all(isinstance(one, int | float) and math.isfinite(one) for one in (low, high))
    if not {int, float} & set(kinds) or not numbers or not isinstance(log, bool):
        raise RecipeRefused(f"{key.name} is not searched by `low` and `high`: list its `choices`.")
    whole = float not in kinds
    if low >= high or (log and low <= 0) or (whole and (low != int(low) or high != int(high))):
        raise RecipeRefused(
            f"{key.name}: `low` is less than `high`, above 0 with `log`, and both are whole where "
            "the setting is."
        )
    return Range(low, high, log, whole)


def _word(key: Key, value: Any) -> str:
    if isinstance(value, str):
        return value
    return as_word(key.name, value).partition("=")[2]
