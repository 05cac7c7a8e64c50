"""The same picture as other devices, programs and people would have saved it.

A gate that is fitted to one copy of a data set learns that copy: its size, its compression, its
grey curve. These changes keep what the picture is of.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from diagnosis.images import read_image

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]

#: The largest side a change works at; what the gate looks at is smaller still.
_WORKING_SIDE = 256


def shrunk(pixels: NDArray[np.generic]) -> Pixels:
    """8 bit, and at most 256 px on the shorter side: enough for every change."""
    array = pixels
    if array.dtype == np.uint16:
        array = (np.asarray(array, np.uint16) >> 8).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(array))
    factor = max(1, min(image.size) // _WORKING_SIDE)
    return _array(image.reduce(factor)) if factor > 1 else _array(image)


def grey_curve(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Brightness, contrast and gamma."""
    values = (pixels / 255.0) ** float(np.exp(rng.uniform(-0.6, 0.6)))
    values = (values - 0.5) * rng.uniform(0.6, 1.3) + 0.5 + rng.uniform(-0.12, 0.12)
    return np.asarray(np.clip(values * 255, 0, 255), np.uint8)


def equalised(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    """Histogram equalisation of the grey levels; colours keep their proportions."""
    if pixels.ndim == 2:
        return _array(ImageOps.equalize(Image.fromarray(pixels)))
    luma, blue, red = Image.fromarray(pixels).convert("YCbCr").split()
    return _array(Image.merge("YCbCr", (ImageOps.equalize(luma), blue, red)).convert("RGB"))


def stretched(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    """Window and level as a viewer sets them: the outer 2 % are cut off."""
    return _array(ImageOps.autocontrast(Image.fromarray(pixels), cutoff=2))


def cropped(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Up to an eighth cut from each side, by itself."""
    height, width = pixels.shape[:2]
    top, bottom = (rng.uniform(0, 0.12, 2) * height).astype(int)
    left, right = (rng.uniform(0, 0.12, 2) * width).astype(int)
    return pixels[top : height - bottom, left : width - right]


def rotated(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Turned by at most 15 degrees; the corners are filled as the frame is."""
    image = Image.fromarray(pixels)
    return _array(
        image.rotate(rng.uniform(-15, 15), Image.Resampling.BILINEAR, fillcolor=_fill(pixels, rng))
    )


def letterboxed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Padded on two sides, in black, white or grey."""
    height, width = pixels.shape[:2]
    level = int(rng.choice([0, 0, 0, 255, 128]))
    share = rng.uniform(0.05, 0.3)
    down, across = (int(share * height), 0) if rng.random() < 0.5 else (0, int(share * width))
    pad = ((down, down), (across, across), (0, 0))[: pixels.ndim]
    return np.pad(pixels, pad, constant_values=level)


def reshaped(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Another shape: up to a third wider or higher than it was."""
    height, width = pixels.shape[:2]
    factor = float(np.exp(rng.uniform(-0.3, 0.3)))
    return _array(Image.fromarray(pixels).resize((max(16, int(width * factor)), height)))


def enlarged(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    """1600 by 1300 px, as large files are."""
    return _array(Image.fromarray(pixels).resize((1600, 1300), Image.Resampling.BICUBIC))


def reduced(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Down to 40 to 128 px, as in a preview or on a small display."""
    side = int(rng.integers(40, 128))
    image = Image.fromarray(pixels)
    return _array(image.resize((side, side))) if min(image.size) > side else pixels


def compressed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """JPEG at quality 15 to 60."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=int(rng.integers(15, 60)))
    return np.asarray(read_image(buffer.getvalue()).pixels, np.uint8)


def sensed(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The noise of a sensor."""
    noise = rng.normal(0, rng.uniform(2, 12), pixels.shape)
    return np.asarray(np.clip(pixels + noise, 0, 255), np.uint8)


def tinted(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A cast of at most 6 %, as of a coloured film base or another white balance."""
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    return np.asarray(np.clip(colour * (1 + rng.uniform(-0.06, 0.06, 3)), 0, 255), np.uint8)


ACQUISITIONS: dict[str, Change] = {
    "grey_curve": grey_curve,
    "equalised": equalised,
    "stretched": stretched,
    "cropped": cropped,
    "rotated": rotated,
    "letterboxed": letterboxed,
    "reshaped": reshaped,
    "enlarged": enlarged,
    "reduced": reduced,
    "compressed": compressed,
    "sensed": sensed,
    "tinted": tinted,
}


def acquired(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """One to three of the changes, one after the other."""
    names = rng.choice(list(ACQUISITIONS), int(rng.integers(1, 4)), replace=False)
    # The largest comes last: the others would only be slower on it.
    for name in sorted(names, key=lambda one: str(one) == "enlarged"):
        pixels = ACQUISITIONS[name](pixels, rng)
    return pixels


def _fill(pixels: Pixels, rng: np.random.Generator) -> int | tuple[int, ...]:
    edge = np.median(pixels[0], axis=0) if rng.random() < 0.5 else np.zeros(pixels.shape[2:])
    return int(edge) if pixels.ndim == 2 else tuple(int(one) for one in edge)


def _array(image: Image.Image) -> Pixels:
    return np.asarray(image, np.uint8)
