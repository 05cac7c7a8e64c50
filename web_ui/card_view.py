"""A model's card as its page shows it, from the record that the API answers.

What every card has is put in words and drawn; what only some have is shown as it stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from web_ui.card_parts import (
    Fact,
    Figure,
    Names,
    Part,
    fact_of,
    figure_of,
    figures_of,
    name_of,
    part_of,
)
from web_ui.labels import figure_name, is_non_commercial, point_name
from web_ui.languages import _, translated

#: Fields of a card and of an evaluation that have a place of their own on the page, or tell people
#: nothing: bins and means that windows of readings are compared with.
_TOLD = {
    "calibration", "classes", "conformal", "created_at", "demo_images", "disease", "evaluation",
    "files", "finding", "golden", "input", "licence", "limitations", "operating_points", "output",
    "population", "precisions", "preprocessing", "preprocessing_digest", "reference",
    "schema_version", "seal",
    "summary", "training", "transfer", "version",
}  # fmt: skip
_TOLD_OF_EVALUATION = {"dataset", "images", "groups", "per_class", "figures", "operating_points",
                       "majority_class", "reliability"}  # fmt: skip
_BASELINE = "baseline_"
#: Figures that say how well probabilities are calibrated begin with this.
_CALIBRATION = "ece"
#: What comes first where there are many figures.
_FIRST = ("auc", "balanced_accuracy", "sensitivity", "specificity", "accuracy")


@dataclass(frozen=True)
class Point:
    """An operating point with everything that was measured at it."""

    name: str
    threshold: float
    sensitivity: Figure | None
    specificity: Figure | None
    chosen_by: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Bin:
    """Images whose probability of a class lay between `low` and `high`; `share` had the class."""

    low: float
    high: float
    images: int
    share: Figure

    @property
    def middle(self) -> float:
        """Where it is drawn."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Reliability:
    """What probabilities of one class were worth, by rising probability."""

    name: str
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Measured:
    """One set of images and the figures that were measured on it."""

    dataset: str
    counts: tuple[Fact, ...]
    figures: tuple[Figure, ...]
    calibration: tuple[Figure, ...]
    reliability: tuple[Reliability, ...]
    """How often each class came true where the model held it so probable."""
    more: tuple[Part, ...]
    """Subgroups, classes and whatever else was measured on these images."""

    @property
    def lead(self) -> Figure | None:
        """The figure that stands for the others."""
        return next(iter(self.figures), None)


@dataclass(frozen=True)
class CardView:
    """A card in the order in which it is read."""

    summary: str
    version: str
    created_at: datetime | None
    finding: str | None
    licence: str
    non_commercial: bool
    limitations: tuple[str, ...]
    evaluation: Measured
    points: tuple[Point, ...]
    temperature: float | None
    fitted_on: str
    conformal: Part
    transfer: tuple[Measured, ...]
    gate: Part
    explanation: Part
    population: Part
    training: Part
    precisions: Part
    files: Part
    making: Part
    """Input, preprocessing and versions."""
    more: tuple[Part, ...]
    """What this page has no place for."""

    @classmethod
    def of(cls, card: Mapping[str, Any]) -> "CardView":
        """Arrange a card as it stands in `card.json`."""
        names = {str(one["id"]): translated(str(one["name"])) for one in card.get("classes", ())}
        calibration = card.get("calibration") or {}
        finding = card.get("finding")
        licence = str(card.get("licence", ""))
        # The page gives these sections headings of their own, with a sentence each.
        own = ("gate", "explanation")
        more = {key: value for key, value in card.items() if key not in _TOLD and key not in own}
        parts = (part_of(name_of(key, names), value, names) for key, value in more.items())
        gate, explanation, population = (
            part_of(figure_name(key), card.get(key), names) for key in (*own, "population")
        )
        evaluation = card.get("evaluation") or {}
        return cls(
            summary=translated(str(card.get("summary", ""))),
            version=str(card.get("version", "")),
            created_at=_moment(card.get("created_at")),
            finding=names.get(str(finding)),
            licence=licence,
            non_commercial=is_non_commercial(licence),
            limitations=tuple(translated(str(text)) for text in card.get("limitations", ())),
            evaluation=_measured(evaluation, names, finding),
            points=_points(card, evaluation.get("operating_points") or {}, names),
            temperature=calibration.get("temperature"),
            fitted_on=translated(str(calibration.get("fitted_on", ""))),
            conformal=part_of("Conformal sets", card.get("conformal"), names),
            transfer=tuple(_measured(one, names, finding) for one in card.get("transfer", ())),
            gate=gate,
            explanation=explanation,
            population=population,
            training=part_of("Training", card.get("training"), names),
            precisions=part_of("Precisions", card.get("precisions"), names),
            files=part_of("Files", card.get("files"), names),
            making=_making(card, names),
            more=tuple(filter(None, parts)),
        )


def _measured(record: Mapping[str, Any], names: Names, finding: object) -> Measured:
    baselines = [
        (_baseline_name(key, record, names, finding), values)
        for key, values in record.items()
        if key.startswith(_BASELINE) and isinstance(values, dict)
    ]
    # Where the most common class is the finding, both baselines are the same one.
    apart = list(dict(baselines).items())
    found = figures_of(record.get("figures") or {}, names, apart)
    ranked = sorted(found, key=lambda one: _FIRST.index(one.id) if one.id in _FIRST else 99)
    counts = [fact_of("Images", record.get("images"), names)]
    counts += [fact_of("Groups", record.get("groups"), names)]
    counts += [
        fact_of(name_of(key, names), value, names)
        for key, value in (record.get("per_class") or {}).items()
    ]
    more = (
        part_of(name_of(key, names), value, names)
        for key, value in record.items()
        if key not in _TOLD_OF_EVALUATION and not key.startswith(_BASELINE)
    )
    return Measured(
        dataset=translated(str(record.get("dataset", ""))),
        counts=tuple(filter(None, counts)),
        figures=tuple(one for one in ranked if not one.id.startswith(_CALIBRATION)),
        calibration=tuple(one for one in found if one.id.startswith(_CALIBRATION)),
        reliability=tuple(_reliability(record.get("reliability"), names, finding)),
        more=tuple(filter(None, more)),
    )


def _reliability(record: object, names: Names, finding: object) -> Iterator[Reliability]:
    """The curves that a card has, that of the finding first."""
    if not isinstance(record, dict):
        return
    for key in sorted(record, key=lambda one: one != finding):
        bins = tuple(filter(None, map(_bin, record[key] if isinstance(record[key], list) else ())))
        if bins:
            yield Reliability(name_of(str(key), names), bins)


def _bin(item: object) -> Bin | None:
    if not isinstance(item, dict):
        return None
    share = figure_of("share", item.get("share"), {})
    low, high, images = (item.get(key) for key in ("low", "high", "images"))
    if share is None or not isinstance(low, int | float) or not isinstance(high, int | float):
        return None
    return Bin(float(low), float(high), images if isinstance(images, int) else 0, share)


def _baseline_name(key: str, record: Mapping[str, Any], names: Names, finding: object) -> str:
    """Whom a baseline stands for: one that says the same of every image."""
    says = {"baseline_always_finding": finding, "baseline_majority": record.get("majority_class")}
    said = names.get(str(says.get(key)))
    if said is None:
        return figure_name(key.removeprefix(_BASELINE))
    return _("Always “{name}”").format(name=said)


def _points(
    card: Mapping[str, Any], measured: Mapping[str, Any], names: Names
) -> tuple[Point, ...]:
    found = []
    for point in sorted(card.get("operating_points", ()), key=lambda one: one["threshold"]):
        figures = figures_of(point, names)
        more = figures_of(measured.get(point["name"]) or {}, names)
        both = {one.id: one for one in (*more, *figures)}
        found.append(
            Point(
                name=point_name(str(point["name"])),
                threshold=float(point["threshold"]),
                sensitivity=both.pop("sensitivity", None),
                specificity=both.pop("specificity", None),
                chosen_by=translated(str(point.get("chosen_by", ""))),
                figures=tuple(both.values()),
            )
        )
    return tuple(found)


def _making(card: Mapping[str, Any], names: Names) -> Part:
    size = card.get("input") or {}
    preprocessing = card.get("preprocessing") or {}
    steps = [
        " ".join([name_of(str(step["op"]), names), *_arguments(step)])
        for step in preprocessing.get("steps", ())
    ]
    shape = (
        _("{width} by {height} pixels, colour")
        if size.get("channels") == 3
        else _("{width} by {height} pixels, grey")
    ).format(width=size.get("width"), height=size.get("height"))
    facts = [
        fact_of("Input", shape, names),
        fact_of("Output", card.get("output"), names),
        fact_of("Preprocessing", preprocessing.get("name"), names),
        fact_of("Steps", _(", then ").join(steps), names),
        fact_of("Card schema", card.get("schema_version"), names),
        fact_of("Seal", card.get("seal"), names),
    ]
    return Part("Input and versions", facts=tuple(filter(None, facts)))


def _arguments(step: Mapping[str, Any]) -> list[str]:
    """`width 224, height 224`: what a step was told."""
    told = [f"{name.replace('_', ' ')} {value}" for name, value in step.items() if name != "op"]
    return [f"({', '.join(told)})"] if told else []


def _moment(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
