"""PNG: checked and stripped chunk by chunk without re-encoding, then decoded."""

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

from diagnosis.errors import DamagedImage, DecompressionBomb, MultiFrameImage
from diagnosis.images.checked import Pixels, check_size
from diagnosis.images.orientation import UPRIGHT, Orientation, read_orientation, upright
from diagnosis.images.pixels import encode_png, is_transparent, to_pixels

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Writers split pixels into pieces of 8 KB or more; a smaller split only costs time.
_MAX_CHUNKS = 100_000
#: Samples of a pixel by colour type; the palette has one.
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


@dataclass(frozen=True)
class Png:
    """A complete PNG without its metadata."""

    clean: bytes
    """Header, palette, transparency and pixels; the pixels' chunks are joined into one."""
    width: int
    """Pixels as stored, before orientation."""
    height: int
    orientation: Orientation


def strip_png(data: bytes) -> Png:
    """Check a PNG's structure to its end and drop every chunk that decoding does not need.

    Text, times, profiles and unknown chunks are dropped unopened, however far they would inflate.

    Raises:
        DamagedImage: cut short, a checksum that does not fit, or chunks out of place.
        DecompressionBomb: more data than its pixels can take.
        MultiFrameImage: animated.
        TooManyPixels, ImageTooSmall: by its declared size.
    """
    header = palette = transparency = b""
    idat: list[bytes] = []
    orientation = UPRIGHT
    position = len(_SIGNATURE)
    for index in range(_MAX_CHUNKS):
        name, body, position = _chunk(data, position)
        if (name == b"IHDR") != (index == 0):
            raise DamagedImage(cause="header out of place")
        if name == b"IHDR":
            if len(body) != 13:
                raise DamagedImage(cause="header length")
            header = body
            check_size(*struct.unpack(">II", header[:8]))
        elif name == b"IEND":
            break
        elif name == b"IDAT":
            idat.append(body)
        elif name == b"acTL":
            raise MultiFrameImage
        elif name == b"PLTE" and not palette and not idat:
            palette = body
        elif name == b"tRNS" and not transparency and not idat:
            transparency = body
        elif name == b"eXIf":
            orientation = read_orientation(body)
        elif not name[0] & 0x20:
            raise DamagedImage(cause="unknown or repeated critical chunk")
    else:
        raise DamagedImage(cause="too many chunks")
    if not idat:
        raise DamagedImage(cause="no pixels")
    if sum(map(len, idat)) > _most_idat(header):
        raise DecompressionBomb(cause="more data than pixels")
    if header[8:10] == b"\x10\x00":
        transparency = b""  # a 16-bit grey value that is see-through: a scanner's quirk, ignored
    parts = [_SIGNATURE, _write(b"IHDR", header)]
    parts += [_write(b"PLTE", palette)] if palette else []
    parts += [_write(b"tRNS", transparency)] if transparency else []
    parts += [_write(b"IDAT", b"".join(idat)), _write(b"IEND", b"")]
    width, height = struct.unpack(">II", header[:8])
    return Png(b"".join(parts), width, height, orientation)


def _most_idat(header: bytes) -> int:
    """Bytes that the pixels of this header can take at most, when they cannot be compressed.

    Deflate stores what it cannot compress with little on top; an eighth and 64 KB are generous.
    What is longer holds something else behind its pixels: data to inflate, or to hide.
    """
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * _SAMPLES.get(kind, 4) * width
    # Adam7 splits each row over up to seven passes, each with a filter byte.
    raw: int = height * ((bits + 7) // 8 + (8 if interlaced else 1))
    return raw + raw // 8 + 65_536


def decode_png(png: Png) -> tuple[Pixels, bytes]:
    """Decode a stripped PNG, upright.

    Returns:
        The pixels, and the file to keep: the stripped one, or one made anew where that would not
        look like the pixels (it is transparent or stored turned).
    """
    with Image.open(BytesIO(png.clean), formats=("PNG",)) as image:
        if image.size != (png.width, png.height):
            raise DamagedImage(cause="the decoder sees another size")
        image.load()
        looks_alike = not is_transparent(image) and png.orientation == UPRIGHT
        pixels = to_pixels(upright(image, png.orientation))
    return pixels, png.clean if looks_alike else encode_png(pixels)


def _chunk(data: bytes, position: int) -> tuple[bytes, bytes, int]:
    """Name and body of the chunk at `position`, and where the next one begins."""
    if position + 12 > len(data):
        raise DamagedImage(cause="no end of image")
    length, name = struct.unpack_from(">I4s", data, position)
    end = position + 12 + length
    if end > len(data) or not name.isalpha():
        raise DamagedImage(cause="a chunk is cut short")
    body = data[position + 8 : end - 4]
    if zlib.crc32(body, zlib.crc32(name)) != int.from_bytes(data[end - 4 : end], "big"):
        raise DamagedImage(cause="checksum")
    return name, body, end


def _write(name: bytes, body: bytes) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(name))
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)
