"""The fields of a layer's description: each taken once, each checked, none left over."""

import math
from collections.abc import Collection
from typing import Any

from trainer.refusals import LegacyRefused

#: What only matters to training, or is found out anew.
_OF_TRAINING = (
    "name", "trainable", "dtype", "batch_input_shape", "seed", "noise_shape", "synchronized",
    "activity_regularizer",
    *(f"{weight}_{part}"
      for weight in ("kernel", "bias", "depthwise", "pointwise", "beta", "gamma",
                     "moving_mean", "moving_variance")
      for part in ("initializer", "regularizer", "constraint")),
)  # fmt: skip
_MISSING = object()


class Fields:
    """The configuration of one layer."""

    def __init__(self, config: object, where: str) -> None:
        if not isinstance(config, dict):
            raise LegacyRefused(f"{where} has no configuration.")
        self.where = where
        self._left: dict[str, Any] = dict(config)
        self.ignore(*_OF_TRAINING)

    def take(self, name: str, default: Any = _MISSING) -> Any:
        """A field as it is; it counts as read."""
        value = self._left.pop(name, default)
        if value is _MISSING:
            raise LegacyRefused(f"{self.where} does not say its {name}.")
        return value

    def ignore(self, *names: str) -> None:
        """Fields that do not change what the layer computes."""
        for name in names:
            self._left.pop(name, None)

    def only(self, name: str, *allowed: object) -> None:
        """A field that may have these values alone, if it is there."""
        if name in self._left and self.take(name) not in allowed:
            raise LegacyRefused(f"{self.where}: only {name} {allowed[0]} is imported.")

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise LegacyRefused(f"{self.where}: {name} is neither true nor false.")
        return value

    def whole(self, name: str, low: int, high: int, default: Any = _MISSING) -> int:
        """A whole number from `low` to `high`."""
        return self._whole(name, self.take(name, default), low, high)

    def pair(self, name: str, low: int, high: int, default: Any = _MISSING) -> tuple[int, int]:
        """One or two whole numbers, as two."""
        value = self.take(name, default)
        both = [value, value] if isinstance(value, int) else value
        if not isinstance(both, list | tuple) or len(both) != 2:
            raise LegacyRefused(f"{self.where}: {name} is not two numbers.")
        first, second = (self._whole(name, one, low, high) for one in both)
        return first, second

    def nested_pair(
        self, name: str, low: int, high: int
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Top and bottom, left and right; one number or two stand for both ends."""
        value = self.take(name)
        both = [value, value] if isinstance(value, int) else value
        if not isinstance(both, list) or len(both) != 2:
            raise LegacyRefused(f"{self.where}: {name} is not two numbers.")
        ends = [[one, one] if isinstance(one, int) else one for one in both]
        if any(not isinstance(one, list) or len(one) != 2 for one in ends):
            raise LegacyRefused(f"{self.where}: {name} is not two pairs of numbers.")
        (a, b), (c, d) = ([self._whole(name, one, low, high) for one in end] for end in ends)
        return (a, b), (c, d)

    def number(self, name: str, low: float, high: float, default: Any = _MISSING) -> float:
        """A number from `low` to `high`."""
        return self.checked(name, self.take(name, default), low, high)

    def checked(self, name: str, value: object, low: float, high: float) -> float:
        """A number that was taken already."""
        # Keras's own numbers may be written as 0-d arrays: {"class_name": "__numpy__", ...}.
        if isinstance(value, dict) and isinstance(value.get("value"), int | float):
            value = value["value"]
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise LegacyRefused(f"{self.where}: {name} is not a number.")
        if not low <= value <= high:
            raise LegacyRefused(f"{self.where}: {name} is {value}, not from {low:g} to {high:g}.")
        return float(value)

    def word(self, name: str, allowed: Collection[str], default: Any = _MISSING) -> str:
        """One of a few words."""
        value = self.take(name, default)
        if not isinstance(value, str) or value not in allowed:
            raise LegacyRefused(f"{self.where}: {name} {str(value)[:40]!r} is not imported.")
        return value

    def finish(self) -> None:
        """Refuse what nobody has read."""
        if self._left:
            raise LegacyRefused(
                f"{self.where} has the field {min(self._left)[:40]!r}, which is not known here."
            )

    def _whole(self, name: str, value: object, low: int, high: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise LegacyRefused(
                f"{self.where}: {name} {str(value)[:40]!r} is no whole number from {low} to {high}."
            )
        return value
