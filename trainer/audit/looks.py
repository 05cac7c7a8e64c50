"""One look at each file: everything the audit needs, from one decoding."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from diagnosis.errors import ImageRefused
from diagnosis.images import read_image
from diagnosis.preprocess import Array, Greyscale, Resize, Rgb
from trainer.audit.marks import Borders, borders, count_marks
from trainer.data import Found, digest_of
from trainer.perceptual import Thumbnail, thumbnail

#: Pixels of the longest side at which borders and marks are sought.
_LOOKED_AT = 512
#: Grey levels of standard deviation under which an image shows nothing.
_BLANK = 2.0


@dataclass(frozen=True, eq=False)
class Look:
    """What one file turned out to be."""

    digest: str
    reason: str | None = None
    """Why it is no readable image; all that follows is empty then."""
    width: int = 0
    height: int = 0
    mode: str = ""
    format: str = ""
    blank: bool = False
    borders: Borders = field(default_factory=lambda: Borders((0.0, 0.0, 0.0, 0.0)))
    marks: int = 0
    small: Thumbnail = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    """For near duplicates; see `trainer.perceptual`."""
    features: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    """What cheap features say of the picture; see `cheap_features`."""


def look_at(
    found: Sequence[Found],
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> list[Look]:
    """A look at each file, in their order."""
    looks = []
    with ThreadPoolExecutor(workers) as pool:
        for one in pool.map(_look, found):
            looks.append(one)
            if progress is not None:
                progress(len(looks), len(found))
    return looks


def _look(one: Found) -> Look:
    digest = digest_of(one.path)
    try:
        image = read_image(one.path.read_bytes())
    except ImageRefused as error:
        return Look(digest, reason=error.code)
    eight: Array = image.pixels
    if eight.dtype == np.uint16:
        eight = np.asarray(eight.astype(np.float32) / 257, np.uint8)
    grey = np.asarray(Greyscale().apply(_shrunk(eight)), np.uint8)
    kind = "grey" if image.pixels.ndim == 2 else "colour"
    if kind == "colour" and bool((eight == eight[..., :1]).all()):
        kind = "grey stored as colour"
    return Look(
        digest=digest,
        width=image.width,
        height=image.height,
        mode=f"{kind} {8 * image.pixels.dtype.itemsize} bit",
        format=image.source_format,
        blank=float(grey.std()) < _BLANK,
        borders=borders(grey),
        marks=count_marks(grey),
        small=thumbnail(eight),
        features=cheap_features(eight),
    )


def cheap_features(pixels: Array) -> NDArray[np.float32]:
    """A few hundred figures of an 8-bit image: what is where, in which colour, on which edges.

    Grey levels at 16 x 16 (256), mean and spread of each colour in 4 x 4 fields (96), and in the
    same fields a histogram of 8 gradient directions weighted by strength (128; Dalal 2005).
    """
    rgb = Resize(width=64, height=64).apply(Rgb().apply(pixels)).astype(np.float32) / 255
    grey = rgb.mean(axis=2)
    coarse = grey.reshape(16, 4, 16, 4).mean(axis=(1, 3))
    fields = rgb.reshape(4, 16, 4, 16, 3)
    rows, columns = np.gradient(grey)
    strength = np.hypot(rows, columns)
    direction = ((np.arctan2(rows, columns) % np.pi) / np.pi * 8).astype(np.int64) % 8
    place = np.repeat(np.arange(4), 16)
    field_of = place[:, np.newaxis] * 4 + place[np.newaxis, :]
    edges = np.bincount(
        (field_of * 8 + direction).ravel(), weights=strength.ravel(), minlength=128
    ).reshape(16, 8)
    edges = edges / (np.linalg.norm(edges, axis=1, keepdims=True) + 1e-3)
    parts = (coarse, fields.mean(axis=(1, 3)), fields.std(axis=(1, 3)), edges)
    return np.concatenate([np.asarray(one, np.float32).ravel() for one in parts])


def _shrunk(pixels: Array) -> Array:
    height, width = pixels.shape[:2]
    factor = _LOOKED_AT / max(height, width)
    if factor >= 1:
        return pixels
    return Resize(width=max(8, round(width * factor)), height=max(8, round(height * factor))).apply(
        pixels
    )
