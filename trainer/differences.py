"""What differs between the cards of two versions: figures, thresholds, recipe, data, files."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from diagnosis.artifacts import Card

#: Part of the card -> what it is called. The rest of a card differs between any two versions, or
#: is too long for a table (golden outputs, demo images).
_PARTS = {
    "evaluation": "figures",
    "transfer": "figures",
    "operating_points": "thresholds",
    "calibration": "thresholds",
    "conformal": "thresholds",
    "training": "recipe",
    "population": "data",
    "licence": "data",
    "preprocessing": "preprocessing",
    "input": "preprocessing",
    "gate": "gate",
    "precisions": "precision",
    "half_precision_storage": "precision",
    "explanation": "heatmaps",
    "classes": "classes",
    "finding": "classes",
    "files": "files",
    "limitations": "text",
    "summary": "text",
}
#: Of the training record, what says which data went in; the rest says how it was trained.
_DATA = frozenset({"dataset", "images", "groups", "per_class"})


@dataclass(frozen=True)
class Difference:
    """One field that two cards do not share. A value is None where a card lacks the field."""

    part: str
    """figures, thresholds, recipe, data, preprocessing, gate, precision, heatmaps, classes,
    files or text."""
    field: str
    """Path in the card, for example `operating_points.balanced.threshold`."""
    before: str | float | int | bool | None
    after: str | float | int | bool | None


def differences(before: Card, after: Card) -> tuple[Difference, ...]:
    """Every field in which two cards differ, by part, in the order of the parts.

    An interval is one field, written `0.950 (0.920 to 0.970)`. Entries of a list are told apart by
    their name, id or kind where they have one, otherwise by their place.
    """
    old, new = dict(_of(before)), dict(_of(after))
    found = [
        Difference(part, field, old.get((part, field)), new.get((part, field)))
        for part, field in dict.fromkeys((*old, *new))
        if old.get((part, field)) != new.get((part, field))
    ]
    order = list(dict.fromkeys(_PARTS.values()))
    order.insert(order.index("recipe") + 1, "data")
    return tuple(sorted(found, key=lambda one: order.index(one.part)))


def _of(card: Card) -> Iterator[tuple[tuple[str, str], Any]]:
    content = card.model_dump(mode="json")
    for name, part in _PARTS.items():
        for field, value in _leaves(name, content[name]):
            in_data = name == "training" and field.split(".")[1] in _DATA
            yield ("data" if in_data else part, field), value


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        if value.keys() == {"value", "low", "high"}:
            yield path, f"{value['value']:.3f} ({value['low']:.3f} to {value['high']:.3f})"
            return
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner)
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _leaves(f"{path}.{_name(inner, place)}", inner)
    elif value is not None:
        yield path, value


def _name(entry: Any, place: int) -> str:
    if isinstance(entry, dict):
        if "column" in entry:
            return f"{entry['column']}={entry['level']}"
        for key in ("name", "id"):
            if isinstance(entry.get(key), str):
                return str(entry[key])
    return str(place)
