"""Synthetic demo images: samples of a small model of each class that show no patient.

The model is a principal component analysis of a class's training images and their typical power
spectrum. A sample is the class mean plus shrunken random coefficients, which is too smooth; each
band of its frequencies is then brought to the class's typical power. By construction it is no image
of anyone. That it lies no nearer to a training image than those lie to each other is measured, not
assumed.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagnosis.images import read_image

Floats = NDArray[np.float32]
SIDE = 256
#: Side at which distances are measured: finer detail is noise there.
_COMPARED = 64
_COMPONENTS = 100
_SHRINK = 0.8
#: By how much the waves of a band may be raised: more would raise noise.
_MOST_GAIN = 4.0
#: Bands that a gain is averaged over, so that none stands out.
_SMOOTHED = 7
_TRIES = 30
_MOST_IMAGES = 400
#: Of the training images' own distances to their nearest neighbour; a sample must be farther away.
DISTANCE_QUANTILE = 0.05


@dataclass(frozen=True)
class Sample:
    """A synthetic image."""

    class_id: str
    png: bytes
    distance: float
    """Root-mean-square grey levels to the nearest training image of any class."""
    probability: float
    """Of its class, by the model that it is a demo of."""


def sample_demos(
    images: dict[str, Floats],
    probability_of: Callable[[list[bytes], str], NDArray[np.float64]],
    *,
    seed: int,
    each: int = 1,
) -> list[Sample]:
    """Draw demo images that the model reads as their class and that copy no training image.

    Args:
        images: by class, float32 (N, SIDE, SIDE, C), grey levels 0 to 255.
        probability_of: the model's probability of a class for PNG files, through the whole path
            of a reading.
        seed: of the draws.
        each: images a class.

    Returns:
        At most `each` a class, of middling certainty; fewer where none fits.
    """
    everything = np.concatenate([_small(one) for one in images.values()])
    limit = nearest_limit(everything)
    chosen: list[Sample] = []
    for number, (class_id, pixels) in enumerate(sorted(images.items())):
        random = np.random.default_rng([seed, number])
        drawn = [_as_read(one) for one in _draw(pixels, random)]
        distances = [
            _nearest(_small(pixels_of[np.newaxis])[0], everything) for _, pixels_of in drawn
        ]
        sure = probability_of([png for png, _ in drawn], class_id)
        fitting = [
            Sample(class_id, png, round(distance, 3), round(float(value), 6))
            for (png, _), distance, value in zip(drawn, distances, sure, strict=True)
            if distance > limit and value > 0.5
        ]
        # The middle of the fitting ones: the surest looks like a caricature of its class.
        fitting.sort(key=lambda one: one.probability, reverse=True)
        chosen += fitting[: max(each, len(fitting) // 2)][-each:]
    return chosen


def nearest_limit(small: Floats) -> float:
    """How near to a training image a sample may not be, in root-mean-square grey levels.

    It is the 5 % quantile of the distances between training images and their nearest other one.
    Exact copies are left out: they would make the limit zero.
    """
    flat = small.reshape(len(small), -1)
    squared = (flat**2).sum(axis=1)
    between = squared[:, None] + squared[None, :] - 2 * flat @ flat.T
    np.fill_diagonal(between, np.inf)
    nearest = np.sqrt(np.maximum(between.min(axis=1), 0) / flat.shape[1])
    nearest = nearest[nearest > 0.5]
    return float(np.quantile(nearest, DISTANCE_QUANTILE)) if len(nearest) else 0.0


def _draw(pixels: Floats, random: np.random.Generator) -> list[Floats]:
    """Samples (SIDE, SIDE, C), 0 to 255, from the principal components of some images."""
    flat = pixels.reshape(len(pixels), -1)
    mean = flat.mean(axis=0)
    centred = flat - mean
    # The small Gram matrix has the same components as the large covariance.
    values, vectors = np.linalg.eigh(centred @ centred.T)
    kept = np.argsort(values)[::-1][: min(_COMPONENTS, len(flat) - 1)]
    kept = kept[values[kept] > 1e-3]
    components = (vectors[:, kept] / np.sqrt(values[kept])).T @ centred
    spreads = np.sqrt(values[kept] / max(1, len(flat) - 1))
    typical = np.median([_spectrum(one.mean(axis=2)) for one in pixels], axis=0)
    samples = []
    for _ in range(_TRIES):
        weights = random.normal(0, _SHRINK, len(kept)) * spreads
        image = (mean + weights @ components).reshape(pixels.shape[1:])
        samples.append(np.clip(_sharpened(image, typical), 0, 255).astype(np.float32))
    return samples


@cache
def _bands() -> NDArray[np.int64]:
    """The band of each frequency: its distance from zero in whole cycles an image, (SIDE, SIDE)."""
    cycles = np.fft.fftfreq(SIDE) * SIDE
    distance = np.rint(np.hypot(cycles[:, None], cycles[None]))
    return np.asarray(np.minimum(distance, SIDE // 2), np.int64)


def _spectrum(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Mean power in each band of frequencies of one plane (SIDE, SIDE)."""
    power = np.abs(np.fft.fft2(plane - plane.mean())) ** 2
    bands = _bands().ravel()
    return np.asarray(np.bincount(bands, power.ravel()) / np.bincount(bands), np.float64)


def _sharpened(image: NDArray[Any], typical: NDArray[np.float64]) -> NDArray[np.float64]:
    """The image (SIDE, SIDE, C) with each band of frequencies brought to a typical power.

    No band is raised by more than a factor of 4; the gains are smoothed over neighbouring bands.
    """
    power = _spectrum(image.mean(axis=2))
    gain = np.minimum(np.sqrt(typical / np.maximum(power, 1e-9)), _MOST_GAIN)
    gain[0] = 1.0
    edge = _SMOOTHED // 2
    window = np.full(_SMOOTHED, 1 / _SMOOTHED)
    field = np.convolve(np.pad(gain, edge, mode="edge"), window, "valid")[_bands()]
    mean = image.mean(axis=(0, 1))
    waves = np.fft.fft2(image - mean, axes=(0, 1)) * field[..., np.newaxis]
    return np.asarray(np.fft.ifft2(waves, axes=(0, 1)).real + mean, np.float64)


def _as_read(sample: Floats) -> tuple[bytes, Floats]:
    """The PNG of a sample, and its pixels as a reader gets them back."""
    whole = np.rint(sample).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole).save(
        buffer, "PNG", optimize=True
    )
    png = buffer.getvalue()
    pixels = read_image(png).pixels.astype(np.float32)
    return png, pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def _small(images: Floats) -> Floats:
    """Block means at 64 x 64, over the channels too: (N, 64, 64)."""
    block = images.shape[1] // _COMPARED
    shape = (len(images), _COMPARED, block, _COMPARED, block, images.shape[3])
    return np.asarray(images.reshape(shape).mean(axis=(2, 4, 5)), np.float32)


def _nearest(one: Floats, everything: Floats) -> float:
    distances = np.sqrt(((everything - one) ** 2).mean(axis=(1, 2)))
    return float(distances.min())


def pick(count: int, seed: int) -> NDArray[np.int64]:
    """Which of a class's training images the model is made of: at most 400, by seed."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:_MOST_IMAGES])
