"""`trainer evaluate`: what an artifact does on a folder of class folders, as it is served."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from diagnosis import WARNING
from diagnosis.artifacts import (
    Card,
    Registry,
    VerifiedArtifact,
    check_against,
    open_artifact,
    storage_at,
)
from diagnosis.catalogue import catalogue
from diagnosis.contracts import OperatingPointName
from diagnosis.errors import SightlineError
from diagnosis.gate import OpenGate, look
from diagnosis.images import read_image
from diagnosis.judgement import as_logits, probabilities, softmax
from trainer import metrics, mistakes
from trainer.data import DataSet, Example, Split, read_dataset
from trainer.engine import open_network, run_in_blocks
from trainer.measures import Measures, measure_card
from trainer.metrics import Scores
from trainer.pixels import PixelStore, Progress
from trainer.refusals import ArtifactMissing, DataRefused, TrainerRefused
from trainer.settings import Settings


@dataclass(frozen=True)
class Evaluation:
    """The scores of one artifact on one data set, and what is measured of them."""

    card: Card
    data: DataSet
    scores: Scores
    split: Split | None
    engine: str
    operating_point: OperatingPointName | None
    refused: tuple[str, ...] | None = None
    """Code of the reason for each image that the artifact's gate would not let through; None where
    the artifact has no gate. The figures count these images all the same."""

    @cached_property
    def measures(self) -> Measures:
        """Everything that is measured, once."""
        return measure_card(self.card, self.scores, self.data.examples)

    def as_json(self) -> dict[str, Any]:
        """The one JSON object of `trainer evaluate --json`."""
        two = len(self.scores.class_ids) == 2 and self.scores.finding is not None
        return {
            "disease": self.card.disease,
            "version": self.card.version,
            "digest": self.card.files.keras.digest,
            "n": len(self.data.examples),
            "groups": self.data.groups(),
            "split": self.split or "all",
            "per_class": self.data.per_class(),
            "skipped": self.data.skipped_by_reason(),
            "finding": self.scores.finding,
            "decision": "threshold" if two else "argmax",
            "operating_point": self.operating_point,
            "threshold": self.scores.threshold,
            **{name: one.as_dict() for name, one in self.measures.figures.items()},
            "classes": metrics.per_class(self.scores),
            **self.measures.as_json(),
            "worst_mistakes": [
                one.as_json(self.data.root)
                for one in mistakes.worst(self.scores, self.data.examples)
            ],
            **self._not_judged(),
            "engine": self.engine,
            "warning": WARNING,
        }

    def _not_judged(self) -> dict[str, Any]:
        """What the service would have refused; nothing where there is no gate."""
        if self.refused is None:
            return {}
        reasons = dict(sorted(Counter(self.refused).items()))
        return {"not_judged": {"count": len(self.refused), "reasons": reasons}}


def find_artifact(name: str, settings: Settings) -> VerifiedArtifact:
    """An artifact by its folder, by the name of a disease (then its live one), or as DISEASE@2.

    Where no registry exists yet, the live artifact is the highest version that ships, as it will
    be once a registry is seeded; nothing is written.

    Raises:
        ArtifactMissing: there is none.
        SightlineError: it does not pass its checks.
    """
    disease, at, version = name.partition("@")
    if at and disease in catalogue():
        return open_artifact(_version_folder(disease, version, settings))
    if name not in catalogue():
        folder = Path(name)
        if not folder.is_dir():
            raise ArtifactMissing(
                f"{name} is neither a disease of the catalogue, nor one of its versions "
                "(DISEASE@VERSION), nor the folder of an artifact."
            )
        return open_artifact(folder)
    live = live_folder(name, settings)
    if live is None:
        raise ArtifactMissing(
            f"No artifact of {name} is live. Train and publish one, then `trainer promote {name} "
            "VERSION`; or name an artifact's folder."
        )
    return open_artifact(live)


def _version_folder(disease: str, version: str, settings: Settings) -> Path:
    """Where a version lies: in the registry, else among those that ship."""
    there: list[str] = []
    for registry in (_registry(settings), Registry(settings.models_dir)):
        versions = registry.versions(disease)
        if version in versions:
            return registry.folder(disease, version)
        there += versions
    listed = ", ".join(sorted(set(there), key=int)) or "none"
    raise ArtifactMissing(f"{disease} has no version {version!r}; it has: {listed}.")


def live_folder(disease: str, settings: Settings) -> Path | None:
    """Where the live artifact of a disease lies, or None; a registry that exists has the say."""
    registry = _registry(settings)
    live = registry.live_folder(disease)
    if live is not None:
        return live
    if registry.stamp(disease):
        return None
    shipped = Registry(settings.models_dir)
    versions = shipped.versions(disease)
    return shipped.folder(disease, versions[-1]) if versions else None


def _registry(settings: Settings) -> Registry:
    return Registry(storage_at(settings.registry, settings.registry_cache_dir))


def evaluate(
    artifact: VerifiedArtifact,
    root: Path,
    settings: Settings,
    *,
    split: Split | None = None,
    operating_point: OperatingPointName = "balanced",
    manifest: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score every readable image of a folder the way the service would.

    Raises:
        DataRefused: the folder cannot be used, or has no such split.
        TrainerRefused: the card has no such operating point, or its disease is unknown.
    """
    card = artifact.card
    disease = catalogue().get(card.disease)
    if disease is None:
        raise TrainerRefused(f"The catalogue has no disease {card.disease!r}.")
    try:
        check_against(card, disease)
    except SightlineError as error:
        raise TrainerRefused(f"{error.detail} {error.cause or ''}".strip()) from error
    threshold = _threshold(card, operating_point)
    whole = read_dataset(
        root, disease, manifest=manifest, workers=settings.workers, cache=settings.cache_dir
    )
    chosen = _choose_split(whole, split)
    data, scores, engine = score(artifact, whole.of(chosen), settings, threshold, progress)
    named = operating_point if card.finding is not None else None
    gate = artifact.open_gate(disease)
    refused = None if gate is None else refusals(gate, card, data.examples, settings.workers)
    return Evaluation(card, data, scores, chosen, engine, named, refused)


def score(
    artifact: VerifiedArtifact,
    data: DataSet,
    settings: Settings,
    threshold: float | None,
    progress: Progress | None = None,
) -> tuple[DataSet, Scores, str]:
    """The readable images of some data, what an artifact answers for them, and its engine."""
    card, class_ids = artifact.card, data.disease.class_ids
    store = PixelStore(settings.cache_dir, card.preprocessing, workers=settings.workers)
    data = store.prepare(data, progress)
    network, engine = open_network(artifact)
    outputs = run_in_blocks(
        network, lambda start, end: store.inputs(data.examples[start:end]), len(data.examples)
    )
    scores = Scores(
        class_ids=class_ids,
        labels=np.array([class_ids.index(one.class_id) for one in data.examples], np.int64),
        probabilities=probabilities(outputs, card),
        uncalibrated=softmax(as_logits(outputs, card)),
        groups=group_numbers(data),
        finding=card.finding,
        threshold=threshold,
    )
    return data, scores, engine


def refusals(
    gate: OpenGate, card: Card, examples: Sequence[Example], workers: int
) -> tuple[str, ...]:
    """The reason's code for each image that a gate does not let through, as the service asks it."""

    def reason(example: Example) -> str | None:
        least = card.preprocessing.decode_at_least
        image = read_image(example.path.read_bytes(), decode_at_least=least)
        notice = gate.judge(look(image.pixels))
        return None if notice.reason is None else notice.reason.code

    with ThreadPoolExecutor(workers) as pool:
        return tuple(code for code in pool.map(reason, examples) if code is not None)


def group_numbers(data: DataSet) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """A number for each example's group, by the order of the groups' names."""
    names = {name: place for place, name in enumerate(sorted({e.group for e in data.examples}))}
    return np.array([names[one.group] for one in data.examples], np.int64)


def _threshold(card: Card, name: OperatingPointName) -> float | None:
    """The threshold that decides: none with three or more classes, where the largest wins."""
    if card.finding is None:
        return None
    try:
        threshold = card.operating_point(name).threshold
    except KeyError as error:
        there = ", ".join(point.name for point in card.operating_points)
        raise TrainerRefused(
            f"The artifact has no operating point {name!r}; it has: {there}."
        ) from error
    return threshold if len(card.classes) == 2 else None


def _choose_split(data: DataSet, wanted: Split | None) -> Split | None:
    if wanted is not None:
        if wanted not in data.splits:
            there = ", ".join(data.splits) or "none"
            raise DataRefused(f"{data.root} has no split {wanted!r}; it has: {there}.")
        return wanted
    return next((split for split in data.splits[::-1] if split != "train"), None)
