"""From an artifact's folder to a model that may answer: verified, compiled and proved."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from diagnosis.artifacts import (
    Card,
    VerifiedArtifact,
    check_against,
    open_artifact,
)
from diagnosis.catalogue import Disease
from diagnosis.drift import statistics
from diagnosis.errors import ArtifactRefused, ImageRefused
from diagnosis.gate import Look, OpenGate
from diagnosis.judgement import probabilities
from diagnosis.keys import read_public_key
from inference_service.decoding import Decoded, Decoders
from inference_service.engines import Engine, Precision, make_engine
from inference_service.settings import Settings

#: How far a probability may be in f32 from what the Keras reference answered at publication.
GOLDEN_TOLERANCE = 1e-3

log = structlog.get_logger("inference_service")


@dataclass(frozen=True, slots=True)
class Demo:
    """A demo image as it is handed out."""

    data: bytes
    media_type: str


@dataclass(eq=False)
class LiveModel:
    """A loaded model of a disease. `Models` counts who uses it and closes it after the last."""

    disease: Disease
    card: Card
    engine: Engine
    demos: Mapping[str, Demo]
    demo_digests: frozenset[str]
    """Of the checked demo images, so that a reading of one says so."""
    gate: OpenGate | None = None
    """Says whether an image may be judged; None where the artifact takes any."""
    weight_bytes: int = 0
    """Size of the file of weights that its engine runs."""
    users: int = field(default=0, repr=False)
    retired: bool = field(default=False, repr=False)

    def statistics_of(self, seen: Look | None) -> tuple[int, ...]:
        """What a reading keeps of an image so that drift can be seen; empty where the card has
        nothing to compare it with."""
        if self.gate is None or seen is None or self.card.reference is None:
            return ()
        return statistics(self.gate.parameters, seen.features)


Loader = Callable[[Disease, Path], LiveModel]


def loader(settings: Settings, decoders: Decoders) -> Loader:
    """What loads a folder into a live model, with the engine that the settings name.

    Args:
        settings: which engine, and what is asked of a card.
        decoders: read the demo images.

    The loader raises ArtifactRefused, whatever keeps the artifact from being used.

    Raises:
        KeyRefused: the settings name a key of cards, and it cannot be read; the service does not
            start then, rather than serve what nobody checked.
    """
    key = None if settings.card_key_file is None else read_public_key(settings.card_key_file)

    def load(disease: Disease, folder: Path) -> LiveModel:
        artifact = open_artifact(folder, key)
        check_against(artifact.card, disease)
        return load_at(disease, artifact, settings.precision)

    def load_at(disease: Disease, artifact: VerifiedArtifact, precision: Precision) -> LiveModel:
        engine = make_engine(
            settings.engine,
            artifact,
            precision=precision,
            threads=settings.threads,
            conversion_cache=settings.conversion_cache_dir,
            conversion_seconds=settings.conversion_seconds,
        )
        try:
            return proved(disease, artifact, engine, decoders)
        except ArtifactRefused as error:
            engine.close()
            if engine.precision == "f32":
                raise
            # This processor answers otherwise than the one on which the precision was allowed.
            log.warning("precision_refused", disease=disease.id, cause=error.cause)
            return load_at(disease, artifact, "f32")
        except BaseException:
            engine.close()
            raise

    return load


def proved(
    disease: Disease, artifact: VerifiedArtifact, engine: Engine, decoders: Decoders
) -> LiveModel:
    """A live model, after the engine answered for each golden image as the reference did.

    Raises:
        ArtifactRefused: a shape or an answer is wrong, or a demo image cannot be read.
    """
    card, files = artifact.card, artifact.demo_images
    images = {name: _demo(name, data, card, decoders) for name, data in files.items()}
    shape = (card.input.height, card.input.width, card.input.channels)
    # Any answer at all: the right shape, and the first call's extra time spent here.
    _answer(engine, np.zeros(shape, np.float32), card)
    if images and not card.golden:
        raise ArtifactRefused(cause="the card has demo images and no golden output of any")
    # A lower precision may differ as much as it was measured to when the card allowed it.
    check = card.precisions.get(engine.precision)
    tolerance = GOLDEN_TOLERANCE + (0.0 if check is None else check.largest_probability_change)
    for golden in card.golden:
        image = images.get(golden.file)
        if image is None:
            raise ArtifactRefused(cause=f"golden image {golden.file} is no demo image")
        array = image.array
        if array is None or array.shape != shape:
            raise ArtifactRefused(cause=f"preprocessing does not give the input {shape}")
        expected = probabilities(golden.logits, card)
        apart = float(np.abs(_answer(engine, array, card) - expected).max())
        if apart > tolerance:
            raise ArtifactRefused(
                cause=f"{golden.file}: {apart:.4f} from the reference, at most {tolerance:.4f}"
            )
    return LiveModel(
        disease=disease,
        card=card,
        engine=engine,
        demos={name: Demo(image.clean, image.facts.media_type) for name, image in images.items()},
        demo_digests=frozenset(image.facts.digest for image in images.values()),
        gate=artifact.open_gate(disease),
        weight_bytes=_weight_bytes(artifact, engine),
    )


def _weight_bytes(artifact: VerifiedArtifact, engine: Engine) -> int:
    """Of the graph that answers; of a `.keras` file that came without one, the whole file."""
    weights = artifact.int8_bin if engine.precision == "int8" else artifact.ir_bin
    return len(artifact.keras if weights is None else weights)


def _demo(name: str, data: bytes, card: Card, decoders: Decoders) -> Decoded:
    try:
        return decoders.read(data, preprocessing=card.preprocessing)
    except ImageRefused as error:
        raise ArtifactRefused(cause=f"demo image {name}: {error.code}") from error


def _answer(engine: Engine, array: NDArray[np.float32], card: Card) -> NDArray[np.float64]:
    try:
        return probabilities(engine.predict(array[np.newaxis])[0], card)
    except (RuntimeError, ValueError) as error:
        raise ArtifactRefused(cause=f"the model does not answer: {error}") from error
