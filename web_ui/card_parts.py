"""Any record as parts that a page can show: facts, figures with their intervals, tables, lists.

A card grows: what it has is shown, whether this module knew of it or not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from web_ui.labels import figure_name
from web_ui.languages import _, translated

Names = Mapping[str, str]
"""Names of the classes by id, which go before the names of fields."""

#: A text longer than this gets a line of its own.
_LONG_TEXT = 40
#: More facts than this open on demand.
_LONG_LIST = 4
#: Fields that name a row of a table, the first that is there; or both of the pair.
_ROW_NAMES = ("name", "kind", "dataset", "id")
_ROW_PAIR = ("column", "level")
#: Fields whose yes is good and whose no is bad.
_VERDICTS = {"allowed", "passed"}


@dataclass(frozen=True)
class Baseline:
    """What a model that knows nothing reaches."""

    name: str
    value: float
    number: int
    """Which of the baselines it is, from 1: each has a mark of its own."""


@dataclass(frozen=True)
class Figure:
    """A measured figure, drawn where it lies between 0 and 1."""

    id: str
    name: str
    value: float
    low: float
    high: float
    baselines: tuple[Baseline, ...] = ()

    @property
    def is_share(self) -> bool:
        """Whether it can be drawn on a scale from 0 to 1."""
        return self.low >= 0 and self.high <= 1


@dataclass(frozen=True)
class Fact:
    """A named value in words; `passed` is set where it is a verdict."""

    name: str
    text: str
    passed: bool | None = None

    @property
    def is_digest(self) -> bool:
        """Whether it is compared by eye and not read."""
        return self.text.startswith("sha256:")

    @property
    def is_long(self) -> bool:
        """Whether it takes lines of its own."""
        return len(self.text) > _LONG_TEXT


Cell = Fact | Figure


@dataclass(frozen=True)
class Table:
    """Rows with the same fields."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | None, ...]], ...]
    """Each row's name, and a cell a column; None where the row has no such field."""


@dataclass(frozen=True)
class Part:
    """A named part of a record."""

    name: str
    texts: tuple[str, ...] = ()
    """Sentences of a list."""
    facts: tuple[Fact, ...] = ()
    figures: tuple[Figure, ...] = ()
    table: Table | None = None
    parts: tuple["Part", ...] = ()

    @property
    def is_list(self) -> bool:
        """Whether it is many facts and nothing else: it then opens on demand."""
        return len(self.facts) > _LONG_LIST and not (self.figures or self.table or self.parts)

    def __bool__(self) -> bool:
        return bool(self.texts or self.facts or self.figures or self.table or self.parts)


def part_of(name: str, record: object, names: Names) -> Part:
    """Arrange a record, whatever it holds.

    Args:
        name: what the part is called.
        record: a value of a JSON document.
        names: see `Names`.
    """
    if isinstance(record, list):
        return _of_list(name, record, names)
    if not isinstance(record, dict):
        cell = fact_of(name, record, names)
        return Part(name, facts=(cell,) if cell else ())
    if table := _table(record.items(), names):
        return Part(name, table=table)
    facts: list[Fact] = []
    figures: list[Figure] = []
    parts: list[Part] = []
    for key, value in record.items():
        label = name_of(key, names)
        if figure := figure_of(key, value, names):
            figures.append(figure)
        elif isinstance(value, dict | list):
            inner = part_of(label, value, names)
            if inner == Part(label, facts=inner.facts) and len(inner.facts) == 1:
                facts += inner.facts
            elif inner:
                parts.append(inner)
        elif fact := fact_of(label, value, names, verdict=key in _VERDICTS):
            facts.append(fact)
    return Part(name, (), tuple(facts), tuple(figures), None, tuple(parts))


def figures_of(
    record: Mapping[str, Any], names: Names, baselines: Sequence[tuple[str, Mapping[str, Any]]] = ()
) -> tuple[Figure, ...]:
    """The figures of a record, each with what the baselines reach.

    Args:
        record: figures by name.
        names: see `Names`.
        baselines: the name of each, and its figures.
    """
    found = []
    for key, value in record.items():
        beside = tuple(
            Baseline(label, float(values[key]), number)
            for number, (label, values) in enumerate(baselines, 1)
            if _is_number(values.get(key))
        )
        if figure := figure_of(key, value, names, beside):
            found.append(figure)
    return tuple(found)


def figure_of(
    key: str, value: object, names: Names, baselines: tuple[Baseline, ...] = ()
) -> Figure | None:
    """A value with its interval; None for anything else."""
    if not isinstance(value, dict) or set(value) != {"value", "low", "high"}:
        return None
    if not all(map(_is_number, value.values())):
        return None
    middle, low, high = (float(value[part]) for part in ("value", "low", "high"))
    return Figure(key, name_of(key, names), middle, low, high, baselines)


def fact_of(label: str, value: object, names: Names, *, verdict: bool = False) -> Fact | None:
    """A value without parts, in words; None for what is not there or has parts."""
    if value is None or value == "" or isinstance(value, dict | list):
        return None
    if isinstance(value, bool):
        return Fact(label, _("yes") if value else _("no"), value if verdict else None)
    return Fact(label, number(value) if isinstance(value, int | float) else name_or(value, names))


def name_or(value: object, names: Names) -> str:
    """The class of this id by its name; any other text in the reader's language if it is known."""
    return names.get(str(value)) or translated(str(value))


def name_of(key: str, names: Names) -> str:
    """A field's name for a reader: that of the class, if it is the id of one."""
    return names.get(key) or figure_name(key)


def number(value: float) -> str:
    """A number as people write it: `4,576`, `0.0349`."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.6f}".rstrip("0").rstrip(".")


def _of_list(name: str, items: list[Any], names: Names) -> Part:
    if items and all(isinstance(item, dict) for item in items):
        rows = [(_row_name(item, place, names), item) for place, item in enumerate(items, 1)]
        if table := _table(rows, names, named=True):
            return Part(name, table=table)
        if not any(_without_name(item) for item in items):
            return Part(name, facts=(Fact(name, ", ".join(label for label, _item in rows)),))
        parts = (part_of(label, _without_name(item), names) for label, item in rows)
        return Part(name, parts=tuple(filter(None, parts)))
    plain = [name_or(item, names) for item in items if not isinstance(item, dict | list)]
    if any(len(text) > _LONG_TEXT for text in plain):
        return Part(name, texts=tuple(plain))
    return Part(name, facts=(Fact(name, ", ".join(plain)),) if plain else ())


def _row_name(item: Mapping[str, Any], place: int, names: Names) -> str:
    found = (str(item[key]) for key in _ROW_NAMES if item.get(key))
    if one := next(found, ""):
        return name_or(one, names)
    pair = [str(item[key]) for key in _ROW_PAIR if item.get(key)]
    return ": ".join([*map(figure_name, pair[:1]), *map(translated, pair[1:])]) or str(place)


def _without_name(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key not in (*_ROW_NAMES, *_ROW_PAIR)}


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    """A record whose figures stand beside its other fields and not in a record of their own."""
    flat: dict[str, Any] = {}
    for key, value in item.items():
        if isinstance(value, dict) and all(figure_of(name, one, {}) for name, one in value.items()):
            flat |= value
        else:
            flat[key] = value
    return flat


def _table(items: Iterable[tuple[str, Any]], names: Names, *, named: bool = False) -> Table | None:
    """A table of records that share a field and hold nothing that needs a part of its own.

    Args:
        items: the name of each row, and the record.
        names: see `Names`.
        named: whether the names are for readers already, and made of the records' own fields.
    """
    rows = [(key, item) for key, item in items if item]
    if not rows or not all(isinstance(item, dict) for _key, item in rows):
        return None
    if any(figure_of(key, item, names) for key, item in rows):
        return None
    flat = [(key, _flat(_without_name(item) if named else item)) for key, item in rows]
    fields: list[str] = []
    for _key, item in flat:
        for key, value in item.items():
            if isinstance(value, dict | list) and not figure_of(key, value, names):
                return None
            if key not in fields:
                fields.append(key)
    # A column that no row has anything in says nothing.
    fields = [key for key in fields if any(one.get(key) not in (None, "") for _key, one in flat)]
    if not fields or any(not set(fields) & set(item) for _key, item in flat):
        return None
    return Table(
        columns=tuple(name_of(key, names) for key in fields),
        rows=tuple(
            (
                key if named else name_of(key, names),
                tuple(
                    figure_of(field, item.get(field), names)
                    or fact_of(field, item.get(field), names, verdict=field in _VERDICTS)
                    for field in fields
                ),
            )
            for key, item in flat
        ),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
