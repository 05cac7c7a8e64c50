"""Hostile JPEG, PNG, BMP and WebP files, one function a class; each takes its own randomness."""

import random
import struct
import zlib
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image

from tests.fixtures.images import colour, encode, grey, jpeg_segment, png_chunk, with_segments

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIDES = (50_000, 65_000, 65_500, 65_535)


def jpeg(rng: random.Random, **options: object) -> bytes:
    """A good JPEG to spoil."""
    return encode(grey(rng.randint(40, 90), rng.randint(40, 90)), "JPEG", **options)


def markers(data: bytes) -> list[int]:
    """Where the segments of a JPEG begin, its end last."""
    found, position = [], 2
    while data[position + 1] != 0xDA:
        found.append(position)
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return [*found, position, len(data) - 2]


def frame_at(data: bytes) -> int:
    """Where the frame header of a baseline JPEG begins."""
    return next(one for one in markers(data) if data[one + 1] == 0xC0)


def put(data: bytes, at: int, new: bytes) -> bytes:
    """The data with some bytes in it replaced."""
    return data[:at] + new + data[at + len(new) :]


def jpeg_cut_at_a_marker(rng: random.Random) -> bytes:
    data = jpeg(rng)
    return data[: rng.choice(markers(data)) + rng.randint(0, 3)][: len(data) - 2]


def jpeg_cut_in_its_scan(rng: random.Random) -> bytes:
    data = jpeg(rng)
    return data[: rng.randint(markers(data)[-2] + 12, len(data) - 2)]


def jpeg_of_65k(rng: random.Random) -> bytes:
    data = jpeg(rng)
    return put(data, frame_at(data) + 5, struct.pack(">HH", *rng.choices(SIDES, k=2)))


def jpeg_without_a_side(rng: random.Random) -> bytes:
    data = jpeg(rng)
    return put(data, frame_at(data) + rng.choice((5, 7)), b"\0\0")


def jpeg_larger_than_its_scan(rng: random.Random) -> bytes:
    data = jpeg(rng)
    size = struct.pack(">HH", rng.randint(3000, 7000), rng.randint(3000, 7000))
    return put(data, frame_at(data) + 5, size)


def jpeg_segment_longer_than_the_file(rng: random.Random) -> bytes:
    data = jpeg(rng)
    at = rng.choice(markers(data)[:-1])
    return put(data, at + 2, struct.pack(">H", rng.randint(60_000, 65_535)))


def jpeg_segment_of_no_length(rng: random.Random) -> bytes:
    data = jpeg(rng)
    return put(data, rng.choice(markers(data)[:-1]) + 2, struct.pack(">H", rng.randint(0, 1)))


def jpeg_of_many_scans(rng: random.Random) -> bytes:
    data = jpeg(rng, progressive=True)
    at = data.rindex(b"\xff\xda")
    return data[:-2] + data[at:-2] * rng.randint(60, 900) + b"\xff\xd9"


def jpeg_of_many_segments(rng: random.Random) -> bytes:
    return with_segments(jpeg(rng), jpeg_segment(0xFE, b"") * rng.randint(5_000, 60_000))


def jpeg_of_two_frames(rng: random.Random) -> bytes:
    data = jpeg(rng)
    at = frame_at(data)
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[:end] + data[at:end] * rng.randint(1, 50) + data[end:]


def jpeg_of_an_odd_process(rng: random.Random) -> bytes:
    data = jpeg(rng)
    odd = rng.choice((0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xDE))
    return put(data, frame_at(data) + 1, bytes([odd]))


def jpeg_of_12_bits(rng: random.Random) -> bytes:
    data = jpeg(rng)
    return put(data, frame_at(data) + 4, bytes([rng.choice((2, 12, 16, 255))]))


def jpeg_of_many_components(rng: random.Random) -> bytes:
    data = jpeg(rng)
    at = frame_at(data)
    count = rng.choice((0, 2, 5, 10, 255))
    body = data[at + 4 : at + 9] + bytes([count]) + b"\x01\x11\x00" * count
    return data[:at] + jpeg_segment(0xC0, body) + data[at + 13 :]


def jpeg_of_no_sampling(rng: random.Random) -> bytes:
    data = jpeg(rng)
    return put(data, frame_at(data) + 11, bytes([rng.choice((0x00, 0x01, 0x10, 0x5F, 0xFF))]))


def jpeg_without_tables(rng: random.Random) -> bytes:
    data = jpeg(rng)
    found = markers(data)
    parts = [
        data[at:end]
        for at, end in zip(found, [*found[1:], None], strict=True)
        if data[at + 1] != 0xDB
    ]
    return data[:2] + b"".join(parts)


def jpeg_of_an_overfull_code(rng: random.Random) -> bytes:
    data = jpeg(rng)
    table = bytes([0x00, *(rng.randint(200, 255) for _ in range(16))]) + bytes(300)
    at = markers(data)[-2]
    return data[:at] + jpeg_segment(0xC4, table) + data[at:]


def jpeg_that_never_begins(rng: random.Random) -> bytes:
    return b"\xff\xd8\xff" + bytes(rng.choices((0xFF, 0x00, 0xD8), k=rng.randint(10, 5000)))


def png(header: bytes, *chunks: bytes) -> bytes:
    """A PNG of these chunks behind its header."""
    return SIGNATURE + png_chunk(b"IHDR", header) + b"".join(chunks) + png_chunk(b"IEND", b"")


def head(width: int, height: int, depth: int = 8, kind: int = 0, interlace: int = 0) -> bytes:
    """The body of a header."""
    return struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlace)


def rows(width: int, height: int) -> bytes:
    """Pixels of a grey image, compressed."""
    return zlib.compress(bytes((width + 1) * height))


def good_png(rng: random.Random) -> bytes:
    """A good PNG to spoil."""
    return encode(colour(rng.randint(40, 90), rng.randint(40, 90)), "PNG")


def png_of_65k(rng: random.Random) -> bytes:
    sides = rng.choice((rng.choices(SIDES, k=2), [2**31 - 1, 2**31 - 1], [16, 2**31 - 1]))
    return png(head(*sides), png_chunk(b"IDAT", rows(64, 64)))


def png_without_a_side(rng: random.Random) -> bytes:
    sides = rng.sample((0, rng.randint(16, 99)), 2)
    return png(head(*sides), png_chunk(b"IDAT", rows(64, 64)))


def png_cut_at_a_chunk(rng: random.Random) -> bytes:
    data = good_png(rng)
    ends = [8, 33, len(data) - 12]
    return data[: rng.choice(ends) + rng.randint(0, 8)]


def png_chunk_longer_than_the_file(rng: random.Random) -> bytes:
    length = rng.choice((0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 1_000_000))
    return put(good_png(rng), 33, struct.pack(">I", length))


def png_of_a_wrong_checksum(rng: random.Random) -> bytes:
    data = good_png(rng)
    at = rng.randint(41, len(data) - 17)
    return put(data, at, bytes([data[at] ^ rng.randint(1, 255)]))


def png_of_more_than_its_pixels(rng: random.Random) -> bytes:
    hidden = rng.randbytes(rng.randint(200_000, 400_000))
    return png(head(64, 64), png_chunk(b"IDAT", rows(64, 64) + hidden))


@cache
def zeros(megabytes: int, window: int = zlib.MAX_WBITS) -> bytes:
    """So many megabytes of zeros, compressed; made once."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes)) + packer.flush()


def png_bomb(rng: random.Random) -> bytes:
    """Megabytes of zeros behind 64 by 64 pixels: the reader is not to inflate them."""
    return png(head(64, 64), png_chunk(b"IDAT", zeros(rng.choice((100, 200)))))


def png_of_fewer_than_its_pixels(rng: random.Random) -> bytes:
    sides = rng.randint(5000, 7000), rng.randint(5000, 7000)
    return png(head(*sides, kind=rng.choice((0, 2, 6))), png_chunk(b"IDAT", rows(64, 64)))


def png_without_header(rng: random.Random) -> bytes:
    other = png_chunk(rng.choice((b"IDAT", b"tEXt", b"PLTE")), rows(64, 64))
    return SIGNATURE + other * rng.randint(1, 5) + png_chunk(b"IEND", b"")


def png_of_two_headers(rng: random.Random) -> bytes:
    second = png_chunk(b"IHDR", head(rng.randint(16, 90_000), rng.randint(16, 90_000)))
    return png(head(64, 64), second, png_chunk(b"IDAT", rows(64, 64)))


def png_header_of_a_wrong_length(rng: random.Random) -> bytes:
    body = (head(64, 64) + bytes(300))[: rng.choice((0, 1, 8, 12, 14, 200))]
    return png(body, png_chunk(b"IDAT", rows(64, 64)))


def png_of_an_impossible_depth(rng: random.Random) -> bytes:
    depth, kind = rng.choice(((3, 0), (32, 0), (8, 5), (255, 2), (1, 2), (16, 3), (8, 99)))
    return png(head(64, 64, depth, kind), png_chunk(b"IDAT", rows(64, 64)))


def png_of_an_odd_palette(rng: random.Random) -> bytes:
    entries = png_chunk(b"PLTE", rng.randbytes(3 * rng.randint(300, 20_000)))
    return png(head(64, 64, 8, 3), entries, entries, png_chunk(b"IDAT", rows(64, 64)))


def png_of_many_chunks(rng: random.Random) -> bytes:
    return png(head(64, 64), png_chunk(b"IDAT", b"") * rng.randint(100_001, 120_000))


def png_of_an_unknown_critical_chunk(rng: random.Random) -> bytes:
    name = bytes([rng.randint(65, 90), *rng.choices(range(97, 123), k=2), rng.randint(65, 90)])
    return png(head(64, 64), png_chunk(name, rng.randbytes(50)), png_chunk(b"IDAT", rows(64, 64)))


def png_that_moves(rng: random.Random) -> bytes:
    frames = png_chunk(b"acTL", struct.pack(">II", rng.randint(2, 2**31 - 1), 0))
    return png(head(64, 64), frames, png_chunk(b"IDAT", rows(64, 64)))


def png_of_a_broken_stream(rng: random.Random) -> bytes:
    return png(head(64, 64), png_chunk(b"IDAT", b"\x78\x9c" + rng.randbytes(rng.randint(0, 3000))))


def png_of_an_odd_interlace(rng: random.Random) -> bytes:
    sides = rng.randint(6000, 7000), rng.randint(6000, 7000)
    return png(head(*sides, interlace=1), png_chunk(b"IDAT", rows(10, 10)))


def bmp(rng: random.Random) -> bytes:
    """A good BMP to spoil."""
    return encode(colour(rng.randint(40, 90), rng.randint(40, 90)), "BMP")


def bmp_of_65k(rng: random.Random) -> bytes:
    return put(bmp(rng), 18, struct.pack("<ii", *rng.choices((*SIDES, 2**31 - 1, -65_000), k=2)))


def bmp_of_a_negative_side(rng: random.Random) -> bytes:
    width = rng.choice((0, -1, -64, -(2**31)))
    return put(bmp(rng), 18, struct.pack("<i", width))


def bmp_of_runs(rng: random.Random) -> bytes:
    data = put(bmp(rng), 30, struct.pack("<I", rng.choice((1, 2))))
    return data[:54] + rng.choice((b"\xff\x00", b"\x00\x02\xff\xff")) * 5000


def bmp_with_another_format_inside(rng: random.Random) -> bytes:
    data = put(bmp(rng), 30, struct.pack("<I", rng.choice((4, 5, 11, 12, 13, 2**32 - 1))))
    return data[:54] + jpeg(rng)


def bmp_of_an_odd_depth(rng: random.Random) -> bytes:
    return put(bmp(rng), 28, struct.pack("<H", rng.choice((0, 2, 3, 7, 48, 64, 65_535))))


def bmp_whose_pixels_are_elsewhere(rng: random.Random) -> bytes:
    return put(bmp(rng), 10, struct.pack("<I", rng.randint(2**20, 2**32 - 1)))


def bmp_cut_short(rng: random.Random) -> bytes:
    data = bmp(rng)
    return data[: rng.randint(18, len(data) - 4)]


def bmp_larger_than_its_pixels(rng: random.Random) -> bytes:
    return put(bmp(rng), 18, struct.pack("<ii", rng.randint(5000, 7000), rng.randint(5000, 7000)))


def webp(rng: random.Random, **options: object) -> bytes:
    """A good WebP to spoil."""
    return encode(colour(rng.randint(40, 90), rng.randint(40, 90)), "WEBP", **options)


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks."""
    body = b"WEBP" + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_longer_than_the_file(rng: random.Random) -> bytes:
    return put(webp(rng), 4, struct.pack("<I", rng.randint(2**20, 2**32 - 1)))


def webp_chunk_longer_than_the_file(rng: random.Random) -> bytes:
    return put(webp(rng), 16, struct.pack("<I", rng.randint(2**20, 2**32 - 1)))


def webp_of_another_size(rng: random.Random) -> bytes:
    lossless = rng.random() < 0.5
    data = webp(rng, lossless=lossless)
    if lossless:
        return put(data, 21, struct.pack("<I", 0x0FFFFFFF))
    return put(data, 26, struct.pack("<HH", 0x3FFF, 0x3FFF))


def webp_cut_in_its_pixels(rng: random.Random) -> bytes:
    body = webp(rng, lossless=rng.random() < 0.5)
    kind, data = body[12:16], body[20:]
    return riff((kind, data[: rng.randint(12, len(data) // 3)]))


def webp_that_moves(rng: random.Random) -> bytes:
    frames = [Image.fromarray(colour(40, 40) + np.uint8(one)) for one in range(3)]
    target = BytesIO()
    frames[0].save(
        target, "WEBP", save_all=True, append_images=frames[1:], duration=rng.randint(1, 99)
    )
    return target.getvalue()


def webp_of_an_empty_head(rng: random.Random) -> bytes:
    good = webp(rng)
    return riff((b"VP8X", b""), (good[12:16], good[20:]))


def webp_without_pixels(rng: random.Random) -> bytes:
    name = bytes(rng.choices(range(65, 91), k=4))
    return riff((b"VP8X", rng.randbytes(10)), (name, rng.randbytes(rng.randint(0, 200))))


def webp_of_noise(rng: random.Random) -> bytes:
    head_ = rng.choice((b"\x2f\x3f\xc0\x0f\x00", b"\x00\x00\x00\x9d\x01\x2a\x40\x00\x40\x00"))
    name = b"VP8L" if head_[0] == 0x2F else b"VP8 "
    return riff((name, head_ + rng.randbytes(rng.randint(5, 60))))
