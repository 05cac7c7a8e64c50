"""SqueezeNet v1.1 from ImageNet, cut short after its seventh module: half the weights, fine-tuned.

Purpose: a model of a third of a million weights for a demonstration, where size counts more than
the last point of accuracy. As `squeezenet_transfer` otherwise. Expected on chest films of three
classes: validation AUC about .94; bacterial and viral pneumonia look alike.

    .venv/bin/trainer train chest_xray_pneumonia_type --data DATA --recipe squeezenet_slim \\
        --weights squeezenet.h5 --manifest MANIFEST --about trainer/datasets/kermany_2018.toml
"""

from dataclasses import replace

from diagnosis.catalogue import Disease
from trainer.recipes import Built, Descent, Order, Recipe
from trainer.recipes import squeezenet_transfer as whole

#: Fire modules whose maps are pooled.
TAPS = (6, 7)


def build(order: Order) -> Built:
    """The backbone up to its seventh module, its pooled maps and a dense `head`."""
    return whole.build(order, TAPS)


def recipe(disease: Disease, laptop: bool) -> Recipe:
    """For any disease, with every augmentation that the catalogue allows it."""
    made = whole.recipe(disease, laptop)
    phases = tuple(
        replace(phase, trainable=tuple(f"fire{tap}" for tap in TAPS))
        if isinstance(phase, Descent)
        else phase
        for phase in made.phases
    )
    return replace(made, name="squeezenet_slim", build=build, phases=phases)
