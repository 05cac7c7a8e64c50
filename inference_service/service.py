"""The parts of a running service, put together, started and stopped."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import Annotated

import structlog
from fastapi import Depends, Request

from diagnosis.artifacts import Registry, storage_at
from diagnosis.audit import AuditLog, connect_audit
from diagnosis.catalogue import catalogue, load_catalogue
from diagnosis.errors import StoreUnavailable
from diagnosis.image_bucket import images_at
from diagnosis.keys import read_public_key
from diagnosis.queue import Batches, connect_batches
from diagnosis.results import ResultStore, connect
from diagnosis.telemetry import Metrics
from diagnosis.watch import Watch, connect_watch
from inference_service.decoding import Decoders, Nursery
from inference_service.drifting import Drift
from inference_service.events import Events
from inference_service.explaining import Explainer
from inference_service.intake import Intake
from inference_service.loading import loader
from inference_service.models import Models
from inference_service.pipeline import Pipeline
from inference_service.places import Places
from inference_service.portables import Portables
from inference_service.posted import Posted
from inference_service.references import PatientReferences
from inference_service.settings import Settings
from inference_service.thumbnails import Thumbnails

log = structlog.get_logger("inference_service")


class Service:
    """Everything an endpoint may need.

    Args:
        settings: where things are and how much is allowed.
        results: where readings are kept; by default the Redis of the settings.
        audit: where is written down who did what; by default the same Redis.
        nursery: starts the processes that read images; by default one of its own.
        batches: where batches are kept; by default the same Redis.
        watch: which readings are to be looked at for drift; by default the same Redis.
        name: of the process, in metrics.
        spare_threads: that make readings beside those of the settings.
    """

    def __init__(
        self,
        settings: Settings,
        results: ResultStore | None = None,
        audit: AuditLog | None = None,
        nursery: Nursery | None = None,
        batches: Batches | None = None,
        watch: Watch | None = None,
        name: str = "inference_service",
        spare_threads: int = 0,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(name)
        redis = settings.redis_url.get_secret_value(), settings.redis_ca_file
        self.results = results or connect(*redis)
        self.audit = audit or connect_audit(*redis)
        self.batches = batches or connect_batches(*redis)
        self.batches.on_done = self.batch_done
        self.images = images_at(settings.image_bucket, settings.image_dir)
        self.intake = Intake(
            self.batches,
            images_at(settings.image_bucket, settings.image_dir, "spool"),
            settings.image_dir / "archives",
            most_waiting=settings.batch_items_waiting,
        )
        self.references = PatientReferences(settings.patient_reference_key_file)
        self.registry = Registry(storage_at(settings.registry, settings.registry_cache_dir))
        diseases = (
            catalogue()
            if settings.catalogue_dir is None
            else load_catalogue(settings.catalogue_dir)
        )
        self._nursery = nursery or Nursery()
        self._owns_nursery = nursery is None
        self.decoders = Decoders(
            settings.threads,
            seconds=settings.decoding_seconds,
            memory=settings.decoding_memory_mb * 1024 * 1024,
            images=settings.decoding_images,
            metrics=self.metrics,
            nursery=self._nursery,
        )
        load = loader(settings, self.decoders)
        self.models = Models(self.registry, diseases, load, self.metrics)
        self.places = Places(
            self.metrics,
            threads=settings.threads + spare_threads,
            max_waiting=settings.max_waiting,
            deadline_seconds=settings.deadline_seconds,
        )
        self.pipeline = Pipeline(
            self.models,
            self.results,
            self.images,
            self.decoders,
            self.metrics,
            self.batches,
            self.places,
            keep_dicom=settings.keep_dicom,
        )
        self.watch = watch or connect_watch(*redis)
        self.drift = Drift(
            self.models,
            self.registry,
            self.results,
            self.watch,
            self.audit,
            self.metrics,
            stops=settings.drift_stops,
        )
        self.pipeline.on_kept = self.drift.kept
        self.posted = Posted(
            self.watch, self.results, self.models, self.pipeline, self.drift, self.metrics
        )
        self.explainer = Explainer(
            self.models, self.registry, load, self.metrics, self.places, self.decoders
        )
        self.thumbnails = Thumbnails(self.images, self.decoders)
        self.events = Events(self.results, settings.events_seconds)
        key = settings.card_key_file
        self.portables = Portables(
            self.models, self.registry, None if key is None else read_public_key(key)
        )
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begin to load models and to watch; returns at once, `/readyz` tells when it is done."""
        settings = self.settings
        self._tasks = [
            asyncio.create_task(self._follow_registry()),
            asyncio.create_task(_repeat(self.store_answers, settings.reload_seconds)),
            asyncio.create_task(_repeat(self._count_waiting, 5 * settings.reload_seconds)),
            asyncio.create_task(_repeat(self.posted.count, 5 * settings.reload_seconds)),
            asyncio.create_task(_repeat(self._sweep, settings.sweep_seconds)),
            asyncio.create_task(_repeat(self.pipeline.settle, settings.reload_seconds)),
            asyncio.create_task(_repeat(self.drift.look, settings.drift_seconds)),
        ]

    async def stop(self) -> None:
        """Stop watching, let the readings at work end, and close everything."""
        self.events.close()
        await end_tasks(self._tasks)
        await asyncio.to_thread(self.places.close)
        await asyncio.to_thread(self.thumbnails.close)
        self.explainer.close()
        self.models.close()
        await asyncio.to_thread(self._end_decoders)
        await self.drift.close()
        await self.watch.close()
        await self.results.close()
        await self.batches.close()
        await self.audit.close()

    def _end_decoders(self) -> None:
        self.decoders.close()
        if self._owns_nursery:
            self._nursery.close()

    async def store_answers(self) -> bool:
        """Whether the store of readings answers; the metric follows."""
        try:
            await self.results.ping()
        except StoreUnavailable:
            self.metrics.store_is(up=False)
            return False
        self.metrics.store_is(up=True)
        return True

    def batch_done(self) -> None:
        """A batch was done by what this process did last of it."""
        self.metrics.batches.labels("done").inc()

    async def _count_waiting(self) -> None:
        backlog = await self.batches.backlog()
        self.metrics.batch_items_waiting.set(backlog.files)
        self.metrics.batch_oldest_waiting.set(backlog.oldest_seconds)

    async def _follow_registry(self) -> None:
        await asyncio.to_thread(self.models.seed, self.settings.models_dir)
        await _repeat(lambda: asyncio.to_thread(self.models.refresh), self.settings.reload_seconds)

    async def _sweep(self) -> None:
        age = timedelta(days=self.settings.image_retention_days)
        deleted = await asyncio.to_thread(self.images.sweep, age)
        await asyncio.to_thread(self.intake.spool.sweep, age)
        if deleted:
            log.info("swept", images=deleted)


async def _repeat(action: Callable[[], Awaitable[object]], seconds: float) -> None:
    """Do it now and then again after each pause; a failure is logged and tried again."""
    while True:
        try:
            await action()
        except Exception as error:  # noqa: BLE001 - a watcher that dies is a watcher too few
            log.error("background", kind=type(error).__qualname__)  # noqa: TRY400
        await asyncio.sleep(seconds)


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks until all have ended.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, in which the Redis client waits,
    hands out its result and loses the cancellation when both come at once.
    """
    waiting = set(tasks)
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.5)


# A coroutine, because the framework calls a plain function in a thread of its own.
async def get_service(request: Request) -> Service:
    """The service of the application that a request came to."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


ServiceDependency = Annotated[Service, Depends(get_service)]
