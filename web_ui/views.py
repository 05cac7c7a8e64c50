"""How figures and bands are put for a reader's eye; the sentences are in the templates."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from diagnosis.contracts import (
    ClassProbability,
    ClassView,
    DiseaseView,
    Interval,
    OperatingPointView,
    Prediction,
)
from diagnosis.errors import (
    InvalidRequest,
    MethodNotAllowed,
    SightlineError,
    UnknownDisease,
)

#: Bars that are shown at once; the others open on demand.
_SHOWN_BARS = 5

#: The result's kinds; each has its own word, shape and colour.
Tone = Literal["positive", "uncertain", "negative", "plain", "not-judged"]

_TONES: dict[str, Tone] = {
    "likely_positive": "positive",
    "uncertain": "uncertain",
    "likely_negative": "negative",
}

# The API's own remedies speak to a programmer; these speak to the reader of a page.
_PAGE_REMEDIES: dict[type[SightlineError], str] = {
    UnknownDisease: "The start page lists everything that can be read.",
    InvalidRequest: "Begin again at the start page.",
    MethodNotAllowed: "Begin at the start page.",
}

_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class ProblemView:
    """An error as a page shows it."""

    status: int
    title: str
    detail: str
    remedy: str

    @classmethod
    def of(cls, error: SightlineError) -> "ProblemView":
        """The view of one of our errors; a remedy that was not written for it is put for people."""
        remedy = error.remedy
        if remedy == error.default_remedy:
            remedy = _PAGE_REMEDIES.get(type(error), remedy)
        return cls(error.status, error.title, error.detail, remedy)


@dataclass(frozen=True)
class ClassBar:
    """One class of a reading as a bar.

    `percent` is the bar's length, 0 to 100; `threshold` is the mark's place, for the finding only.
    """

    id: str
    name: str
    probability: float
    percent: float
    threshold: float | None
    first: bool

    @property
    def is_finding(self) -> bool:
        """Whether the operating point's threshold is this class's."""
        return self.threshold is not None


@dataclass(frozen=True)
class ReadingView:
    """What the reading's page leads with."""

    tone: Tone
    bars: tuple[ClassBar, ...]
    """The most probable classes, and the finding wherever it ranks."""
    more_bars: tuple[ClassBar, ...]
    lead: ClassProbability | None
    """The class that the answer is about."""
    kept_classes: tuple[str, ...]
    """Names of the classes that cannot be excluded."""

    @classmethod
    def of(cls, reading: Prediction) -> "ReadingView":
        """Arrange a prediction: the most probable class first, the threshold on the finding."""
        point = reading.operating_point
        by_id = {item.id: item for item in reading.probabilities}
        ranked = sorted(reading.probabilities, key=lambda item: -item.probability)
        bars = tuple(
            ClassBar(
                id=item.id,
                name=item.name,
                probability=item.probability,
                percent=round(item.probability * 100, 2),
                threshold=(
                    round(point.threshold * 100, 2) if point and point.class_id == item.id else None
                ),
                first=place == 0,
            )
            for place, item in enumerate(ranked)
        )
        return cls(
            tone=tone(reading),
            bars=tuple(
                bar for place, bar in enumerate(bars) if place < _SHOWN_BARS or bar.is_finding
            ),
            more_bars=tuple(
                bar for place, bar in enumerate(bars) if place >= _SHOWN_BARS and not bar.is_finding
            ),
            lead=lead(reading),
            kept_classes=tuple(by_id[name].name for name in reading.conformal_set if name in by_id),
        )


@dataclass(frozen=True)
class DiseaseGroups:
    """The catalogue as the start page groups it."""

    live: tuple[DiseaseView, ...]
    unavailable: tuple[DiseaseView, ...]
    """A model is there and did not pass its checks."""
    without_model: tuple[DiseaseView, ...]

    @classmethod
    def of(cls, diseases: Sequence[DiseaseView]) -> "DiseaseGroups":
        """Group by status, in the catalogue's order."""
        return cls(
            live=tuple(item for item in diseases if item.status == "live"),
            unavailable=tuple(item for item in diseases if item.status == "unavailable"),
            without_model=tuple(item for item in diseases if item.status == "no_model"),
        )


def tone(reading: Prediction) -> Tone:
    """The kind of a reading: its band, `plain` where there is none, or `not-judged`."""
    if reading.outcome == "not_judged":
        return "not-judged"
    return _TONES.get(reading.band or "", "plain")


def lead(reading: Prediction) -> ClassProbability | None:
    """The class that the answer is about: the finding, or the most probable one without it."""
    point = reading.operating_point
    for item in reading.probabilities:
        if point is not None and item.id == point.class_id:
            return item
    return reading.top[0] if reading.top else None


def percent(probability: float, digits: int = 1) -> str:
    """A probability, 0 to 1, for a reader: never a false 0 % or 100 %.

    >>> percent(0.973).replace(chr(160), " ")
    '97.3 %'
    >>> percent(0.99997).replace(chr(160), " ")
    '> 99.9 %'
    """
    smallest = 10.0**-digits
    value = probability * 100
    if 0 < value < smallest:
        return f"<{_NO_BREAK}{smallest:.{digits}f}{_NO_BREAK}%"
    if 100 - smallest < value < 100:
        return f">{_NO_BREAK}{100 - smallest:.{digits}f}{_NO_BREAK}%"
    return f"{value:.{digits}f}{_NO_BREAK}%"


def interval_percent(figure: Interval) -> str:
    """`94.1 % (91.0 to 96.5)`: a share with its 95 % interval."""
    low, high = figure.low * 100, figure.high * 100
    return f"{percent(figure.value)} ({low:.1f} to {high:.1f})".replace(" ", _NO_BREAK)


def interval_plain(figure: Interval) -> str:
    """`0.981 (0.972 to 0.988)`: a figure that is no share, such as an AUC."""
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})".replace(" ", _NO_BREAK)


def short_digest(digest: str) -> str:
    """The first twelve digits of a digest: enough to compare by eye."""
    return digest.removeprefix("sha256:")[:12]


def moment(time: datetime) -> str:
    """`20 Nov 2026, 19:32 UTC`."""
    utc = time.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"


def balanced_point(disease: DiseaseView) -> OperatingPointView | None:
    """The operating point that readings use by default, or the only one there is."""
    points = disease.model.operating_points if disease.model else ()
    return next((point for point in points if point.name == "balanced"), next(iter(points), None))


def finding_of(disease: DiseaseView) -> ClassView | None:
    """The class to catch, as the catalogue words it."""
    return next((item for item in disease.classes if item.id == disease.finding), None)


def slug_words(slug: str) -> str:
    """`balanced_accuracy` as words."""
    return re.sub(r"[_-]+", " ", slug)
