"""Bytes to a stored reading: wait, decode, pass the gate, preprocess, infer, judge, keep."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import numpy as np

from diagnosis.contracts import (
    OperatingPointName,
    PatientDeleted,
    Prediction,
    SuggestionList,
)
from diagnosis.errors import StoreUnavailable
from diagnosis.gate import statistics
from diagnosis.image_store import ImageStore, kept_as
from diagnosis.queue import Batches
from diagnosis.reading import compose
from diagnosis.results import ResultStore
from diagnosis.telemetry import OTHER_CLASS, Metrics
from inference_service.ask import Ask
from inference_service.decoding import Decoded, Decoders
from inference_service.loading import LiveModel
from inference_service.models import Models
from inference_service.places import Place, Places
from inference_service.points import choose_point
from inference_service.suggestions import suggest

T = TypeVar("T")

#: What a change of a reading is done in: written down before, and again if it then fails.
Written = Callable[[UUID], AbstractAsyncContextManager[None]]
#: What is kept for a reading, by digest.
Files = dict[str, bytes]

#: Seconds after which a store that has been told something has done it, or never will.
DOUBT_SECONDS = 30.0


class Pipeline:
    """Makes readings, as many at once as there are threads.

    Args:
        models: who answers.
        results: where readings are kept.
        images: where images are kept.
        decoders: read images.
        metrics: times and counts.
        batches: where names of files are forgotten with their readings.
        places: where they are made.
        keep_dicom: whether a de-identified DICOM file is kept of one that came.
    """

    def __init__(
        self,
        models: Models,
        results: ResultStore,
        images: ImageStore,
        decoders: Decoders,
        metrics: Metrics,
        batches: Batches,
        places: Places,
        *,
        keep_dicom: bool = False,
    ) -> None:
        self._models = models
        self._results = results
        self._images = images
        self.decoders = decoders
        self._metrics = metrics
        self._batches = batches
        self.places = places
        self._keep_dicom = keep_dicom
        self.on_kept: Callable[[Sequence[Prediction]], None] = lambda _: None
        """Called with all readings that were kept, in groups."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Files of readings that the store may or may not have kept: unit, digest, since when.
        self._doubted: dict[tuple[str, str], float] = {}

    async def read(
        self,
        place: Place,
        disease_id: str,
        data: bytes,
        *,
        operating_point: OperatingPointName | None,
        unit: str,
        created_by: str,
        patient_reference: str | None,
        written: Written,
        once: str | None = None,
    ) -> Prediction:
        """Read an image and keep image and reading; when this returns, both are durable.

        Args:
            place: see `place`.
            disease_id: of the catalogue.
            data: untrusted bytes of the image.
            operating_point: which threshold; None for `balanced`.
            unit: the group of people who may see the reading.
            created_by: who asked.
            patient_reference: a keyed hash, or None.
            written: what image and reading are kept in.
            once: a claimed key that answers with the reading from now on.

        Raises:
            ImageRefused, ModelUnavailable, Overloaded, StoreUnavailable, AuditUnavailable,
                InvalidRequest: and nothing is kept.
        """
        self._models.check(disease_id)
        ask = Ask(disease_id, data, operating_point, unit, created_by, patient_reference)
        prediction, files = await self.compute(place, ask)
        async with written(prediction.id):
            prediction = await self._keep(prediction, files, once)
        self.count([prediction])
        return prediction

    async def compute(self, place: Place, ask: Ask) -> "tuple[Prediction, Files]":
        """A reading that is not kept yet, and the files to keep for it; raises as `read` does."""
        return await self.places.run(place, lambda waited: self.work(ask, waited))

    def count(self, predictions: Sequence[Prediction]) -> None:
        """Readings were kept."""
        self.on_kept(predictions)
        for prediction in predictions:
            self.measure(prediction)

    def measure(self, prediction: Prediction) -> None:
        """What a reading says goes into the metrics."""
        disease, band = prediction.disease, prediction.band or "none"
        self._metrics.readings.labels(disease, prediction.outcome, band).inc()
        if prediction.top:
            first = prediction.top[0]
            known = self._models.disease(disease).class_ids
            name = first.id if first.id in known else OTHER_CLASS
            self._metrics.predictions.labels(disease, name, band).inc()
            self._metrics.confidence.labels(disease).observe(first.probability)

    async def suggest(self, place: Place, data: bytes) -> SuggestionList:
        """What an image may be read for; nothing of it is kept.

        Raises:
            ImageRefused, Overloaded: it cannot be read, or not in good time.
        """
        return await self.places.run(
            place, lambda _: suggest(self._models.live(), data, self.decoders)
        )

    async def delete(
        self, unit: str, prediction_id: UUID, written: Written, *, of_batch: bool = False
    ) -> bool:
        """Delete a reading, and its image unless another reading shows it.

        Args:
            unit: whose reading.
            prediction_id: of the reading.
            written: what it is deleted in.
            of_batch: whether its batch is deleted as a whole; else the batch forgets the name of
                its file.

        Returns:
            False when there was no such reading.

        Raises:
            AuditUnavailable: it cannot be written down, and nothing is deleted.
            StoreUnavailable: the reading may still be there.
        """
        return await self._delete(unit, prediction_id, written, of_batch) is not None

    async def delete_patient(
        self, unit: str, patient_reference: str, written: Written
    ) -> PatientDeleted:
        """Delete every reading with a hashed reference, and their images as `delete` does.

        Args:
            unit: whose readings.
            patient_reference: the keyed hash.
            written: what each reading is deleted in.

        Raises:
            AuditUnavailable: it cannot be written down; asked again, the rest is deleted.
            StoreUnavailable: something may still be there; asked again, the rest is deleted.
        """
        readings = images = 0
        failure: StoreUnavailable | None = None
        for prediction_id in await self._results.of_patient(unit, patient_reference):
            try:
                gone = await self._delete(unit, prediction_id, written)
            except StoreUnavailable as error:
                # One reading that cannot be read keeps none of the others.
                failure = error
                await self._results.ping()
                continue
            if gone is not None:
                readings += 1
                images += gone
        if failure is not None:
            raise failure
        return PatientDeleted(readings=readings, images=images)

    async def _delete(
        self, unit: str, prediction_id: UUID, written: Written, of_batch: bool = False
    ) -> int | None:
        """Delete a reading; how many images went with it, None where there was no reading.

        The files first: cut off in between, this leaves a reading without its image, which can be
        deleted again, and never a patient's image that no reading leads to any more.
        """
        found = await self._results.get(unit, prediction_id)
        if found is None:
            return None
        async with written(prediction_id), self._lock(kept_as(unit, found.image.digest)):
            gone = 0
            for digest in found.image.kept:
                if not await self._results.release_image(unit, digest, prediction_id):
                    was_there = await self._delete_file(unit, digest, prediction_id)
                    gone += was_there and digest == found.image.digest
            if found.batch is not None and not of_batch:
                await self._batches.forget(unit, found.batch, prediction_id)
            if await self._results.delete(unit, prediction_id) is None:
                return None
            return gone

    async def _delete_file(self, unit: str, digest: str, of: UUID | None = None) -> bool:
        """Delete a file that no reading keeps but `of`; whether it was there and is gone.

        Another process may keep a reading of it just now. That process puts the file again once
        its reading is kept, and here it is looked after it is gone: one of the two comes last.
        """
        name = kept_as(unit, digest)
        file = await asyncio.to_thread(self._images.get, name)
        was_there = await asyncio.to_thread(self._images.delete, name)
        if file is not None and await (
            self._results.keeps_image(unit, digest)
            if of is None
            else self._results.release_image(unit, digest, of)
        ):
            await asyncio.to_thread(self._images.put, name, file)
            return False
        return was_there

    def work(self, ask: Ask, waited: float) -> "tuple[Prediction, Files]":
        """Everything between the upload and the store, in the thread that `places` gives it.

        Args:
            ask: what to read.
            waited: seconds until there was a thread.

        Raises:
            ImageRefused, ModelUnavailable, ServiceUnavailable: as `read` does.
        """
        timings: dict[str, float] = {}
        took = self._metrics.took
        took(ask.disease, "queue", timings, waited)
        with self._models.held(ask.disease) as model:
            point = choose_point(model.card, ask.operating_point)
            image = self._decode(ask, model, timings)
            verdict = None
            if model.gate is not None and image.look is not None:
                began = time.perf_counter()
                verdict = model.gate.judge(image.look)
                judged = time.perf_counter() - began
                took(ask.disease, "gate", timings, image.look_seconds + judged)
                self._metrics.saw(ask.disease, statistics(image.look.features))
                if verdict.reason is not None:
                    self._metrics.gate_refusals.labels(ask.disease, verdict.reason.code).inc()
            outputs = None
            if verdict is None or verdict.reading.passed:
                assert image.array is not None
                with self._metrics.step(ask.disease, "infer", timings):
                    outputs = model.engine.predict(image.array[np.newaxis])[0]
        prediction = compose(
            model.disease,
            model.card,
            image.facts,
            outputs,
            demo_digests=model.demo_digests,
            explains=model.engine.explains,
            dicom=image.dicom,
            verdict=verdict,
            statistics=model.statistics_of(image.look),
            point=point,
            timings_ms=timings,
            unit=ask.unit,
            created_by=ask.created_by,
            patient_reference=ask.patient_reference,
            prediction_id=ask.prediction_id,
            batch=ask.batch,
        )
        files = (image.clean,) if image.dicom is None else (image.clean, image.dicom)
        return prediction, dict(zip(prediction.image.kept, files, strict=True))

    def _decode(self, ask: Ask, model: LiveModel, timings: dict[str, float]) -> Decoded:
        """The image from a process of its own. `decode` is all that is not one of the two steps
        that are timed there: a refused image's time too, and the way to and fro."""
        began, inside = time.perf_counter(), 0.0
        try:
            image = self.decoders.read(
                ask.data,
                preprocessing=model.card.preprocessing,
                look=model.gate is not None,
                keep_dicom=self._keep_dicom,
            )
            inside = image.look_seconds + image.preprocess_seconds
        finally:
            elapsed = time.perf_counter() - began
            self._metrics.took(ask.disease, "decode", timings, max(elapsed - inside, 0.0))
        self._metrics.took(ask.disease, "preprocess", timings, image.preprocess_seconds)
        return image

    async def _keep(self, prediction: Prediction, files: "Files", once: str | None) -> Prediction:
        """Keep the files, then the reading; when the reading is not kept, neither are they.

        Where the store does not answer, nobody knows whether it is: it may have got all of it and
        be about to write it down. And another reading may show the same image. So `settle` sees to
        the files, later.

        `store` in the timings is the image's part: a reading cannot hold how long it took to
        store itself. The metric has both.
        """
        began = time.perf_counter()
        # The lock is the image's; a DICOM file's digest follows from that of its image.
        async with self._lock(kept_as(prediction.unit, prediction.image.digest)):
            (prediction,) = await asyncio.to_thread(self.put, [(prediction, files)])
            try:
                await self._results.add(prediction, once)
            except BaseException:
                self.doubt(prediction)
                raise
        self._metrics.stepped(prediction.disease, "store", time.perf_counter() - began)
        return prediction

    def put(self, made: "Sequence[tuple[Prediction, Files]]") -> list[Prediction]:
        """Put the files of readings that are about to be kept; the readings with how long it took.

        Raises:
            StoreUnavailable: not all of them are kept.
        """
        began = time.perf_counter()
        self._images.put_many(_named(made))
        stored = round((time.perf_counter() - began) * 1000, 3)
        return [
            one.model_copy(update={"timings_ms": {**one.timings_ms, "store": stored}})
            for one, _ in made
        ]

    async def put_again(self, kept: "Sequence[tuple[Prediction, Files]]") -> None:
        """Put the files of readings that were just kept once more: the deletion of another reading
        of the same image may have taken them along before this one was there.

        Raises:
            StoreUnavailable: not all of them are looked after.
        """

        was_gone = await asyncio.to_thread(self._images.put_many, _named(kept))
        for prediction, files in kept:
            for digest in files:
                # Where it was gone, it may have been this reading that was deleted.
                if kept_as(prediction.unit, digest) in was_gone and not (
                    await self._results.keeps_image(prediction.unit, digest)
                ):
                    await self._delete_file(prediction.unit, digest)

    def doubt(self, prediction: Prediction) -> None:
        """Whether a reading was kept is not known, or it was not: `settle` sees to its files."""
        self._doubted |= {
            (prediction.unit, digest): time.monotonic() for digest in prediction.image.kept
        }

    async def settle(self) -> None:
        """Delete the files of readings that turned out not to be kept.

        A store that hung does what it was told before once it goes on; after `DOUBT_SECONDS`, and
        once it has answered, it has.

        Raises:
            StoreUnavailable: it does not answer yet; asked again, the rest is seen to.
        """
        limit = time.monotonic() - DOUBT_SECONDS
        for (unit, digest), since in list(self._doubted.items()):
            if since > limit:
                continue
            await self._results.ping()
            async with self._lock(kept_as(unit, digest)):
                if not await self._results.keeps_image(unit, digest):
                    await self._delete_file(unit, digest)
            # Not one that was doubted again meanwhile.
            if self._doubted.get((unit, digest)) == since:
                del self._doubted[unit, digest]

    def _lock(self, name: str) -> asyncio.Lock:
        """One lock an image: a reading of it is not added while another's deletion looks whether
        any is left."""
        return self._locks.setdefault(name, asyncio.Lock())


def _named(made: "Sequence[tuple[Prediction, Files]]") -> dict[str, bytes]:
    """The files of readings by the names that they are kept under."""
    return {
        kept_as(prediction.unit, digest): file
        for prediction, files in made
        for digest, file in files.items()
    }
