"""How often an answer changed a mind, as a page draws it: a bar of parts for each disease."""

from dataclasses import dataclass
from typing import Literal

from diagnosis.contracts import OpinionCounts, OpinionSummary
from web_ui.languages import _

#: What became of a first opinion; each has its own word, place and pattern.
PartName = Literal["kept", "rightly", "unknown", "wrongly"]


@dataclass(frozen=True)
class Part:
    """A part of a bar: how many, and from where to where, 0 to 100."""

    name: PartName
    words: str
    count: int
    start: float
    width: float


@dataclass(frozen=True)
class OpinionRow:
    """One disease, or all of them."""

    name: str
    counts: OpinionCounts
    parts: tuple[Part, ...]
    """Of a bar; those of nothing are left out."""


def part_words() -> dict[PartName, str]:
    """The parts in the order of a bar, in the reader's language."""
    return {
        "kept": _("Kept"),
        "rightly": _("Changed, rightly"),
        "unknown": _("Changed, not known whether rightly"),
        "wrongly": _("Changed, wrongly"),
    }


def opinion_rows(summary: OpinionSummary) -> tuple[OpinionRow, ...]:
    """All diseases together, then each; none where there is no first opinion yet."""
    if not summary.total.readings:
        return ()
    return (
        _row(_("All diseases"), summary.total),
        *(_row(_(one.disease_name), one) for one in summary.diseases),
    )


def _row(name: str, counts: OpinionCounts) -> OpinionRow:
    numbers: dict[PartName, int] = {
        "kept": counts.readings - counts.changed,
        "rightly": counts.rightly,
        "unknown": counts.unknown,
        "wrongly": counts.wrongly,
    }
    parts = []
    before = 0
    for part, words in part_words().items():
        number = numbers[part]
        if number:
            start = 100 * before / counts.readings
            width = 100 * number / counts.readings
            parts.append(Part(part, words, number, round(start, 2), round(width, 2)))
        before += number
    return OpinionRow(name, counts, tuple(parts))
