"""The list of readings, as a clinician works through it."""

from typing import Annotated, Literal

from pydantic import Field

from diagnosis import WARNING
from diagnosis.contracts.base import Wire
from diagnosis.contracts.predictions import Prediction
from diagnosis.contracts.reviews import ReviewState

#: A band, `not_judged` for an image that was not judged, and `none` for a judged one without band.
ListedBand = Literal["likely_positive", "uncertain", "not_judged", "none", "likely_negative"]
Sort = Literal["newest", "urgent"]

#: The most urgent first.
URGENCY: tuple[ListedBand, ...] = (
    "likely_positive",
    "uncertain",
    "not_judged",
    "none",
    "likely_negative",
)


class ListedPrediction(Prediction):
    """A reading as it stands in a list."""

    review: ReviewState = "open"
    """What its newest review came to; `open` before the first one."""
    patient_readings: Annotated[int, Field(ge=0)] = 0
    """Readings of this patient in the unit, this one among them; 0 without a reference."""


class PredictionPage(Wire):
    """A page of predictions, newest or most urgent first."""

    items: tuple[ListedPrediction, ...]
    """May be fewer than were asked for, even none, while `next_cursor` leads on: of many readings
    a part is looked through at a time."""
    next_cursor: str | None = None
    """Pass as `cursor` to get the next page; null on the last one."""
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING


def listed_band(prediction: Prediction) -> ListedBand:
    """Under which band a reading is listed."""
    if prediction.outcome == "not_judged":
        return "not_judged"
    return prediction.band or "none"


def answer_class(prediction: Prediction) -> str | None:
    """The class that the answer is about: the finding where it counts as positive at the reading's
    operating point, else the most probable class; None where the image was not judged."""
    point = prediction.operating_point
    if point is not None and point.positive:
        return point.class_id
    return prediction.top[0].id if prediction.top else None
