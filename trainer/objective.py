"""What gradient descent minimises, by which optimiser, and what picks the best epoch; by name."""

import math
from collections.abc import Callable
from typing import Any

from trainer.recipes import Descent
from trainer.runtime import keras

#: Metrics that may pick the best epoch. The direction comes with the name, never from a setting.
BEST = ("val_loss", "val_auc", "val_balanced_accuracy", "val_accuracy")


def is_better(name: str, value: float, best: float | None) -> bool:
    """Whether a metric's value is better than the best so far: losses fall, all else rises."""
    if not math.isfinite(value):
        return False
    if best is None:
        return True
    return value < best if name.endswith("loss") else value > best


def loss_of(phase: Descent) -> Any:
    """Cross-entropy, or the focal loss (Lin et al. 2017), of logits and one-hot labels."""
    losses = keras().losses
    if phase.loss == "focal":
        # Without its alpha: classes are weighed by the recipe's weighting or not at all.
        return losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=phase.gamma, from_logits=True, label_smoothing=phase.label_smoothing
        )
    return losses.CategoricalCrossentropy(from_logits=True, label_smoothing=phase.label_smoothing)


def optimiser_of(phase: Descent, steps: int) -> Any:
    """The phase's optimiser with a rate that rises and then falls along a cosine.

    Args:
        phase: names it.
        steps: batches of the whole phase.
    """
    optimizers = keras().optimizers
    rising = int(steps * phase.warmup)
    schedule = optimizers.schedules.CosineDecay(
        0.0 if rising else phase.learning_rate,
        max(1, steps - rising),
        alpha=0.02,
        warmup_target=phase.learning_rate if rising else None,
        warmup_steps=rising,
    )
    common = {
        "global_clipnorm": phase.clip_norm,
        "use_ema": phase.average > 0,
        # A long average of a short run would still hold the first weights.
        "ema_momentum": min(phase.average, 1 - 1 / max(2.0, math.sqrt(steps))),
    }
    if phase.weight_decay:
        common["weight_decay"] = phase.weight_decay
    makers: dict[str, Callable[..., Any]] = {
        "adam": optimizers.Adam,
        "adamw": optimizers.AdamW,
        "nadam": optimizers.Nadam,
        "adadelta": optimizers.Adadelta,
        "sgd": lambda *args, **kwargs: optimizers.SGD(*args, momentum=0.9, nesterov=True, **kwargs),
    }
    return makers[phase.optimiser](schedule, **common)


def metrics_of(phase: Descent, classes: int) -> dict[str, list[Any]]:
    """Arguments of `compile`: the accuracy by the weights, and what picks the best epoch."""
    k = keras()
    metrics = [k.metrics.CategoricalAccuracy(name="accuracy")]
    if phase.best == "val_auc":
        metrics.append(_macro_auc(classes))
    if phase.best == "val_balanced_accuracy":
        metrics.append(_balanced_accuracy(classes))
    return {"weighted_metrics": metrics}


def _counted(weights: Any) -> Any:
    """1 for every image, 0 for those that only fill a batch up; None where all count."""
    return None if weights is None else keras().ops.cast(weights > 0, "float32")


def _macro_auc(classes: int) -> Any:
    k = keras()

    class MacroAUC(k.metrics.AUC):  # type: ignore[misc, name-defined]
        """Area under the ROC curve of each class against the rest, averaged; from logits."""

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
            scores = k.ops.softmax(k.ops.cast(y_pred, "float32"))
            return super().update_state(y_true, scores, _counted(sample_weight))

    return MacroAUC(num_thresholds=1000, multi_label=True, num_labels=classes, name="auc")


def _balanced_accuracy(classes: int) -> Any:
    k = keras()

    class BalancedAccuracy(k.metrics.Metric):  # type: ignore[misc, name-defined]
        """The mean share of each class that is called right."""

        def __init__(self) -> None:
            super().__init__(name="balanced_accuracy")
            self.hits = self.add_variable((classes,), "zeros", name="hits")
            self.seen = self.add_variable((classes,), "zeros", name="seen")

        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            called = k.ops.one_hot(k.ops.argmax(y_pred, axis=-1), classes)
            true = k.ops.cast(y_true, "float32")
            if sample_weight is not None:
                true = true * k.ops.reshape(_counted(sample_weight), (-1, 1))
            self.hits.assign_add(k.ops.sum(true * k.ops.cast(called, "float32"), axis=0))
            self.seen.assign_add(k.ops.sum(true, axis=0))

        def result(self) -> Any:
            present = k.ops.cast(self.seen > 0, "float32")
            recalls = self.hits / k.ops.maximum(self.seen, 1.0)
            return k.ops.sum(recalls * present) / k.ops.maximum(k.ops.sum(present), 1.0)

    return BalancedAccuracy()
