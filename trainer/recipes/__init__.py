"""Recipes: one readable file each, with its purpose, its expected result and its command.

A recipe is a function from a disease to a `Recipe`: the preprocessing, the network, the phases of
training, the augmentations and every number. With `laptop` all of it shrinks to seconds.
"""

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from diagnosis.artifacts.card import Input
from diagnosis.catalogue import Augmentation, Disease
from diagnosis.preprocess import Preprocessing
from trainer.augment import usable
from trainer.augment.policies import POLICIES, PolicyName
from trainer.refusals import RecipeRefused

Weighting = Literal["none", "class", "family"]
Loss = Literal["cross_entropy", "focal"]
Optimiser = Literal["adam", "adamw", "nadam", "sgd", "adadelta"]
#: Modalities with one channel; all others are in colour.
GREY = {"chest X-ray", "brain MRI", "retinal OCT", "breast ultrasound"}


@dataclass(frozen=True)
class HeadFit:
    """Fits the last layer in closed form on frozen features: a logistic regression.

    The model must have a layer `features`, behind it a batch norm `standardise` without scale and
    centre, which gets the features' mean and variance and stays in inference mode, and a dense
    layer `head`.
    """

    name: str
    l2: float
    """Weight of the squared size of the head's kernel; the larger, the simpler the head."""
    copies: int = 0
    """Augmented copies of each training image beside the image itself."""
    cut: str = ""
    """Names of layers: what comes before them is frozen in the later phases too, and is computed
    once for every image and copy."""


@dataclass(frozen=True)
class Descent:
    """Trains by gradient descent until nothing gets better any more; keeps the best epoch."""

    name: str
    epochs: int
    learning_rate: float
    trainable: tuple[str, ...] = ()
    """Beginnings of the names of pretrained layers to unfreeze. Layers with random weights are
    always trained, and batch norms with pretrained statistics stay in inference mode."""
    patience: int = 5
    warmup: float = 0.0
    """Share of the steps over which the rate rises; then it falls along a cosine."""
    label_smoothing: float = 0.0
    tether: float = 0.0
    """Weight of the squared distance from the weights at the start of the phase (L2-SP)."""
    clip_norm: float | None = 1.0
    average: float = 0.0
    """Momentum of an exponential moving average of the weights; 0 takes the weights themselves."""
    cut: str = ""
    """Names of layers: what comes before them stays frozen, is computed once for every training
    image and its copies, and only what comes behind it is trained. Several times as fast."""
    copies: int = 4
    """With `cut`: augmented copies of each training image; an epoch draws one of them or itself."""
    optimiser: Optimiser = "adam"
    weight_decay: float = 0.0
    """Share of a weight that is taken off it at every step of rate 1, whichever the optimiser."""
    loss: Loss = "cross_entropy"
    gamma: float = 2.0
    """Of the focal loss: how much less an image counts that is already called right."""
    best: str = "val_loss"
    """The metric that picks the best epoch; whether it is to fall or to rise, its name says."""


Phase = HeadFit | Descent


@dataclass(frozen=True)
class Built:
    """A network with logits as its output, and which of its layers bring pretrained weights."""

    model: Any
    pretrained: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Order:
    """What a recipe is asked to build."""

    input: Input
    classes: int
    weights: Path | None
    """Local file with pretrained weights, or `imagenet` where Keras publishes them."""


@dataclass(frozen=True)
class Recipe:
    """How a model is made, as data."""

    name: str
    preprocessing: Preprocessing
    build: Callable[[Order], Built]
    phases: tuple[Phase, ...]
    augmentations: tuple[Augmentation, ...] = ()
    """Used as far as the catalogue allows them for the disease."""
    strength: float = 1.0
    policy: PolicyName | None = None
    """A named policy in the place of these two; what it does must be allowed for the disease."""
    weighting: Weighting = "class"
    """What counts the same in the loss: nothing, every class, or every acquisition family too."""
    batch: int = 32
    most_images_per_class: int | None = None
    backbone: str = ""
    """A pretrained start and its licence, for the card; not used where nothing was loaded."""
    weights_named: str = ""
    """Pattern of the file in the data sets' `weights` folder to start from where none is named."""

    @property
    def input(self) -> Input:
        """Shape of the network's input, as the preprocessing makes it."""
        width, height = self.preprocessing.size
        return Input(height=height, width=width, channels=self.preprocessing.channels)

    def changes(self, disease: Disease) -> tuple[tuple[Augmentation, ...], float]:
        """The augmentations for a disease, and their strength.

        Raises:
            PolicyRefused: the catalogue does not allow the named policy for it.
        """
        if self.policy is None:
            return usable(disease, self.augmentations), self.strength
        policy = POLICIES[self.policy]
        return policy.for_disease(disease), policy.strength

    def for_card(self) -> dict[str, str | float | int | bool]:
        """The recipe's numbers, flat, as the card lists them."""
        facts: dict[str, str | float | int | bool] = {
            "augmentations": " ".join(self.augmentations),
            "strength": self.strength,
            "weighting": self.weighting,
            "batch": self.batch,
        }
        if self.policy is not None:
            techniques = POLICIES[self.policy].techniques
            facts["augmentations"] = "all allowed" if techniques is None else " ".join(techniques)
            facts["strength"] = POLICIES[self.policy].strength
            facts["policy"] = self.policy
        for phase in self.phases:
            for key, value in asdict(phase).items():
                if key != "name" and value is not None:
                    text = " ".join(value) if isinstance(value, tuple) else value
                    facts[f"{phase.name}.{key}"] = text
        return facts


RecipeMaker = Callable[[Disease, bool], Recipe]


def names() -> Sequence[str]:
    """The recipes there are: one a module of this package."""
    return sorted(one.name for one in pkgutil.iter_modules(__path__) if not one.ispkg)


def load(name: str, disease: Disease, *, laptop: bool = False) -> Recipe:
    """A recipe by its name, for a disease.

    Raises:
        RecipeRefused: there is none of this name.
    """
    if name not in names():
        raise RecipeRefused(f"There is no recipe {name!r}. There are: {', '.join(names())}.")
    maker: RecipeMaker = importlib.import_module(f"{__name__}.{name}").recipe
    return maker(disease, laptop)


def colour_step(disease: Disease) -> dict[str, Any]:
    """The step that gives every image of a disease the same channels."""
    return {"op": "greyscale" if disease.modality in GREY else "rgb"}
