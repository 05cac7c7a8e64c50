"""WebP and BMP: declared size and kind checked in the header, then decoded by Pillow."""

import struct
from io import BytesIO

from PIL import Image

from diagnosis.errors import DamagedImage, MultiFrameImage, UnsupportedFormat, UnsupportedPixels
from diagnosis.images.checked import Pixels, check_size
from diagnosis.images.orientation import UPRIGHT, read_orientation, upright
from diagnosis.images.pixels import to_pixels

_MAX_CHUNKS = 1000
_ANIMATED = 0x02
_UNCOMPRESSED, _BIT_FIELDS = 0, 3


def decode_webp(data: bytes) -> Pixels:
    """Decode a still WebP, upright.

    Raises:
        MultiFrameImage: animated.
        DamagedImage, TooManyPixels, ImageTooSmall: as everywhere.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise DamagedImage(cause="shorter than it declares")
    size: tuple[int, int] | None = None
    orientation = UPRIGHT
    kept: list[bytes] = []
    position = 12
    for _ in range(_MAX_CHUNKS):
        if position + 8 > end:
            break
        name, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : position + 8 + length]
        if position + 8 + length > end:
            raise DamagedImage(cause="a chunk is cut short")
        if name in {b"ANIM", b"ANMF"} or (name == b"VP8X" and body[0] & _ANIMATED):
            raise MultiFrameImage
        if name == b"EXIF":
            orientation = read_orientation(body)
        elif name in {b"VP8 ", b"VP8L"} and size is None:
            size = _webp_size(name, body)
            check_size(*size)
            kept.append(_chunk(name, body))
        elif name == b"ALPH" and size is None:
            kept.append(_chunk(name, body))
        elif name == b"VP8X" and not kept:
            # Only the flag for alpha stays: profile, EXIF and XMP are not handed on.
            kept.append(_chunk(name, bytes([body[0] & 0x10]) + body[1:10]))
        position += 8 + length + length % 2
    if size is None:
        raise DamagedImage(cause="no pixels")
    content = b"WEBP" + b"".join(kept)
    clean = struct.pack("<4sI", b"RIFF", len(content)) + content
    with Image.open(BytesIO(clean), formats=("WEBP",)) as image:
        if image.size != size:
            raise DamagedImage(cause="the decoder sees another size")
        return to_pixels(upright(image, orientation))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack("<4sI", name, len(body)) + body + bytes(len(body) % 2)


def _webp_size(name: bytes, body: bytes) -> tuple[int, int]:
    """Width and height from the head of a lossy or lossless bit stream."""
    if name == b"VP8L":
        if len(body) < 5 or body[0] != 0x2F:
            raise DamagedImage(cause="lossless header")
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(body) < 10 or body[3:6] != b"\x9d\x01\x2a":
        raise DamagedImage(cause="lossy header")
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def decode_bmp(data: bytes) -> Pixels:
    """Decode an uncompressed BMP.

    Raises:
        UnsupportedFormat: run-length encoded, or with a JPEG or PNG inside.
        UnsupportedPixels: an unusual number of bits.
        DamagedImage, TooManyPixels, ImageTooSmall: as everywhere.
    """
    compression = _UNCOMPRESSED
    if int.from_bytes(data[14:18], "little") == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)
    check_size(width, height)
    if compression not in {_UNCOMPRESSED, _BIT_FIELDS}:
        raise UnsupportedFormat(
            "This BMP is compressed, which is not read.",
            remedy="Save it as a PNG or an uncompressed BMP and send that.",
        )
    if bits not in {1, 4, 8, 16, 24, 32}:
        raise UnsupportedPixels(cause=f"{bits} bits")
    with Image.open(BytesIO(data), formats=("BMP",)) as image:
        if image.size != (width, height):
            raise DamagedImage(cause="the decoder sees another size")
        return to_pixels(image)
