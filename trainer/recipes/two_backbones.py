"""SqueezeNet v1.1 and EfficientNet-Lite0 side by side; a regularised head on both their maps.

Purpose: the strongest compact model where images are few. Two small networks that learned
ImageNet in different ways see different things; a logistic regression on both does better than on
either, and no frozen layer can learn a shortcut of the data. Chest films are many, and the late
layers of SqueezeNet are fine-tuned on them: films whose sharpness and contrast were altered are
told apart much better then. At most 1.4 million weights. Expected on
validation patients: brain MRI balanced accuracy .95, skin lesions AUC .93, breast ultrasound AUC
.93; chest films see `docs/model-results.md`.

    .venv/bin/trainer train skin_lesion --data DATA --recipe two_backbones \\
        --weights squeezenet.h5 --about trainer/datasets/ham10000.toml
"""

from diagnosis.catalogue import Disease
from trainer.backbones import efficientnet_lite, squeezenet
from trainer.recipes import Built, Descent, HeadFit, Order, Phase, Recipe
from trainer.recipes.squeezenet_transfer import WEIGHTS, coarse_pixels, headed
from trainer.runtime import keras

#: Fire modules of SqueezeNet whose maps are used. The ninth is a seventh of all weights and adds
#: least; one channel is taken for a film, and films are many enough to make use of it.
TAPS = {1: (6, 7, 8, 9), 3: (6, 7, 8)}
#: Blocks of EfficientNet-Lite0 whose maps are used; both have a sixteenth of the image's side.
BLOCKS = (7, 10)
#: Where the frozen part ends: SqueezeNet before its last four modules, and the other's maps.
CUT = " ".join(["pool5", *(f"fit{one}" for one in BLOCKS)])
#: Modalities with images enough to fine-tune on.
FINE_TUNED = {"chest X-ray"}


def build(order: Order) -> Built:
    """Both backbones, their maps at one size side by side as `maps`, pooled, and a dense `head`."""
    layers = keras().layers
    shape = (order.input.height, order.input.width, order.input.channels)
    inputs = layers.Input(shape, name="image")
    taps = TAPS[order.input.channels]
    squeezed = squeezenet.build(squeezenet.read_weights(order.weights), inputs, last=max(taps))
    efficient = efficientnet_lite.build(
        efficientnet_lite.read_weights(None), inputs, last=max(BLOCKS)
    )
    # 14 x 14 to the 13 x 13 of SqueezeNet, whose first layer is not padded.
    fitted = [layers.AveragePooling2D(2, 1, name=f"fit{one}")(efficient[one]) for one in BLOCKS]
    maps = [*(squeezed[tap] for tap in taps), *fitted]
    model = headed(inputs, maps, order.classes, "two_backbones")
    pretrained = (
        squeezenet.layer_names(max(taps))
        | efficientnet_lite.layer_names(max(BLOCKS))
        | {"standardise"}
    )
    return Built(model, pretrained)


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    return Recipe(
        name="two_backbones",
        preprocessing=coarse_pixels(disease, laptop),
        build=build,
        phases=_phases(disease, laptop),
        augmentations=disease.augmentations,
        weighting="family",
        batch=16 if laptop else 64,
        most_images_per_class=32 if laptop else None,
        weights_named=WEIGHTS,
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
