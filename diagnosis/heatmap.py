"""Where a network looked: HiResCAM without gradients, and how a heatmap is painted.

The network is cut at its last feature maps: `trunk` makes the maps of an image, `head` makes the
logits of maps. A runtime only has to run the two. Trainer and service compute with these
functions, so that what the card says of heatmaps holds for those that are shown.
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
#: Feature maps, float32 (N, height, width, channels), to logits, (N, classes).
Head = Callable[[Floats], NDArray[np.floating]]
#: Shares of an image's sides, from its upper left: left, top, right, bottom.
Box = tuple[float, float, float, float]

#: By what share the maps are raised at one location. Exact for a head that is linear around the
#: maps. Others have kinks (an untrained network with two max poolings behind the maps: 0.98
#: correlation with the derivative), and the 24 bits of a float32 logit ask for a larger one.
STEP = 1 / 256
#: Maps of more than `_FINEST` locations a side are taken in at most `_COARSE` a side: they stand so
#: early that the head is most of the network, and it runs once a location.
_FINEST, _COARSE = 16, 8
#: Maps that go through the head at once.
_BATCH = 16
#: Logits. A strongest location below this is rounding, not evidence.
SMALLEST_EVIDENCE = 1e-3

#: Colours from the least to the most evidence, at equal distances: cividis (Nunez et al. 2018),
#: which people with and without a colour vision deficiency see alike. The legend takes them too.
COLOUR_STOPS = (
    "#00224e", "#002e6a", "#1a386f", "#32436d", "#434e6c", "#535a6d", "#61656f", "#6f7073",
    "#7d7c78", "#8c8878", "#9b9476", "#aba072", "#bcae6c", "#cdbb63", "#dec958", "#f0d846",
    "#fee838",
)  # fmt: skip
#: Below this share of the strongest location nothing is painted; above it the paint thickens.
FAINTEST = 0.1
#: Opacity of the strongest location, of 255: the image stays visible below.
DENSEST = 190
#: Pixels of a painted heatmap's longer side; its sides have the ratio of the image's.
LONGEST_SIDE = 512


def hirescam(head: Head, maps: Floats) -> Floats:
    """How much each location of the maps speaks for each class (HiResCAM, Draelos and Carin 2020).

    HiResCAM of a class at a location is the sum over the channels of map times gradient of the
    logit: the logit's derivative in the direction of the maps at this location alone. So a head
    that can be run is enough: it is taken as a forward difference.

    The mean over the classes is subtracted, because softmax does not see what is added to all
    logits alike: networks with the same probabilities get the same heatmaps.

    Args:
        head: makes logits of maps.
        maps: of one image, float32 (height, width, channels).

    Returns:
        float32 (rows, columns, classes), in logits: a row and a column for each of the maps', or
        of fewer where the maps are large; then each is the sum of its neighbours.
    """
    rows, columns = cells(*maps.shape[:2])
    height, width = rows[-1] + 1, columns[-1] + 1
    parts = []
    for start in range(0, height * width, _BATCH):
        places = np.arange(start, min(start + _BATCH, height * width))
        # The unchanged maps go along: kernels round differently for batches of different sizes.
        batch = np.repeat(maps[np.newaxis], len(places) + 1, axis=0)
        for number, place in enumerate(places, start=1):
            where = np.ix_(rows == place // width, columns == place % width)
            batch[number][where] *= np.float32(1 + STEP)
        logits = np.asarray(head(batch), np.float64)
        parts.append((logits[1:] - logits[0]) / STEP)
    found = np.concatenate(parts)
    found -= found.mean(axis=1, keepdims=True)
    return found.reshape(height, width, -1).astype(np.float32)


def cells(height: int, width: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which row of the result each row of some maps counts to, and the same of the columns."""
    coarse = max(height, width) > _FINEST
    rows, columns = (
        np.arange(side) * (min(side, _COARSE) if coarse else side) // side
        for side in (height, width)
    )
    return rows, columns


def evidence(attribution: Floats) -> tuple[Floats, float]:
    """What speaks for a class, as a share of the strongest location, and that one's logits.

    Args:
        attribution: of one class, (height, width), in logits.

    Returns:
        float32 (height, width) from 0 to 1, and the maximum in logits; all zero and 0.0 where
        nothing speaks for the class.
    """
    positive = np.maximum(attribution, 0).astype(np.float32)
    strongest = float(positive.max())
    if not strongest >= SMALLEST_EVIDENCE:
        return np.zeros_like(positive), 0.0
    return positive / np.float32(strongest), strongest


def spread(shares: Floats, size: tuple[int, int]) -> Floats:
    """A map stretched to (width, height) pixels with bilinear interpolation, from 0 to 1."""
    stretched = Image.fromarray(np.ascontiguousarray(shares, np.float32)).resize(
        size, Image.Resampling.BILINEAR
    )
    return np.clip(np.asarray(stretched, np.float32), 0, 1)


def paint(shares: Floats, *, width: int, height: int, seen: Box) -> bytes:
    """A heatmap as a picture to lay over the image.

    Args:
        shares: (rows, columns) from 0 to 1, of the part that the network saw.
        width: of the image as displayed, in pixels.
        height: of the image as displayed, in pixels.
        seen: the part of the image that the network saw; nothing outside it is painted.

    Returns:
        A PNG with transparency, of the image's ratio, at most `LONGEST_SIDE` pixels long.
    """
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    columns, rows = (max(1, round(side * scale)) for side in (width, height))
    left, right = (round(share * columns) for share in (seen[0], seen[2]))
    top, bottom = (round(share * rows) for share in (seen[1], seen[3]))
    values = np.zeros((rows, columns), np.float32)
    if right > left and bottom > top:
        values[top:bottom, left:right] = spread(shares, (right - left, bottom - top))
    picture = np.zeros((rows, columns, 4), np.uint8)
    picture[..., :3] = colours()[np.rint(values * 255).astype(np.intp)]
    above = np.clip((values - FAINTEST) / (1 - FAINTEST), 0, 1)
    picture[..., 3] = np.rint(DENSEST * np.sqrt(above))
    # Where nothing is painted there is no colour either.
    picture[picture[..., 3] == 0] = 0
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=6)
    return file.getvalue()


def colours() -> NDArray[np.uint8]:
    """The colour of each of 256 shares, RGB: uint8 (256, 3)."""
    stops = np.array([list(bytes.fromhex(one[1:])) for one in COLOUR_STOPS], np.float64)
    places = np.linspace(0, len(stops) - 1, 256)
    table = [np.interp(places, np.arange(len(stops)), stops[:, part]) for part in range(3)]
    return np.rint(np.stack(table, axis=1)).astype(np.uint8)
