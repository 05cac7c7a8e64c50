"""From a model's raw outputs to what is said: probabilities, conformal set, band, threshold.

The trainer measures with these functions and the service answers with them, so that a figure on
a card means the same as a figure on a page.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diagnosis.artifacts.card import Card
from diagnosis.contracts import Band

#: Below this a probability counts as this much before its logarithm is taken.
SMALLEST_PROBABILITY = 1e-7

#: Decimals of a probability on the wire.
DECIMALS = 6


def softmax(logits: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """Softmax over the last axis of `logits / temperature`, in 64 bit and without overflow."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def as_logits(outputs: ArrayLike, card: Card) -> NDArray[np.float64]:
    """Raw model outputs as logits, whichever of the two the card says the model gives.

    Probabilities become their logarithms, which softmax at temperature 1 turns back into them.
    """
    values = np.asarray(outputs, dtype=np.float64)
    if card.output == "logits":
        return values
    return np.asarray(np.log(np.clip(values, SMALLEST_PROBABILITY, 1.0)))


def probabilities(outputs: ArrayLike, card: Card) -> NDArray[np.float64]:
    """Calibrated probabilities of raw model outputs.

    Args:
        outputs: shape (classes,) or (N, classes), what the model answered.
        card: names the kind of output and the temperature.

    Returns:
        float64 of the same shape; each row sums to one.

    Raises:
        ValueError: not one output a class, or an output that is not finite.
    """
    values = np.asarray(outputs, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] != len(card.classes):
        raise ValueError(
            f"outputs of shape {values.shape} for a card with {len(card.classes)} classes"
        )
    if not np.isfinite(values).all():
        raise ValueError("the model answered with a value that is not a finite number")
    return softmax(as_logits(values, card), card.calibration.temperature)


def rounded(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, ...]:
    """Probabilities of one image to six decimals that still sum to one.

    Each is cut to a whole number of millionths, and the millionths that are left over go to
    those that lost most (largest remainder), so none moves by more than a millionth and the
    order is kept.
    """
    units = 10**DECIMALS
    exact = np.asarray(values, dtype=np.float64) * units
    whole = np.floor(exact).astype(np.int64)
    missing = units - int(whole.sum())
    for index in np.argsort(whole - exact, kind="stable")[: max(missing, 0)]:
        whole[index] += 1
    return tuple(int(one) / units for one in whole)


def conformal_set(values: Mapping[str, float], quantiles: Mapping[str, float]) -> tuple[str, ...]:
    """The classes that cannot be excluded, in the order of `values`.

    A class is kept when its probability is at least `1 - quantiles[class]` (split conformal
    prediction by class). The set may be empty: then the image is like none of the classes seen.
    """
    # Probabilities on the wire have six decimals; a bound between two of them excludes neither.
    slack = 0.5 * 10**-DECIMALS
    return tuple(name for name, value in values.items() if value + slack >= 1.0 - quantiles[name])


def band(kept: Sequence[str], finding: str | None) -> Band | None:
    """What a conformal set says about the finding to catch.

    Only the finding is left: likely positive. It was excluded and something else is left: likely
    negative. Both are left, or nothing: uncertain. Without a finding there is no band.
    """
    if finding is None:
        return None
    if finding in kept:
        return "likely_positive" if len(kept) == 1 else "uncertain"
    return "likely_negative" if kept else "uncertain"


def is_positive(probability: float, threshold: float) -> bool:
    """Whether an image counts as positive: at or above the threshold."""
    return probability >= threshold
