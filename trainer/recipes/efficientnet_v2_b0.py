"""EfficientNetV2-B0 (Tan and Le 2021): 6 million weights.

Purpose: the best published accuracy on ImageNet for its size among the networks here; colour images
of skin, eyes and tissue. Expected with ImageNet weights: at least that of `resnet50` with a quarter
of its weights; not measured here. Without --weights all layers are trained from random weights.

    .venv/bin/trainer train skin_lesion --data DATA --recipe efficientnet_v2_b0 --weights imagenet
"""

from diagnosis.catalogue import Disease
from trainer.backbones.applications import EFFICIENTNET_V2_B0, phases
from trainer.recipes import Built, Order, Recipe
from trainer.runtime import keras

#: The last stage and the convolution behind it.
UNFROZEN = ("block6", "top_conv")


def build(order: Order) -> Built:
    """The pooled maps with dropout, then the head."""
    layers = keras().layers
    start = EFFICIENTNET_V2_B0.start(order)
    value = layers.GlobalAveragePooling2D(name="features")(start.network.output)
    value = layers.Dropout(0.3, name="drop")(value)
    return start.built(layers.Dense(order.classes, name="head")(value), "efficientnet_v2_b0")


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    return Recipe(
        name="efficientnet_v2_b0",
        preprocessing=EFFICIENTNET_V2_B0.preprocessing(disease, 48 if laptop else 224),
        build=build,
        phases=phases(laptop, UNFROZEN),
        augmentations=disease.augmentations,
        batch=8 if laptop else 32,
        most_images_per_class=32 if laptop else None,
        backbone=EFFICIENTNET_V2_B0.licence,
    )
