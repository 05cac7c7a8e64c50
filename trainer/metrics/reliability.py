"""What became of images that were given about the same probability."""

import numpy as np

from diagnosis.artifacts.card import ReliabilityBin
from trainer.metrics.scores import Scores
from trainer.metrics.shares import share

MOST_BINS = 10
#: Fewer images tell nothing of a share.
FEWEST_IMAGES = 30


def reliability(scores: Scores) -> dict[str, tuple[ReliabilityBin, ...]]:
    """Of each class, bins of about as many images; no class where there are fewer than 30 images.

    Images of the same probability are in the same bin, so bins may differ in their size; one that
    would hold fewer than 30 images joins its neighbour.
    """
    return {
        name: _bins(scores, place)
        for place, name in enumerate(scores.class_ids)
        if len(scores.labels) >= FEWEST_IMAGES
    }


def _bins(scores: Scores, place: int) -> tuple[ReliabilityBin, ...]:
    order = np.argsort(scores.probabilities[:, place], kind="stable")
    values = scores.probabilities[order, place]
    has = scores.labels[order] == place
    groups = scores.groups[order]
    count = len(values)
    found: list[ReliabilityBin] = []
    start, low = 0, 0.0
    for end in _ends(values, min(MOST_BINS, count // FEWEST_IMAGES)):
        high = 1.0 if end == count else round(float(values[end - 1] + values[end]) / 2, 6)
        found.append(
            ReliabilityBin(
                low=low,
                high=high,
                images=end - start,
                share=share(has[start:end], [str(one) for one in groups[start:end]]),
            )
        )
        start, low = end, high
    return tuple(found)


def _ends(values: np.ndarray[tuple[int], np.dtype[np.float64]], bins: int) -> list[int]:
    """Where each bin ends: only between images whose probabilities differ visibly."""
    count = len(values)
    ends: list[int] = []
    for number in range(1, bins):
        end = max(round(number * count / bins), (ends[-1] if ends else 0) + FEWEST_IMAGES)
        while end < count and values[end] - values[end - 1] < 2e-6:
            end += 1
        if count - end < FEWEST_IMAGES:
            break
        ends.append(end)
    return [*ends, count]
