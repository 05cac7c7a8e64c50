"""Hostile TIFF files, one function a class; each takes its own randomness."""

import random
import struct
import zlib

from tests.fixtures.images import encode, grey
from tests.security.hostile_rasters import SIDES, jpeg, zeros

#: Tag: type and values of a good page of 64 by 64 grey pixels whose strip lies behind the tags.
SHORT, LONG = 3, 4


def tiff(
    data: bytes, *, order: str = "<", following: int = 0, count: int | None = None, **tags: object
) -> bytes:
    """A TIFF of one directory; tags as `t256=(type, value)` replace those of a good page."""
    entries: dict[int, tuple[int, int, int]] = {
        256: (SHORT, 1, 64),
        257: (SHORT, 1, 64),
        258: (SHORT, 1, 8),
        259: (SHORT, 1, 1),
        262: (SHORT, 1, 1),
        273: (LONG, 1, 4096),
        277: (SHORT, 1, 1),
        278: (SHORT, 1, 64),
        279: (LONG, 1, len(data)),
    }
    for name, value in tags.items():
        assert isinstance(value, tuple)
        entries[int(name[1:])] = value
    rows = b""
    for tag, (kind, number, value) in sorted(entries.items()):
        small = kind == SHORT and number == 1
        packed = struct.pack(f"{order}HH", value, 0) if small else struct.pack(f"{order}I", value)
        rows += struct.pack(f"{order}HHI", tag, kind, number) + packed
    magic = b"II*\0" if order == "<" else b"MM\0*"
    whole = magic + struct.pack(f"{order}I", 8)
    whole += struct.pack(f"{order}H", len(entries) if count is None else count) + rows
    whole += struct.pack(f"{order}I", following)
    return whole.ljust(4096, b"\0") + data


PIXELS = bytes(64 * 64)


def order(rng: random.Random) -> str:
    """Either order of bytes."""
    return rng.choice("<>")


def tiff_directory_that_follows_itself(rng: random.Random) -> bytes:
    return tiff(PIXELS, order=order(rng), following=8)


def tiff_of_endless_directories(rng: random.Random) -> bytes:
    return tiff(PIXELS, order=order(rng), following=rng.randint(9, 2**32 - 1))


def tiff_of_65k(rng: random.Random) -> bytes:
    width, height = rng.choices((*SIDES, 2**32 - 1), k=2)
    return tiff(PIXELS, order=order(rng), t256=(LONG, 1, width), t257=(LONG, 1, height))


def tiff_without_a_side(rng: random.Random) -> bytes:
    return tiff(PIXELS, order=order(rng), **{f"t{rng.choice((256, 257))}": (SHORT, 1, 0)})


def tiff_of_a_tag_longer_than_the_file(rng: random.Random) -> bytes:
    number = rng.choice((2**31, 2**32 - 1, 150_000, 199_999))
    tag = rng.choice((258, 273, 279, 320, 347))
    return tiff(PIXELS, order=order(rng), **{f"t{tag}": (rng.choice((SHORT, LONG)), number, 8)})


def tiff_of_a_type_that_is_none(rng: random.Random) -> bytes:
    tag = rng.choice((256, 258, 273, 279))
    return tiff(PIXELS, order=order(rng), **{f"t{tag}": (rng.randint(19, 65_535), 1, 8)})


def tiff_whose_pixels_are_elsewhere(rng: random.Random) -> bytes:
    place = rng.randint(2**20, 2**32 - 1)
    return tiff(PIXELS, order=order(rng), t273=(LONG, 1, place))


def tiff_larger_than_its_pixels(rng: random.Random) -> bytes:
    width, height = rng.randint(5000, 7000), rng.randint(5000, 7000)
    return tiff(
        PIXELS,
        order=order(rng),
        t256=(LONG, 1, width),
        t257=(LONG, 1, height),
        t278=(LONG, 1, height),
        t279=(LONG, 1, rng.choice((len(PIXELS), width * height))),
    )


def tiff_of_broken_lzw(rng: random.Random) -> bytes:
    return tiff(rng.randbytes(200), order=order(rng), t259=(SHORT, 1, 5))


def tiff_of_broken_deflate(rng: random.Random) -> bytes:
    data = zlib.compress(PIXELS)[: rng.randint(2, 12)] + rng.randbytes(20)
    return tiff(data, order=order(rng), t259=(SHORT, 1, rng.choice((8, 32946))))


def tiff_deflate_bomb(rng: random.Random) -> bytes:
    """Gigapixels of zeros in a few megabytes."""
    bomb = zeros(rng.choice((100, 200)))
    sides = {"t256": (LONG, 1, 30_000), "t257": (LONG, 1, 30_000), "t278": (LONG, 1, 30_000)}
    return tiff(bomb, order=order(rng), t259=(SHORT, 1, 8), **sides)


def tiff_with_another_jpeg_inside(rng: random.Random) -> bytes:
    data = jpeg(rng)
    sides = {"t256": (LONG, 1, 7000), "t257": (LONG, 1, 7000), "t278": (LONG, 1, 7000)}
    return tiff(data, order=order(rng), t259=(SHORT, 1, 7), **sides)


def tiff_of_another_compression(rng: random.Random) -> bytes:
    kind = rng.choice((2, 3, 4, 6, 34712, 34925, 50000, 65_535))
    return tiff(rng.randbytes(300), order=order(rng), t259=(SHORT, 1, kind))


def tiff_of_another_kind_of_pixel(rng: random.Random) -> bytes:
    tag, value = rng.choice(
        ((339, 2), (339, 3), (339, 6), (258, 32), (258, 64), (262, 8), (277, 9))
    )
    return tiff(PIXELS, order=order(rng), **{f"t{tag}": (SHORT, 1, value)})


def tiff_of_a_huge_tile(rng: random.Random) -> bytes:
    side = rng.choice((65_520, 100_000, 2**31))
    tiles = {"t322": (LONG, 1, side), "t323": (LONG, 1, side), "t324": (LONG, 1, 4096)}
    return tiff(PIXELS, order=order(rng), **tiles, t325=(LONG, 1, 4096))


def tiff_of_many_tags(rng: random.Random) -> bytes:
    return tiff(bytes(200_000), order=order(rng), count=rng.randint(1001, 65_535))


def tiff_cut_short(rng: random.Random) -> bytes:
    data = tiff(PIXELS, order=order(rng))
    return data[: rng.choice((4, 8, 9, 20, 60, 100, 4096, 5000))]


def tiff_directory_elsewhere(rng: random.Random) -> bytes:
    return b"II*\0" + struct.pack("<I", rng.randint(5000, 2**32 - 1)) + PIXELS


def tiff_big_of_no_sense(rng: random.Random) -> bytes:
    place = rng.choice((2**63, 2**64 - 1, 2**40, 10_000))
    return b"II+\0" + struct.pack("<HHQ", 8, 0, place) + rng.randbytes(100)


def tiff_of_many_pages(rng: random.Random) -> bytes:
    from PIL import Image

    pages = [Image.fromarray(grey(20, 20)) for _ in range(rng.randint(2, 60))]
    return encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
