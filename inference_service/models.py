"""The live models: loaded from the registry, followed while it changes, never pulled away."""

import threading
import time
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from diagnosis.artifacts import Registry
from diagnosis.catalogue import Disease
from diagnosis.errors import (
    ModelRefused,
    ModelUnavailable,
    ModelUnderReview,
    RegistryError,
    ServiceUnavailable,
    SightlineError,
    TemporarilyUnavailable,
    UnknownDisease,
)
from diagnosis.telemetry import Metrics
from inference_service.loading import LiveModel, Loader

#: The version of a live artifact that cannot be found out.
UNKNOWN = "unknown"

log = structlog.get_logger("inference_service")


@dataclass(frozen=True, slots=True)
class Refused:
    """A live artifact that did not pass its checks; the log has the reason."""

    version: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """No model answers: the one that did drifted, and is under review."""

    version: str


Entry = LiveModel | Refused | Stopped


class Models:
    """What answers for each disease. `refresh` runs in one thread, all else in any.

    Args:
        registry: which version is live.
        diseases: the catalogue.
        load: makes a live model of a folder.
        metrics: what is live, and how each load went.
    """

    def __init__(
        self, registry: Registry, diseases: Mapping[str, Disease], load: Loader, metrics: Metrics
    ) -> None:
        self.diseases = diseases
        self._registry = registry
        self._load = load
        self._metrics = metrics
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self._seen: dict[str, Hashable] = {}
        self._unseeded: dict[str, str] = {}
        self._under_review: dict[str, frozenset[str]] = {}
        self.loaded = False
        """True once every live artifact was tried."""

    def disease(self, disease_id: str) -> Disease:
        """A disease of the catalogue.

        Raises:
            UnknownDisease: it has none of this id.
        """
        found = self.diseases.get(disease_id)
        if found is None:
            raise UnknownDisease
        return found

    def entry(self, disease_id: str) -> Entry | None:
        """What stands for a disease at the moment; for its card and demo images only."""
        return self._entries.get(disease_id)

    def under_review(self, disease_id: str, version: str) -> bool:
        """Whether a version is stopped because it drifted, live or not at the time; known as soon
        as the registry is looked at again."""
        return version in self._under_review.get(disease_id, ())

    def check(self, disease_id: str) -> LiveModel:
        """The live model of a disease, without a hold on its engine.

        Raises:
            UnknownDisease: no such disease.
            ServiceUnavailable: the models are still being loaded.
            ModelUnavailable: none is live.
            ModelRefused: the live one did not pass its checks.
            ModelUnderReview: it drifted and was stopped.
        """
        self.disease(disease_id)
        found = self._entries.get(disease_id)
        if isinstance(found, LiveModel):
            return found
        if isinstance(found, Refused):
            raise ModelRefused
        if isinstance(found, Stopped):
            raise ModelUnderReview
        if not self.loaded:
            raise ServiceUnavailable("The models are still being loaded.")
        raise ModelUnavailable

    @contextmanager
    def held(self, disease_id: str) -> Iterator[LiveModel]:
        """The live model, which stays loaded until this ends; raises as `check` does."""
        with self._lock:
            model = self.check(disease_id)
            model.users += 1
        try:
            yield model
        finally:
            with self._lock:
                model.users -= 1
                last = model.retired and model.users == 0
            if last:
                model.engine.close()

    def live(self) -> tuple[LiveModel, ...]:
        """Every live model in the catalogue's order; for its card, gate and demo images only."""
        found = (self._entries.get(disease_id) for disease_id in self.diseases)
        return tuple(one for one in found if isinstance(one, LiveModel))

    def seed(self, models_dir: Path) -> None:
        """Copy what ships into the registry; what was refused on the way is remembered."""
        try:
            problems = self._registry.seed(models_dir)
        except (RegistryError, OSError) as error:
            # A registry that cannot be written is used as it is.
            log.error("seed", cause=_cause(error))  # noqa: TRY400
            return
        for problem in problems:
            folder = problem.folder
            a_version = folder.name.isdecimal()
            disease = folder.parent.name if a_version else folder.name
            self._unseeded[disease] = folder.name if a_version else UNKNOWN
            log.error("seed", disease=disease, folder=folder.name, cause=_cause(problem.error))

    def refresh(self) -> None:
        """Take in what changed in the registry, or in the files of a live artifact."""
        for disease_id, disease in self.diseases.items():
            stamp = self._stamp(disease_id)
            if disease_id in self._seen and stamp == self._seen[disease_id]:
                continue
            self._take_in(disease)
            self._seen[disease_id] = stamp
        self.loaded = True

    def close(self) -> None:
        """Close every engine as soon as nobody uses it."""
        for disease_id in tuple(self._entries):
            self._put(disease_id, None)

    def _stamp(self, disease_id: str) -> Hashable:
        """Changes when the registry does, and when a file of the live artifact does."""
        state = ""
        try:
            state = self._registry.stamp(disease_id)
            folder = self._registry.live_folder(disease_id)
            return state, None if folder is None else _files(folder)
        except (RegistryError, OSError) as error:
            return state, _cause(error)

    def _take_in(self, disease: Disease) -> None:
        try:
            folder = self._registry.live_folder(disease.id)
            state = self._registry.state(disease.id)
        except (RegistryError, OSError) as error:
            log.error("registry", disease=disease.id, cause=_cause(error))  # noqa: TRY400
            # What is loaded was verified and goes on; the registry only cannot be asked.
            if self._entries.get(disease.id) is None:
                self._put(disease.id, Refused(UNKNOWN))
            return
        self._under_review[disease.id] = frozenset(one.version for one in state.under_review)
        if folder is not None:
            self._put(disease.id, self._loaded(disease, folder))
        elif state.awaited:
            self._put(disease.id, Stopped(state.awaited[-1].version))
        elif disease.id in self._unseeded:
            self._put(disease.id, Refused(self._unseeded[disease.id]))
        else:
            self._put(disease.id, None)

    def _loaded(self, disease: Disease, folder: Path) -> LiveModel | Refused:
        began = time.perf_counter()
        loads = self._metrics.model_loads
        swapped = isinstance(self._entries.get(disease.id), LiveModel)
        try:
            model = self._load(disease, folder)
        except TemporarilyUnavailable:
            # Nothing is wrong with the artifact; the next look at the registry tries it again.
            raise
        except Exception as error:  # noqa: BLE001 - one bad artifact must not stop the others
            log.error(  # noqa: TRY400 - the cause says it; a traceback adds nothing
                "model refused", disease=disease.id, version=folder.name, cause=_cause(error)
            )
            loads.labels(disease.id, "refused").inc()
            return Refused(folder.name)
        seconds = time.perf_counter() - began
        loads.labels(disease.id, "swapped" if swapped else "loaded").inc()
        self._metrics.model_load_seconds.labels(disease.id).set(seconds)
        log.info(
            "model live",
            disease=disease.id,
            version=model.card.version,
            digest=model.card.files.keras.digest,
            precision=model.engine.precision,
            seconds=round(seconds, 2),
        )
        return model

    def _put(self, disease_id: str, new: Entry | None) -> None:
        gauge = self._metrics.live_models
        with self._lock:
            old = self._entries.get(disease_id)
            if new is None:
                self._entries.pop(disease_id, None)
            else:
                # In one step: nobody may find a disease without a model in between.
                self._entries[disease_id] = new
            unused = False
            if isinstance(old, LiveModel):
                old.retired = True
                unused = old.users == 0
        if isinstance(old, LiveModel) and unused:
            old.engine.close()
        if old is not None and not isinstance(old, Stopped):
            gauge.remove(disease_id, _version(old))
        if new is not None and not isinstance(new, Stopped):
            gauge.labels(disease_id, _version(new)).set(isinstance(new, LiveModel))
        # Of one that was refused or is gone nothing is in memory.
        size = new.weight_bytes if isinstance(new, LiveModel) else 0
        self._metrics.model_bytes.labels(disease_id).set(size)


def _version(entry: LiveModel | Refused) -> str:
    return entry.card.version if isinstance(entry, LiveModel) else entry.version


def _files(folder: Path) -> Hashable:
    """Changes when a file of an artifact does, so that one changed on disk is refused at once."""
    found = []
    for path in sorted(folder.rglob("*")):
        state = path.stat()
        found.append((str(path.relative_to(folder)), state.st_size, state.st_mtime_ns))
    return tuple(found)


def _cause(error: Exception) -> str:
    if isinstance(error, SightlineError):
        return f"{error.code}: {error.cause or error.detail}"
    return f"{type(error).__qualname__}: {error}"
