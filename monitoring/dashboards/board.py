"""What a dashboard is made of, as data; `making.py` turns it into Grafana's JSON.

A board answers one question. Its rows hold panels, a panel asks Prometheus one or a few things.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

#: How a panel looks. `lines` over time; `stack` adds them up, `share` as parts of a whole;
#: `number` the latest value, large; `bars` one bar a series; `table` one line a series; `heat`
#: how a histogram moves.
Kind = Literal["lines", "stack", "share", "number", "bars", "table", "heat"]

#: Okabe and Ito's colours, told apart by people who see fewer: blue, orange, green, sky, vermilion,
#: purple, yellow, grey.
COLOURS = (
    *("#0072B2", "#E69F00", "#009E73", "#56B4E9"),
    *("#D55E00", "#CC79A7", "#F0E442", "#999999"),
)
#: Well, to be looked at, bad: blue to vermilion, never green against red.
WELL, WARNS, BAD = "#0072B2", "#E69F00", "#D55E00"


@dataclass(frozen=True)
class Query:
    """One question to Prometheus.

    Args:
        expr: PromQL; `$__rate_interval` and `$__range` are Grafana's, `$disease` and the like the
            board's variables.
        legend: the name of each series, of its labels: `{{service}}`.
    """

    expr: str
    legend: str


@dataclass(frozen=True)
class Limit:
    """Where a value stops to be well.

    Args:
        value: in the panel's unit.
        above: whether more than that is bad; else less is.
    """

    value: float
    above: bool = True


@dataclass(frozen=True)
class Panel:
    """One picture.

    Args:
        says: what is seen, and what to make of it; shown beside the title.
        unit: by Grafana's name, for example `s`, `bytes`, `reqps`, `percentunit`, `short`.
        limits: drawn as lines and as colours, in rising order.
        alerts: alerts that mean the same; their sections of the runbook name this panel.
        names: series that are known beforehand, each with a colour of its own, in that order.
        width: of 24 columns.
        ends: greatest and smallest value of the axis.
        words: text in place of a value, for example 0 -> down.
        only_with: what must be there for the queries to answer; empty: the services alone.
    """

    title: str
    says: str
    queries: tuple[Query, ...]
    unit: str
    kind: Kind = "lines"
    limits: tuple[Limit, ...] = ()
    alerts: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    width: int = 8
    ends: tuple[float | None, float | None] = (0, None)
    decimals: int | None = None
    words: tuple[tuple[int, str, str], ...] = ()
    only_with: str = ""

    @property
    def height(self) -> int:
        """In rows of 30 pixels: three rows of pictures are seen at once on a laptop."""
        return 4 if self.kind == "number" else 7


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Variable:
    """A list to choose from at the top of a board: the values of a label of a metric."""

    name: str
    label: str
    metric: str
    of: str


@dataclass(frozen=True)
class Board:
    """A dashboard; its file is called `<uid>.json`."""

    uid: str
    title: str
    says: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = field(default=())
    since: str = "now-3h"

    @property
    def panels(self) -> Iterator[Panel]:
        """Every panel, in order."""
        for row in self.rows:
            yield from row.panels


#: A state that is 1 or 0.
UP_OR_DOWN = ((0, "down", BAD), (1, "up", WELL))
