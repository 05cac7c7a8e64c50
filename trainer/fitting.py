"""Fits a recipe's network to training images, phase by phase. Keras only; any backend."""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from trainer.augment import Augmenter
from trainer.batches import Batches, Floats, Images, Maps, Source
from trainer.data import Example
from trainer.pixels import PixelStore
from trainer.recipes import Built, Descent, HeadFit, Recipe, Weighting
from trainer.refusals import RecipeRefused
from trainer.runtime import keras

#: Maps of the frozen part of a network by (layer, copy, digest of the image). They outlive a fit:
#: the frozen part is the same in every fit of a run, whichever images are left out.
FrozenMaps = dict[tuple[str, int, str], NDArray[np.float16]]
Log = Callable[[str], None]
FamilyOf = Callable[[Example], str]


@dataclass(frozen=True)
class Task:
    """What a recipe is fitted to."""

    train: Sequence[Example]
    val: Sequence[Example]
    class_ids: tuple[str, ...]
    store: PixelStore
    augmenter: Augmenter
    seed: int
    family_of: FamilyOf
    frozen: FrozenMaps = field(default_factory=dict)
    log: Log = field(default=lambda _: None)
    callbacks: Callable[[str, int], Sequence[Any]] = field(default=lambda _name, _epochs: ())
    """Progress: called with a phase's name and its epochs."""

    def labels(self, examples: Sequence[Example]) -> NDArray[np.int64]:
        """The place of each example's class in the order of the outputs."""
        return np.array([self.class_ids.index(one.class_id) for one in examples], np.int64)

    def weights(self, examples: Sequence[Example], weighting: Weighting) -> Floats:
        """The weight of each example in the loss; 1 on average."""
        return example_weights(
            [one.class_id for one in examples], [self.family_of(one) for one in examples], weighting
        )


def example_weights(
    classes: Sequence[str], families: Sequence[str], weighting: Weighting
) -> Floats:
    """Weights, 1 on average, with which every class (and every family in it) counts the same."""
    total = len(classes)
    if weighting == "none":
        return np.ones(total, np.float32)
    in_class = Counter(classes)
    if weighting == "class":
        weights = [total / (len(in_class) * in_class[one]) for one in classes]
        return np.array(weights, np.float32)
    pairs = list(zip(classes, families, strict=True))
    in_family = Counter(pairs)
    families_of = Counter(class_id for class_id, _ in in_family)
    return np.array(
        [total / (len(in_class) * families_of[pair[0]] * in_family[pair]) for pair in pairs],
        np.float32,
    )


def fit(recipe: Recipe, built: Built, task: Task) -> list[dict[str, Any]]:
    """Run a recipe's phases on a freshly built network, in place.

    Returns:
        One record an epoch: phase, epoch, loss, accuracy, val_loss, val_accuracy.

    Raises:
        RecipeRefused: a phase names a layer that the network does not have, trains what another
            takes as frozen, or diverges.
    """
    _refuse_trained_maps(recipe, built)
    history: list[dict[str, Any]] = []
    for phase in recipe.phases:
        if isinstance(phase, HeadFit):
            _fit_head(phase, recipe, built, task)
        else:
            history += _descend(phase, recipe, built, task)
    return history


def set_trainable(built: Built, beginnings: Sequence[str]) -> None:
    """Freeze the pretrained layers but those whose names begin so; leave random ones trainable.

    A pretrained batch norm stays frozen in any case: unfrozen, Keras would replace its statistics
    by those of small batches and undo the pretraining.
    """
    norm = keras().layers.BatchNormalization
    for layer in built.model.layers:
        wanted = any(layer.name.startswith(one) for one in beginnings)
        pretrained = layer.name in built.pretrained
        layer.trainable = not pretrained or (wanted and not isinstance(layer, norm))


def predict(model: Any, source: Source, count: int) -> Floats:
    """Outputs of a model for the first `count` images of a source, float32."""
    parts = []
    for start in range(0, count, 64):
        chosen = np.arange(start, min(start + 64, count))
        outputs = model(source(chosen, 0), training=False)
        parts.append(np.asarray(keras().ops.convert_to_numpy(outputs), np.float32))
    return np.concatenate(parts)


def _layer(built: Built, name: str) -> Any:
    try:
        return built.model.get_layer(name)
    except ValueError as error:
        raise RecipeRefused(f"The network has no layer {name!r}, which a phase names.") from error


def _refuse_trained_maps(recipe: Recipe, built: Built) -> None:
    """Check that no phase trains a layer whose outputs are kept as frozen maps."""
    for cut in {phase.cut for phase in recipe.phases if phase.cut}:
        body = keras().Model(built.model.input, _layer(built, cut).output)
        for phase in recipe.phases:
            set_trainable(built, phase.trainable if isinstance(phase, Descent) else ())
            trained = [one.name for one in body.layers if one.weights and one.trainable]
            if trained:
                raise RecipeRefused(
                    f"The cut {cut!r} would freeze {trained[0]!r}, which {phase.name} trains."
                )


def _fit_head(phase: HeadFit, recipe: Recipe, built: Built, task: Task) -> None:
    task.log(f"{phase.name}: features of {len(task.train)} images, {phase.copies} copies of each")
    set_trainable(built, ())
    features = _layer(built, "features").output
    start = _layer(built, phase.cut).output if phase.cut else built.model.input
    body = keras().Model(start, features)
    parts = []
    for copy in range(phase.copies + 1):
        source: Source = (
            Maps([_frozen_maps(phase.cut, built, task, task.train, copy)])
            if phase.cut
            else _images(task, task.train, copy)
        )
        parts.append(predict(body, source, len(task.train)))
    labels = np.tile(task.labels(task.train), len(parts))
    weights = np.tile(task.weights(task.train, recipe.weighting), len(parts))
    values = np.concatenate(parts)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # A feature that hardly varies must not be blown up by its own small deviation.
    scale = np.maximum(deviation + 0.05 * deviation.mean(), 1e-3)
    standard = ((values - mean) / scale).astype(np.float32)
    kernel, bias = logistic_head(
        standard, labels, weights, classes=len(task.class_ids), l2=phase.l2
    )
    _layer(built, "standardise").set_weights([mean, scale**2])
    _layer(built, "head").set_weights([kernel, bias])


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


def _descend(phase: Descent, recipe: Recipe, built: Built, task: Task) -> list[dict[str, Any]]:
    set_trainable(built, phase.trainable)
    train_source: Source
    val_source: Source
    if phase.cut:
        part = keras().Model(_layer(built, phase.cut).output, built.model.output)
        versions = [
            _frozen_maps(phase.cut, built, task, task.train, copy)
            for copy in range(phase.copies + 1)
        ]
        train_source = Maps(versions, seed=task.seed)
        val_source = Maps([_frozen_maps(phase.cut, built, task, task.val, 0)])
    else:
        part = built.model
        train_source = Images(task.store, task.train, task.augmenter, seed=task.seed)
        val_source = Images(task.store, task.val)
    common: dict[str, Any] = {
        "classes": len(task.class_ids),
        "batch": recipe.batch,
        "seed": task.seed,
        "workers": task.store.workers,
    }
    train = Batches(
        train_source,
        task.labels(task.train),
        task.weights(task.train, recipe.weighting),
        **common,
    )
    val = Batches(
        val_source,
        task.labels(task.val),
        # By class only: a family may be missing among the few validation images.
        task.weights(task.val, "class"),
        shuffle=False,
        **common,
    )
    return _run(phase, part, train, val, task)


def _frozen_maps(
    cut: str, built: Built, task: Task, examples: Sequence[Example], copy: int
) -> list[NDArray[np.float16]]:
    """The frozen part's outputs for a version of each example; copy 0 is the image itself."""
    missing = [one for one in examples if (cut, copy, one.digest) not in task.frozen]
    if missing:
        task.log(f"Maps at {cut} of {len(missing)} images, version {copy + 1}")
        body = keras().Model(built.model.input, _layer(built, cut).output)
        # In blocks: all maps in 32 bit at once would take gigabytes.
        for start in range(0, len(missing), 512):
            block = missing[start : start + 512]
            maps = predict(body, _images(task, block, copy), len(block))
            for one, value in zip(block, np.clip(maps, -6e4, 6e4).astype(np.float16), strict=True):
                task.frozen[cut, copy, one.digest] = value
    return [task.frozen[cut, copy, one.digest] for one in examples]


def _images(task: Task, examples: Sequence[Example], copy: int) -> Images:
    """The examples as they are, or a copy of each; the same copy in every fit of a run."""
    if not copy:
        return Images(task.store, examples)
    return Images(task.store, examples, task.augmenter, seed=1000 * (task.seed + 1) + copy)


def _run(
    phase: Descent, part: Any, train: Batches, val: Batches, task: Task
) -> list[dict[str, Any]]:
    k = keras()
    steps = phase.epochs * len(train)
    rising = int(steps * phase.warmup)
    schedule = k.optimizers.schedules.CosineDecay(
        0.0 if rising else phase.learning_rate,
        max(1, steps - rising),
        alpha=0.02,
        warmup_target=phase.learning_rate if rising else None,
        warmup_steps=rising,
    )
    # A long average of a short run would still hold the first weights.
    average = min(phase.average, 1 - 1 / max(2.0, math.sqrt(steps)))
    model = _tethered(part, phase.tether)
    model.compile(
        optimizer=k.optimizers.Adam(
            schedule,
            global_clipnorm=phase.clip_norm,
            use_ema=phase.average > 0,
            ema_momentum=average,
        ),
        loss=k.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=phase.label_smoothing
        ),
        weighted_metrics=[k.metrics.CategoricalAccuracy(name="accuracy")],
    )
    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        best = Path(folder) / "best.weights.h5"
        callbacks = [
            # First, so that the checkpoint sees the averaged weights that were just validated.
            *([k.callbacks.SwapEMAWeights(swap_on_epoch=True)] if phase.average else []),
            k.callbacks.ModelCheckpoint(
                str(best),
                monitor="val_loss",
                mode="min",
                save_best_only=True,
                # Without it, a first epoch without a loss would count as the best.
                initial_value_threshold=math.inf,
                save_weights_only=True,
                verbose=0,
            ),
            k.callbacks.EarlyStopping(monitor="val_loss", mode="min", patience=phase.patience),
            k.callbacks.TerminateOnNaN(),
            *task.callbacks(phase.name, phase.epochs),
        ]
        log = model.fit(
            train, validation_data=val, epochs=phase.epochs, callbacks=callbacks, verbose=0
        ).history
        if not best.exists():
            raise RecipeRefused(
                f"The phase {phase.name} never reached a finite loss; lower its learning rate."
            )
        model.load_weights(str(best))
    keys = ("loss", "accuracy", "val_loss", "val_accuracy")
    epochs = enumerate(zip(*(map(float, log[key]) for key in keys), strict=True), start=1)
    # An epoch that diverged has no figures, and a report could not hold them.
    return [
        {"phase": phase.name, "epoch": epoch, **dict(zip(keys, values, strict=True))}
        for epoch, values in epochs
        if all(map(math.isfinite, values))
    ]


def _tethered(part: Any, strength: float) -> Any:
    """A model of the same weights whose loss pulls each back to where it stands now."""
    k = keras()

    class Tethered(k.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.part = part
            self.start = [k.ops.convert_to_numpy(one) for one in part.trainable_variables]

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.part(inputs, training=training)

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            if not strength:
                return loss
            pulls = [
                k.ops.sum(k.ops.square(now - start))
                for now, start in zip(self.part.trainable_variables, self.start, strict=True)
            ]
            return loss + strength * sum(pulls)

    return Tethered()
