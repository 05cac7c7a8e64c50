"""How good a model is where it gave an answer: on how many patients, and on which parts of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diagnosis.contracts import Prediction
from web_ui.card_parts import Figure, figures_of
from web_ui.labels import figure_name
from web_ui.languages import translated

#: Figures of a part of the patients, those that say most first; the first two that there are.
_OF_A_PART = ("sensitivity", "specificity", "auc", "balanced_accuracy")


@dataclass(frozen=True)
class PatientGroup:
    """A part of the patients that the model was measured on, such as the women among them."""

    name: str
    images: int
    figures: tuple[Figure, ...]
    """Empty where there are too few images for a figure to say anything."""


@dataclass(frozen=True)
class Worth:
    """What the card of the version that answered adds to the figures in the reading."""

    dataset: str = ""
    images: int = 0
    with_finding: int | None = None
    """Measured images that show the finding of the operating point; None without one."""
    without_finding: int | None = None
    groups: tuple[PatientGroup, ...] = ()

    @classmethod
    def of(cls, reading: Prediction, card: Mapping[str, Any] | None) -> "Worth":
        """From a card as it stands in `card.json`; nothing where there is none to be had."""
        evaluation = (card or {}).get("evaluation") or {}
        counts = {
            str(name): count
            for name, count in (evaluation.get("per_class") or {}).items()
            if isinstance(count, int)
        }
        finding = reading.operating_point.class_id if reading.operating_point else ""
        known = finding in counts
        return cls(
            dataset=translated(str(evaluation.get("dataset") or "")),
            images=sum(counts.values()) or int(evaluation.get("images") or 0),
            with_finding=counts[finding] if known else None,
            without_finding=sum(counts.values()) - counts[finding] if known else None,
            groups=tuple(_group(one) for one in evaluation.get("subgroups") or ()),
        )


def _group(record: Mapping[str, Any]) -> PatientGroup:
    figures = {one.id: one for one in figures_of(record.get("figures") or {}, {})}
    column = figure_name(str(record.get("column", "")))
    return PatientGroup(
        name=f"{column}: {translated(str(record.get('level', '')))}",
        images=int(record.get("images") or 0),
        figures=tuple(figures[name] for name in _OF_A_PART if name in figures)[:2],
    )
