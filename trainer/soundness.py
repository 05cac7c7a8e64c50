"""Combinations of settings that are known to go wrong, each refused with a sentence."""

import math
from collections import Counter
from collections.abc import Sequence

from diagnosis.catalogue import Disease
from trainer.data import Example
from trainer.objective import BEST
from trainer.recipes import Descent, HeadFit, Recipe
from trainer.refusals import RecipeRefused

#: Focal loss up to here goes with class weighting; both lean on what is rare or hard.
MOST_GAMMA_WITH_WEIGHTING = 2.0
#: Images of a class in the validation split, below which the best epoch is picked by chance.
LEAST_VALIDATION = 10
#: Largest class by smallest class up to which plain accuracy may pick the best epoch.
MOST_IMBALANCE = 1.5
#: Adadelta's rate is a factor near 1 (Zeiler 2012); below this the weights hardly move.
LEAST_ADADELTA_RATE = 0.05
_ONE_SIDED = ("sensitivity", "recall", "specificity", "precision")
_MIRRORS = {"flip_horizontal", "rotate_right_angles", "flip_vertical"}


def refuse_unsound(recipe: Recipe, disease: Disease, chosen: Sequence[str] = ()) -> None:
    """Check a recipe's settings.

    Args:
        recipe: with every setting taken in.
        disease: what it is trained for.
        chosen: the keys that were set by hand; these have to make sense to the word.

    Raises:
        RecipeRefused: says what goes wrong, and what to do.
    """
    if not 1 <= recipe.batch <= 4096:
        raise RecipeRefused(f"A batch of {recipe.batch} images cannot be trained on: 1 to 4096.")
    if not 0 <= recipe.strength <= 5:
        raise RecipeRefused(f"strength={recipe.strength:g} is no strength: 0 to 5, usually near 1.")
    if recipe.policy is not None and {"augmentations", "strength"} & set(chosen):
        raise RecipeRefused(
            f"The policy {recipe.policy} says the augmentations and their strength: set it, or "
            "them, not both."
        )
    recipe.changes(disease)
    if "augmentations" in chosen:
        _augmentations(recipe, disease)
    for phase in recipe.phases:
        if isinstance(phase, HeadFit):
            if not 0 < phase.l2 < math.inf or not 0 <= phase.copies <= 100:
                raise RecipeRefused(f"{phase.name}: l2 is above 0, copies are 0 to 100.")
            continue
        _numbers(phase)
        _best(phase)
        _loss(phase, recipe)
        if f"{phase.name}.patience" in chosen and phase.patience >= phase.epochs:
            raise RecipeRefused(
                f"{phase.name}: with a patience of {phase.patience} in {phase.epochs} epochs "
                "training never stops early; take a smaller patience or more epochs."
            )
        if phase.optimiser == "adadelta" and phase.learning_rate < LEAST_ADADELTA_RATE:
            raise RecipeRefused(
                f"{phase.name}: Adadelta's rate is a factor near 1; with {phase.learning_rate:g} "
                f"the weights hardly move. Add --set {phase.name}.learning_rate=1."
            )


def refuse_unsound_split(
    recipe: Recipe, train: Sequence[Example], val: Sequence[Example], *, laptop: bool = False
) -> None:
    """Check a recipe against the images that it gets.

    Raises:
        RecipeRefused: the best epoch would be picked by too few images, or by accuracy although
            always calling the largest class would win.
    """
    descents = [phase for phase in recipe.phases if isinstance(phase, Descent)]
    if not descents:
        return
    counts = Counter(one.class_id for one in val)
    rarest = min(counts, key=lambda name: counts[name])
    # A laptop run is a try; nobody reads its figures.
    if counts[rarest] < LEAST_VALIDATION and not laptop:
        raise RecipeRefused(
            f"The validation split has {counts[rarest]} image(s) of {rarest}: the best epoch would "
            f"be picked by chance. It needs at least {LEAST_VALIDATION} of each class; move some "
            "there, leave the val folder out so that they are dealt, or try with --laptop."
        )
    sizes = Counter(one.class_id for one in (*train, *val)).values()
    for phase in descents:
        if phase.best == "val_accuracy" and max(sizes) > MOST_IMBALANCE * min(sizes):
            raise RecipeRefused(
                f"{phase.name}: accuracy cannot pick the best epoch where the largest class has "
                f"{max(sizes)} images and the smallest {min(sizes)}: always calling the largest "
                "would look good. Take val_balanced_accuracy, val_auc or val_loss."
            )


def _augmentations(recipe: Recipe, disease: Disease) -> None:
    forbidden = sorted(set(recipe.augmentations) - set(disease.augmentations))
    if not forbidden:
        return
    why = "the label would not stay true"
    if disease.modality == "chest X-ray" and set(forbidden) & _MIRRORS:
        why = "a mirrored or turned chest has its heart on the wrong side"
    raise RecipeRefused(
        f"{disease.id} does not allow {', '.join(forbidden)}: {why}. It allows: "
        f"{', '.join(disease.augmentations)}."
    )


def _numbers(phase: Descent) -> None:
    limits = {
        "epochs": (1, 10_000),
        "patience": (1, 10_000),
        "learning_rate": (1e-9, 10.0),
        "warmup": (0.0, 0.9),
        "label_smoothing": (0.0, 0.5),
        "tether": (0.0, 1e3),
        "average": (0.0, 0.99999),
        "copies": (0, 100),
        "gamma": (0.0, 5.0),
        "weight_decay": (0.0, 1.0),
    }
    for name, (low, high) in limits.items():
        value = getattr(phase, name)
        if not low <= value <= high:
            raise RecipeRefused(
                f"{phase.name}.{name}={value:g} makes no sense: {low:g} to {high:g}."
            )
    if phase.clip_norm is not None and not 0 < phase.clip_norm < math.inf:
        raise RecipeRefused(f"{phase.name}.clip_norm is above 0, or none.")


def _best(phase: Descent) -> None:
    if phase.best in BEST:
        return
    if any(phase.best.endswith(one) for one in _ONE_SIDED):
        raise RecipeRefused(
            f"{phase.name}: {phase.best} alone cannot pick the best epoch: a model that calls "
            "every image the same has the best there is. Take val_balanced_accuracy or val_auc."
        )
    raise RecipeRefused(
        f"{phase.name}: {phase.best!r} cannot pick the best epoch. These can: {', '.join(BEST)}."
    )


def _loss(phase: Descent, recipe: Recipe) -> None:
    if (
        phase.loss == "focal"
        and recipe.weighting != "none"
        and phase.gamma > MOST_GAMMA_WITH_WEIGHTING
    ):
        raise RecipeRefused(
            f"{phase.name}: focal loss with gamma {phase.gamma:g} and {recipe.weighting} weighting "
            "lean on the rare class twice, until everything is called it. Take gamma at most "
            f"{MOST_GAMMA_WITH_WEIGHTING:g}, or weighting=none."
        )
