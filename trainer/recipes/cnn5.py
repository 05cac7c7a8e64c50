"""The five-layer CNN of 2020, from scratch, on 150 x 150 grey.

Purpose: the baseline to beat, made again without its faults (a mirrored chest, checkpoints on the
wrong side of the loss). Expected on chest films: validation AUC about .99, and a large fall on
films of other acquisitions; not for use on patients.

    .venv/bin/trainer train chest_xray_pneumonia --data DATA --recipe cnn5
"""

from diagnosis.catalogue import Disease
from diagnosis.preprocess import Preprocessing
from trainer.recipes import Built, Descent, Order, Recipe
from trainer.runtime import keras


def build(order: Order, filters: tuple[int, ...] = (32, 64, 64, 128, 256)) -> Built:
    """Five blocks of convolution, batch norm and pooling, then one dense layer."""
    layers = keras().layers
    shape = (order.input.height, order.input.width, order.input.channels)
    inputs = value = layers.Input(shape, name="image")
    for number, width in enumerate(filters, start=1):
        value = layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv{number}")(
            value
        )
        if number in (2, 4, 5):
            value = layers.Dropout(0.1 if number == 2 else 0.2, name=f"drop{number}")(value)
        value = layers.BatchNormalization(momentum=0.9, name=f"norm{number}")(value)
        value = layers.MaxPooling2D(2, padding="same", name=f"pool{number}")(value)
    value = layers.Flatten(name="flat")(value)
    value = layers.Dense(128, activation="relu", name="features")(value)
    value = layers.Dropout(0.2, name="drop")(value)
    outputs = layers.Dense(order.classes, name="head")(value)
    return Built(keras().Model(inputs, outputs, name="cnn5"))


def recipe(_disease: Disease, laptop: bool) -> Recipe:
    """For any disease; in grey, as its model was."""
    side = 48 if laptop else 150
    return Recipe(
        name="cnn5",
        preprocessing=Preprocessing.model_validate(
            {
                "name": "grey-stretched",
                "steps": [
                    {"op": "greyscale"},
                    {"op": "resize", "width": side, "height": side},
                    {"op": "scale"},
                ],
            }
        ),
        build=build,
        phases=(
            Descent("from-scratch", epochs=3 if laptop else 20, learning_rate=1e-3, warmup=0.05),
        ),
        augmentations=("rotate", "translate", "zoom"),
        batch=8 if laptop else 32,
        most_images_per_class=64 if laptop else None,
    )
