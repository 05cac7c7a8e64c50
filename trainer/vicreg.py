"""VICReg (Bardes, Ponce and LeCun 2022): features that agree between two views of an image.

The loss draws the two views of an image together (invariance), keeps every feature apart between
images (variance) and the features apart from each other (covariance). It needs neither labels nor
negative pairs nor a second network, and so works with the small batches of a CPU.
"""

from typing import Any

from trainer.runtime import keras

#: Weights of the three terms, as the paper has them.
INVARIANCE, VARIANCE, COVARIANCE = 25.0, 25.0, 1.0
#: Width of the projection that the loss sees; the paper's 8,192 is for batches of thousands.
WIDTH = 256


def loss(first: Any, second: Any) -> Any:
    """The loss of the projections (N, F) of two views, a number; N is at least 2."""
    ops = keras().ops
    first, second = ops.cast(first, "float32"), ops.cast(second, "float32")
    total = INVARIANCE * ops.mean(ops.square(first - second))
    for side in (first, second):
        # In a graph the size of a batch is a tensor of whole numbers.
        count, width = ops.cast(ops.shape(side)[0], "float32"), side.shape[1]
        centred = side - ops.mean(side, axis=0, keepdims=True)
        squares = ops.sum(ops.square(centred), axis=0) / (count - 1)
        deviation = ops.sqrt(squares + 1e-4)
        total = total + VARIANCE * ops.mean(ops.relu(1.0 - deviation)) / 2
        covariance = ops.matmul(ops.transpose(centred), centred) / (count - 1)
        apart = ops.sum(ops.square(covariance)) - ops.sum(ops.square(squares))
        total = total + COVARIANCE * apart / width
    return total


def network(backbone: Any, width: int = WIDTH) -> Any:
    """A model of pairs of views (N, 2, H, W, C) with the backbone inside, ready to compile.

    Args:
        backbone: gives features (N, F), or maps that are then averaged.
        width: of the projection, which is thrown away after the training.
    """
    k = keras()
    layers = k.layers
    features = layers.Input(backbone.output.shape[1:])
    value = features if len(features.shape) == 2 else layers.GlobalAveragePooling2D()(features)
    for _ in range(2):
        value = layers.Dense(width, use_bias=False)(value)
        value = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(value))
    projector = k.Model(features, layers.Dense(width)(value))

    class Pairs(k.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.projector = backbone, projector

        def call(self, pairs: Any, training: bool = False) -> Any:
            # One pass for both views, so that a batch norm sees them as one batch.
            flat = k.ops.concatenate([pairs[:, 0], pairs[:, 1]], axis=0)
            return self.projector(self.backbone(flat, training=training), training=training)

        def compute_loss(
            self,
            x: Any = None,
            y: Any = None,
            y_pred: Any = None,
            sample_weight: Any = None,
            training: bool = True,
        ) -> Any:
            del x, y, sample_weight, training
            return loss(*k.ops.split(y_pred, 2, axis=0))

    return Pairs()
