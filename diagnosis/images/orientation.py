"""EXIF orientation: read it from untrusted bytes, apply it, write it back alone."""

import struct
from typing import Literal

from PIL import Image

#: EXIF values 1 (upright) to 8.
Orientation = Literal[1, 2, 3, 4, 5, 6, 7, 8]
UPRIGHT: Orientation = 1

_TAG = 0x0112
_SHORT = 3
_ORIENTATIONS: tuple[Orientation, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_orientation(exif: bytes) -> Orientation:
    """Orientation from an EXIF block (with or without its `Exif` prefix); 1 where it has none.

    Only the first directory's one tag is looked at, so nothing in the block can mislead or stall.
    """
    block = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return UPRIGHT
    (start,) = struct.unpack_from(f"{order}I", block, 4)
    if start + 2 > len(block):
        return UPRIGHT
    (count,) = struct.unpack_from(f"{order}H", block, start)
    for index in range(min(count, 256)):
        at = start + 2 + 12 * index
        if at + 12 > len(block):
            break
        tag, kind, values, value = struct.unpack_from(f"{order}HHIH", block, at)
        if tag == _TAG:
            known = kind == _SHORT and values == 1 and 1 <= value <= 8
            return _ORIENTATIONS[value - 1] if known else UPRIGHT
    return UPRIGHT


def write_orientation(orientation: Orientation) -> bytes:
    """An EXIF block (with its prefix) that holds the orientation and nothing else."""
    entry = struct.pack(">HHIHH", _TAG, _SHORT, 1, orientation, 0)
    return b"Exif\x00\x00MM\x00*" + struct.pack(">IH", 8, 1) + entry + bytes(4)


def swaps_sides(orientation: Orientation) -> bool:
    """True where the displayed width is the stored height."""
    return orientation >= 5


def upright(image: Image.Image, orientation: Orientation) -> Image.Image:
    """The image as it is meant to be seen."""
    transpose = _TRANSPOSES.get(orientation)
    return image if transpose is None else image.transpose(transpose)
