"""`trainer make-everyday-object`: VGG16 with its ImageNet top, as an artifact that names objects.

Nothing is trained or measured here, and the card says so: the weights are taken as they come, the
probabilities are not calibrated, and no class is ever excluded.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diagnosis.artifacts.card import (
    Calibration,
    Card,
    CardClass,
    Conformal,
    Evaluation,
    Files,
    Input,
    Population,
    Training,
)
from diagnosis.catalogue import disease
from diagnosis.contracts import now
from trainer.backbones.applications import IMAGENET, VGG16, load
from trainer.candidate import KERAS_NAME, file_record
from trainer.refusals import RecipeRefused, TrainerRefused
from trainer.runtime import keras

DISEASE = "everyday_object"
CLASSES = 1000
SIDE = 224
_LICENCE = (
    "Artifact: CC BY 4.0, as the weights of VGG16 (Visual Geometry Group, University of Oxford, "
    "2014), which were trained on ImageNet, whose images are for non-commercial research."
)
_LIMITATIONS = (
    "Nothing was trained, calibrated or measured when this artifact was made.",
    "It answers with one of a thousand classes whatever the photograph shows, people included.",
    "It says nothing about health.",
)


def vgg16(weights: Path | None, side: int = SIDE) -> Any:
    """VGG16 with its thousand logits; random weights for None.

    Raises:
        RecipeRefused: the weights are missing, foreign, or cannot be downloaded.
    """
    settings = {
        "include_top": True,
        "classifier_activation": None,
        "classes": CLASSES,
        "input_shape": (side, side, 3),
    }
    return load(VGG16, settings, weights)


def make(
    out: Path,
    weights: Path,
    class_index: Path | None = None,
    build: Callable[[Path | None], Any] = vgg16,
) -> Path:
    """Write a candidate that `trainer publish` takes; the folder appears when it is whole.

    Args:
        out: the folder; must not exist.
        weights: a file of VGG16's weights with its top, or `imagenet`.
        class_index: Keras's `imagenet_class_index.json`. Without it the classes are named as Keras
            names them where it downloads the weights, and by their numbers where it does not.
        build: from the weights to a network with a thousand logits.

    Raises:
        TrainerRefused: `out` exists, or the weights or the class index cannot be used.
    """
    if out.exists():
        raise TrainerRefused(f"{out} exists already; name another folder with --out.")
    downloaded = str(weights) == IMAGENET and not weights.exists()
    classes = class_names(class_index, downloaded=downloaded)
    network = build(weights)
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".incoming-", dir=out.parent))
    try:
        network.save(draft / KERAS_NAME)
        card = _card(draft, classes, "Keras's published file" if downloaded else "a local file")
        (draft / "card.json").write_bytes(card.to_json())
        draft.chmod(0o755)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return out


def class_names(class_index: Path | None, *, downloaded: bool) -> tuple[CardClass, ...]:
    """The thousand classes in the order of the outputs; ids are WordNet's where they are known.

    Raises:
        RecipeRefused: the file is not Keras's class index, or Keras cannot download its own.
    """
    if class_index is not None:
        return _named(_read_index(class_index))
    if not downloaded:
        return tuple(
            CardClass(id=f"imagenet_{number}", name=f"ImageNet class {number}")
            for number in range(CLASSES)
        )
    ranked = np.arange(CLASSES, 0, -1, dtype=np.float32)[np.newaxis]
    try:
        decoded = keras().applications.imagenet_utils.decode_predictions(ranked, top=CLASSES)[0]
    except Exception as error:
        raise RecipeRefused(
            "Keras could not download its class index; fetch imagenet_class_index.json elsewhere "
            "and name it with --class-index."
        ) from error
    return _named([(one[0], one[1]) for one in decoded])


def _read_index(path: Path) -> list[tuple[str, str]]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        pairs = [
            (str(found[str(number)][0]), str(found[str(number)][1])) for number in range(CLASSES)
        ]
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise RecipeRefused(
            f"{path} is not Keras's imagenet_class_index.json: a JSON object that gives each of "
            f'"0" to "{CLASSES - 1}" a WordNet id and a name.'
        ) from error
    return pairs


def _named(pairs: Sequence[tuple[str, str]]) -> tuple[CardClass, ...]:
    return tuple(CardClass(id=wordnet, name=name.replace("_", " ")[:80]) for wordnet, name in pairs)


def _card(folder: Path, classes: tuple[CardClass, ...], origin: str) -> Card:
    preprocessing = VGG16.preprocessing(disease(DISEASE), SIDE)
    none = "Nothing was measured: the weights are taken as they were published."
    return Card(
        disease=DISEASE,
        version="1",
        created_at=now(),
        summary=f"{disease(DISEASE).name}: VGG16 with its thousand ImageNet classes. {none}",
        licence=_LICENCE,
        files=Files(keras=file_record(folder / KERAS_NAME)),
        classes=classes,
        finding=None,
        input=Input(height=SIDE, width=SIDE, channels=3),
        preprocessing=preprocessing,
        preprocessing_digest=preprocessing.digest,
        calibration=Calibration(temperature=1.0, fitted_on="Nothing: it is not calibrated."),
        operating_points=(),
        conformal=Conformal(
            coverage=0.95,
            quantiles=dict.fromkeys((one.id for one in classes), 1.0),
            fitted_on="Nothing: no class is excluded, so the set always holds the true one.",
        ),
        population=Population(description="Photographs from the web (ImageNet); no patients."),
        training=Training(
            recipe="make-everyday-object",
            dataset=f"None here. The weights, from {origin}, are taken to be those that were "
            "trained on ImageNet (ILSVRC 2012).",
            images=0,
            groups=0,
            per_class={},
            seed=0,
            backbone=VGG16.licence,
            keras_version=str(keras().__version__),
        ),
        evaluation=Evaluation(dataset=none, images=0, groups=0, per_class={}, figures={}),
        limitations=_LIMITATIONS,
    )
