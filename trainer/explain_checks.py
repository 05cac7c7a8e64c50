"""The report card of heatmaps: three tests, each against what a heatmap may not be.

Weight randomisation (Adebayo et al. 2018): a heatmap that stays the same when the weights are
random shows the image's edges and not what the network learned. Repeatability: one that changes
when the image hardly does says nothing about this patient. Deletion (Petsiuk et al. 2018): what
it points at has to matter more to the probability than any other place.
"""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

from diagnosis.contracts import Interval
from diagnosis.heatmap import Floats
from diagnosis.images import read_image
from diagnosis.preprocess import Array

Values = NDArray[np.float64]
#: Draws of whole groups for an interval.
_DRAWS = 1000
#: Shares of the locations that are deleted, and in how many random orders for comparison.
FRACTIONS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
RANDOM_ORDERS = 2
#: Standard deviation of the noise, in grey levels; quality of the JPEG; pixels of the shift.
NOISE, JPEG_QUALITY, SHIFT = 3.0, 75, 2


def mean_interval(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Interval | None:
    """The mean with its 95 % percentile bootstrap interval over whole groups; None of nothing."""
    if not values:
        return None
    figures = np.asarray(values, np.float64)
    _, place = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(place, weights=figures)
    counts = np.bincount(place)
    drawn = np.random.default_rng(seed).integers(0, len(sums), (_DRAWS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    value = float(figures.mean())
    low, high = (float(one) for one in np.percentile(means, [2.5, 97.5]))
    return Interval(
        value=round(value, 4), low=round(min(low, value), 4), high=round(max(high, value), 4)
    )


def alike(first: Floats, second: Floats) -> float:
    """Spearman's rank correlation of two maps; 0 where one is the same everywhere."""
    ranks = [rankdata(one) for one in (first, second)]
    if min(float(one.std()) for one in ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def altered(stored: Array, seed: int) -> Iterator[Array]:
    """Copies of an image that show the same: with noise, from a JPEG, and shifted.

    Args:
        stored: (H, W, C), uint8, or float32 in 0 to 255.
        seed: of the noise.
    """
    pixels = stored.astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, NOISE, pixels.shape).astype(np.float32)
    yield _as(stored, pixels + noise)
    bytes_ = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(bytes_[..., 0] if bytes_.shape[2] == 1 else bytes_).save(
        file, "JPEG", quality=JPEG_QUALITY
    )
    decoded = read_image(file.getvalue()).pixels
    yield _as(stored, decoded.reshape(stored.shape).astype(np.float32))
    shifted = np.pad(pixels, ((SHIFT, 0), (SHIFT, 0), (0, 0)), mode="edge")
    yield _as(stored, shifted[: stored.shape[0], : stored.shape[1]])


def _as(stored: Array, pixels: Floats) -> Array:
    """Pixels as the kind of array that is stored."""
    clipped = np.clip(pixels, 0, 255)
    return np.rint(clipped).astype(np.uint8) if stored.dtype == np.uint8 else clipped


def deletion(
    probabilities: Callable[[Floats], Values], inputs: Floats, shares: Floats, seed: int
) -> float:
    """How much more of a probability is lost by deleting the hottest locations than random ones.

    A deleted location becomes the image's mean, channel by channel. Both ways delete whole
    locations of the map, so that both leave pictures of the same roughness. A random order breaks
    the ties of the heatmap, which has many where nothing speaks for the class.

    Args:
        probabilities: of the class, (N,), for inputs (N, H, W, C).
        inputs: of one image, (H, W, C), as the network gets it.
        shares: the heatmap, (height, width), from 0 to 1.
        seed: of the random orders.

    Returns:
        Mean over the fractions: positive where the heatmap's locations matter more.
    """
    random = np.random.default_rng(seed)
    count = shares.size
    tie = random.permutation(count)
    orders = [np.lexsort((tie, -shares.ravel()))]
    orders += [random.permutation(count) for _ in range(RANDOM_ORDERS)]
    mean = inputs.mean(axis=(0, 1))
    rows, columns = (
        np.arange(side) * cells // side
        for side, cells in zip(inputs.shape[:2], shares.shape, strict=True)
    )
    pictures = []
    for order in orders:
        for fraction in FRACTIONS:
            deleted = np.zeros(count, bool)
            deleted[order[: max(1, round(fraction * count))]] = True
            mask = deleted.reshape(shares.shape)[np.ix_(rows, columns)]
            pictures.append(np.where(mask[..., np.newaxis], mean, inputs))
    found = probabilities(np.stack(pictures).astype(np.float32)).reshape(len(orders), -1)
    return float((found[1:].mean(axis=0) - found[0]).mean())


def randomise(
    arrays: Sequence[NDArray[np.floating]], random: np.random.Generator
) -> list[NDArray[np.floating]]:
    """Weights of a layer drawn anew: kernels normal with their own spread, vectors shuffled."""
    made: list[NDArray[np.floating]] = []
    for one in arrays:
        if one.ndim >= 2:
            made.append(random.normal(0, float(one.std()) or 1e-3, one.shape).astype(one.dtype))
        else:
            made.append(random.permutation(one))
    return made
