"""Images of two classes that nobody made: figures, an embedding and calibrated probabilities."""

import numpy as np

from diagnosis.drift import EMBEDDING, INPUTS, Images

CLASSES = ("normal", "pneumonia")


def images(
    count: int,
    seed: int,
    *,
    share: float = 0.5,
    darker: float = 0.0,
    moved: float = 0.0,
    unsure: float = 1.0,
    each: int = 1,
) -> Images:
    """So many images.

    Args:
        count: how many.
        seed: of what is random.
        share: of the second class.
        darker: taken off every image's brightness.
        moved: added to the third direction of every embedding.
        unsure: what the logits are multiplied with; below 1 the model is less sure than it should.
        each: images of one group.
    """
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < share).astype(np.int64)
    side = 2.0 * labels - 1
    figures = np.stack(
        [
            0.5 + 0.05 * side + 0.08 * rng.standard_normal(count) - darker,
            0.4 + 0.05 * rng.standard_normal(count),
            0.2 + 0.03 * rng.standard_normal(count),
            np.maximum(0.1 * rng.standard_normal(count), 0),
            np.zeros(count),
            np.zeros(count),
        ],
        axis=1,
    )
    assert figures.shape[1] == len(INPUTS)
    embedded = rng.standard_normal((count, EMBEDDING)) + 0.7 * side[:, None] * (
        np.arange(EMBEDDING) < 2
    )
    embedded[:, 2] += moved
    kept = np.concatenate([np.clip(figures, 0, 1), (np.clip(embedded, -4, 4) + 4) / 8], axis=1)
    # The evidence of two Gaussians 3 apart with unit spread: its logit is 3 times the place.
    evidence = 3 * (1.5 * side + rng.standard_normal(count)) * unsure
    second = 1 / (1 + np.exp(-evidence))
    return Images(
        kept=np.rint(kept * 255).astype(np.int64),
        probabilities=np.stack([1 - second, second], axis=1),
        labels=labels,
        groups=np.arange(count) // each,
        classes=CLASSES,
        finding="pneumonia",
    )
