"""What a reading keeps of its image so that drift can be seen: sixteen bytes, of no patient.

Six figures that a person understands (`diagnosis.gate.statistics`), then an embedding: where the
image lies along the gate's leading principal components, and its two distances inside and outside
of them. They come from what the gate computes of every image anyway. `drift-1` is the name of all
that follows: another meaning gets another name, as with the gate's features.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from diagnosis.gate import Parameters
from diagnosis.gate import statistics as input_statistics

Floats = NDArray[np.float64]

STATISTICS: Final = "drift-1"
#: In the order in which they are kept; each 0 to 1.
INPUTS: Final = ("brightness", "contrast", "sharpness", "dark", "bright", "colour")
COMPONENTS: Final = 8
#: Numbers of the embedding.
EMBEDDING: Final = COMPONENTS + 2
#: Numbers that a reading keeps.
SIZE: Final = len(INPUTS) + EMBEDDING

_TOP = 255
#: Standard deviations that a byte of the embedding spans to either side.
_REACH = 4.0


def statistics(parameters: Parameters, features: Floats) -> tuple[int, ...]:
    """What is kept of an image.

    Args:
        parameters: of the artifact's gate.
        features: of the image, float64, shape (gate.SIZE,).

    Returns:
        `SIZE` whole numbers, 0 to 255.
    """
    named = input_statistics(features)
    figures = np.array([named[name] for name in INPUTS])
    along, inside, outside = parameters.place(features)
    leading = np.zeros(COMPONENTS)
    leading[: len(along)] = along[:COMPONENTS]
    # The distances have no unit; from typical to what few good images reach counts as two.
    embedded = np.concatenate([leading, [2 * (inside - 1), 2 * (outside - 1)]])
    scaled = (np.clip(embedded, -_REACH, _REACH) + _REACH) / (2 * _REACH)
    return tuple(int(one) for one in np.rint(np.concatenate([figures, scaled]) * _TOP))


def inputs_of(kept: NDArray[np.integer]) -> Floats:
    """The figures of images, (N, SIZE) as kept: float64 (N, len(INPUTS)) in 0 to 1."""
    return np.asarray(kept[:, : len(INPUTS)] / _TOP)


def embedding_of(kept: NDArray[np.integer]) -> Floats:
    """The embedding of images, (N, SIZE) as kept: float64 (N, EMBEDDING) in -4 to 4."""
    return np.asarray(kept[:, len(INPUTS) :] / _TOP * (2 * _REACH) - _REACH)


def score_of(probabilities: Floats, classes: Sequence[str], finding: str | None) -> Floats:
    """One number an image: the probability of the finding, or of the most probable class.

    Args:
        probabilities: float64 (N, K), calibrated.
        classes: their K names.
        finding: the class to catch, if there is one.
    """
    if finding is not None:
        return np.asarray(probabilities[:, list(classes).index(finding)])
    return np.asarray(probabilities.max(axis=1))
