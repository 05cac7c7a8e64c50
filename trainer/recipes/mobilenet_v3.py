"""MobileNetV3-Large (Howard et al. 2019): 3 million weights, made for phones.

Purpose: the smallest of the published networks here, where an artifact must stay small and a
reading quick. Expected with ImageNet weights: somewhat below `densenet121` and several times as
fast; not measured here. Without --weights all layers are trained from random weights.

    .venv/bin/trainer train malaria_cell --data DATA --recipe mobilenet_v3 --weights imagenet
"""

from diagnosis.catalogue import Disease
from trainer.backbones.applications import MOBILENET_V3, phases
from trainer.recipes import Built, Order, Recipe
from trainer.runtime import keras

#: The last three blocks and the convolution behind them.
UNFROZEN = ("expanded_conv_12", "expanded_conv_13", "expanded_conv_14", "conv_1")


def build(order: Order) -> Built:
    """The pooled maps with dropout, then the head."""
    layers = keras().layers
    start = MOBILENET_V3.start(order)
    value = layers.GlobalAveragePooling2D(name="features")(start.network.output)
    value = layers.Dropout(0.3, name="drop")(value)
    return start.built(layers.Dense(order.classes, name="head")(value), "mobilenet_v3")


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    return Recipe(
        name="mobilenet_v3",
        preprocessing=MOBILENET_V3.preprocessing(disease, 48 if laptop else 224),
        build=build,
        phases=phases(laptop, UNFROZEN),
        augmentations=disease.augmentations,
        batch=8 if laptop else 32,
        most_images_per_class=32 if laptop else None,
        backbone=MOBILENET_V3.licence,
    )
