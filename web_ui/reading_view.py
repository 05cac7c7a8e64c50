"""A reading as its page shows it: the answer, the bars with their marks, the heatmaps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from diagnosis.contracts import ClassProbability, OperatingPointReading, Prediction
from web_ui.labels import point_name
from web_ui.views import Tone, lead, tone

#: Bars that are shown at once; the others open on demand.
_SHOWN_BARS = 3


@dataclass(frozen=True)
class Mark:
    """A threshold on a bar; `place` is 0 to 100."""

    name: str
    place: float
    chosen: bool
    """Whether it is the one that the reading was asked to apply."""


@dataclass(frozen=True)
class ClassBar:
    """One class of a reading as a bar.

    `percent` is the bar's length, 0 to 100; `marks` are the thresholds, on the leading bar only.
    """

    id: str
    name: str
    probability: float
    percent: float
    marks: tuple[Mark, ...]
    first: bool


@dataclass(frozen=True)
class ClassName:
    """A class that a heatmap can, or cannot, be shown of."""

    id: str
    name: str


@dataclass(frozen=True)
class ReadingView:
    """What the reading's page leads with."""

    tone: Tone
    lead_bar: ClassBar | None
    """The class that the answer is about, with the thresholds on it."""
    bars: tuple[ClassBar, ...]
    """The most probable classes."""
    more_bars: tuple[ClassBar, ...]
    lead: ClassProbability | None
    """The class that the answer is about."""
    kept_classes: tuple[str, ...]
    """Names of the classes that cannot be excluded."""
    points: tuple[OperatingPointReading, ...]
    """By rising threshold; readings that were kept before all were told have the chosen one."""
    heatmaps: tuple[ClassName, ...]
    """Classes with a heatmap: a finding that was found, then the most probable first."""
    without_heatmap: tuple[ClassName, ...]
    """Classes whose heatmaps did not pass their checks; empty where no class has one."""

    @classmethod
    def of(cls, reading: Prediction) -> "ReadingView":
        """Arrange a prediction: the most probable class first, the thresholds on the finding."""
        chosen = reading.operating_point
        points = reading.operating_points or ((chosen,) if chosen else ())
        points = tuple(sorted(points, key=lambda point: point.threshold))
        by_id = {item.id: item for item in reading.probabilities}
        ranked = sorted(reading.probabilities, key=lambda item: -item.probability)
        bars = tuple(
            ClassBar(
                id=item.id,
                name=item.name,
                probability=item.probability,
                percent=round(item.probability * 100, 2),
                marks=(),
                first=place == 0,
            )
            for place, item in enumerate(ranked)
        )
        about = lead(reading)
        # What was found goes before what is most probable: there is one more reason to look at it.
        found = {point.class_id for point in points if point.positive and point == chosen}
        names = [
            ClassName(item.id, item.name)
            for item in sorted(ranked, key=lambda item: item.id not in found)
        ]
        shown = set(reading.heatmap_classes)
        return cls(
            tone=tone(reading),
            lead_bar=next(
                (
                    replace(bar, marks=_marks(points, chosen, bar.id))
                    for bar in bars
                    if about is not None and bar.id == about.id
                ),
                None,
            ),
            bars=bars[:_SHOWN_BARS],
            more_bars=bars[_SHOWN_BARS:],
            lead=about,
            kept_classes=tuple(by_id[name].name for name in reading.conformal_set if name in by_id),
            points=points,
            heatmaps=tuple(one for one in names if one.id in shown),
            without_heatmap=tuple(one for one in names if shown and one.id not in shown),
        )


def _marks(
    points: Sequence[OperatingPointReading], chosen: OperatingPointReading | None, class_id: str
) -> tuple[Mark, ...]:
    return tuple(
        Mark(
            name=point_name(point.name),
            place=round(point.threshold * 100, 2),
            chosen=chosen is not None and point.name == chosen.name,
        )
        for point in points
        if point.class_id == class_id
    )
