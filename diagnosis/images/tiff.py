"""TIFF: its one directory read, checked and rebuilt before Pillow sees the file."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from diagnosis.errors import DamagedImage, MultiFrameImage, UnsupportedFormat, UnsupportedPixels
from diagnosis.images.checked import MAX_PIXELS, Pixels, check_size
from diagnosis.images.jpeg import frame_size
from diagnosis.images.orientation import read_orientation, upright
from diagnosis.images.pixels import frozen, to_pixels

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIPS, _ROWS_A_STRIP, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 278, 279, 324, 325
_JPEG = 7
_ORIENTATION, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, _SAMPLE_FORMAT = 274, 277, 322, 323, 339
_MIN_IS_WHITE = 0
#: What decoding needs; every other tag (text, GPS, profiles, further directories) is left out.
_KEPT = {
    _WIDTH,
    _HEIGHT,
    _BITS,
    _COMPRESSION,
    _PHOTOMETRIC,
    266,  # fill order
    _STRIPS,
    _SAMPLES,
    _ROWS_A_STRIP,
    _STRIP_BYTES,
    284,  # planar configuration
    317,  # predictor
    320,  # colour map
    _TILE_WIDTH,
    _TILE_HEIGHT,
    _TILES,
    _TILE_BYTES,
    338,  # extra samples
    _SAMPLE_FORMAT,
    347,  # JPEG tables
    530,  # chroma subsampling
    532,  # reference black and white
}
#: Read here as well as kept; at most one figure a sample.
_READ = {
    _WIDTH,
    _HEIGHT,
    _BITS,
    _COMPRESSION,
    _PHOTOMETRIC,
    _ORIENTATION,
    _SAMPLES,
    _ROWS_A_STRIP,
    _TILE_WIDTH,
    _TILE_HEIGHT,
    _SAMPLE_FORMAT,
}
_COMPRESSIONS = {1, 5, 7, 8, 32773, 32946}
_PHOTOMETRICS = {0, 1, 2, 3, 5, 6}
_MAX_ENTRIES = 1000
_MAX_VALUES = 200_000
#: Values of a tag that is read here.
_MAX_SMALL = 8
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_BIG_TYPE_SIZES = {**_TYPE_SIZES, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 16: "Q"}


@dataclass(frozen=True)
class _Layout:
    """How a classic TIFF and a BigTIFF differ."""

    order: str
    offset_at: int
    offset: str
    count: str
    entry: str
    inline: int


def decode_tiff(data: bytes) -> Pixels:
    """Decode the single page of a TIFF, upright.

    Raises:
        MultiFrameImage: more than one page.
        UnsupportedFormat: a compression that is not read (fax, old JPEG, JPEG 2000, ...).
        UnsupportedPixels: floating point, signed, 32-bit or an unusual colour space.
        DamagedImage, TooManyPixels, ImageTooSmall: as everywhere.
    """
    layout = _layout(data)
    entries = _entries(data, layout)
    fields = {entry[0]: _values(data, layout, entry) for entry in entries if entry[0] in _READ}
    width, height = _one(fields, _WIDTH), _one(fields, _HEIGHT)
    check_size(width, height)
    inverted_words = _check_kind(fields)
    if _one(fields, _COMPRESSION) == _JPEG:
        _check_jpegs(data, layout, entries, fields)
    turn = _one(fields, _ORIENTATION, 1)
    # The EXIF tag is the TIFF tag, so its reader judges the value.
    orientation = read_orientation(
        b"MM\x00*" + struct.pack(">IHHHIHH", 8, 1, _ORIENTATION, 3, 1, turn & 0xFFFF, 0)
    )
    if inverted_words:
        # Pillow reads it only where the bytes are little-endian, and as if zero were black.
        black = struct.pack(f"{layout.order}H", 1).ljust(layout.inline, b"\x00")
        entries = tuple((_PHOTOMETRIC, 3, 1, black) if e[0] == _PHOTOMETRIC else e for e in entries)
    with Image.open(BytesIO(_rebuild(data, layout, entries)), formats=("TIFF",)) as image:
        if image.size != (width, height):
            raise DamagedImage(cause="the decoder sees another size")
        image.load()
        pixels = to_pixels(upright(image, orientation))
    if inverted_words:
        pixels = frozen(np.bitwise_not(pixels))
    return pixels


def _layout(data: bytes) -> _Layout:
    order = "<" if data[:2] == b"II" else ">"
    if 43 in data[2:4]:
        return _Layout(order, 8, f"{order}Q", f"{order}Q", f"{order}HHQ8s", 8)
    return _Layout(order, 4, f"{order}I", f"{order}H", f"{order}HHI4s", 4)


#: Tag, type, number of values, and the values or their offset.
_Entry = tuple[int, int, int, bytes]


def _entries(data: bytes, layout: _Layout) -> tuple[_Entry, ...]:
    """The first directory's entries; refuses a second directory and declared lengths that lie."""
    (start,) = struct.unpack_from(layout.offset, data, layout.offset_at)
    (count,) = struct.unpack_from(layout.count, data, start)
    if count > _MAX_ENTRIES:
        raise DamagedImage(cause="too many tags")
    size = struct.calcsize(layout.entry)
    first = start + struct.calcsize(layout.count)
    entries: dict[int, _Entry] = {}
    total = 0
    for index in range(count):
        tag, kind, values, value = struct.unpack_from(layout.entry, data, first + index * size)
        if tag not in _KEPT and tag != _ORIENTATION:
            continue
        if kind not in _BIG_TYPE_SIZES or not values or values > _MAX_VALUES or tag in entries:
            raise DamagedImage(cause="a tag of no sense")
        total += _BIG_TYPE_SIZES[kind] * values
        entries[tag] = (tag, kind, values, value)
    if total > len(data):
        raise DamagedImage(cause="tags longer than the file")
    (following,) = struct.unpack_from(layout.offset, data, first + count * size)
    if following:
        raise MultiFrameImage
    return tuple(entries[tag] for tag in sorted(entries))


def _values(data: bytes, layout: _Layout, entry: _Entry, most: int = _MAX_SMALL) -> tuple[int, ...]:
    tag, kind, count, value = entry
    if kind not in _INTEGERS or count > most:
        raise DamagedImage(cause=f"tag {tag} is not a small list of integers")
    form = f"{layout.order}{count}{_INTEGERS[kind]}"
    if struct.calcsize(form) <= layout.inline:
        return struct.unpack_from(form, value)
    (offset,) = struct.unpack(layout.offset, value)
    return struct.unpack_from(form, data, offset)


def _one(fields: Mapping[int, tuple[int, ...]], tag: int, default: int = 0) -> int:
    return fields.get(tag, (default,))[0]


def _check_kind(fields: Mapping[int, tuple[int, ...]]) -> bool:
    """Refuse what is not read; True for 16-bit grey where zero is white."""
    if _one(fields, _COMPRESSION, 1) not in _COMPRESSIONS:
        raise UnsupportedFormat(
            "This TIFF is compressed in a way that is not read.",
            remedy="Save it uncompressed or with LZW, or as a PNG, and send that.",
        )
    formats = set(fields.get(_SAMPLE_FORMAT, (1,)))
    bits = set(fields.get(_BITS, (1,)))
    if formats != {1} or len(bits) != 1 or not bits <= {1, 2, 4, 8, 16}:
        raise UnsupportedPixels(
            "This TIFF stores floating-point, signed or 32-bit pixels, which are not read."
        )
    photometric = _one(fields, _PHOTOMETRIC, 1)
    if photometric not in _PHOTOMETRICS or _one(fields, _SAMPLES, 1) > 8:
        raise UnsupportedPixels("This TIFF uses a colour space that is not read.")
    tile = _one(fields, _TILE_WIDTH) * _one(fields, _TILE_HEIGHT)
    if tile > MAX_PIXELS:
        raise DamagedImage(cause="a tile larger than any image")
    return bits == {16} and photometric == _MIN_IS_WHITE


def _check_jpegs(
    data: bytes,
    layout: _Layout,
    entries: tuple[_Entry, ...],
    fields: Mapping[int, tuple[int, ...]],
) -> None:
    """See that each JPEG inside is as large as its strip or tile; a smaller one would pass for a
    whole image, the rest of which nobody has written."""
    tiled = _one(fields, _TILE_WIDTH) > 0
    width, height = _one(fields, _WIDTH), _one(fields, _HEIGHT)
    rows = min(_one(fields, _ROWS_A_STRIP, height), height)
    if tiled:
        width, rows = _one(fields, _TILE_WIDTH), _one(fields, _TILE_HEIGHT)
    by_tag = {
        entry[0]: _values(data, layout, entry, _MAX_VALUES)
        for entry in entries
        if entry[0] in ((_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES))
    }
    if len(by_tag) != 2 or rows <= 0:
        raise DamagedImage(cause="no strips or tiles")
    strips = -(-height // rows)
    for index, (start, size) in enumerate(zip(*by_tag.values(), strict=True)):
        least = rows if tiled else min(rows, height - index % strips * rows)
        found_width, found_height = frame_size(data[start : start + size])
        if found_width != width or not least <= found_height <= rows:
            raise DamagedImage(cause="a JPEG inside is of another size")


def _rebuild(data: bytes, layout: _Layout, entries: tuple[_Entry, ...]) -> bytes:
    """The same file with a directory, in the old one's place, of only what decoding needs."""
    kept = [entry for entry in entries if entry[0] != _ORIENTATION]
    directory = struct.pack(layout.count, len(kept))
    directory += b"".join(struct.pack(layout.entry, *entry) for entry in kept)
    directory += struct.pack(layout.offset, 0)
    (start,) = struct.unpack_from(layout.offset, data, layout.offset_at)
    return data[:start] + directory + data[start + len(directory) :]
