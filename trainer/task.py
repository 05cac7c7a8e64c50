"""What a recipe is fitted to: the images of each side, their weights and who is told."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.augment import Augmenter
from trainer.batches import Floats, Images
from trainer.checkpoints import Checkpoints
from trainer.data import Example
from trainer.pixels import PixelStore
from trainer.recipes import Weighting

#: Maps of the frozen part of a network by (layer, copy, digest of the image). They outlive a fit:
#: the frozen part is the same in every fit of a run, whichever images are left out.
FrozenMaps = dict[tuple[str, int, str], NDArray[np.float16]]
Log = Callable[[str], None]
FamilyOf = Callable[[Example], str]


@dataclass(frozen=True)
class Task:
    """What a recipe is fitted to."""

    train: Sequence[Example]
    val: Sequence[Example]
    class_ids: tuple[str, ...]
    store: PixelStore
    augmenter: Augmenter
    seed: int
    family_of: FamilyOf
    frozen: FrozenMaps = field(default_factory=dict)
    log: Log = field(default=lambda _: None)
    callbacks: Callable[[str, int], Sequence[Any]] = field(default=lambda _name, _epochs: ())
    """Progress: called with a phase's name and its epochs."""
    checkpoints: Checkpoints | None = None
    """Where the fit's state is kept after every epoch; None keeps none."""

    def labels(self, examples: Sequence[Example]) -> NDArray[np.int64]:
        """The place of each example's class in the order of the outputs."""
        return np.array([self.class_ids.index(one.class_id) for one in examples], np.int64)

    def weights(self, examples: Sequence[Example], weighting: Weighting) -> Floats:
        """The weight of each example in the loss; 1 on average."""
        return example_weights(
            [one.class_id for one in examples], [self.family_of(one) for one in examples], weighting
        )

    def images(self, examples: Sequence[Example], copy: int) -> Images:
        """The examples as they are, or a copy of each; the same copy in every fit of a run."""
        if not copy:
            return Images(self.store, examples)
        seed = 1000 * (self.seed + 1) + copy
        return Images(self.store, examples, self.augmenter, seed=seed)


def example_weights(
    classes: Sequence[str], families: Sequence[str], weighting: Weighting
) -> Floats:
    """Weights, 1 on average, with which every class (and every family in it) counts the same."""
    total = len(classes)
    if weighting == "none":
        return np.ones(total, np.float32)
    in_class = Counter(classes)
    if weighting == "class":
        weights = [total / (len(in_class) * in_class[one]) for one in classes]
        return np.array(weights, np.float32)
    pairs = list(zip(classes, families, strict=True))
    in_family = Counter(pairs)
    families_of = Counter(class_id for class_id, _ in in_family)
    return np.array(
        [total / (len(in_class) * families_of[pair[0]] * in_family[pair]) for pair in pairs],
        np.float32,
    )
