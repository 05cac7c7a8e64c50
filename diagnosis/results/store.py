"""What a store of readings does, and what may be asked of its list."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Required, TypedDict, Unpack, get_args
from uuid import UUID

from diagnosis.contracts import (
    URGENCY,
    ListedBand,
    Prediction,
    Review,
    ReviewState,
    Sort,
    listed_band,
)
from diagnosis.errors import InvalidRequest
from diagnosis.opinions import Opined

MAX_PAGE = 100
LONGEST_TEXT = 100

_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CURSOR = re.compile(r"(?:([0-4])-)?([0-9a-f]{32})")

Page = tuple[tuple[Prediction, ...], str | None]
Claim = Literal["ours", "taken"] | UUID


@dataclass(frozen=True)
class Standing:
    """What the list says of a reading beside the reading itself."""

    review: ReviewState
    patient_readings: int
    """Readings of this patient in the unit; 0 without a reference."""


@dataclass(frozen=True)
class Wanted:
    """A checked question to the list; see `ResultStore.list`."""

    disease: str | None
    class_id: str | None
    band: ListedBand | None
    review: ReviewState | None
    patient_reference: str | None
    batch: UUID | None
    words: tuple[str, ...]
    sort: Sort
    place: int
    """Where to go on in the order of urgency; 0 where that is not asked for."""
    after: str | None
    """The hexadecimal id after which to go on there; None for the beginning."""
    limit: int

    @property
    def bands(self) -> tuple[ListedBand | None, ...]:
        """The parts of the list one after the other: one, or in order of urgency the bands."""
        if self.sort == "newest":
            return (self.band,)
        return tuple(one for one in URGENCY if self.band in (None, one))

    def fits(self, prediction: Prediction) -> bool:
        """Whether a reading is about what was asked, whatever was said of it."""
        top = prediction.top[0].id if prediction.top else None
        return (
            (self.disease is None or prediction.disease == self.disease)
            and (self.class_id is None or top == self.class_id)
            and (self.band is None or listed_band(prediction) == self.band)
            and self.patient_reference in (None, prediction.patient_reference)
            and self.batch in (None, prediction.batch)
            and says(prediction, self.words)
        )

    def cursor(self, place: int, member: str) -> str:
        """Where a page that ended with this reading of this part goes on."""
        return member if self.sort == "newest" else f"{place}-{member}"

    def begins_at(self, band: ListedBand | None) -> tuple[int, str | None] | None:
        """Place of a part of the list and after which id it goes on; None where it is past."""
        if self.sort == "newest" or band is None:
            return 0, self.after
        place = URGENCY.index(band)
        if place < self.place:
            return None
        return place, self.after if place == self.place else None


class Asked(TypedDict, total=False):
    """What a list is asked for."""

    disease: str | None
    """Only readings of this disease."""
    class_id: str | None
    """Only readings whose most probable class is this one."""
    band: ListedBand | None
    """Only readings that are listed under this band."""
    review: ReviewState | None
    """Only readings whose newest review came to this."""
    patient_reference: str | None
    """Only readings with this hashed reference."""
    batch: UUID | None
    """Only readings of this batch."""
    text: str | None
    """Only readings with all these words in the name of their disease or of their most probable
    class, the version of the model, or their id."""
    sort: Sort
    """Newest first, which is the default, or by urgency of the band, in each band newest first."""
    cursor: str | None
    """What the page before gave; None for the first page."""
    limit: Required[int]
    """Readings on the page, 1 to 100."""


def says(prediction: Prediction, words: Sequence[str]) -> bool:
    """Whether all words are in what the list shows of a reading."""
    if not words:
        return True
    top = prediction.top[0].name if prediction.top else ""
    shown = f"{prediction.disease_name} {top} {prediction.artifact.version} {prediction.id}"
    return all(word in shown.lower() for word in words)


def wanted(unit: str, **asked: Unpack[Asked]) -> Wanted:
    """Check a question. Raises InvalidRequest."""
    cursor, limit = asked.get("cursor"), asked["limit"]
    _named("disease", asked.get("disease"))
    _named("class_id", asked.get("class_id"))
    _named("unit", unit)
    _among("band", asked.get("band"), URGENCY)
    _among("review", asked.get("review"), get_args(ReviewState))
    sort: Sort = asked.get("sort", "newest")
    _among("sort", sort, get_args(Sort))
    text = asked.get("text") or ""
    if len(text) > LONGEST_TEXT:
        raise InvalidRequest(f"A search has at most {LONGEST_TEXT} characters.")
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"The limit is a number from 1 to {MAX_PAGE}.")
    place, after = _place(cursor, sort)
    return Wanted(
        asked.get("disease"),
        asked.get("class_id"),
        asked.get("band"),
        asked.get("review"),
        asked.get("patient_reference"),
        asked.get("batch"),
        tuple(text.lower().split()),
        sort,
        place,
        after,
        limit,
    )


def _named(field: str, value: str | None) -> None:
    if value is not None and not _SLUG.fullmatch(value):
        raise InvalidRequest(f"The {field} is not a name of this system.")


def _among(field: str, value: str | None, known: Sequence[str]) -> None:
    if value is not None and value not in known:
        raise InvalidRequest(f"The {field} is one of {', '.join(known)}.")


def _place(cursor: str | None, sort: Sort) -> tuple[int, str | None]:
    if cursor is None:
        return 0, None
    found = _CURSOR.fullmatch(cursor)
    if found is None or (found[1] is None) != (sort == "newest"):
        raise InvalidRequest(
            "The cursor is not one that a page gave.",
            remedy="Begin at the first page, without a cursor.",
        )
    return int(found[1] or 0), found[2]


class ResultStore(Protocol):
    """Where readings are kept. Every method may raise StoreUnavailable."""

    async def add(self, prediction: Prediction, once: str | None = None) -> None:
        """Keep a reading; when its id is kept already, nothing changes.

        Args:
            prediction: the reading.
            once: a claimed key, which from now on answers with this reading; see `claim`.

        Raises:
            ReadingUnderWay: the key answers with another reading, because the claim ran out and
                somebody else was faster. This one is not kept.
        """

    async def add_many(self, predictions: Sequence[Prediction]) -> None:
        """Keep readings of one unit, all or none, in one round trip; see `add`."""

    async def claim(self, unit: str, once: str) -> Claim:
        """Take a key for a reading that is about to be made.

        Returns:
            "ours" where it was free: then `add` or `release` it. "taken" where somebody else is at
            it, or was when its process ended less than half a minute ago. The id of the reading
            that was added with it in the last 30 days.
        """

    async def release(self, unit: str, once: str) -> None:
        """Give a claimed key back: no reading came of it. Nothing where one has."""

    async def get(self, unit: str, prediction_id: UUID) -> Prediction | None:
        """One reading of a unit, or None."""

    async def list(self, unit: str, **asked: Unpack[Asked]) -> Page:
        """A page of a unit's readings.

        Of many readings only a part is looked through at a time: then the page is not full, and
        its cursor goes on from there.

        Args:
            unit: whose readings.
            asked: which of them, and how many.

        Returns:
            The readings, and the cursor of the next page: None when there is none.

        Raises:
            InvalidRequest: the cursor, the limit or a name is malformed.
        """

    async def standings(self, readings: Sequence[Prediction]) -> tuple[Standing, ...]:
        """What the list says of each of these readings beside it. All are of one unit."""

    async def since(self, unit: str, after: UUID, limit: int) -> tuple[Prediction, ...]:
        """Readings with a greater id, oldest first."""

    async def add_review(self, unit: str, review: Review) -> None:
        """Keep what somebody said of a reading; nothing that was said before changes.

        Raises:
            UnknownPrediction: the unit has no such reading.
            AlreadyReviewed: it is a first opinion, and its author has said something before.
        """

    async def reviews(self, unit: str, prediction_id: UUID) -> tuple[Review, ...]:
        """What was said of a reading, oldest first."""

    async def opined(self, unit: str, most: int) -> tuple[tuple[Opined, ...], bool]:
        """The newest readings with a first opinion, and whether these are all.

        Args:
            unit: whose readings.
            most: readings at most.
        """

    async def delete(self, unit: str, prediction_id: UUID) -> Prediction | None:
        """Delete a reading with all that was said of it, and return what it was; None when there
        was none.

        Of several callers that delete one reading at once, exactly one gets it.
        """

    async def keeps_image(self, unit: str, digest: str) -> bool:
        """Whether a reading of the unit still keeps the image, or DICOM file, of this digest."""

    async def release_image(self, unit: str, digest: str, prediction_id: UUID) -> bool:
        """From now on this reading, which is about to be deleted, keeps the file no more; whether
        another of the unit still does. Asked again, it answers the same."""

    async def of_patient(self, unit: str, patient_reference: str) -> tuple[UUID, ...]:
        """The ids of a unit's readings with this hashed reference, newest first.

        Every row is looked at, those too that only another version can read: an index could be
        out of step with the rows, and then a deletion would leave something behind.
        """

    async def ping(self) -> None:
        """Return when the store answers."""

    async def close(self) -> None:
        """Let go of connections."""
