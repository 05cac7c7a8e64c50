"""VGG16 (Simonyan and Zisserman 2015) with the head 4096, 4096, 512, classes.

Purpose: the network of the earlier chest and skin systems, to compare with. Expected with ImageNet
weights on chest films: accuracy about .90 on the official test, as was published for it; not
measured here. It has 136 million weights, most of them in the head, and an artifact of 540 MB; the
other networks here need a tenth. Without --weights all of them are trained from random weights.

    .venv/bin/trainer train chest_xray_pneumonia --data DATA --recipe vgg16 --weights imagenet
"""

from functools import partial

from diagnosis.catalogue import Disease
from trainer.backbones.applications import VGG16, phases
from trainer.recipes import Built, Order, Recipe
from trainer.runtime import keras

UNFROZEN = ("block5",)
HEAD = (4096, 4096, 512)


def build(order: Order, widths: tuple[int, ...] = HEAD) -> Built:
    """The flattened maps and three dense layers with dropout, then the head."""
    layers = keras().layers
    start = VGG16.start(order)
    value = layers.Flatten(name="flat")(start.network.output)
    for number, width in enumerate(widths, start=1):
        name = "features" if number == len(widths) else f"dense{number}"
        value = layers.Dense(width, activation="relu", kernel_initializer="he_normal", name=name)(
            value
        )
        value = layers.Dropout(0.5 if number < len(widths) else 0.2, name=f"drop{number}")(value)
    return start.built(layers.Dense(order.classes, name="head")(value), "vgg16")


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    return Recipe(
        name="vgg16",
        preprocessing=VGG16.preprocessing(disease, 32 if laptop else 224),
        build=partial(build, widths=(64, 64, 32)) if laptop else build,
        phases=phases(laptop, UNFROZEN, rate=2e-5),
        augmentations=disease.augmentations,
        batch=8 if laptop else 32,
        most_images_per_class=32 if laptop else None,
        backbone=VGG16.licence,
    )
