"""What a start is worth: a logistic regression on its frozen features, measured on held-out images.

The probe says what the features hold, not what a model that is trained further will reach.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diagnosis.catalogue import Disease
from diagnosis.judgement import softmax
from trainer.batches import Floats, Images
from trainer.data import DataSet, read_dataset
from trainer.evaluate import group_numbers
from trainer.head import logistic_head, standardised
from trainer.metrics import Figure, Scores, figures
from trainer.network import predict
from trainer.pixels import PixelStore
from trainer.recipes import Built
from trainer.splits import with_splits
from trainer.start import backbone
from trainer.task import example_weights

#: Weight of the squared size of the probe's kernel, the same for every start.
L2 = 0.01


@dataclass(frozen=True)
class ProbeData:
    """Labelled images of both sides."""

    disease: Disease
    store: PixelStore
    train: DataSet
    val: DataSet


@dataclass(frozen=True)
class Probe:
    """The probe's figures on the validation split."""

    auc: Figure
    """Of the finding's class, or the mean over the classes where there are more than two."""
    balanced_accuracy: Figure
    train: int
    val: int
    """Images."""


def read_probe(
    root: Path, disease: Disease, store: PixelStore, *, manifest: Path | None = None, seed: int = 0
) -> ProbeData:
    """Read and split labelled images; their test split, where there is one, is not used.

    Raises:
        DataRefused: they cannot be used for training.
    """
    data = read_dataset(root, disease, manifest=manifest, workers=store.workers)
    data = store.prepare(with_splits(data, seed=seed))
    data = with_splits(data, seed=seed)
    return ProbeData(disease, store, data.of("train"), data.of("val"))


def probe(built: Built, data: ProbeData) -> Probe:
    """Fit the probe to a network's features as they are, and measure it."""
    model = backbone(built)

    def features(side: DataSet) -> Floats:
        found = predict(model, Images(data.store, side.examples), len(side.examples))
        return found.mean(axis=tuple(range(1, found.ndim - 1))) if found.ndim > 2 else found

    class_ids = data.disease.class_ids

    def labels(side: DataSet) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
        return np.array([class_ids.index(one.class_id) for one in side.examples], np.int64)

    mean, scale, standard = standardised(features(data.train))
    classes = [one.class_id for one in data.train.examples]
    weights = example_weights(classes, classes, "class")
    kernel, bias = logistic_head(
        standard, labels(data.train), weights, classes=len(class_ids), l2=L2
    )
    logits = ((features(data.val) - mean) / scale) @ kernel + bias
    found = figures(
        Scores(
            class_ids=class_ids,
            labels=labels(data.val),
            probabilities=softmax(logits.astype(np.float64)),
            groups=group_numbers(data.val),
            finding=data.disease.finding,
            threshold=None,
        )
    )
    return Probe(
        auc=found["auc"],
        balanced_accuracy=found["balanced_accuracy"],
        train=len(data.train.examples),
        val=len(data.val.examples),
    )
