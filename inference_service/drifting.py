"""Looks whether live models drift, and stops one that does.

Every service looks; each window of readings counts once (`diagnosis.watch`). What it comes to lies
in the store, so all services show the same figures and a restart forgets nothing.

Readings that `trainer infer` posted have windows of their own, so that an export of thousands
neither hides nor makes up what wards send; and no batch is in two of them in a row.
"""

import asyncio
from collections.abc import Collection, Coroutine, Mapping, Sequence
from datetime import datetime
from typing import Self
from uuid import UUID

import numpy as np
import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from diagnosis.artifacts import Card, Registry
from diagnosis.artifacts.state import RegistryState
from diagnosis.audit import Action, AuditEvent, AuditLog, AuditOutcome
from diagnosis.contracts import DriftStatistic, Prediction, Review, now
from diagnosis.drift import (
    REVIEWS,
    Compared,
    Reference,
    disagreement_limit,
    window_rate,
)
from diagnosis.errors import RegistryError, SightlineError, StoreUnavailable
from diagnosis.results import ResultStore
from diagnosis.telemetry import Metrics
from diagnosis.watch import Entry, Kind, Watch
from inference_service.loading import LiveModel
from inference_service.models import Models

Values = dict[DriftStatistic, float]
#: Entries that are looked through for one window; of what is left over half is passed by.
_ROOM = 4
#: What the statistics of a window are called.
_NAMES: Mapping[Kind, Mapping[Compared, DriftStatistic]] = {
    "readings": {"input": "input", "embedding": "embedding", "score": "score"},
    "posted": {
        "input": "posted_input", "embedding": "posted_embedding", "score": "posted_score",
    },
}  # fmt: skip

log = structlog.get_logger("inference_service")


class Standing(BaseModel):
    """How a version stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    since: datetime | None
    """When the registry last did something to the version; another time is another beginning."""
    turn: int = 0
    """Counts what was written, so that no two standings are the same."""
    values: Values = {}
    """Of the last window of each statistic."""
    limits: Values = {}
    runs: dict[DriftStatistic, int] = {}
    """Windows in a row, the last among them, that were past the limit."""
    batches: tuple[UUID, ...] = ()
    """Of these were readings in the last window of posted ones; in the next there are none."""

    def after(self, values: Values, limits: Values) -> Self:
        """How it stands after one more window of some statistics."""
        runs = {
            name: self.runs.get(name, 0) + 1 if value > limits[name] else 0
            for name, value in values.items()
        }
        return self.model_copy(
            update={
                "values": self.values | values,
                "limits": self.limits | limits,
                "runs": self.runs | runs,
            }
        )

    def past(self, persisted: int) -> tuple[DriftStatistic, ...]:
        """The statistics that were past their limits in so many windows in a row."""
        return tuple(name for name, count in self.runs.items() if count >= persisted)


class Drift:
    """The watch over the live models.

    Args:
        models: which are live.
        registry: where one is stopped.
        results: the readings.
        watch: which of them are to be looked at.
        audit: where it is written down that a model was stopped.
        metrics: `sightline_drift` and its like.
        stops: whether a model that drifted is stopped; else it is only shown.
    """

    def __init__(
        self,
        models: Models,
        registry: Registry,
        results: ResultStore,
        watch: Watch,
        audit: AuditLog,
        metrics: Metrics,
        *,
        stops: bool,
    ) -> None:
        self._models = models
        self._registry = registry
        self._results = results
        self._watch = watch
        self._audit = audit
        self._metrics = metrics
        self._stops = stops
        self._entering: set[asyncio.Task[None]] = set()

    def kept(self, predictions: Sequence[Prediction]) -> None:
        """Readings were kept. Nobody waits for what is done here, and nothing depends on it."""
        self._enter("readings", predictions)

    def reviewed(self, prediction: Prediction, review: Review) -> None:
        """A reading was reviewed, and that is kept. Its first review enters it, so that it counts
        once ever, however often and by however many people it is reviewed."""
        if _watched(prediction):
            self._begin(self._entered_if_first(prediction, review))

    async def posted(self, predictions: Sequence[Prediction]) -> None:
        """Readings were posted; of versions that are not live there is nothing to look at.

        Raises:
            StoreUnavailable: they are not entered.
        """
        for disease in {one.disease for one in predictions}:
            entry = self._models.entry(disease)
            live = entry.card.version if isinstance(entry, LiveModel) else None
            those = [
                one
                for one in predictions
                if one.disease == disease and one.artifact.version == live and _watched(one)
            ]
            await self._watch.enter("posted", disease, those)

    def _enter(self, kind: Kind, predictions: Sequence[Prediction]) -> None:
        watched = [one for one in predictions if _watched(one)]
        for disease in {one.disease for one in watched}:
            those = [one for one in watched if one.disease == disease]
            self._begin(self._entered(kind, disease, those))

    def _begin(self, entering: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(entering)
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _entered_if_first(self, prediction: Prediction, review: Review) -> None:
        try:
            found = await self._results.reviews(prediction.unit, prediction.id)
        except StoreUnavailable as error:
            log.warning("drift", cause=error.cause)
            return
        # The store has them in one order, so of two that came at once one is the first.
        said = _no_opinions(found)
        if said and said[0].id == review.id:
            await self._entered("reviews", prediction.disease, [prediction])

    async def _entered(self, kind: Kind, disease: str, those: Sequence[Prediction]) -> None:
        try:
            await self._watch.enter(kind, disease, those)
        except StoreUnavailable as error:
            log.warning("drift", cause=error.cause)

    async def close(self) -> None:
        """Let what is being entered be entered."""
        await asyncio.gather(*self._entering)

    async def look(self) -> None:
        """Look at every window that is full, show how all stand, and stop what drifted.

        Raises:
            StoreUnavailable, RegistryError, AuditUnavailable: asked again, it goes on from there.
        """
        failure: SightlineError | None = None
        for disease in self._models.diseases:
            try:
                await self._look_for(disease)
            except SightlineError as error:
                # One disease that cannot be looked at keeps none of the others.
                failure = error
        if failure is not None:
            raise failure

    async def _look_for(self, disease: str) -> None:
        state = await asyncio.to_thread(self._registry.state, disease)
        self._metrics.under_review.labels(disease).set(bool(state.awaited))
        entry = self._models.entry(disease)
        card = entry.card if isinstance(entry, LiveModel) else None
        if card is None or card.reference is None or state.live != card.version:
            self._metrics.forget_drift(disease)
            return
        await self._look_at(card, card.reference, state)

    async def _look_at(self, card: Card, reference: Reference, state: RegistryState) -> None:
        disease = card.disease
        kinds: tuple[Kind, ...] = ("readings", "posted", "reviews")
        for kind in kinds:
            while not await self._to_be_stopped(card, reference, state):
                if not await self._advance(kind, card, reference, state):
                    break
        standing = _parsed(await self._watch.standing(disease), card, state)
        waiting = await self._watch.waiting("readings", disease)
        # What is shown may be of the version before, at which nobody may have looked since.
        self._metrics.forget_drift(disease)
        for name, value in standing.values.items():
            self._metrics.drift.labels(disease, name).set(value)
            self._metrics.drift_limit.labels(disease, name).set(standing.limits[name])
        self._metrics.drift_images.labels(disease).set(waiting)
        past = standing.past(reference.persisted)
        if past and self._stops:
            await self._stop(card, past)

    async def _to_be_stopped(self, card: Card, reference: Reference, state: RegistryState) -> bool:
        """Whether it has drifted already: a window after that must not make it forgotten."""
        standing = _parsed(await self._watch.standing(card.disease), card, state)
        return self._stops and bool(standing.past(reference.persisted))

    async def _advance(
        self, kind: Kind, card: Card, reference: Reference, state: RegistryState
    ) -> bool:
        """Look at one window, if one is full; whether there may be another."""
        size = REVIEWS if kind == "reviews" else reference.window
        if await self._watch.waiting(kind, card.disease) < size:
            return False
        # Before the entries: whoever takes some out meanwhile has written another standing.
        before = await self._watch.standing(card.disease)
        standing = _parsed(before, card, state)
        entries = await self._watch.oldest(kind, card.disease, _ROOM * size)
        if kind != "reviews":
            without = standing.batches if kind == "posted" else ()
            found, taken = await self._readings(entries, card, size, standing.since, without)
            full = len(found) == size
            if full:
                standing = _after(standing, kind, found, card, reference)
        else:
            said, taken = await self._disagreements(entries, card, size, standing.since)
            full = len(said) == size
            limit = _disagreement_limit(card, reference)
            if full and limit is not None:
                standing = standing.after({"agreement": sum(said) / size}, {"agreement": limit})
        if not full and len(entries) == _ROOM * size:
            # So much of other versions, or deleted: it is passed by.
            taken = max(taken, len(entries) // 2)
        if not taken:
            return False
        after = standing.model_copy(update={"turn": standing.turn + 1}).model_dump_json().encode()
        return await self._watch.advance(kind, card.disease, taken, before, after)

    async def _readings(
        self,
        entries: Sequence[Entry],
        card: Card,
        size: int,
        since: datetime | None,
        without: Collection[UUID],
    ) -> tuple[list[Prediction], int]:
        """The first so many readings of the version, and how many entries that took: where there
        are fewer, those at the beginning that are of no use. An image that was sent several times
        counts once, one from before a stop was lifted and one of these batches not at all."""
        found: dict[str, Prediction] = {}
        useless = 0
        for place, entry in enumerate(entries, start=1):
            reading = await self._reading(entry) if entry.version == card.version else None
            if (
                reading is not None
                and _usable(reading, card)
                and not _before(reading, since)
                and reading.batch not in without
            ):
                found.setdefault(reading.image.digest, reading)
            if len(found) == size:
                return list(found.values()), place
            if not found:
                useless = place
        return list(found.values()), useless

    async def _disagreements(
        self, entries: Sequence[Entry], card: Card, size: int, since: datetime | None
    ) -> tuple[list[bool], int]:
        """Of the first so many reviewed readings, whether the newest review disagrees. As above,
        one that was made before a stop was lifted does not count, whenever it is reviewed: who
        looks at those days again does not stop the version for them again."""
        found: dict[str, bool] = {}
        for place, entry in enumerate(entries, start=1):
            if entry.version != card.version or entry.id.hex in found:
                continue
            reading = await self._reading(entry)
            if reading is None or _before(reading, since):
                continue
            said = await self._reviews(entry)
            if said:
                found[entry.id.hex] = said[-1].verdict != "agree"
            if len(found) == size:
                return list(found.values()), place
        return list(found.values()), 0

    async def _reading(self, entry: Entry) -> Prediction | None:
        try:
            return await self._results.get(entry.unit, entry.id)
        except StoreUnavailable:
            # One row that cannot be read holds up no other; a store that is away raises here.
            await self._results.ping()
            return None

    async def _reviews(self, entry: Entry) -> list[Review]:
        try:
            found = await self._results.reviews(entry.unit, entry.id)
        except StoreUnavailable:
            # As in `_reading`.
            await self._results.ping()
            return []
        return _no_opinions(found)

    async def _stop(self, card: Card, past: tuple[DriftStatistic, ...]) -> None:
        """Take the model out of use. Written down first: where that cannot be, it is tried again
        with the next look."""
        disease, version = card.disease, card.version
        if (await asyncio.to_thread(self._registry.state, disease)).live != version:
            return
        event = AuditEvent(
            at=now(),
            action=Action.MODEL_STOP,
            actor="system",
            unit="default",
            outcome=AuditOutcome.ALLOWED,
            object=f"{disease}@{version}",
        )
        await self._audit.add(event)
        try:
            await asyncio.to_thread(self._registry.stop, disease, version, past)
        except (RegistryError, OSError):
            await self._audit.add(event.model_copy(update={"outcome": AuditOutcome.FAILED}))
            raise
        self._metrics.under_review.labels(disease).set(1)
        log.error("model stopped", disease=disease, version=version, past=past)


def _parsed(content: bytes | None, card: Card, state: RegistryState) -> Standing:
    """How a version stands; from the beginning where it was stored of another one."""
    fresh = Standing(version=card.version, since=state.changed_at(card.version))
    if content is None:
        return fresh
    try:
        found = Standing.model_validate_json(content)
    except ValidationError:
        return fresh
    same = (found.version, found.since) == (fresh.version, fresh.since)
    return found if same else fresh.model_copy(update={"turn": found.turn})


def _no_opinions(said: Sequence[Review]) -> list[Review]:
    """Without the first opinions, which were given before the answer was seen."""
    return [one for one in said if one.kind == "review"]


def _before(one: Prediction, since: datetime | None) -> bool:
    return since is not None and one.created_at < since


def _watched(prediction: Prediction) -> bool:
    return bool(prediction.statistics) and not prediction.image.demo


def _after(
    standing: Standing,
    kind: Kind,
    window: Sequence[Prediction],
    card: Card,
    reference: Reference,
) -> Standing:
    """How it stands after a window of readings."""
    names = _NAMES[kind]
    values = {names[one]: value for one, value in _compared(window, card, reference).items()}
    limits = {names[one]: limit for one, limit in reference.limits.items()}
    after = standing.after(values, limits)
    if kind == "readings":
        return after
    batches = {one.batch for one in window if one.batch is not None}
    return after.model_copy(update={"batches": tuple(sorted(batches))})


def _usable(reading: Prediction, card: Card) -> bool:
    return len(reading.probabilities) == len(card.classes) and bool(reading.statistics)


def _compared(
    readings: Sequence[Prediction], card: Card, reference: Reference
) -> Mapping[Compared, float]:
    order = {one.id: place for place, one in enumerate(card.classes)}
    probabilities = np.zeros((len(readings), len(order)))
    for row, reading in zip(probabilities, readings, strict=True):
        for one in reading.probabilities:
            row[order[one.id]] = one.probability
    kept = np.array([one.statistics for one in readings], np.int64)
    return reference.compare(kept, probabilities, card.finding)


def _disagreement_limit(card: Card, reference: Reference) -> float | None:
    """What share of reviews may disagree; None where the card states no accuracy."""
    accuracy = card.evaluation.figures.get("accuracy")
    if accuracy is None:
        return None
    return disagreement_limit(accuracy.low, window_rate(reference))
