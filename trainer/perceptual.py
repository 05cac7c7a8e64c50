"""Near duplicates: images that were the same before they were resized, recompressed or brightened.

Two images are near duplicates when all three hold:

- their perceptual hashes differ in at most 8 of 64 bits (pHash: the signs of the 8 x 8 lowest
  frequencies of the DCT against their median; Zauner 2010);
- their 32 x 32 thumbnails correlate with at least 0.98: films of one kind are alike, and on chest
  films of different children the hash alone named 1,564 pairs at 6 bits, none of them a copy;
- their fine detail (64 x 64, less a Gaussian blur of 1.5 pixels) correlates with at least 0.6: two
  views of one simple scene agree only in what is coarse.

Measured on 100 images each of chest films, brain MRI, breast ultrasound and skin: of the copies at
JPEG quality 25 or 50, at half the size, or with 30 % more contrast or brightness, at least 98 of
100 are found. A copy cropped by 4 %, turned or mirrored is mostly missed. Images with a side under
64 pixels show too little detail and are not judged.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from diagnosis.errors import ImageRefused
from diagnosis.images import read_image
from diagnosis.preprocess import Array, Greyscale, Resize
from trainer.data import Example
from trainer.pixels import load_array

#: Bits of 64 in which two hashes may differ.
LARGEST_DISTANCE = 8
#: Of the 32 x 32 thumbnails.
LEAST_CORRELATION = 0.98
#: Of the fine detail at 64 x 64.
LEAST_DETAIL = 0.6
#: Pixels of a thumbnail's side, and the shortest side of an image that is judged.
SIDE = 64
#: Where more pairs are found, the search ends: the list is long enough to act on.
MOST_PAIRS = 100_000
RULE = (
    f"at most {LARGEST_DISTANCE} of 64 bits of the perceptual hash differ, thumbnails correlate by "
    f"{LEAST_CORRELATION} and fine detail by {LEAST_DETAIL}; sides of at least {SIDE} pixels"
)

Thumbnail = NDArray[np.uint8]
Floats = NDArray[np.float32]
Pair = tuple[Path, Path]


@dataclass(frozen=True)
class Likeness:
    """Two near duplicates, by their places in the list that was searched."""

    first: int
    second: int
    distance: int
    """Bits of 64 in which the hashes differ."""
    correlation: float
    """Of the thumbnails, at most 1."""


def thumbnail(pixels: Array) -> Thumbnail:
    """The image in grey at 64 x 64, uint8; empty (0, 0) where a side is shorter than that."""
    if min(pixels.shape[:2]) < SIDE:
        return np.zeros((0, 0), np.uint8)
    if pixels.dtype == np.uint16:
        pixels = np.asarray(pixels.astype(np.float32) / 257, np.uint8)
    grey = Resize(width=SIDE, height=SIDE).apply(Greyscale().apply(pixels))
    return np.asarray(np.clip(np.rint(grey.astype(np.float32)), 0, 255), np.uint8)


def hashes(small: Floats) -> NDArray[np.uint64]:
    """The 64-bit perceptual hashes of thumbnails (N, 32, 32)."""
    low = dctn(small, axes=(1, 2), norm="ortho")[:, :8, :8].reshape(-1, 64)
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64)


def near_duplicates(thumbnails: Sequence[Thumbnail]) -> list[Likeness]:
    """All pairs of near duplicates, at most `MOST_PAIRS`, in the order of their places.

    Thumbnails whose correlation is large lie near each other in any projection, so a k-d tree over
    eight principal components finds every candidate; what it finds is then checked exactly.
    """
    places = np.array([i for i, one in enumerate(thumbnails) if one.size], np.int64)
    if len(places) < 2:
        return []
    full = np.stack([thumbnails[i] for i in places])
    small = full.reshape(-1, 32, 2, 32, 2).mean(axis=(2, 4), dtype=np.float32)
    codes = hashes(small)
    units = _units(small)
    del small
    tree = cKDTree(_projected(units))
    radius = float(np.sqrt(2 * (1 - LEAST_CORRELATION)))
    found: list[Likeness] = []
    for start in range(0, len(places), 256):
        block = range(start, min(start + 256, len(places)))
        near = tree.query_ball_point(tree.data[block.start : block.stop], radius)
        first = np.repeat(np.array(block), [len(one) for one in near])
        second = np.concatenate([np.asarray(one, np.int64) for one in near])
        ahead = second > first
        first, second = first[ahead], second[ahead]
        distance = np.bitwise_count(codes[first] ^ codes[second])
        close = distance <= LARGEST_DISTANCE
        first, second, distance = first[close], second[close], distance[close]
        correlation = np.einsum("ij,ij->i", units[first], units[second])
        close = correlation >= LEAST_CORRELATION
        first, second, distance = first[close], second[close], distance[close]
        if not len(first):
            continue
        alike = _detail(full, first, second) >= LEAST_DETAIL
        found += [
            Likeness(int(places[i]), int(places[j]), int(bits), min(round(float(c), 4), 1.0))
            for i, j, bits, c in zip(
                first[alike], second[alike], distance[alike], correlation[close][alike], strict=True
            )
        ]
        if len(found) >= MOST_PAIRS:
            break
    return sorted(found, key=lambda one: (one.first, one.second))[:MOST_PAIRS]


def pairs_of(
    examples: Sequence[Example],
    cache: Path,
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Pair, ...]:
    """The near duplicates among examples by their paths, identical files left out.

    Thumbnails are kept in `cache` by the file's digest, so a second run reads no image.
    """
    shown: list[Thumbnail] = []
    with ThreadPoolExecutor(workers) as pool:
        for done, one in enumerate(pool.map(lambda e: _kept(e, cache), examples), start=1):
            shown.append(one)
            if progress is not None:
                progress(done, len(examples))
    return tuple(
        (examples[one.first].path, examples[one.second].path)
        for one in near_duplicates(shown)
        if examples[one.first].digest != examples[one.second].digest
    )


def _kept(example: Example, cache: Path) -> Thumbnail:
    place = cache / "thumbnails-1" / example.digest[:2] / f"{example.digest}.npy"
    try:
        return np.asarray(load_array(place), np.uint8)
    except (OSError, EOFError, ValueError):
        pass  # Not there yet, or cut short: made anew.
    try:
        made = thumbnail(read_image(example.path.read_bytes()).pixels)
    except (ImageRefused, OSError):
        return np.zeros((0, 0), np.uint8)  # `PixelStore.prepare` says what is wrong with it.
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_name(f"{place.name}.{uuid4().hex}")
    with draft.open("wb") as file:
        np.save(file, made, allow_pickle=False)
    os.replace(draft, place)  # noqa: PTH105 - the atomic one, by its name
    return made


def _units(images: Floats) -> Floats:
    """Each image as a vector of mean 0 and length 1; a flat one is all but zero."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    # One grey level of spread is no picture.
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, np.sqrt(flat.shape[1])), np.float32)


def _projected(units: Floats) -> Floats:
    """Units on their first eight principal components; distances only shrink."""
    centred = units - units.mean(axis=0)
    sample = centred[:: max(1, len(centred) // 2000)]
    _, _, axes = np.linalg.svd(sample, full_matrices=False)
    return np.asarray(centred @ axes[:8].T, np.float32)


def _detail(
    full: NDArray[np.uint8], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The correlation of what a blur takes away, a pair each."""
    wanted, turned = np.unique(np.concatenate([first, second]), return_inverse=True)
    images = full[wanted].astype(np.float32)
    images -= gaussian_filter(images, 1.5, axes=(1, 2))
    units = _units(images)
    left, right = turned[: len(first)], turned[len(first) :]
    return np.asarray(np.einsum("ij,ij->i", units[left], units[right]), np.float32)
