"""Two versions of a model side by side: their figures, and what is not the same in their cards."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

from web_ui.card_parts import Figure, Names, figure_of, name_of, name_or, number
from web_ui.card_view import CardView, Point
from web_ui.labels import figure_name

#: How a figure of the second version stands to that of the first. `overlap`: their 95 % intervals
#: have a part in common, so the images measured do not tell them apart.
Standing = Literal["higher", "lower", "overlap", "same", "alone"]

#: Part of a card -> the heading under which its changes stand, in the order of the headings.
_SECTIONS = {
    "training": "Training data and recipe",
    "population": "Training data and recipe",
    "classes": "Classes",
    "finding": "Classes",
    "input": "Input and preprocessing",
    "preprocessing": "Input and preprocessing",
    "calibration": "Thresholds and calibration",
    "operating_points": "Thresholds and calibration",
    "conformal": "Thresholds and calibration",
    "gate": "Image check",
    "explanation": "Heatmaps",
    "precisions": "Precision",
    "licence": "Licence and limits",
    "limitations": "Licence and limits",
}
#: What names an entry of a list, the first that is there.
_ENTRY_NAMES = ("id", "name", "kind", "column")
#: Figures of which less is better.
_LESS_IS_BETTER = ("ece",)
#: What a card says that it lacks.
_LACKING = "\N{EN DASH}"


@dataclass(frozen=True)
class Pair:
    """A figure of both versions; None where one was not measured."""

    name: str
    first: Figure | None
    second: Figure | None
    less_is_better: bool

    @property
    def standing(self) -> Standing:
        """How the second stands to the first."""
        if self.first is None or self.second is None:
            return "alone"
        if (self.first.low, self.first.high) == (self.second.low, self.second.high):
            return "same"
        if self.second.low > self.first.high:
            return "higher"
        if self.second.high < self.first.low:
            return "lower"
        return "overlap"

    @property
    def better(self) -> bool | None:
        """Whether the second is better; None where the images do not tell."""
        if self.standing not in ("higher", "lower"):
            return None
        return (self.standing == "lower") == self.less_is_better


@dataclass(frozen=True)
class Group:
    """Figures that are looked at together, drawn on one scale from `floor` to `ceiling`."""

    name: str
    pairs: tuple[Pair, ...]
    floor: float
    ceiling: float

    def place(self, value: float) -> float:
        """Where a value lies on the scale, 0 to 100."""
        inside = min(max(value, self.floor), self.ceiling)
        return round((inside - self.floor) / (self.ceiling - self.floor) * 100, 2)


@dataclass(frozen=True)
class Change:
    """A field of the card in which the versions differ."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Section:
    """Changes under one heading."""

    name: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Comparison:
    """Two versions of a disease's model."""

    first: CardView
    second: CardView
    same_images: bool
    """Whether both were measured on the same set of images, as far as their cards say."""
    groups: tuple[Group, ...]
    sections: tuple[Section, ...]

    @classmethod
    def of(cls, first: Mapping[str, Any], second: Mapping[str, Any]) -> "Comparison":
        """Compare two cards as they stand in `card.json`."""
        views = CardView.of(first), CardView.of(second)
        measured = [one.get("evaluation") or {} for one in (first, second)]
        told = [[one.get(key) for key in ("dataset", "images", "per_class")] for one in measured]
        groups = (
            _group("Figures", *(_shares(one.evaluation.figures) for one in views)),
            _group("Calibration", *(_shares(one.evaluation.calibration) for one in views)),
            *_points(views[0].points, views[1].points),
        )
        return cls(
            first=views[0],
            second=views[1],
            same_images=told[0] == told[1],
            groups=tuple(one for one in groups if one.pairs),
            sections=tuple(_sections(first, second)),
        )


def _shares(figures: tuple[Figure, ...]) -> dict[str, Figure]:
    return {one.id: one for one in figures if one.is_share}


def _points(first: tuple[Point, ...], second: tuple[Point, ...]) -> Iterator[Group]:
    by_name = [{one.name: one for one in points} for points in (first, second)]
    for name in dict.fromkeys((*by_name[0], *by_name[1])):
        yield _group(name, *(_at(points.get(name)) for points in by_name))


def _at(point: Point | None) -> dict[str, Figure]:
    found = (point.sensitivity, point.specificity) if point else ()
    return {one.id: one for one in found if one is not None}


def _group(name: str, first: Mapping[str, Figure], second: Mapping[str, Figure]) -> Group:
    pairs = tuple(
        Pair(figure_name(key), first.get(key), second.get(key), key.startswith(_LESS_IS_BETTER))
        for key in dict.fromkeys((*first, *second))
    )
    # On a scale from 0 to 1, figures near one end would lie on one another.
    found = [one for pair in pairs for one in (pair.first, pair.second) if one is not None]
    floor = min(int(min((one.low for one in found), default=0.0) * 10), 9)
    ceiling = max(ceil(max((one.high for one in found), default=1.0) * 10), floor + 1)
    return Group(name, pairs, floor / 10, min(ceiling, 10) / 10)


def _sections(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Section]:
    names = {
        str(one["id"]): str(one["name"])
        for card in (first, second)
        for one in card.get("classes") or ()
    }
    for heading in dict.fromkeys(_SECTIONS.values()):
        keys = [key for key, section in _SECTIONS.items() if section == heading]
        changes = [one for key in keys for one in _changes(key, first, second, names)]
        if changes:
            yield Section(heading, tuple(changes))


def _changes(
    key: str, first: Mapping[str, Any], second: Mapping[str, Any], names: Names
) -> Iterator[Change]:
    old, new = (
        dict(_fields(name_of(key, names), card.get(key), names)) for card in (first, second)
    )
    for field in dict.fromkeys((*old, *new)):
        was, becomes = old.get(field, _LACKING), new.get(field, _LACKING)
        if was != becomes:
            yield Change(field, was, becomes)


def _fields(name: str, value: object, names: Names) -> Iterator[tuple[str, str]]:
    """Every field of a record in words: where it stands, and what it says."""
    if value is None or value == "":
        return
    if isinstance(value, Mapping):
        if figure := figure_of("", value, names):
            yield name, f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
            return
        for key, inner in value.items():
            yield from _fields(f"{name}, {_lower(name_of(str(key), names), names)}", inner, names)
    elif isinstance(value, list):
        if not any(isinstance(one, Mapping | list) for one in value):
            yield name, ", ".join(_text(one, names) for one in value)
            return
        for place, inner in enumerate(value, 1):
            yield from _fields(f"{name}, {_entry(inner, place, names)}", _rest(inner), names)
    else:
        yield name, _text(value, names)


def _entry(item: object, place: int, names: Names) -> str:
    """What an entry of a list is told apart by."""
    found = (str(item[key]) for key in _ENTRY_NAMES if isinstance(item, Mapping) and item.get(key))
    return name_or(next(found, f"no. {place}"), names)


def _rest(item: object) -> object:
    """An entry without its id: a name alone says nothing that the list does not."""
    if isinstance(item, Mapping) and set(item) > {"id"}:
        return {key: value for key, value in item.items() if key != "id"}
    return item


def _lower(name: str, names: Names) -> str:
    """A field's name inside of a longer one; a class keeps its capital, and so does what is one."""
    if name in names.values() or name[1:2].isupper():
        return name
    return name[:1].lower() + name[1:]


def _text(value: object, names: Names) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    text = str(value)
    return text[:19] if text.startswith("sha256:") else name_or(text, names)
