"""SqueezeNet v1.1 and EfficientNet-Lite0 side by side; a regularised head on both their maps.

Purpose: the strongest compact model where images are few. Two small networks that learned
ImageNet in different ways see different things; a logistic regression on both does better than on
either, and no frozen layer can learn a shortcut of the data. Chest films are many, and the late
layers of SqueezeNet are fine-tuned on them: films whose sharpness and contrast were altered are
told apart much better then. 1.4 million weights. Expected on
validation patients: brain MRI balanced accuracy .95, skin lesions AUC .93, breast ultrasound AUC
.93; chest films see `docs/model-results.md`.

    .venv/bin/trainer train skin_lesion --data DATA --recipe two_backbones \\
        --weights squeezenet.h5 --about trainer/datasets/ham10000.toml
"""

from diagnosis.catalogue import Disease
from diagnosis.preprocess import Preprocessing
from trainer.backbones import efficientnet_lite, squeezenet
from trainer.recipes import Built, Descent, HeadFit, Order, Phase, Recipe, colour_step
from trainer.recipes.squeezenet_transfer import COARSE, TAPS, WINDOW
from trainer.runtime import keras

#: Blocks of EfficientNet-Lite0 whose maps are used; both have a sixteenth of the image's side.
BLOCKS = (7, 10)
#: Where the frozen part ends: SqueezeNet before its last four modules, and the other's maps.
CUT = " ".join(["pool5", *(f"fit{one}" for one in BLOCKS)])
#: Modalities with images enough to fine-tune on.
FINE_TUNED = {"chest X-ray"}


def build(order: Order) -> Built:
    """Both backbones, their maps at one size side by side as `maps`, pooled, and a dense `head`."""
    k = keras()
    layers = k.layers
    shape = (order.input.height, order.input.width, order.input.channels)
    inputs = layers.Input(shape, name="image")
    squeezed = squeezenet.build(squeezenet.read_weights(order.weights), inputs, last=max(TAPS))
    efficient = efficientnet_lite.build(
        efficientnet_lite.read_weights(None), inputs, last=max(BLOCKS)
    )
    # 14 x 14 to the 13 x 13 of SqueezeNet, whose first layer is not padded.
    fitted = [layers.AveragePooling2D(2, 1, name=f"fit{one}")(efficient[one]) for one in BLOCKS]
    maps = layers.Concatenate(name="maps")([*(squeezed[tap] for tap in TAPS), *fitted])
    window = max(1, round(maps.shape[1] * WINDOW))
    value = layers.AveragePooling2D(window, 1, name="middle")(maps)
    value = layers.GlobalAveragePooling2D(name="features")(value)
    value = layers.BatchNormalization(center=False, scale=False, epsilon=0.0, name="standardise")(
        value
    )
    outputs = layers.Dense(order.classes, name="head")(value)
    pretrained = (
        squeezenet.layer_names(max(TAPS))
        | efficientnet_lite.layer_names(max(BLOCKS))
        | {"standardise"}
    )
    return Built(k.Model(inputs, outputs, name="two_backbones"), pretrained)


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    side = 96 if laptop else 224
    coarse = round(side * COARSE.get(disease.modality, 1.0))
    low_pass = (
        {"op": "resize", "width": coarse, "height": coarse, "filter": "box"},
        {"op": "resize", "width": side, "height": side},
    )
    return Recipe(
        name="two_backbones",
        preprocessing=Preprocessing.model_validate(
            {
                "name": "coarse-pixels-0-255" if coarse < side else "pixels-0-255",
                "steps": [
                    {"op": "scaled_decode", "factor": 2},
                    colour_step(disease),
                    {"op": "resize", "width": side, "height": side},
                    *(low_pass if coarse < side else ()),
                ],
            }
        ),
        build=build,
        phases=_phases(disease, laptop),
        augmentations=disease.augmentations,
        weighting="family",
        batch=16 if laptop else 64,
        most_images_per_class=32 if laptop else None,
        weights_named="squeezenet*notop*.h5",
        backbone=f"{squeezenet.LICENCE}; {efficientnet_lite.LICENCE}",
    )


def _phases(disease: Disease, laptop: bool) -> tuple[Phase, ...]:
    copies = 1 if laptop else 4
    if disease.modality not in FINE_TUNED:
        return (HeadFit("head", l2=0.03, copies=copies),)
    return (
        HeadFit("head", l2=0.03, copies=min(copies, 2), cut=CUT),
        Descent(
            "fine-tuning",
            epochs=1 if laptop else 8,
            learning_rate=5e-4,
            trainable=("fire6", "fire7", "fire8", "fire9"),
            cut=CUT,
            copies=copies,
            patience=4,
            warmup=0.1,
            label_smoothing=0.05,
            tether=1e-3,
            average=0.995,
        ),
    )
