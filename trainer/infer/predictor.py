"""The one function that every engine runs: names of files in, what is said of each out."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import Card, VerifiedArtifact
from diagnosis.artifacts.card import OperatingPoint
from diagnosis.catalogue import Disease
from diagnosis.contracts import Notice, OperatingPointName, Prediction
from diagnosis.drift import statistics
from diagnosis.errors import ArtifactRefused, ImageRefused
from diagnosis.gate import OpenGate, Verdict, look
from diagnosis.image_store import FolderImageStore, kept_as
from diagnosis.images import ImageFacts, Pixels, digest_of, read_image
from diagnosis.judgement import probabilities
from diagnosis.preprocess import Preprocessing
from diagnosis.reading import compose
from trainer.engine import Network
from trainer.infer.sources import Source
from trainer.runtime import Precision

Floats = NDArray[np.float32]

#: How far a probability may be from what the Keras reference answered at publication.
GOLDEN_TOLERANCE = 1e-3
#: Who made the readings, where a person's account would stand.
CREATED_BY = "trainer"

UNREADABLE = Notice(
    code="unreadable-file",
    detail="The file could not be read from where it lies.",
    remedy="Check that it is there and may be read, and run the batch again with --retry-failed.",
)


@dataclass(frozen=True, slots=True)
class Job:
    """What the readings are of, the same for all."""

    batch: UUID
    unit: str
    operating_point: OperatingPointName | None = None
    precision: Precision = "f32"
    """Of the arithmetic that makes them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one file: a reading, or why there is none."""

    name: str
    size: int = 0
    """Bytes of the file."""
    digest: str | None = None
    """SHA-256 of the file, in hexadecimal; None where it could not be read."""
    prediction: Prediction | None = None
    problem: Notice | None = None
    outputs: tuple[float, ...] | None = None
    """Raw outputs of the network; None where it was not asked."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file before the network has seen it. Small enough to go from one process to another."""

    name: str
    size: int = 0
    digest: str | None = None
    facts: ImageFacts | None = None
    verdict: Verdict | None = None
    statistics: tuple[int, ...] = ()
    """What is kept of the image to see drift by."""
    array: Floats | None = None
    """The network's input, float32 (H, W, C); None where it is not asked."""
    problem: Notice | None = None
    timings_ms: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Preparer:
    """From a file's name to what the network takes. It can be handed to other processes.

    Args:
        source: where the files lie.
        preprocessing: the card's.
        gate: the artifact's, if it has one.
        referenced: whether the card has something to see drift by.
        images: the folder in which checked images are kept; None keeps none.
        unit: whose readings they are of.
    """

    source: Source
    preprocessing: Preprocessing
    gate: OpenGate | None
    referenced: bool
    images: Path | None
    unit: str

    def __call__(self, name: str) -> Prepared:
        """Read, check, ask the gate, keep and preprocess.

        Raises:
            StoreUnavailable: the checked image cannot be kept.
        """
        began = time.perf_counter()
        try:
            data = self.source.read(name)
        except OSError:
            return Prepared(name, problem=UNREADABLE)
        digest = hashlib.sha256(data).hexdigest()
        try:
            image = read_image(data, decode_at_least=self.preprocessing.decode_at_least)
        except ImageRefused as error:
            why = Notice(code=error.code, detail=error.detail, remedy=error.remedy)
            return Prepared(name, len(data), digest, problem=why)
        decoded = time.perf_counter()
        verdict, kept = self._judge(image.pixels)
        judged = time.perf_counter()
        array = None
        if verdict is None or verdict.reading.passed:
            array = self.preprocessing.apply(image.pixels)
        ready = time.perf_counter()
        if self.images is not None:
            FolderImageStore(self.images).put(kept_as(self.unit, image.digest), image.clean)
        steps = {"decode": decoded - began, "gate": judged - decoded, "preprocess": ready - judged}
        timings = tuple((step, round(1000 * took, 3)) for step, took in steps.items())
        return Prepared(
            name, len(data), digest, image.facts, verdict, kept, array, timings_ms=timings
        )

    def _judge(self, pixels: Pixels) -> tuple[Verdict | None, tuple[int, ...]]:
        """What the gate says of an image, and what is kept of it to see drift by."""
        if self.gate is None:
            return None, ()
        seen = look(pixels)
        kept = statistics(self.gate.parameters, seen.features) if self.referenced else ()
        return self.gate.judge(seen), kept


#: Prepares many; threads and processes do it in their way.
Prepare = Callable[[Preparer, Sequence[str]], Iterable[Prepared]]


def one_by_one(preparer: Preparer, names: Sequence[str]) -> Iterable[Prepared]:
    """In the caller's own thread."""
    return map(preparer, names)


class Predictor:
    """An artifact and a network that are ready to answer, safe to call from many threads.

    Args:
        artifact: whose card says how answers are read.
        disease: of the catalogue.
        network: runs the artifact.
        source: where the files lie.
        job: what the readings are of.
        images: see `Preparer`.
        prepare: how many files are prepared.

    Raises:
        ArtifactRefused: the network does not answer the golden images as the card says.
    """

    def __init__(
        self,
        artifact: VerifiedArtifact,
        disease: Disease,
        network: Network,
        source: Source,
        job: Job,
        *,
        images: Path | None = None,
        prepare: Prepare = one_by_one,
    ) -> None:
        card = artifact.card
        self._disease, self._card, self._network, self._job = disease, card, network, job
        self._point = point_of(card, job.operating_point)
        gate = artifact.open_gate(disease)
        referenced = card.reference is not None
        self._preparer = Preparer(source, card.preprocessing, gate, referenced, images, job.unit)
        self._prepare = prepare
        self._demos = prove(artifact, network, job.precision)

    def predict_batch(self, names: Sequence[str]) -> list[Answer]:
        """Read some files and say of each what the artifact makes of it, in their order.

        Args:
            names: of files of the source.

        Raises:
            StoreUnavailable: an image cannot be kept.
        """
        prepared = list(self._prepare(self._preparer, names))
        arrays = [one.array for one in prepared if one.array is not None]
        began = time.perf_counter()
        outputs = iter(self._network(np.stack(arrays)) if arrays else ())
        each = 1000 * (time.perf_counter() - began) / max(len(arrays), 1)
        return [
            self._answer(one, None if one.array is None else next(outputs), each)
            for one in prepared
        ]

    def _answer(self, one: Prepared, outputs: Floats | None, infer_ms: float) -> Answer:
        if one.facts is None:
            return Answer(one.name, one.size, one.digest, problem=one.problem)
        timings = dict(one.timings_ms)
        if outputs is not None:
            timings["infer"] = round(infer_ms, 3)
        prediction = compose(
            self._disease,
            self._card,
            one.facts,
            outputs,
            demo_digests=self._demos,
            explains=self._card.explanation is not None,
            prediction_id=item_id(self._job.batch, one.name),
            batch=self._job.batch,
            point=self._point,
            timings_ms=timings,
            unit=self._job.unit,
            created_by=CREATED_BY,
            patient_reference=None,
            verdict=one.verdict,
            statistics=one.statistics,
        )
        raw = None if outputs is None else tuple(float(value) for value in outputs)
        return Answer(one.name, one.size, one.digest, prediction, outputs=raw)


def item_id(batch: UUID, name: str) -> UUID:
    """The id of the reading of a file: always the same, and as old as the batch (version 7)."""
    digest = hashlib.sha256(batch.bytes + name.encode()).digest()
    # 48 bits of time, version, 12 bits, variant, 62 bits.
    random = int.from_bytes(digest[:10], "big")
    return UUID(
        int=(batch.int >> 80 << 80)
        | (0x7 << 76)
        | ((random >> 62 & 0xFFF) << 64)
        | (0b10 << 62)
        | (random & (1 << 62) - 1)
    )


def point_of(card: Card, name: OperatingPointName | None) -> OperatingPoint | None:
    """The operating point to apply; None where the disease has no finding.

    Raises:
        KeyError: it was asked for, and the card has none of this name.
    """
    if card.finding is None and name is None:
        return None
    return card.operating_point(name or "balanced")


def prove(
    artifact: VerifiedArtifact, network: Network, precision: Precision = "f32"
) -> frozenset[str]:
    """Ask a network for the golden images; the digests of all demo images as they are kept.

    Raises:
        ArtifactRefused: it answers otherwise than the card says, or a demo image cannot be read.
    """
    card = artifact.card
    # A lower precision may differ as much as it was measured to when the card allowed it.
    check = card.precisions.get(precision)
    tolerance = GOLDEN_TOLERANCE + (0.0 if check is None else check.largest_probability_change)
    arrays, digests = {}, set()
    for name, data in artifact.demo_images.items():
        try:
            image = read_image(data, decode_at_least=card.preprocessing.decode_at_least)
        except ImageRefused as error:
            raise ArtifactRefused(cause=f"demo image {name}: {error.code}") from error
        arrays[name] = card.preprocessing.apply(image.pixels)
        digests.add(digest_of(image.clean))
    for golden in card.golden:
        if golden.file not in arrays:
            raise ArtifactRefused(cause=f"golden image {golden.file} is no demo image")
        answered = probabilities(network(arrays[golden.file][np.newaxis])[0], card)
        apart = float(np.abs(answered - probabilities(golden.logits, card)).max())
        if apart > tolerance:
            raise ArtifactRefused(
                cause=f"{golden.file}: {apart:.4f} from the reference, at most {tolerance:.4f}"
            )
    return frozenset(digests)


class OneAtATime:
    """A network that only one thread may use at a time."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()

    def __call__(self, inputs: Floats) -> Floats:
        """Outputs of the network, after those who asked before."""
        with self._lock:
            return self._network(inputs)
