"""The early modules of SqueezeNet v1.1, frozen, on images of 28 pixels a side; a regularised head.

Purpose: a demonstration on the openly licensed 28-pixel fundus photographs, where late modules have
nothing left to see. Larger images are made as small first, so that a figure measured on small ones
holds for them. 0.12 million weights. Expected on RetinaMNIST: validation accuracy .55, AUC .80.

    .venv/bin/trainer train diabetic_retinopathy --data retinamnist.npz \\
        --recipe low_resolution --weights squeezenet.h5 --about trainer/datasets/retinamnist.toml
"""

from diagnosis.catalogue import Disease
from diagnosis.preprocess import Preprocessing
from trainer.backbones import squeezenet
from trainer.recipes import Built, HeadFit, Order, Recipe, colour_step
from trainer.recipes import squeezenet_transfer as whole

#: Fire modules whose maps are pooled.
TAPS = (4, 5)
SIDE = 28
#: What the network is shown: the same pixels, larger, so that its modules have room.
SHOWN = 112


def build(order: Order) -> Built:
    """The backbone up to its fifth module, its pooled maps and a dense `head`."""
    return whole.build(order, TAPS)


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease; only its turns and shifts, as there is no detail to alter."""
    shown = SHOWN // 2 if laptop else SHOWN
    wanted = {"flip_horizontal", "flip_vertical", "rotate", "translate", "zoom"}
    return Recipe(
        name="low_resolution",
        preprocessing=Preprocessing.model_validate(
            {
                "name": "pixels-28",
                "steps": [
                    colour_step(disease),
                    {"op": "resize", "width": SIDE, "height": SIDE},
                    {"op": "resize", "width": shown, "height": shown},
                ],
            }
        ),
        build=build,
        phases=(HeadFit("head", l2=0.25, copies=1 if laptop else 4),),
        augmentations=tuple(one for one in disease.augmentations if one in wanted),
        weighting="none",
        batch=16 if laptop else 64,
        most_images_per_class=32 if laptop else None,
        weights_named=whole.WEIGHTS,
        backbone=squeezenet.LICENCE,
    )
