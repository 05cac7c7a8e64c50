"""What clinicians make of readings: first opinions, reviews, and how often a mind was changed."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from diagnosis import WARNING
from diagnosis.contracts.base import SCHEMA_VERSION, Slug, Wire

LONGEST_NOTE = 2000

ReviewKind = Literal["first_opinion", "review"]
Verdict = Literal["agree", "disagree", "correct"]
ReviewState = Literal["open", "agreed", "disagreed", "corrected"]

Note = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_NOTE)]

#: What a reading counts as after a review with this verdict.
STATE_AFTER: dict[Verdict, ReviewState] = {
    "agree": "agreed",
    "disagree": "disagreed",
    "correct": "corrected",
}


class NewReview(Wire):
    """What a clinician says of a reading."""

    kind: ReviewKind = "review"
    """`first_opinion` before the model's answer was seen, `review` after."""
    verdict: Verdict | None = None
    """Of a review; a first opinion has none, because there is no answer to agree with yet."""
    class_id: Slug | None = None
    """The class that the clinician holds: needed to `correct`. Null in a first opinion means that
    the clinician cannot tell."""
    note: Note = ""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.kind == "first_opinion":
            if self.verdict is not None:
                raise ValueError("a first opinion has no verdict")
        elif self.verdict is None:
            raise ValueError("a review has a verdict")
        elif (self.verdict == "correct") != (self.class_id is not None):
            raise ValueError("a class is named to correct, and for nothing else")
        return self


class Review(NewReview):
    """What a clinician said of a reading, and when. It never changes; another one may follow."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: UUID
    """Version 7: sorts by time."""
    prediction_id: UUID
    created_at: datetime
    created_by: str
    """The account, or the API key."""
    author: Annotated[str, StringConstraints(max_length=200)] = ""
    """The name that the account had then, for people to read."""
    answer_class: Slug | None = None
    """What the model answered: the finding where it counts as positive at the reading's operating
    point, else the most probable class; null where the image was not judged."""

    @property
    def state(self) -> ReviewState | None:
        """What the reading counts as after it; None of a first opinion, which decides nothing."""
        return None if self.verdict is None else STATE_AFTER[self.verdict]


class ReviewList(Wire):
    """All that was said of a reading, oldest first."""

    items: tuple[Review, ...]
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING


class OpinionCounts(Wire):
    """How often an answer changed a mind: of readings with a first opinion and a later review by
    the same person."""

    readings: Annotated[int, Field(ge=0)] = 0
    changed: Annotated[int, Field(ge=0)] = 0
    """The review holds another class than the first opinion did."""
    to_model: Annotated[int, Field(ge=0)] = 0
    """Changed to what the model answered."""
    away_from_model: Annotated[int, Field(ge=0)] = 0
    """The first opinion was what the model answered, the review is not."""
    rightly: Annotated[int, Field(ge=0)] = 0
    """Changed to the class that is known, or that somebody else held later."""
    wrongly: Annotated[int, Field(ge=0)] = 0
    """Changed away from that class."""
    unknown: Annotated[int, Field(ge=0)] = 0
    """Changed, and nothing tells whether rightly; or neither class was the right one."""


class DiseaseOpinions(OpinionCounts):
    """The same for one disease."""

    disease: Slug
    disease_name: str


class OpinionSummary(Wire):
    """How often the answers changed a mind in the own unit, and whether rightly."""

    total: OpinionCounts
    diseases: tuple[DiseaseOpinions, ...] = ()
    """Those with at least one such reading, the most readings first."""
    complete: bool = True
    """False where there are more first opinions than are looked through; then the newest count."""
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING
