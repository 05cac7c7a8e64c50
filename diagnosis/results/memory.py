"""Readings in this process, gone when it ends: the peer of Redis for tests."""

from collections.abc import Sequence
from typing import Unpack
from uuid import UUID

from diagnosis.contracts import (
    Prediction,
    Review,
    ReviewState,
    listed_band,
)
from diagnosis.errors import AlreadyReviewed, ReadingUnderWay, UnknownPrediction
from diagnosis.opinions import Opined
from diagnosis.results.store import Asked, Claim, Page, Standing, wanted


class MemoryResults:
    """See `ResultStore`."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, UUID], Prediction] = {}
        self._reviews: dict[tuple[str, UUID], list[Review]] = {}
        self._once: dict[tuple[str, str], UUID | None] = {}

    async def add(self, prediction: Prediction, once: str | None = None) -> None:
        if once is not None and self._once.get((prediction.unit, once)) not in (
            None,
            prediction.id,
        ):
            raise ReadingUnderWay
        self._rows.setdefault((prediction.unit, prediction.id), prediction)
        if once is not None:
            self._once[prediction.unit, once] = prediction.id

    async def add_many(self, predictions: Sequence[Prediction]) -> None:
        for one in predictions:
            await self.add(one)

    async def claim(self, unit: str, once: str) -> Claim:
        if (unit, once) in self._once:
            return self._once[unit, once] or "taken"
        self._once[unit, once] = None
        return "ours"

    async def release(self, unit: str, once: str) -> None:
        if self._once.get((unit, once)) is None:
            self._once.pop((unit, once), None)

    async def get(self, unit: str, prediction_id: UUID) -> Prediction | None:
        return self._rows.get((unit, prediction_id))

    async def list(self, unit: str, **asked: Unpack[Asked]) -> Page:
        asking = wanted(unit, **asked)
        newest_first = sorted(self._of(unit), key=lambda one: one.id.hex, reverse=True)
        found: list[tuple[int, Prediction]] = []
        for part in asking.bands:
            begins = asking.begins_at(part)
            if begins is None:
                continue
            place, after = begins
            found += [
                (place, one)
                for one in newest_first
                if (after is None or one.id.hex < after)
                and (part is None or listed_band(one) == part)
                and asking.fits(one)
                and asking.review in (None, self._state(one))
            ]
        page = tuple(one for _, one in found[: asking.limit])
        if len(found) <= asking.limit:
            return page, None
        place, last = found[asking.limit - 1]
        return page, asking.cursor(place, last.id.hex)

    async def standings(self, readings: Sequence[Prediction]) -> tuple[Standing, ...]:
        found = []
        for one in readings:
            reference = one.patient_reference
            same = () if reference is None else await self.of_patient(one.unit, reference)
            found.append(Standing(self._state(one), len(same)))
        return tuple(found)

    async def since(self, unit: str, after: UUID, limit: int) -> tuple[Prediction, ...]:
        found = sorted(
            (one for one in self._of(unit) if one.id.hex > after.hex), key=lambda one: one.id.hex
        )
        return tuple(found[:limit])

    async def add_review(self, unit: str, review: Review) -> None:
        key = unit, review.prediction_id
        if key not in self._rows:
            raise UnknownPrediction
        kept = self._reviews.setdefault(key, [])
        if review.kind == "first_opinion" and review.created_by in {one.created_by for one in kept}:
            raise AlreadyReviewed
        kept.append(review)

    async def reviews(self, unit: str, prediction_id: UUID) -> tuple[Review, ...]:
        return tuple(self._reviews.get((unit, prediction_id), ()))

    async def opined(self, unit: str, most: int) -> tuple[tuple[Opined, ...], bool]:
        found = [
            Opined(self._rows[key], tuple(said))
            for key, said in sorted(self._reviews.items(), reverse=True)
            if key[0] == unit and any(one.kind == "first_opinion" for one in said)
        ]
        return tuple(found[:most]), len(found) <= most

    async def delete(self, unit: str, prediction_id: UUID) -> Prediction | None:
        self._reviews.pop((unit, prediction_id), None)
        return self._rows.pop((unit, prediction_id), None)

    async def keeps_image(self, unit: str, digest: str) -> bool:
        return any(digest in one.image.kept for one in self._of(unit))

    async def release_image(self, unit: str, digest: str, prediction_id: UUID) -> bool:
        others = (one for one in self._of(unit) if one.id != prediction_id)
        return any(digest in one.image.kept for one in others)

    async def of_patient(self, unit: str, patient_reference: str) -> tuple[UUID, ...]:
        found = [one.id for one in self._of(unit) if one.patient_reference == patient_reference]
        return tuple(sorted(found, key=lambda key: key.hex, reverse=True))

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return

    def _of(self, unit: str) -> Sequence[Prediction]:
        return [one for (owner, _), one in self._rows.items() if owner == unit]

    def _state(self, prediction: Prediction) -> ReviewState:
        said = self._reviews.get((prediction.unit, prediction.id), ())
        states = [one.state for one in said if one.state is not None]
        return states[-1] if states else "open"
