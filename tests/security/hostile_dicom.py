"""Hostile DICOM files, one function a class; each takes its own randomness."""

import random
import struct
import zlib

import numpy as np
from pydicom import uid

from tests.fixtures.images import dicom, dicom_bytes, dicom_dataset, encapsulated, encode, grey
from tests.security.hostile_rasters import SIDES, jpeg, put, zeros

EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
J2K = "1.2.840.10008.1.2.4.90"
BASELINE = "1.2.840.10008.1.2.4.50"
RLE = "1.2.840.10008.1.2.5"


def element(group: int, number: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element with an explicit representation, with a length that may lie."""
    size = len(value) if length is None else length
    tag = struct.pack("<HH", group, number)
    if vr in {b"OB", b"OW", b"SQ", b"UN", b"UT"}:
        return tag + vr + b"\0\0" + struct.pack("<I", size) + value
    return tag + vr + struct.pack("<H", size) + value


def file(*elements: bytes, syntax: str = EXPLICIT, preamble: bytes = bytes(128)) -> bytes:
    """A DICOM file of these elements."""
    name = syntax.encode() + b"\0" * (len(syntax) % 2)
    return preamble + b"DICM" + element(2, 0x10, b"UI", name) + b"".join(elements)


def short(group: int, number: int, value: int) -> bytes:
    """An element of one 16-bit number."""
    return element(group, number, b"US", struct.pack("<H", value))


def picture(rows: int = 64, columns: int = 64, bits: int = 8) -> bytes:
    """The elements of a grey picture but for its pixels."""
    return b"".join(
        (
            short(0x28, 2, 1),
            element(0x28, 4, b"CS", b"MONOCHROME2 "),
            short(0x28, 0x10, rows),
            short(0x28, 0x11, columns),
            short(0x28, 0x100, bits),
            short(0x28, 0x101, bits),
            short(0x28, 0x102, bits - 1),
            short(0x28, 0x103, 0),
        )
    )


def pixels(data: bytes, length: int | None = None) -> bytes:
    """The element of the pixels."""
    return element(0x7FE0, 0x10, b"OW", data, length)


def dicom_deflate_bomb(rng: random.Random) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    start = packer.compress(picture() + pixels(b"", 0xFFFFFFFE))
    start += packer.flush(zlib.Z_FULL_FLUSH)
    return file(start + zeros(rng.choice((170, 250)), -zlib.MAX_WBITS), syntax=DEFLATED)


def dicom_of_broken_deflate(rng: random.Random) -> bytes:
    return file(rng.randbytes(rng.randint(0, 2000)), syntax=DEFLATED)


def dicom_of_65k(rng: random.Random) -> bytes:
    return file(picture(*rng.choices(SIDES, k=2)), pixels(bytes(4096)))


def dicom_without_a_side(rng: random.Random) -> bytes:
    sides = rng.choice(((0, 64), (64, 0), (0, 0)))
    return file(picture(*sides), pixels(bytes(4096)))


def dicom_of_fewer_pixels(rng: random.Random) -> bytes:
    sides = rng.randint(3000, 7000), rng.randint(3000, 7000)
    return file(picture(*sides), pixels(bytes(rng.randint(1, 2000) * 2)))


def dicom_pixels_longer_than_the_file(rng: random.Random) -> bytes:
    length = rng.choice((0xFFFFFFFE, 0x7FFFFFFE, 10_000_000))
    return file(picture(), pixels(bytes(1000), length))


def dicom_element_longer_than_the_file(rng: random.Random) -> bytes:
    lie = element(0x10, 0x10, b"UN", b"A" * 16, rng.randint(2**20, 2**32 - 2))
    return file(lie, picture(), pixels(bytes(4096)))


def dicom_of_nested_sequences(rng: random.Random) -> bytes:
    """A sequence that the reader wants, in itself, thousands of times."""
    start = struct.pack("<HH", 0x28, 0x3000) + b"SQ\0\0\xff\xff\xff\xff"
    item = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return file(picture() + (start + item) * rng.randint(1500, 9000), pixels(bytes(4096)))


def dicom_of_many_items(rng: random.Random) -> bytes:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * rng.randint(10_001, 200_000)
    sequence = element(0x28, 0x3010, b"SQ", items)
    return file(picture(), sequence, pixels(bytes(4096)))


def dicom_of_many_elements(rng: random.Random) -> bytes:
    flood = b"".join(element(0x0009, n & 0xFFFF, b"LO", b"") for n in range(120_000))
    return file(flood, picture(), pixels(bytes(4096 + rng.randint(0, 9))))


def dicom_cut_short(rng: random.Random) -> bytes:
    data = dicom(grey(64, 64))
    return data[: rng.randint(140, len(data) - 100)]


def dicom_behind_a_program(rng: random.Random) -> bytes:
    """A program in the preamble (CVE-2019-11687), and no picture behind it."""
    start = rng.choice((b"MZ\x90\0", b"\x7fELF\x02\x01\x01", b"#!/bin/sh\nid\n", b"PK\x03\x04"))
    return file(element(8, 0x60, b"CS", b"SR"), preamble=start.ljust(128, b"\x90"))


def dicom_of_many_frames(rng: random.Random) -> bytes:
    number = rng.choice((b"2 ", b"999999999 ", b"2147483647"))
    return file(element(0x28, 8, b"IS", number), picture(), pixels(bytes(4096)))


def dicom_frames_of_no_number(rng: random.Random) -> bytes:
    number = rng.choice((b"1e99", b"NaN ", b"--1 ", b"0x10", b"\xff\xfe\xfd\xfc"))
    return file(element(0x28, 8, b"IS", number), picture(), pixels(bytes(4096)))


def dicom_of_floats(rng: random.Random) -> bytes:
    number = rng.choice((8, 9))
    return file(picture(), element(0x7FE0, number, b"OW", bytes(4096)))


def dicom_without_picture(rng: random.Random) -> bytes:
    return file(element(8, 0x60, b"CS", rng.choice((b"SR", b"KO", b"PR"))))


def dicom_of_an_odd_depth(rng: random.Random) -> bytes:
    bits = rng.choice((1, 3, 7, 24, 32, 64, 65_535))
    return file(picture(bits=bits), pixels(bytes(40_000)))


def dicom_of_more_bits_than_allocated(rng: random.Random) -> bytes:
    dataset = dicom_dataset(grey(64, 64), BitsStored=rng.choice((9, 16, 64, 65_535)))
    return dicom_bytes(dataset)


def dicom_of_another_syntax(rng: random.Random) -> bytes:
    syntax = rng.choice(
        (
            uid.MPEG2MPML,
            uid.HEVCMP51,
            uid.JPEGLSLossless,
            uid.JPEGLosslessSV1,
            uid.JPEGExtended12Bit,
            uid.HTJ2K,
            "1.2.3.4.5",
            "A" * 60,
        )
    )
    return file(picture(), pixels(bytes(4096)), syntax=str(syntax))


def dicom_meta_longer_than_the_file(rng: random.Random) -> bytes:
    length = rng.choice((0xFFFFFFFF, 0x7FFFFFFF, 100_000))
    return bytes(128) + b"DICM" + element(2, 1, b"OB", b"\0\1", length) + picture()


def stream(rng: random.Random) -> bytes:
    """A good JPEG 2000 code stream to spoil."""
    return encode(grey(64, 64), "JPEG2000", no_jp2=True)


def dicom_j2k_of_many_tiles(rng: random.Random) -> bytes:
    tile = struct.pack(">II", *rng.choice(((1, 1), (0, 64), (64, 0), (0, 0))))
    return encapsulated(grey(64, 64), put(stream(rng), 24, tile), J2K)


def dicom_j2k_of_another_size(rng: random.Random) -> bytes:
    size = struct.pack(">II", *rng.choices((65, 65_500, 2**31, 2**32 - 1), k=2))
    return encapsulated(grey(64, 64), put(stream(rng), 8, size), J2K)


def dicom_j2k_of_many_components(rng: random.Random) -> bytes:
    count = struct.pack(">H", rng.choice((0, 2, 4, 100, 16_384, 65_535)))
    return encapsulated(grey(64, 64), put(stream(rng), 40, count), J2K)


def dicom_j2k_of_an_odd_depth(rng: random.Random) -> bytes:
    depth = bytes([rng.choice((37, 100, 127, 255))])
    return encapsulated(grey(64, 64), put(stream(rng), 42, depth), J2K)


def dicom_j2k_cut_short(rng: random.Random) -> bytes:
    data = stream(rng)
    return encapsulated(grey(64, 64), data[: rng.randint(10, len(data) // 2)], J2K)


def dicom_j2k_of_a_tile_elsewhere(rng: random.Random) -> bytes:
    data = stream(rng)
    at = data.index(b"\xff\x90")
    lie = struct.pack(">H", rng.randint(2, 65_535))
    return encapsulated(grey(64, 64), put(data, at + 4, lie), J2K)


def dicom_jpeg_of_another_size(rng: random.Random) -> bytes:
    return encapsulated(grey(rng.randint(91, 200), 64), jpeg(rng), BASELINE)


def dicom_jpeg_cut_short(rng: random.Random) -> bytes:
    data = encode(grey(64, 64), "JPEG")
    return encapsulated(grey(64, 64), data[: rng.randint(4, len(data) - 40)], BASELINE)


def dicom_rle_of_odd_segments(rng: random.Random) -> bytes:
    count = rng.choice((0, 2, 15, 16, 2**32 - 1))
    offsets = [rng.randint(0, 2**32 - 1) for _ in range(15)]
    frame = struct.pack("<16I", count, *offsets) + rng.randbytes(rng.randint(0, 200))
    return encapsulated(grey(64, 64), frame, RLE)


def dicom_rle_that_never_ends(rng: random.Random) -> bytes:
    frame = struct.pack("<16I", 1, 64, *([0] * 14)) + b"\x81\x00" * rng.randint(9_000, 900_000)
    return encapsulated(grey(64, 64), frame, RLE)


def dicom_of_no_fragments(rng: random.Random) -> bytes:
    data = pixels(rng.randbytes(rng.randint(0, 100) * 2), 0xFFFFFFFF)
    return file(picture(), data, syntax=rng.choice((J2K, BASELINE, RLE)))


def dicom_of_a_short_palette(rng: random.Random) -> bytes:
    changes = {}
    for name in ("Red", "Green", "Blue"):
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [rng.choice((0, 256, 65_535)), 0, 16]
        changes[f"{name}PaletteColorLookupTableData"] = bytes(2 * rng.randint(0, 9))
    return dicom(grey(64, 64), PhotometricInterpretation="PALETTE COLOR", **changes)


def dicom_of_a_long_palette(rng: random.Random) -> bytes:
    changes = {}
    for name in ("Red", "Green", "Blue"):
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        changes[f"{name}PaletteColorLookupTableData"] = bytes(rng.randint(2**20, 2**21) * 2)
    return dicom(grey(64, 64), PhotometricInterpretation="PALETTE COLOR", **changes)


def dicom_of_another_colour_space(rng: random.Random) -> bytes:
    name = rng.choice(("HSV", "ARGB", "CMYK", "YBR_PARTIAL_420", "NONSENSE", ""))
    return dicom(grey(64, 64), PhotometricInterpretation=name)


def dicom_of_many_samples(rng: random.Random) -> bytes:
    return dicom(grey(64, 64), SamplesPerPixel=rng.choice((0, 2, 4, 65_535)))


def dicom_of_noise(rng: random.Random) -> bytes:
    return bytes(128) + b"DICM" + rng.randbytes(rng.randint(20, 4000))


def dicom_words_cut_in_half(rng: random.Random) -> bytes:
    data = np.zeros((64, 64), np.uint16)
    return dicom_bytes(dicom_dataset(data, PixelData=bytes(rng.randint(1, 4000) * 2)))
