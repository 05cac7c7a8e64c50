"""Borders and burned-in marks: what was put round or onto an image after it was taken.

Both are found by simple, stated rules. They are no verdict on one image. What counts is a share
that differs between classes: a network will learn such a mark in place of the disease.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Grey = NDArray[np.uint8]

#: A line of pixels belongs to the border while its grey levels span no more than this.
BORDER_SPAN = 12
#: A border is counted from this share of the side on.
BORDER_SHARE = 0.02
#: Grey levels by which a mark stands out from what is round it, and its brightest pixel does.
MARK_CONTRAST = 50
STRONGEST = 90
#: Grey levels that the ground round a mark may stand out itself.
CALM = 25
#: Height and width of a letter or a calliper, as shares of the image's shorter side.
MARK_SIDES = (0.02, 0.12)
#: An image with more shapes is noise; no text has so many letters.
MOST_SHAPES = 2000
#: A mark lies inside this share of the sides, along the edge; anatomy is mostly in the middle.
EDGE = 0.25


@dataclass(frozen=True)
class Borders:
    """Constant stripes along the edges."""

    sides: tuple[float, float, float, float]
    """Top, right, bottom, left; shares of the image's height or width, 0 to 1."""

    @property
    def present(self) -> bool:
        """Whether any side has one of at least `BORDER_SHARE`."""
        return max(self.sides) >= BORDER_SHARE


def borders(grey: Grey) -> Borders:
    """The constant stripes along the edges of a grey image, (H, W) uint8.

    A wholly flat image has a border of 1 on each side.
    """

    def thickness(span: NDArray[np.int64]) -> float:
        varied = np.flatnonzero(span > BORDER_SPAN)
        return 1.0 if not len(varied) else float(varied[0]) / len(span)

    # The 2nd and 98th percentile: a few pixels of compression noise are no picture.
    spans = [
        np.subtract(*np.percentile(grey, [98, 2], axis=axis)).astype(np.int64) for axis in (1, 0)
    ]
    rows, columns = spans
    return Borders(
        (
            thickness(rows),
            thickness(columns[::-1]),
            thickness(rows[::-1]),
            thickness(columns),
        )
    )


def count_marks(grey: Grey) -> int:
    """How many small bright shapes stand sharply out along the edges of a grey image, (H, W).

    The image less its opening (white top-hat; Serra 1982) keeps what is brighter than all round it
    and smaller than `MARK_SIDES`. A shape is a connected component of at least `MARK_CONTRAST`
    there, as large as a letter, in the outer `EDGE` of the image, on calm ground, and not filled.
    """
    height, width = grey.shape
    side = min(height, width)
    least, most = (share * side for share in MARK_SIDES)
    hat = ndimage.white_tophat(grey, size=max(round(most), 3))
    labels, count = ndimage.label(hat >= MARK_CONTRAST, structure=np.ones((3, 3)))
    if not count or count > MOST_SHAPES:
        return 0
    found = 0
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        tall, wide = (part.stop - part.start for part in box)
        if not (max(least, 4) <= tall <= most and 3 <= wide <= most):
            continue
        if not any(map(_near_edge, box, grey.shape)):
            continue
        own = labels[box] == number
        if not 0.25 <= own.mean() <= 0.85 or hat[box][own].max() < STRONGEST:
            continue
        around = tuple(slice(max(part.start - 2, 0), part.stop + 2) for part in box)
        ring = labels[around] == 0
        if np.percentile(hat[around][ring], 75) <= CALM:
            found += 1
    return found


def _near_edge(part: slice, size: int) -> bool:
    return bool(part.stop <= EDGE * size or part.start >= (1 - EDGE) * size)
