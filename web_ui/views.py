"""How figures and bands are put for a reader's eye; the sentences are in the templates."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    UnknownBatch,
    UnknownDisease,
)
from web_ui.languages import _, isolated

#: The result's kinds; each has its own word, shape and colour.
Tone = Literal["positive", "uncertain", "negative", "plain", "not-judged"]

_TONES: dict[str, Tone] = {
    "likely_positive": "positive",
    "uncertain": "uncertain",
    "likely_negative": "negative",
}

# The API's own remedies speak to a programmer; these speak to the reader of a page.
_PAGE_REMEDIES: dict[type[SightlineError], str] = {
    UnknownBatch: "The list of batches shows those that are kept.",
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
class DiseaseGroups:
    """The catalogue as the start page groups it."""

    live: tuple[DiseaseView, ...]
    """With a model that may stand beside a clinician."""
    demonstrations: tuple[DiseaseView, ...]
    """With a model that shows how it works and no more."""
    unavailable: tuple[DiseaseView, ...]
    """A model is there and did not pass its checks."""
    without_model: tuple[DiseaseView, ...]

    @classmethod
    def of(cls, diseases: Sequence[DiseaseView]) -> "DiseaseGroups":
        """Group by status, in the catalogue's order."""
        answering = [item for item in diseases if item.status == "live"]
        return cls(
            live=tuple(item for item in answering if item.maturity == "clinical_candidate"),
            demonstrations=tuple(item for item in answering if item.maturity == "demonstration"),
            unavailable=tuple(item for item in diseases if item.status == "unavailable"),
            without_model=tuple(item for item in diseases if item.status == "no_model"),
        )

    @property
    def to_try(self) -> DiseaseView | None:
        """What a newcomer reads first: the first disease whose model has images to try it with."""
        answering = (*self.live, *self.demonstrations)
        return next((one for one in answering if one.model and one.model.demo_images), None)

    @property
    def choices(self) -> list[dict[str, str]]:
        """What an image may be read for where somebody is asked, as a script takes it."""
        return [{"disease": item.id, "name": _(item.name)} for item in self.live]


def tone(reading: Prediction) -> Tone:
    """The kind of a reading: its band, `plain` where there is none, or `not-judged`.

    Of more than two classes a negative finding is `plain` too: what is most probable then may be
    another disease, and the mark of a clear image would hide it.
    """
    if reading.outcome == "not_judged":
        return "not-judged"
    if reading.band == "likely_negative" and len(reading.probabilities) > 2:
        return "plain"
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
    sign = ""
    if 0 < value < smallest:
        sign, value = f"<{_NO_BREAK}", smallest
    elif 100 - smallest < value < 100:
        sign, value = f">{_NO_BREAK}", 100 - smallest
    return isolated(f"{sign}{value:.{digits}f}{_NO_BREAK}%")


def interval_percent(figure: Interval) -> str:
    """`94.1 % (91.0 to 96.5)`: a share with its 95 % interval."""
    low, high = figure.low * 100, figure.high * 100
    between = _("{low} to {high}").format(low=f"{low:.1f}", high=f"{high:.1f}")
    return f"{percent(figure.value)} ({between})".replace(" ", _NO_BREAK)


def short_digest(digest: str) -> str:
    """The first twelve digits of a digest: enough to compare by eye."""
    return digest.removeprefix("sha256:")[:12]


def balanced_point(disease: DiseaseView) -> OperatingPointView | None:
    """The operating point that readings use by default, or the only one there is."""
    points = disease.model.operating_points if disease.model else ()
    return next((point for point in points if point.name == "balanced"), next(iter(points), None))


def finding_of(disease: DiseaseView) -> ClassView | None:
    """The class to catch, as the catalogue words it."""
    return next((item for item in disease.classes if item.id == disease.finding), None)
