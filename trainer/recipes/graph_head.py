"""A head that is a graph, on ResNet50: three depths of the network are read side by side.

Purpose: what the earlier ResNet50 system proposed beside its sequential head. Fine texture is
lost in the deepest maps, so maps of three depths are each read in two ways, by their average and by
their peak; a gate made of the deepest decides how much each reading counts; what it damps is added
back once, so that nothing is lost. Expected with ImageNet weights: at least that of `resnet50`; not
measured here. In laptop mode it stands on MobileNetV3. Without --weights all layers are trained
from random weights.

    .venv/bin/trainer train chest_xray_pneumonia --data DATA --recipe graph_head --weights imagenet
"""

from functools import partial

from diagnosis.catalogue import Disease
from trainer.backbones.applications import MOBILENET_V3, RESNET50, Application, phases
from trainer.recipes import Built, Order, Recipe
from trainer.recipes.resnet50 import UNFROZEN
from trainer.runtime import keras

#: Layers whose maps are read: one in the middle and a late one; the last maps are always read.
TAPS = ("conv3_block4_out", "conv4_block6_out")
LAPTOP_TAPS = ("expanded_conv_5_add", "expanded_conv_11_add")


def build(
    order: Order,
    application: Application = RESNET50,
    taps: tuple[str, ...] = TAPS,
    width: int = 128,
) -> Built:
    """Taps, two readings of each, joined, gated by the deepest, and the head."""
    layers = keras().layers
    start = application.start(order)
    maps = [start.network.get_layer(one).output for one in taps] + [start.network.output]
    averages, peaks = [], []
    for number, one in enumerate(maps, start=1):
        value = layers.Conv2D(width, 1, use_bias=False, name=f"tap{number}")(one)
        value = layers.BatchNormalization(momentum=0.9, name=f"tap{number}_norm")(value)
        value = layers.ReLU(name=f"tap{number}_relu")(value)
        averages.append(layers.GlobalAveragePooling2D(name=f"tap{number}_average")(value))
        peaks.append(layers.GlobalMaxPooling2D(name=f"tap{number}_peak")(value))
    joined = layers.Concatenate(name="joined")([*averages, *peaks])
    gate = layers.Dense(joined.shape[-1], activation="sigmoid", name="gate")(averages[-1])
    gated = layers.Multiply(name="gated")([joined, gate])
    value = layers.Add(name="features")([joined, gated])
    value = layers.BatchNormalization(momentum=0.9, name="features_norm")(value)
    value = layers.Dropout(0.4, name="drop")(value)
    return start.built(layers.Dense(order.classes, name="head")(value), "graph_head")


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    application = MOBILENET_V3 if laptop else RESNET50
    return Recipe(
        name="graph_head",
        preprocessing=application.preprocessing(disease, 48 if laptop else 224),
        build=partial(build, application=MOBILENET_V3, taps=LAPTOP_TAPS, width=32)
        if laptop
        else build,
        phases=phases(laptop, ("expanded_conv_14", "conv_1") if laptop else UNFROZEN),
        augmentations=disease.augmentations,
        batch=8 if laptop else 32,
        most_images_per_class=32 if laptop else None,
        backbone=application.licence,
    )
