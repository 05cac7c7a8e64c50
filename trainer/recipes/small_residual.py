"""A small residual CNN from scratch, 160 x 160, about 0.7 million weights.

Purpose: the strongest start without pretrained weights. Expected on chest films: validation AUC
.99; on films of other acquisitions AUC about .90, calling most normal films pneumonia. It shows
that the validation figure alone says little; compare its left-out families.

    .venv/bin/trainer train chest_xray_pneumonia --data DATA --recipe small_residual
"""

from typing import Any

from diagnosis.catalogue import Disease
from diagnosis.preprocess import Preprocessing
from trainer.recipes import Built, Descent, Order, Recipe, colour_step
from trainer.runtime import keras


def build(order: Order, widths: tuple[int, ...] = (32, 64, 128, 192)) -> Built:
    """A stem and one residual block a width, each halving the sides; pooled, then the head."""
    layers = keras().layers
    shape = (order.input.height, order.input.width, order.input.channels)
    inputs = layers.Input(shape, name="image")
    value = layers.Conv2D(widths[0], 5, strides=2, padding="same", use_bias=False, name="stem")(
        inputs
    )
    value = layers.ReLU(name="stem_relu")(
        layers.BatchNormalization(momentum=0.9, name="stem_norm")(value)
    )
    for number, width in enumerate(widths, start=1):
        value = _block(layers, value, width, f"block{number}")
    value = layers.GlobalAveragePooling2D(name="features")(value)
    value = layers.Dropout(0.4, name="drop")(value)
    return Built(
        keras().Model(inputs, layers.Dense(order.classes, name="head")(value), name="residual")
    )


def _block(layers: Any, value: Any, width: int, name: str) -> Any:
    def conv(tensor: Any, size: int, stride: int, part: str) -> Any:
        made = layers.Conv2D(
            width, size, strides=stride, padding="same", use_bias=False, name=f"{name}_{part}"
        )(tensor)
        return layers.BatchNormalization(momentum=0.9, name=f"{name}_{part}_norm")(made)

    short = conv(value, 1, 2, "short")
    deep = layers.ReLU(name=f"{name}_a_relu")(conv(value, 3, 2, "a"))
    deep = conv(deep, 3, 1, "b")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([short, deep]))


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    side = 48 if laptop else 160
    return Recipe(
        name="small_residual",
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
                epochs=3 if laptop else 25,
                learning_rate=2e-3,
                warmup=0.1,
                label_smoothing=0.05,
                patience=6,
            ),
        ),
        augmentations=disease.augmentations,
        batch=8 if laptop else 32,
        most_images_per_class=64 if laptop else None,
    )
