"""SqueezeNet v1.1 from ImageNet: frozen features, a strongly regularised head, gentle fine-tuning.

Purpose: a model that still works on films of other acquisitions. Frozen features with a simple
head transfer better than anything trained from scratch; more regularisation lowers the validation
AUC and raises the one elsewhere, so its numbers are chosen by left-out acquisition families.
Expected on chest films: validation AUC at least .98, left-out families at least .97.

    .venv/bin/trainer train chest_xray_pneumonia --data DATA --recipe squeezenet_transfer \\
        --weights squeezenet.h5 --about trainer/datasets/kermany_2018.toml --leave-families-out
"""

from collections.abc import Sequence
from typing import Any

from diagnosis.catalogue import Disease
from diagnosis.preprocess import Preprocessing
from trainer.backbones import squeezenet
from trainer.recipes import Built, Descent, HeadFit, Order, Recipe, colour_step
from trainer.runtime import keras

#: Of the file in the data sets' `weights` folder.
WEIGHTS = "squeezenet*notop*.h5"
#: Fire modules whose maps are pooled into features: textures and shapes, early and late.
TAPS = (6, 7, 8, 9)
#: Films are made coarse before the network sees them, as a share of the side. On these films the
#: normal ones are sharper than the others, which says how they were made and not what they show.
COARSE = {"chest X-ray": 128 / 224}
#: Side of the averaging window, as a share of the map's: averages of windows weigh the middle
#: more than the borders, where devices differ most and marks are burned in.
WINDOW = 0.7


def build(order: Order, taps: Sequence[int] = TAPS) -> Built:
    """The backbone, its pooled maps side by side as `features`, and a dense `head`."""
    weights = squeezenet.read_weights(order.weights)
    layers = keras().layers
    shape = (order.input.height, order.input.width, order.input.channels)
    inputs = layers.Input(shape, name="image")
    maps = squeezenet.build(weights, inputs, last=max(taps))
    model = headed(inputs, [maps[tap] for tap in taps], order.classes, "transfer", dropout=0.3)
    return Built(model, squeezenet.layer_names(max(taps)) | {"standardise"})


def headed(
    inputs: Any, taps: Sequence[Any], classes: int, name: str, *, dropout: float = 0.0
) -> Any:
    """A model of some maps of one size: side by side as `maps`, pooled, and a dense `head`.

    Side by side they are one set of maps, by which an answer can be explained.
    """
    layers = keras().layers
    together = layers.Concatenate(name="maps")(taps)
    window = max(1, round(together.shape[1] * WINDOW))
    middle = layers.AveragePooling2D(window, 1, name="middle")(together)
    features = layers.GlobalAveragePooling2D(name="features")(middle)
    value = layers.BatchNormalization(center=False, scale=False, epsilon=0.0, name="standardise")(
        features
    )
    if dropout:
        value = layers.Dropout(dropout, name="drop")(value)
    return keras().Model(inputs, layers.Dense(classes, name="head")(value), name=name)


def coarse_pixels(disease: Disease, laptop: bool) -> Preprocessing:
    """Pixels 0 to 255 at the side of the backbones, as coarse as `COARSE` says for the modality."""
    side = 96 if laptop else 224
    coarse = round(side * COARSE.get(disease.modality, 1.0))
    low_pass = (
        {"op": "resize", "width": coarse, "height": coarse, "filter": "box"},
        {"op": "resize", "width": side, "height": side},
    )
    return Preprocessing.model_validate(
        {
            "name": "coarse-pixels-0-255" if coarse < side else "pixels-0-255",
            "steps": [
                {"op": "scaled_decode", "factor": 2},
                colour_step(disease),
                {"op": "resize", "width": side, "height": side},
                *(low_pass if coarse < side else ()),
            ],
        }
    )


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    return Recipe(
        name="squeezenet_transfer",
        preprocessing=coarse_pixels(disease, laptop),
        build=build,
        phases=(
            HeadFit("head", l2=0.03, copies=1 if laptop else 2, cut="pool5"),
            Descent(
                "fine-tuning",
                epochs=1 if laptop else 8,
                learning_rate=5e-4,
                trainable=("fire6", "fire7", "fire8", "fire9"),
                cut="pool5",
                copies=1 if laptop else 4,
                patience=4,
                warmup=0.1,
                label_smoothing=0.05,
                tether=1e-3,
                average=0.995,
            ),
        ),
        augmentations=disease.augmentations,
        weighting="family",
        batch=16 if laptop else 64,
        most_images_per_class=32 if laptop else None,
        backbone=squeezenet.LICENCE,
        weights_named=WEIGHTS,
    )
