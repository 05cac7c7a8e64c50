"""Changes to training images that leave the label true; on pixels 0 to 255, before any scaling.

Each has the name by which the catalogue allows it for a disease. What a disease does not allow
cannot be asked for: a chest film is never mirrored, because the heart would change sides.
"""

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from diagnosis.catalogue import Augmentation, Disease
from diagnosis.images import read_image
from diagnosis.preprocess import Array, Equalise

Pixels = NDArray[np.float32]
Change = Callable[[Pixels, np.random.Generator, float], Pixels]

#: Degrees, share of a side, and logarithm of a factor, at strength 1.
_DEGREES, _SHIFT, _ZOOM, _STRETCH = 8.0, 0.06, 0.12, 0.08


class Augmenter:
    """Applies the chosen changes, in a fixed order, to one image at a time."""

    def __init__(
        self, disease: Disease, names: Sequence[Augmentation], *, strength: float = 1.0
    ) -> None:
        """Take the names of the changes.

        Raises:
            ValueError: the catalogue does not allow one of them for this disease.
        """
        forbidden = sorted(set(names) - set(disease.augmentations))
        if forbidden:
            raise ValueError(f"{disease.id} does not allow {', '.join(forbidden)}")
        self.names = tuple(names)
        self.strength = strength

    def __call__(self, pixels: Array, seed: Sequence[int]) -> Pixels:
        """A changed copy; the same for the same seed.

        Args:
            pixels: (H, W, C), values 0 to 255.
            seed: for example the run's seed, the epoch and the number of the image.

        Returns:
            float32 of the same shape, values 0 to 255.
        """
        random = np.random.default_rng(list(seed))
        values = _geometry(pixels.astype(np.float32), random, self.names, self.strength)
        for name, change in _CHANGES.items():
            if name in self.names:
                values = np.clip(change(values, random, self.strength), 0, 255)
        return values.astype(np.float32)


def usable(disease: Disease, wanted: Sequence[Augmentation]) -> tuple[Augmentation, ...]:
    """Those of the wanted changes that the catalogue allows for a disease, in their order."""
    return tuple(name for name in wanted if name in disease.augmentations)


def _geometry(
    values: Pixels, random: np.random.Generator, names: Sequence[Augmentation], strength: float
) -> Pixels:
    """Turning, zooming and shifting as one interpolation; what comes from outside is black."""
    if not {"rotate", "zoom", "translate"} & set(names):
        return values
    height, width = values.shape[:2]
    angle = np.deg2rad(random.uniform(-_DEGREES, _DEGREES)) * strength * ("rotate" in names)
    zooms = "zoom" in names
    zoom = np.exp(random.uniform(-_ZOOM, _ZOOM) * strength * zooms)
    stretch = np.exp(random.uniform(-_STRETCH, _STRETCH) * strength * zooms)
    shift = random.uniform(-_SHIFT, _SHIFT, 2) * strength * (width, height) * ("translate" in names)
    cosine, sine = np.cos(angle) * zoom, np.sin(angle) * zoom
    matrix = np.array([[cosine * stretch, -sine * stretch], [sine / stretch, cosine / stretch]])
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    start = centre + shift - matrix @ centre
    numbers = (*matrix[0], start[0], *matrix[1], start[1])
    moved = [
        np.asarray(
            Image.fromarray(values[..., channel]).transform(
                (width, height), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR
            )
        )
        for channel in range(values.shape[2])
    ]
    return np.stack(moved, axis=2)


def _border_crop(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Blanks the borders half of the time, and small blocks where marks are burned in."""
    changed = values.copy()
    height, width = values.shape[:2]
    shade = 0.0 if random.uniform() < 0.5 else float(values.mean())
    if random.uniform() < 0.5:
        top, bottom, left, right = random.uniform(0, 0.12 * strength, 4)
        changed[: int(top * height)] = shade
        changed[height - int(bottom * height) :] = shade
        changed[:, : int(left * width)] = shade
        changed[:, width - int(right * width) :] = shade
    for _ in range(random.integers(0, 3)):
        tall, wide = (random.uniform(0.03, 0.1, 2) * (height, width)).astype(int)
        y = random.integers(0, height - tall)
        x = random.integers(0, max(1, width // 10))
        if random.uniform() < 0.5:
            x = width - wide - x
        changed[y : y + tall, x : x + wide] = random.uniform(0, 255)
    return changed


def _blur(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Blurs or sharpens: sharpness tells devices apart and must not tell classes apart."""
    size = values.shape[0] / 224
    kind = random.uniform()
    if kind < 0.45:
        sigma = random.uniform(0.3, 1.4) * strength * size
        return np.asarray(ndimage.gaussian_filter(values, (sigma, sigma, 0)))
    if kind < 0.7:
        sigma = random.uniform(0.6, 1.5) * size
        soft = ndimage.gaussian_filter(values, (sigma, sigma, 0))
        return np.asarray(values + random.uniform(0.3, 1.2) * strength * (values - soft))
    return values


def _gamma(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    power = np.exp(random.uniform(-0.45, 0.45) * strength)
    return np.asarray(255 * (np.clip(values, 0, 255) / 255) ** power)


def _contrast(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """A fourth of the images by equalising them in part, as workstations do; all by a factor."""
    if random.uniform() < 0.25:
        share = random.uniform(0.3, 1.0) * min(strength, 1.0)
        values = share * Equalise().apply(values).astype(np.float32) + (1 - share) * values
    mean = values.mean()
    return np.asarray((values - mean) * np.exp(random.uniform(-0.45, 0.3) * strength) + mean)


def _brightness(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """A shift of all pixels and, now and then, light that falls off to one side."""
    changed = values + 255 * random.uniform(-0.12, 0.12) * strength
    if random.uniform() < 0.4:
        height, width = values.shape[:2]
        rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        tilt = random.normal(0, 0.06 * strength, 3) * 255
        field = tilt[0] * columns + tilt[1] * rows + tilt[2] * rows * columns
        changed = changed + field[..., np.newaxis]
    return np.asarray(changed)


def _noise(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    if random.uniform() < 0.5:
        return values
    sigma = 255 * random.uniform(0.005, 0.03) * strength
    return np.asarray(values + random.normal(0, sigma, values.shape))


def _jpeg(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Compresses a third of the images as strongly as archives do."""
    if random.uniform() > 0.3 * strength or min(values.shape[:2]) < 16:
        return values
    buffer = io.BytesIO()
    whole = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    image = Image.fromarray(whole[..., 0] if whole.shape[2] == 1 else whole)
    image.save(buffer, "JPEG", quality=int(random.uniform(35, 90)))
    read = read_image(buffer.getvalue()).pixels.astype(np.float32)
    return read[..., np.newaxis] if read.ndim == 2 else read


def _flip_horizontal(values: Pixels, random: np.random.Generator, _strength: float) -> Pixels:
    return values[:, ::-1] if random.uniform() < 0.5 else values


def _flip_vertical(values: Pixels, random: np.random.Generator, _strength: float) -> Pixels:
    return values[::-1] if random.uniform() < 0.5 else values


def _right_angles(values: Pixels, random: np.random.Generator, _strength: float) -> Pixels:
    turns = int(random.integers(0, 4))
    # An oblong image would change its shape by a quarter turn.
    return np.rot90(values, turns if values.shape[0] == values.shape[1] else 2 * (turns % 2))


def _saturation(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    if values.shape[2] == 1:
        return values
    grey = values.mean(axis=2, keepdims=True)
    return np.asarray(grey + (values - grey) * np.exp(random.uniform(-0.3, 0.3) * strength))


def _hue(values: Pixels, random: np.random.Generator, strength: float) -> Pixels:
    """Turns the colours a little around the grey axis."""
    if values.shape[2] == 1:
        return values
    angle = np.deg2rad(random.uniform(-12, 12)) * strength
    cosine, third = np.cos(angle), (1 - np.cos(angle)) / 3
    root = np.sin(angle) / np.sqrt(3)
    turn = np.array(
        [
            [cosine + third, third - root, third + root],
            [third + root, cosine + third, third - root],
            [third - root, third + root, cosine + third],
        ]
    )
    return np.asarray(values @ turn.T)


#: After the geometry, in this order: what the camera and the archive do comes last.
_CHANGES: Mapping[Augmentation, Change] = {
    "flip_horizontal": _flip_horizontal,
    "flip_vertical": _flip_vertical,
    "rotate_right_angles": _right_angles,
    "hue": _hue,
    "saturation": _saturation,
    "blur": _blur,
    "gamma": _gamma,
    "contrast": _contrast,
    "brightness": _brightness,
    "noise": _noise,
    "jpeg": _jpeg,
    "border_crop": _border_crop,
}
