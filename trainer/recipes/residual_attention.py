"""A small residual attention network (Wang et al. 2017), from scratch, 128 x 128.

Purpose: the kind of network of the earlier lung system, in a size that some thousand images can
train: beside its trunk, each stage has a branch that looks at the image coarsely and says where to
look finely; the trunk is multiplied by one plus that mask. Expected: about `small_residual`, at
twice its cost; not measured here.

    .venv/bin/trainer train chest_xray_lung_findings --data DATA --recipe residual_attention
"""

from typing import Any

from diagnosis.catalogue import Disease
from diagnosis.preprocess import Preprocessing
from trainer.recipes import Built, Descent, Order, Recipe, colour_step
from trainer.runtime import keras


def build(order: Order, widths: tuple[int, ...] = (32, 64, 128)) -> Built:
    """A stem, an attention stage a width at 1/4, 1/8 and 1/16 of the side, pooled, the head."""
    layers = keras().layers
    shape = (order.input.height, order.input.width, order.input.channels)
    inputs = layers.Input(shape, name="image")
    value = layers.Conv2D(widths[0], 5, strides=2, padding="same", use_bias=False, name="stem")(
        inputs
    )
    value = _activated(layers, value, "stem")
    value = layers.MaxPooling2D(2, name="stem_pool")(value)
    for number, width in enumerate(widths, start=1):
        name = f"stage{number}"
        value = _residual(layers, value, width, f"{name}_in", stride=1 if number == 1 else 2)
        # As often halved in the mask branch as leaves it a map of at least 4 x 4.
        value = _attention(layers, value, f"{name}_look", depth=max(1, len(widths) - number))
    value = _residual(layers, value, widths[-1], "last")
    value = layers.GlobalAveragePooling2D(name="features")(_activated(layers, value, "features"))
    value = layers.Dropout(0.4, name="drop")(value)
    return Built(
        keras().Model(
            inputs, layers.Dense(order.classes, name="head")(value), name="residual_attention"
        )
    )


def _activated(layers: Any, value: Any, name: str) -> Any:
    value = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(value)
    return layers.ReLU(name=f"{name}_relu")(value)


def _residual(layers: Any, value: Any, width: int, name: str, stride: int = 1) -> Any:
    """A pre-activation residual unit (He et al. 2016)."""
    made = _activated(layers, value, f"{name}_a")
    short = value
    if stride != 1 or value.shape[-1] != width:
        short = layers.Conv2D(width, 1, strides=stride, use_bias=False, name=f"{name}_short")(made)
    made = layers.Conv2D(
        width, 3, strides=stride, padding="same", use_bias=False, name=f"{name}_a"
    )(made)
    made = _activated(layers, made, f"{name}_b")
    made = layers.Conv2D(width, 3, padding="same", use_bias=False, name=f"{name}_b")(made)
    return layers.Add(name=f"{name}_add")([short, made])


def _attention(layers: Any, value: Any, name: str, depth: int) -> Any:
    """Trunk x (1 + mask), the mask from a path down and up again (section 3.1 of the paper)."""
    width = value.shape[-1]
    trunk = _residual(layers, value, width, f"{name}_trunk")
    mask, passed = value, []
    for step in range(depth):
        mask = layers.MaxPooling2D(2, name=f"{name}_down{step}")(mask)
        mask = _residual(layers, mask, width, f"{name}_down{step}_unit")
        passed.append(mask)
    for step in reversed(range(depth)):
        if step < depth - 1:
            mask = layers.Add(name=f"{name}_pass{step}")([mask, passed[step]])
            mask = _residual(layers, mask, width, f"{name}_up{step}_unit")
        mask = layers.UpSampling2D(2, interpolation="bilinear", name=f"{name}_up{step}")(mask)
    mask = _activated(layers, mask, f"{name}_mask")
    mask = layers.Conv2D(width, 1, activation="sigmoid", name=f"{name}_mask")(mask)
    looked = layers.Multiply(name=f"{name}_times")([trunk, mask])
    return layers.Add(name=f"{name}_plus")([trunk, looked])


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    side = 64 if laptop else 128
    return Recipe(
        name="residual_attention",
        preprocessing=Preprocessing.model_validate(
            {
                "name": "standardised",
                "steps": [
                    colour_step(disease),
                    {"op": "resize", "width": side, "height": side},
                    {"op": "standardise"},
                ],
            }
        ),
        build=build,
        phases=(
            Descent(
                "from-scratch",
                epochs=2 if laptop else 30,
                learning_rate=2e-3,
                warmup=0.1,
                label_smoothing=0.05,
                patience=6,
            ),
        ),
        augmentations=disease.augmentations,
        batch=8 if laptop else 32,
        most_images_per_class=32 if laptop else None,
    )
