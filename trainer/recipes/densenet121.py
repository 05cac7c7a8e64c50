"""DenseNet121 (Huang et al. 2017), the network of CheXNet: 7 million weights.

Purpose: the usual network for chest films, and a strong one for microscopy. Expected with ImageNet
weights on chest films: close to `resnet50` with a third of its weights; CheXNet reached an AUC of
.768 for pneumonia on adults (NIH films). Not measured here. Without --weights all layers are
trained from random weights.

    .venv/bin/trainer train chest_xray_lung_findings --data DATA --recipe densenet121 \\
        --weights imagenet
"""

from diagnosis.catalogue import Disease
from trainer.backbones.applications import DENSENET121, phases
from trainer.recipes import Built, Order, Recipe
from trainer.runtime import keras

#: The last stage and the batch norm behind it, which stays in inference mode.
UNFROZEN = ("conv5_block",)


def build(order: Order) -> Built:
    """The pooled maps with dropout, then the head."""
    layers = keras().layers
    start = DENSENET121.start(order)
    value = layers.GlobalAveragePooling2D(name="features")(start.network.output)
    value = layers.Dropout(0.4, name="drop")(value)
    return start.built(layers.Dense(order.classes, name="head")(value), "densenet121")


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    return Recipe(
        name="densenet121",
        preprocessing=DENSENET121.preprocessing(disease, 48 if laptop else 224),
        build=build,
        phases=phases(laptop, UNFROZEN),
        augmentations=disease.augmentations,
        batch=8 if laptop else 32,
        most_images_per_class=32 if laptop else None,
        backbone=DENSENET121.licence,
    )
