"""Heatmaps of readings: made again from the kept image by the very model that read it."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from diagnosis.artifacts import Registry
from diagnosis.contracts import Prediction
from diagnosis.errors import (
    NoHeatmap,
    RegistryUnavailable,
    SightlineError,
    TemporarilyUnavailable,
    VersionGone,
)
from diagnosis.heatmap import evidence, paint
from diagnosis.telemetry import Metrics
from inference_service.decoding import Decoders
from inference_service.loading import LiveModel, Loader
from inference_service.models import Models
from inference_service.places import Places
from inference_service.problems import FieldRefused

#: Versions that are not live and are kept loaded for the heatmaps of their readings.
MOST_EARLIER = 2
#: Changes when the same evidence is painted otherwise, so that a browser asks again.
PAINT = "1"

log = structlog.get_logger("inference_service")


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A painted heatmap."""

    png: bytes
    maximum: float
    """Logits that the strongest location adds to the class, above the mean of all classes."""


def chosen_class(prediction: Prediction, asked: str | None) -> str:
    """The class to explain: the one asked for, or the one that the answer is about.

    The answer is about the finding where the reading counts as positive for it, else about the
    most probable class.

    Raises:
        FieldRefused: the reading has no such class.
        NoHeatmap: nothing was judged, or the class's heatmaps did not pass their checks.
    """
    if prediction.outcome != "judged":
        raise NoHeatmap(
            "The image was not judged, so there is nothing to explain.",
            remedy="The reading says why it was not judged and what to do.",
        )
    if asked is not None and asked not in {one.id for one in prediction.probabilities}:
        raise FieldRefused(**{"class": "This is not a class of the reading."})
    point = prediction.operating_point
    about = point.class_id if point and point.positive else prediction.top[0].id
    name = asked or about
    if name not in prediction.heatmap_classes:
        shown = ", ".join(prediction.heatmap_classes)
        raise NoHeatmap(
            "This class has no heatmap that passed the checks of the model's card.",
            remedy=f"Ask for one of: {shown}." if shown else "No class of this reading has one.",
        )
    return name


def tag(prediction: Prediction, class_id: str) -> str:
    """The ETag of a heatmap: it is the same as long as model, image, class and painting are."""
    parts = (prediction.artifact.digest, prediction.image.digest, class_id, PAINT)
    return f'"{hashlib.sha256(" ".join(parts).encode()).hexdigest()[:32]}"'


class Explainer:
    """Makes heatmaps, one at a time, in a thread that no reading needs.

    Args:
        models: the live models.
        registry: where the model of an earlier reading may still lie.
        load: makes a model of a folder.
        metrics: the step `explain` is timed.
        places: lend the thread.
        decoders: read images.
    """

    def __init__(
        self,
        models: Models,
        registry: Registry,
        load: Loader,
        metrics: Metrics,
        places: Places,
        decoders: Decoders,
    ) -> None:
        self._models = models
        self._registry = registry
        self._load = load
        self._metrics = metrics
        self._places = places
        self._decoders = decoders
        self._lock = threading.Lock()
        self._earlier: OrderedDict[tuple[str, str], LiveModel] = OrderedDict()

    async def heatmap(self, prediction: Prediction, class_id: str, image: bytes) -> Heatmap:
        """The heatmap of a class that `chosen_class` chose.

        Args:
            prediction: the reading.
            class_id: one of its `heatmap_classes`.
            image: the kept image.

        Raises:
            VersionGone: the artifact that made the reading is gone or cannot be used.
            NoHeatmap: it cannot explain, for example because it runs on a graph made here.
            Overloaded: readings leave no thread free in good time.
        """
        return await self._places.aside(lambda: self._make(prediction, class_id, image))

    def close(self) -> None:
        """Close the earlier models; nothing may be in flight."""
        with self._lock:
            while self._earlier:
                self._earlier.popitem()[1].engine.close()

    def _make(self, prediction: Prediction, class_id: str, data: bytes) -> Heatmap:
        with self._model(prediction) as model:
            card, spec = model.card, model.card.preprocessing
            if class_id not in card.heatmap_classes or not model.engine.explains:
                raise NoHeatmap("The model that made this reading cannot make heatmaps here.")
            place = [one.id for one in card.classes].index(class_id)
            with self._metrics.step(prediction.disease, "explain", {}):
                image = self._decoders.read(data, preprocessing=spec)
                assert image.array is not None
                attribution = model.engine.explain(image.array)
                shares, maximum = evidence(attribution[..., place])
                png = paint(
                    shares,
                    width=prediction.image.width,
                    height=prediction.image.height,
                    seen=spec.seen(image.width, image.height),
                )
        return Heatmap(png, maximum)

    @contextmanager
    def _model(self, prediction: Prediction) -> Iterator[LiveModel]:
        """The model that made a reading, live or not."""
        wanted = prediction.artifact.digest
        entry = self._models.entry(prediction.disease)
        if isinstance(entry, LiveModel) and entry.card.files.keras.digest == wanted:
            with self._models.held(prediction.disease) as model:
                # Another version may have come live in between.
                if model is entry:
                    yield model
                    return
        with self._lock:
            yield self._earlier_model(prediction)

    def _earlier_model(self, prediction: Prediction) -> LiveModel:
        """The model of a version that is not live, from the cache or the registry.

        Raises:
            VersionGone: it is not there, is another one, or does not pass its checks.
            RegistryUnavailable: nobody can tell at the moment.
        """
        reference = prediction.artifact
        key = (reference.version, reference.digest)
        found = self._earlier.get(key)
        if found is None:
            disease = self._models.diseases.get(prediction.disease)
            if disease is None:
                raise VersionGone(cause="the catalogue has no such disease any more")
            try:
                folder = self._registry.folder(disease.id, reference.version)
                found = self._load(disease, folder)
            except TemporarilyUnavailable:
                raise
            except (SightlineError, FileNotFoundError) as error:
                cause = getattr(error, "cause", None) or type(error).__name__
                raise VersionGone(cause=str(cause)) from error
            except OSError as error:
                raise RegistryUnavailable(cause=type(error).__name__) from error
            if found.card.files.keras.digest != reference.digest:
                found.engine.close()
                raise VersionGone(cause="the version of this number is another artifact")
            log.info("earlier model", disease=disease.id, version=reference.version)
            while len(self._earlier) >= MOST_EARLIER:
                self._earlier.popitem(last=False)[1].engine.close()
            self._earlier[key] = found
        self._earlier.move_to_end(key)
        return found
