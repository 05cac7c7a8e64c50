"""Scores of images whose acquisition family the model never saw, and what is chosen by them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from diagnosis.judgement import softmax
from trainer.calibration import Selection
from trainer.data import Example
from trainer.fitting import example_weights
from trainer.metrics import Floats


@dataclass(frozen=True)
class Held:
    """Left-out images and the logits of a model that never saw their families."""

    name: str
    examples: tuple[Example, ...]
    logits: Floats
    altered: Floats
    """The same for a copy of each image, altered as an image of another device might be."""


def pooled(
    left_out: Sequence[Held],
    class_ids: Sequence[str],
    finding: str,
    temperature: float,
    family_of: Callable[[Example], str],
) -> Selection:
    """The altered copies of all left-out images; every class and family weighs the same.

    Families of one centre differ less from each other than another centre's films do. Normal
    films drift towards the finding there, and so do the altered copies: thresholds that are
    chosen on them do not call every such film the finding.
    """
    examples = [one for held in left_out for one in held.examples]
    probabilities = np.concatenate([softmax(held.altered, temperature) for held in left_out])
    classes = [one.class_id for one in examples]
    weights = example_weights(classes, [family_of(one) for one in examples], "family")
    return Selection(
        probability=probabilities[:, class_ids.index(finding)],
        positive=np.array([one == finding for one in classes]),
        weights=weights.astype(np.float64),
        described="images of left-out acquisition families, altered as other devices would; "
        "measured on the validation images",
    )
