"""The last layer in closed form: a regularised logistic regression on frozen features."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from trainer.batches import Floats, Maps
from trainer.frozen import frozen_outputs
from trainer.network import behind, frozen_maps, layer, set_trainable
from trainer.recipes import Built, HeadFit, Recipe
from trainer.task import Task

#: Name of the layer that a head is fitted on.
FEATURES = "features"


def fit_head(phase: HeadFit, recipe: Recipe, built: Built, task: Task) -> None:
    """Set the layers `standardise` and `head` from the features of the training images."""
    task.log(f"{phase.name}: features of {len(task.train)} images, {phase.copies} copies of each")
    set_trainable(built, ())
    parts = [
        _features(phase.cut or FEATURES, built, task, copy) for copy in range(phase.copies + 1)
    ]
    labels = np.tile(task.labels(task.train), len(parts))
    weights = np.tile(task.weights(task.train, recipe.weighting), len(parts))
    mean, scale, standard = standardised(np.concatenate(parts))
    kernel, bias = logistic_head(
        standard, labels, weights, classes=len(task.class_ids), l2=phase.l2
    )
    layer(built, "standardise").set_weights([mean, scale**2])
    layer(built, "head").set_weights([kernel, bias])


def _features(cut: str, built: Built, task: Task, copy: int) -> Floats:
    """The features (N, F) of a version of each training image, from the maps kept at the cut."""
    maps = frozen_maps(cut, built, task, task.train, copy)
    if cut == FEATURES:
        return np.stack(maps).astype(np.float32)
    body = behind(built, cut, layer(built, FEATURES).output)
    return np.concatenate(list(frozen_outputs(body, Maps([maps]), len(task.train))))


def standardised(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean (F), scale (F) and the features (N, F) with these taken out."""
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # A feature that hardly varies must not be blown up by its own small deviation.
    scale = np.maximum(deviation + 0.05 * deviation.mean(), 1e-3)
    return mean, scale, ((values - mean) / scale).astype(np.float32)


def logistic_head(
    inputs: Floats, labels: NDArray[np.int64], weights: Floats, *, classes: int, l2: float
) -> tuple[Floats, Floats]:
    """Kernel (F, classes) and bias (classes) of a regularised multinomial logistic regression.

    The penalty, `l2 / 2 * classes / (classes - 1) * |kernel|^2`, is the usual one of a binary
    logistic regression where there are two classes. Inputs are standardised features, (N, F).
    """
    targets = np.eye(classes, dtype=np.float32)[labels]
    share = (weights / weights.sum()).astype(np.float32)[:, np.newaxis]
    penalty = l2 * classes / max(classes - 1, 1)
    size = inputs.shape[1]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        kernel = flat[:-classes].reshape(size, classes).astype(np.float32)
        logits = inputs @ kernel + flat[-classes:].astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        log_sum = np.log(np.exp(logits).sum(axis=1, keepdims=True))
        log_probabilities = logits - log_sum
        value = -(share * targets * log_probabilities).sum() + penalty / 2 * (kernel**2).sum()
        error = share * (np.exp(log_probabilities) - targets)
        slope = inputs.T @ error + penalty * kernel
        return float(value), np.append(slope.ravel(), error.sum(axis=0)).astype(np.float64)

    start = np.zeros(size * classes + classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 80}).x
    kernel, bias = found[:-classes].reshape(size, classes), found[-classes:]
    return kernel.astype(np.float32), bias.astype(np.float32)
