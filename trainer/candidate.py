"""The candidate: a trained model, its card and its scores; `publish` makes an artifact of it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diagnosis.artifacts.card import (
    Calibration,
    Card,
    CardClass,
    Conformal,
    DemoImage,
    Evaluation,
    FileRecord,
    Files,
    OperatingPoint,
    Training,
)
from diagnosis.catalogue import Disease
from diagnosis.contracts import Interval, now
from trainer import metrics
from trainer.about import About
from trainer.data import DataSet, Example
from trainer.demo import Sample
from trainer.metrics import Floats, Scores
from trainer.recipes import Recipe
from trainer.runtime import keras

KERAS_NAME = "model.keras"
RUN_NAME = "run.json"


@dataclass(frozen=True)
class RunRecord:
    """Where a run's images are, so that `publish` can measure on them again; never published."""

    data: str
    manifest: str | None
    recipe: str
    seed: int
    val: tuple[str, ...]
    """Paths of the images that calibrated the model."""
    train: tuple[str, ...] = ()
    """Paths of some of the training images, for the ranges of an 8-bit version."""

    def write(self, folder: Path) -> None:
        """Write `run.json`."""
        (folder / RUN_NAME).write_text(json.dumps(self.__dict__, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "RunRecord | None":
        """Read `run.json`; None where it is missing or not one."""
        try:
            found = json.loads((folder / RUN_NAME).read_text())
            return cls(
                **{**found, "val": tuple(found["val"]), "train": tuple(found.get("train", ()))}
            )
        except (OSError, ValueError, TypeError, KeyError):
            return None


def file_record(path: Path) -> FileRecord:
    """Name, digest and size of a file."""
    content = path.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return FileRecord(name=path.name, digest=digest, bytes=len(content))


def evaluation_record(scores: Scores, examples: Sequence[Example], described: str) -> Evaluation:
    """The headline figures on some images as the card holds them; undefined ones are left out.

    `trainer.measures` makes the full record.
    """
    counts = dict.fromkeys(scores.class_ids, 0)
    for one in examples:
        counts[one.class_id] += 1
    found = metrics.figures(scores)
    return Evaluation(
        dataset=described,
        images=len(examples),
        groups=len({one.group for one in examples}),
        per_class=counts,
        figures={
            name: Interval(value=one.value, low=one.low, high=one.high)
            for name, one in found.items()
            if one.value is not None and one.low is not None and one.high is not None
        },
        baseline_always_finding=metrics.baseline(scores),
        baseline_majority=metrics.majority_baseline(scores),
        majority_class=metrics.majority_class(scores),
    )


def save_model(model: Any, folder: Path) -> FileRecord:
    """Save the network without optimizer or loss, and say what was written."""
    k = keras()
    # A clone has no compile state, no training-only wrappers and every layer unfrozen.
    clean = k.Model.from_config(model.get_config())
    clean.set_weights(model.get_weights())
    _fold_standardised_head(clean)
    clean.trainable = True
    path = folder / KERAS_NAME
    clean.save(path)
    return file_record(path)


def _fold_standardised_head(model: Any) -> None:
    """Move the scaling of the features into the head, so that a converter has nothing to fold.

    What a converter folds after the weights were rounded to half precision, it rounds once more.
    """
    names = {layer.name for layer in model.layers}
    if not {"standardise", "head"} <= names:
        return
    norm, head = model.get_layer("standardise"), model.get_layer("head")
    mean, variance = norm.get_weights()
    kernel, bias = head.get_weights()
    scaled = kernel / np.sqrt(variance + norm.epsilon)[:, np.newaxis]
    head.set_weights([scaled, bias - mean @ scaled])
    norm.set_weights([np.zeros_like(mean), np.ones_like(variance) - norm.epsilon])


def save_demos(samples: Sequence[Sample], folder: Path) -> tuple[DemoImage, ...]:
    """Write `demo/<class>-<number>.png` and say what was written."""
    (folder / "demo").mkdir()
    demos = []
    for place, sample in enumerate(samples):
        number = 1 + sum(one.class_id == sample.class_id for one in samples[:place])
        path = folder / "demo" / f"{sample.class_id.replace('_', '-')}-{number}.png"
        path.write_bytes(sample.png)
        demos.append(
            DemoImage(
                file=path.name,
                digest=file_record(path).digest,
                class_id=sample.class_id,
                nearest_training_distance=sample.distance,
            )
        )
    return tuple(demos)


@dataclass(frozen=True)
class Parts:
    """What training found out, for the card."""

    keras_file: FileRecord
    calibration: Calibration
    conformal: Conformal
    operating_points: tuple[OperatingPoint, ...]
    evaluation: Evaluation
    transfer: tuple[Evaluation, ...]
    demos: tuple[DemoImage, ...]
    data_record: dict[str, str] = field(default_factory=dict)
    """What is known of the data's state, for the training settings."""


def draft_card(
    disease: Disease, recipe: Recipe, about: About, train: DataSet, seed: int, parts: Parts
) -> Card:
    """The card of a candidate: version 1 and no IR until it is published."""
    auc = parts.evaluation.figures.get("auc")
    measured = f" AUC {auc.value:.3f} on held-out images." if auc else ""
    return Card(
        disease=disease.id,
        version="1",
        created_at=now(),
        summary=f"{disease.name}: recipe {recipe.name}, {len(train.examples)} training images."
        f"{measured}",
        licence=about.stated_licence,
        files=Files(keras=parts.keras_file),
        classes=tuple(CardClass(id=one.id, name=one.name) for one in disease.classes),
        finding=disease.finding,
        input=recipe.input,
        preprocessing=recipe.preprocessing,
        preprocessing_digest=recipe.preprocessing.digest,
        calibration=parts.calibration,
        operating_points=parts.operating_points,
        conformal=parts.conformal,
        population=about.population,
        training=Training(
            recipe=recipe.name,
            dataset=about.dataset,
            images=len(train.examples),
            groups=train.groups(),
            per_class=train.per_class(),
            seed=seed,
            backbone=recipe.backbone,
            keras_version=str(keras().__version__),
            settings=recipe.for_card() | parts.data_record,
        ),
        evaluation=parts.evaluation,
        transfer=parts.transfer,
        demo_images=parts.demos,
        limitations=about.limitations,
    )


def write_scores(
    folder: Path,
    rows: Sequence[tuple[str, Sequence[Example], Floats]],
    class_ids: Sequence[str],
    root: Path,
) -> None:
    """`scores.csv`: one row an image: set, path, class, group and the logit of each class."""
    lines = [",".join(["set", "path", "class", "group", *(f"logit_{one}" for one in class_ids)])]
    for name, examples, logits in rows:
        for one, row in zip(examples, np.asarray(logits), strict=True):
            path = one.path.relative_to(root) if one.path.is_relative_to(root) else one.path
            cells = [name, str(path), one.class_id, one.group, *(f"{value:.5f}" for value in row)]
            lines.append(",".join(f'"{cell}"' if "," in cell else cell for cell in cells))
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")
