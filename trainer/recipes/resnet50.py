"""ResNet50 (He et al. 2016) with a regularised dense head, its last 15 layers unfrozen.

Purpose: the network of the earlier pneumonia system, without the faults that made it call every
film positive: it gets its own `preprocess_input`, its batch norms stay in inference mode when it is
unfrozen, layers with random weights are never frozen, and no film is mirrored. Expected with
ImageNet weights: near what ResNet-50 reaches elsewhere (MedMNIST: AUC .962 on the official chest
test at 224 px); not measured here. Without --weights all layers are trained, from random weights
or from those of `trainer pretrain` (--start): slow on a CPU, therefore 128 px, and seldom better
than `small_residual` on a few thousand images.

    .venv/bin/trainer train chest_xray_pneumonia --data DATA --recipe resnet50 --weights imagenet
"""

from diagnosis.catalogue import Disease
from trainer.backbones.applications import RESNET50, phases
from trainer.recipes import Built, Order, Recipe
from trainer.runtime import keras

#: The last 15 layers: the third block of stage 5, and the end of the second.
UNFROZEN = ("conv5_block3", "conv5_block2_3")


def build(order: Order) -> Built:
    """The pooled maps, a dense layer with L2, batch norm and dropout, then the head."""
    layers, k = keras().layers, keras()
    start = RESNET50.start(order)
    value = layers.GlobalAveragePooling2D(name="pooled")(start.network.output)
    value = layers.Dense(
        256, activation="relu", kernel_regularizer=k.regularizers.L2(1e-3), name="features"
    )(value)
    value = layers.BatchNormalization(momentum=0.9, name="features_norm")(value)
    value = layers.Dropout(0.5, name="drop")(value)
    return start.built(layers.Dense(order.classes, name="head")(value), "resnet50")


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    return Recipe(
        name="resnet50",
        preprocessing=RESNET50.preprocessing(disease, 48 if laptop else 128),
        build=build,
        phases=phases(laptop, UNFROZEN),
        augmentations=disease.augmentations,
        batch=8 if laptop else 32,
        most_images_per_class=32 if laptop else None,
        backbone=RESNET50.licence,
    )
