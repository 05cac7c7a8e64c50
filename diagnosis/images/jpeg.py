"""JPEG: checked and stripped segment by segment without re-encoding, then decoded."""

import re
import struct
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from diagnosis.errors import DamagedImage, DecompressionBomb, UnsupportedFormat, UnsupportedPixels
from diagnosis.images.checked import MAX_PIXELS, Pixels, check_size
from diagnosis.images.orientation import (
    UPRIGHT,
    Orientation,
    read_orientation,
    swaps_sides,
    upright,
    write_orientation,
)
from diagnosis.images.pixels import to_pixels

_SOI, _EOI, _SOS, _DQT, _DHT, _DRI, _DNL, _COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xDC, 0xFE
_APP0, _APP1, _APP14, _APP15 = 0xE0, 0xE1, 0xEE, 0xEF
_SEQUENTIAL, _PROGRESSIVE = {0xC0, 0xC1}, 0xC2
#: Start-of-frame markers of lossless, hierarchical and arithmetic-coded files.
_OTHER_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF}

#: The next marker that ends entropy-coded data: not a stuffed zero, a fill byte or a restart.
_NEXT_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
#: A colour profile in pieces has a few hundred; more would only cost time.
_MAX_SEGMENTS = 4096
#: Encoders write up to a dozen; each scan costs a pass over the whole image.
_MAX_SCANS = 40
_MAX_SCANNED_PIXELS = 12 * MAX_PIXELS
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


@dataclass(frozen=True)
class Jpeg:
    """A complete JPEG without its metadata."""

    clean: bytes
    width: int
    """Pixels as stored, before orientation."""
    height: int
    components: int
    orientation: Orientation


@dataclass(frozen=True)
class _Frame:
    width: int
    height: int
    components: int
    blocks: int
    """8 by 8 blocks of all components together."""
    progressive: bool


def strip_jpeg(data: bytes) -> Jpeg:
    """Check a JPEG's structure to its end and drop everything that decoding does not need.

    Kept: tables, frame and scans as they are; JFIF and Adobe markers rewritten to their bare
    minimum, because they say how colours are stored; the orientation. Dropped: comments, EXIF,
    thumbnails, colour profiles, further images, and whatever follows the end of the image.

    Raises:
        DamagedImage: cut short, or contradicting itself.
        UnsupportedFormat: lossless, hierarchical or arithmetic-coded.
        UnsupportedPixels: not 8 bits a sample.
        TooManyPixels, ImageTooSmall: by its declared size.
    """
    kept: list[bytes] = []
    frame: _Frame | None = None
    has_jfif, adobe_transform, orientation = False, -1, UPRIGHT
    scans = scan_bytes = 0
    position = 2
    for _ in range(_MAX_SEGMENTS):
        marker, position = _marker(data, position)
        if marker == _EOI:
            break
        body, end = _body(data, position)
        if marker in _SEQUENTIAL or marker == _PROGRESSIVE:
            if frame is not None:
                raise DamagedImage(cause="two frames")
            frame = _read_frame(body, marker)
        elif marker in _OTHER_FRAMES:
            raise UnsupportedFormat(
                "This JPEG is lossless, hierarchical or arithmetic-coded, which is not read.",
                remedy="Save it as an ordinary JPEG or as a PNG and send that.",
            )
        elif marker == _SOS:
            scans += 1
            if frame is None:
                raise DamagedImage(cause="a scan before its frame")
            if scans > _MAX_SCANS or scans * frame.width * frame.height > _MAX_SCANNED_PIXELS:
                raise DecompressionBomb(cause="too many scans")
            found = _NEXT_MARKER.search(data, end)
            if found is None:
                raise DamagedImage(cause="no end of image")
            scan_bytes += found.start() - end
            end = found.start()
        elif marker == _APP0 and not scans:
            has_jfif = has_jfif or (body[:5] == b"JFIF\x00" and len(body) >= 14)
        elif marker == _APP1 and body[:6] == b"Exif\x00\x00" and orientation == UPRIGHT:
            orientation = read_orientation(body)
        elif marker == _APP14 and not scans and body[:5] == b"Adobe" and len(body) >= 12:
            adobe_transform = body[11]
        if marker not in {_COM, _DNL} and not _APP0 <= marker <= _APP15:
            if marker not in {_SOS, _DQT, _DHT, _DRI} and not 0xC0 <= marker <= _PROGRESSIVE:
                raise DamagedImage(cause="unknown segment")
            kept.append(data[position - 2 : end])
        position = end
    else:
        raise DamagedImage(cause="too many segments")
    if frame is None or not scans:
        raise DamagedImage(cause="no image before the end of the image")
    # A block costs at least one bit for each of its two parts; a progressive scan may pass over
    # the second. Fewer bits than that, and the decoder would invent the rest of the image.
    if scan_bytes * 8 < frame.blocks * (1 if frame.progressive else 2):
        raise DamagedImage(cause="fewer bits than blocks")
    head = b"\xff\xd8" + (_JFIF if has_jfif else b"")
    if orientation != UPRIGHT:
        head += _segment(_APP1, write_orientation(orientation))
    if adobe_transform >= 0:
        head += _segment(_APP14, struct.pack(">5sHHHB", b"Adobe", 100, 0, 0, adobe_transform))
    clean = b"".join((head, *kept, b"\xff\xd9"))
    return Jpeg(clean, frame.width, frame.height, frame.components, orientation)


def frame_size(data: bytes) -> tuple[int, int]:
    """Width and height that a JPEG's first frame declares, whatever they are.

    Raises:
        DamagedImage: it declares none before its pixels.
    """
    position = 2 if data[:2] == b"\xff\xd8" else len(data)
    for _ in range(_MAX_SEGMENTS):
        marker, position = _marker(data, position)
        body, position = _body(data, position)
        if marker in _SEQUENTIAL or marker == _PROGRESSIVE:
            height, width = struct.unpack_from(">HH", body.ljust(5, b"\0"), 1)
            return width, height
        if marker == _SOS:
            break
    raise DamagedImage(cause="no frame")


def decode_jpeg(jpeg: Jpeg, *, decode_at_least: tuple[int, int] | None = None) -> Pixels:
    """Decode a stripped JPEG, upright.

    Args:
        jpeg: what `strip_jpeg` returned.
        decode_at_least: smallest (width, height), as displayed, that will do; the image is then
            decoded at 1/2, 1/4 or 1/8 of its size where neither side falls below.
    """
    with Image.open(BytesIO(jpeg.clean), formats=("JPEG",)) as image:
        if image.size != (jpeg.width, jpeg.height):
            raise DamagedImage(cause="the decoder sees another size")
        if decode_at_least is not None:
            width, height = (max(1, side) for side in decode_at_least)
            wanted = (height, width) if swaps_sides(jpeg.orientation) else (width, height)
            image.draft(image.mode, wanted)
        return to_pixels(upright(image, jpeg.orientation))


def _marker(data: bytes, position: int) -> tuple[int, int]:
    """The marker at `position` (fill bytes before it are allowed) and where its body begins."""
    if data[position : position + 1] != b"\xff":
        raise DamagedImage(cause="no marker where one must be")
    while data[position : position + 1] == b"\xff":
        position += 1
    if position >= len(data):
        raise DamagedImage(cause="no end of image")
    return data[position], position + 1


def _body(data: bytes, position: int) -> tuple[bytes, int]:
    """A segment's body, without its length, and where the segment ends."""
    length = int.from_bytes(data[position : position + 2], "big")
    end = position + length
    if length < 2 or end > len(data):
        raise DamagedImage(cause="a segment is cut short")
    return data[position + 2 : end], end


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _read_frame(body: bytes, marker: int) -> _Frame:
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise DamagedImage(cause="frame header")
    precision, height, width, components = struct.unpack(">BHHB", body[:6])
    check_size(width, height)
    if precision != 8:
        raise UnsupportedPixels("This JPEG has more than 8 bits a sample, which is not read.")
    if components not in {1, 3, 4}:
        raise UnsupportedPixels(cause=f"{components} components")
    factors = [divmod(body[7 + 3 * index], 16) for index in range(components)]
    if not all(1 <= side <= 4 for factor in factors for side in factor):
        raise DamagedImage(cause="sampling factors")
    most = [max(column) for column in zip(*factors, strict=True)]
    blocks = sum(
        _blocks(width, across, most[0]) * _blocks(height, down, most[1]) for across, down in factors
    )
    return _Frame(width, height, components, blocks, marker == _PROGRESSIVE)


def _blocks(side: int, factor: int, largest: int) -> int:
    """Blocks along a side of a component, without padding."""
    samples = -(-side * factor // largest)
    return -(-samples // 8)
