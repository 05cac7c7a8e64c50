"""An image as a short list of numbers that tell one kind of image from another.

Every image is brought to the same few pixels by a low-pass first, so that the size of a file, its
shape and how hard it was compressed say nothing; grey levels are standardised, so that brightness
and contrast say little. `gate-1` is the name of all that follows: another meaning gets another
name, as with preprocessing steps.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagnosis.preprocess import Array

Floats = NDArray[np.float64]

FEATURES: Final = "gate-1"
#: Pixels a side that everything is computed from; a fundus photograph of 28 px has no more to say.
SIDE: Final = 32
#: The decoder may hand out fewer pixels than the file has, but no fewer than these a side.
DECODE_AT_LEAST: Final = (4 * SIDE, 4 * SIDE)

_THUMB = 16
_CELLS = 4
_ORIENTATIONS = 8
_CHROMA = 4
_RINGS = 8
_BINS = 12
#: ITU-R 601-2.
_LUMA = np.array([0.299, 0.587, 0.114])
_ROWS, _COLUMNS = np.indices((SIDE, SIDE))
_WINDOW = np.outer(np.hanning(SIDE), np.hanning(SIDE))
_DOWN, _ACROSS = _ROWS - SIDE // 2, _COLUMNS - SIDE // 2
_RADIUS = np.hypot(_DOWN, _ACROSS)
_RING = np.minimum((_RADIUS / (SIDE / 2) * _RINGS).astype(int), _RINGS - 1).ravel()
_OUTER = _RADIUS > 2
_UPRIGHT = _OUTER & (np.abs(_DOWN) > np.abs(_ACROSS))
#: Where the first orientation of each pixel's cell is.
_CELL = (_ROWS * _CELLS // SIDE * _CELLS + _COLUMNS * _CELLS // SIDE) * _ORIENTATIONS
#: Grey levels; a frame that varies less than this is no part of the picture.
_FRAME_RANGE = 12.0
#: Of each side that is kept at least, however empty the rest.
_LEAST_KEPT = 0.25


def thumbnail(pixels: Array) -> Floats:
    """The image without its plain frame, at `SIDE` by `SIDE`, in colour.

    Args:
        pixels: uint8 or uint16 (full range), shape (H, W) or (H, W, 3), as `diagnosis.images`
            hands it out.

    Returns:
        float64 in 0 to 1, shape (SIDE, SIDE, 3).
    """
    array = pixels
    if array.dtype == np.uint16:
        array = (np.asarray(array, np.uint16) >> 8).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(array))
    shrink = max(1, min(image.size) // (4 * SIDE))
    if shrink > 1:
        image = image.reduce(shrink)
    image = image.crop(_content(np.asarray(image.convert("L"))))
    # Down in steps of whole pixels, then by a triangle filter: a small image is blurred as much.
    # Three channels only then: of a grey image they are all the same.
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR).convert("RGB")
    return np.asarray(small, np.float64) / 255.0


def features(pixels: Array) -> Floats:
    """The numbers that the gate judges by, `SIZE` of them, all finite; see `thumbnail`."""
    return of_thumbnail(thumbnail(pixels))


@dataclass(frozen=True, eq=False)
class Look:
    """All that a gate needs to see of an image: the same for every gate, and small."""

    thumbnail: Floats
    """float64 in 0 to 1, shape (SIDE, SIDE, 3)."""
    features: Floats
    """float64, shape (SIZE,)."""


def look(pixels: Array) -> Look:
    """What a gate needs of an image; for `pixels` see `thumbnail`."""
    small = thumbnail(pixels)
    return Look(small, of_thumbnail(small))


def of_thumbnail(colour: Floats) -> Floats:
    """`features` of what `thumbnail` made, float64 (SIDE, SIDE, 3) in 0 to 1."""
    grey = colour @ _LUMA
    deviation = float(grey.std())
    standard = (grey - grey.mean()) / max(deviation, 0.02)
    blocks = standard.reshape(_THUMB, SIDE // _THUMB, _THUMB, SIDE // _THUMB).mean(axis=(1, 3))
    return np.concatenate(
        [
            np.clip(blocks, -3, 3).ravel(),
            _orientations(standard),
            _colours(colour, grey),
            _levels(grey, standard, deviation),
            _spectrum(standard),
            _frame(grey, standard),
        ]
    )


#: Where `of_thumbnail` puts the figures of colour, and the moments of the grey levels.
_COLOURS_AT: Final = _THUMB**2 + _CELLS**2 * _ORIENTATIONS
_COLOURS: Final = 11 + 2 * _CHROMA**2
_MOMENTS_AT: Final = _COLOURS_AT + _COLOURS + _BINS


def statistics(features: Floats) -> dict[str, float]:
    """A few of the features that a person understands, each 0 to 1.

    Args:
        features: of an image, float64, shape (SIZE,).

    Returns:
        brightness: mean grey level. contrast: twice their standard deviation, which is 0.5 at
        most. sharpness: mean difference of neighbours in standard deviations, 1 for more; noise
        has about 1.1. dark and bright: shares of pixels at the ends. colour: mean difference of
        the strongest and the weakest channel.
    """
    mean, log_deviation, _, _, _, dark, bright, down, across = features[
        _MOMENTS_AT : _MOMENTS_AT + 9
    ].tolist()
    found = {
        "brightness": mean,
        "contrast": 2 * (math.exp(min(log_deviation, 0.0)) - 1e-3),
        "sharpness": (down + across) / 2,
        "dark": dark,
        "bright": bright,
        "colour": float(features[_COLOURS_AT + 4]),
    }
    # They come from the process that reads untrusted images, which may say anything finite.
    return {name: min(max(value, 0.0), 1.0) for name, value in found.items()}


def _content(grey: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the picture inside frames of one level, such as letterboxes."""

    def inside(axis: int) -> tuple[int, int]:
        # Of each line only its ends: far fewer numbers than pixels, and the pixels stay bytes.
        low, high = (one(grey, axis=axis).astype(np.int16) for one in (np.min, np.max))
        level = int(grey[0, 0])
        plain = (
            (high - level <= _FRAME_RANGE)
            & (level - low <= _FRAME_RANGE)
            & (high - low <= _FRAME_RANGE)
        )
        kept = np.flatnonzero(~plain)
        total = len(plain)
        if not len(kept) or kept[-1] + 1 - kept[0] < _LEAST_KEPT * total:
            return 0, total
        return int(kept[0]), int(kept[-1]) + 1

    top, bottom = inside(1)
    left, right = inside(0)
    return left, top, right, bottom


def _orientations(standard: Floats) -> Floats:
    """Histograms of oriented gradients (Dalal and Triggs 2005), signed: dark to bright counts."""
    down, across = np.gradient(standard)
    strength = np.hypot(down, across)
    place = (np.arctan2(down, across) / (2 * np.pi) * _ORIENTATIONS) % _ORIENTATIONS
    low = place.astype(np.intp)
    share = place - low
    # Between the two nearest orientations, by how near each is.
    cells = np.zeros(_CELLS**2 * _ORIENTATIONS)
    for bins, weights in ((low, strength * (1 - share)), (low + 1, strength * share)):
        places = _CELL + bins % _ORIENTATIONS
        cells += np.bincount(places.ravel(), weights.ravel(), len(cells))
    return np.asarray(np.sqrt(cells / max(float(cells.sum()), 1e-6)))


def _colours(colour: Floats, grey: Floats) -> Floats:
    """How much colour there is, which, and roughly where (Hasler and Suesstrunk 2003)."""
    red, green, blue = np.ascontiguousarray(np.moveaxis(colour, 2, 0))
    highest = np.maximum(np.maximum(red, green), blue)
    chroma = highest - np.minimum(np.minimum(red, green), blue)
    if not chroma.any():
        return np.zeros(_COLOURS)
    red_green = red - green
    yellow_blue = (red + green) / 2 - blue
    saturation = chroma / np.maximum(highest, 0.05)
    size = SIDE // _CHROMA
    places = [
        plane.reshape(_CHROMA, size, _CHROMA, size).mean(axis=(1, 3)).ravel()
        for plane in (red_green, yellow_blue)
    ]
    whole = [
        red_green.mean(), yellow_blue.mean(), red_green.std(), yellow_blue.std(),
        chroma.mean(), chroma.max(), saturation.mean(), saturation.std(),
        float((chroma > 0.06).mean()), float((chroma > 0.2).mean()),
        float(((red_green - red_green.mean()) * (grey - grey.mean())).mean()),
    ]  # fmt: skip
    return np.concatenate([np.array(whole), *places])


def _levels(grey: Floats, standard: Floats, deviation: float) -> Floats:
    """How the grey levels are spread: moments, shares of the ends, a histogram, neighbours."""
    bins = _histogram(np.clip(standard, -2.4, 2.4), _BINS, -2.4, 2.4)
    used = _histogram(grey, 16, 0.0, 1.0) / grey.size
    entropy = float(-(used * np.log(used + 1e-12)).sum())
    steps = [np.abs(np.diff(standard, axis=axis)).mean() for axis in (0, 1)]
    square = standard * standard
    moments = [
        grey.mean(), np.log(deviation + 1e-3), (square * standard).mean(),
        np.minimum((square * square).mean(), 20), entropy,
        float((grey < 0.04).mean()), float((grey > 0.96).mean()), *steps,
    ]  # fmt: skip
    return np.concatenate([np.sqrt(bins / grey.size), np.array(moments)])


def _histogram(values: Floats, bins: int, low: float, high: float) -> NDArray[np.intp]:
    """How many of the values, all between low and high, are in each of so many equal bins."""
    places = ((values - low) * (bins / (high - low))).astype(np.intp)
    return np.bincount(np.minimum(places, bins - 1).ravel(), minlength=bins)


def _spectrum(standard: Floats) -> Floats:
    """Radial power spectrum in rings, and how much of it lies along each axis."""
    power = np.abs(np.fft.fftshift(np.fft.fft2(standard * _WINDOW))) ** 2
    sums = np.bincount(_RING, power.ravel(), minlength=_RINGS)
    shares = np.log(sums / max(float(power.sum()), 1e-9) + 1e-5)
    upright = float(power[_UPRIGHT].sum()) / max(float(power[_OUTER].sum()), 1e-9)
    return np.concatenate([shares, [upright]])


def _frame(grey: Floats, standard: Floats) -> Floats:
    """What the edges and corners look like beside the middle."""
    wide = SIDE // 8
    edges = [standard[:wide], standard[-wide:], standard[:, :wide], standard[:, -wide:]]
    corners = [
        standard[:wide, :wide], standard[:wide, -wide:],
        standard[-wide:, :wide], standard[-wide:, -wide:],
    ]  # fmt: skip
    middle = standard[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4]
    mirrored = float((standard * standard[:, ::-1]).mean())
    figures = [one.mean() for one in corners] + [one.std() for one in edges]
    return np.array([*figures, middle.mean(), middle.std(), mirrored, grey[:wide].mean()])


SIZE: Final = len(of_thumbnail(np.zeros((SIDE, SIDE, 3))))
