"""Counts what `trainer infer` posted, as what is read here is counted.

The trainer tells what it did (`diagnosis.watch`); one of the services takes each of it.
"""

from diagnosis.contracts import Prediction
from diagnosis.errors import StoreUnavailable
from diagnosis.results import ResultStore
from diagnosis.telemetry import Metrics
from diagnosis.watch import Told, Watch
from inference_service.drifting import Drift
from inference_service.models import Models
from inference_service.pipeline import Pipeline

_AT_ONCE = 100


class Posted:
    """Counts it, and hands readings on to the watch over live models.

    Args:
        watch: where it was told.
        results: the readings.
        models: the diseases that there are.
        pipeline: counts readings.
        drift: the watch.
        metrics: of files and batches.
    """

    def __init__(
        self,
        watch: Watch,
        results: ResultStore,
        models: Models,
        pipeline: Pipeline,
        drift: Drift,
        metrics: Metrics,
    ) -> None:
        self._watch, self._results, self._models = watch, results, models
        self._pipeline, self._drift, self._metrics = pipeline, drift, metrics

    async def count(self) -> None:
        """Count all that was told and that no other service has taken.

        Raises:
            StoreUnavailable: what was just taken, a hundred at most, may be uncounted.
        """
        # Before that nobody here knows which version is live.
        while self._models.loaded and (told := await self._watch.take(_AT_ONCE)):
            found = [await self._reading(one) for one in told]
            readings = [one for one in found if one is not None]
            for one in told:
                self._count(one)
            for reading in readings:
                self._pipeline.measure(reading)
            await self._drift.posted(readings)

    def _count(self, told: Told) -> None:
        if told.disease not in self._models.diseases:
            return
        if told.what == "accepted" or told.what == "done":
            self._metrics.batches.labels(told.what).inc()
        else:
            outcome = "done" if told.what == "reading" else "failed"
            self._metrics.posted_files.labels(told.disease, outcome).inc()

    async def _reading(self, told: Told) -> Prediction | None:
        if told.id is None or told.disease not in self._models.diseases:
            return None
        try:
            return await self._results.get(told.unit, told.id)
        except StoreUnavailable:
            # One row that cannot be read holds up no other; a store that is away raises here.
            await self._results.ping()
            return None
