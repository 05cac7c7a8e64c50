"""JPEG, PNG, TIFF, WebP and BMP: what is kept, what is dropped, what becomes of the pixels."""

import struct
import time
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageOps

from diagnosis import errors
from diagnosis.images import read_image
from diagnosis.images.orientation import read_orientation, write_orientation
from tests.fixtures.images import (
    SECRET,
    colour,
    encode,
    exif,
    grey,
    jpeg_segment,
    png_chunk,
    with_chunks,
    with_segments,
    words,
)

NOTE = SECRET.encode()


def refusal(data: bytes) -> type[errors.ImageRefused]:
    with pytest.raises(errors.ImageRefused) as caught:
        read_image(data)
    return type(caught.value)


def pillow_sees(data: bytes) -> np.ndarray:
    """What Pillow alone shows of a file, upright."""
    with Image.open(BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image))


# JPEG ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("pixels", [grey(), colour()], ids=["grey", "colour"])
def test_a_jpeg_is_kept_without_its_metadata_and_without_re_encoding(
    pixels: np.ndarray, progressive: bool
) -> None:
    plain = encode(pixels, "JPEG", quality=90, progressive=progressive)
    dressed = with_segments(
        plain,
        jpeg_segment(0xE1, exif(1)),
        jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + NOTE),
        jpeg_segment(0xE2, b"ICC_PROFILE\x00\x01\x01" + NOTE),
        jpeg_segment(0xED, b"Photoshop 3.0\x00" + NOTE),
        jpeg_segment(0xFE, NOTE),
    )
    image = read_image(dressed + NOTE)
    np.testing.assert_array_equal(image.pixels, pillow_sees(plain))
    assert image.clean == read_image(plain).clean
    assert NOTE not in image.clean
    assert image.clean.endswith(b"\xff\xd9")
    assert plain[plain.index(b"\xff\xda") :] == image.clean[image.clean.index(b"\xff\xda") :]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_and_kept_alone(orientation: int) -> None:
    data = encode(colour(64, 48), "JPEG", exif=exif(orientation))
    image = read_image(data)
    np.testing.assert_array_equal(image.pixels, pillow_sees(data))
    np.testing.assert_array_equal(pillow_sees(image.clean), image.pixels)
    assert (image.width, image.height) == ((48, 64) if orientation >= 5 else (64, 48))
    assert (b"Exif" in image.clean) == (orientation != 1)
    assert NOTE not in image.clean


def test_an_orientation_of_no_sense_is_upright() -> None:
    assert [read_orientation(write_orientation(value)) for value in (1, 6, 8)] == [1, 6, 8]
    assert read_orientation(b"Exif\x00\x00MM\x00*\xff\xff\xff\xff") == 1
    assert read_orientation(write_orientation(8).replace(b"\x00\x08\x00\x00", b"\x00\x09\x00\x00"))
    assert read_orientation(exif(6)[:20]) == 1
    assert read_orientation(b"") == 1


def test_a_cmyk_jpeg_becomes_rgb() -> None:
    image = Image.fromarray(colour()).convert("CMYK")
    read = read_image(encode(image, "JPEG", quality=95))
    assert read.pixels.shape == (48, 64, 3)
    assert np.abs(read.pixels.astype(int) - colour()).mean() < 12


def test_an_rgb_jpeg_without_transform_keeps_its_colours() -> None:
    data = encode(colour(), "JPEG", keep_rgb=True, quality=95)
    assert np.abs(read_image(data).pixels.astype(int) - colour()).max() < 20


def test_a_phone_s_second_picture_is_dropped() -> None:
    both = BytesIO()
    Image.fromarray(colour()).save(
        both, "MPO", save_all=True, append_images=[Image.fromarray(colour()[::-1])]
    )
    image = read_image(both.getvalue())
    assert image.source_format == "jpeg"
    assert b"MPF" not in image.clean
    np.testing.assert_array_equal(pillow_sees(image.clean), image.pixels)


def test_a_jpeg_whose_end_is_gone_or_whose_scan_is_too_short_is_damaged() -> None:
    data = encode(grey(256, 256), "JPEG")
    assert refusal(data[:-2]) is errors.DamagedImage
    scan = data.index(b"\xff\xda")
    assert refusal(data[: scan + 60] + b"\xff\xd9") is errors.DamagedImage
    frame = data.index(b"\xff\xc0")
    taller = data[: frame + 5] + struct.pack(">HH", 6000, 8000) + data[frame + 9 :]
    assert refusal(taller) is errors.DamagedImage


def test_a_jpeg_of_another_kind_is_refused_by_its_kind() -> None:
    data = encode(grey(), "JPEG")
    frame = data.index(b"\xff\xc0")
    assert refusal(data[: frame + 1] + b"\xc3" + data[frame + 2 :]) is errors.UnsupportedFormat
    assert refusal(data[: frame + 4] + b"\x0c" + data[frame + 5 :]) is errors.UnsupportedPixels
    many = data[: frame + 5] + struct.pack(">HH", 65500, 65500) + data[frame + 9 :]
    assert refusal(many) is errors.TooManyPixels


def test_a_jpeg_of_countless_segments_or_scans_is_given_up_at_once() -> None:
    data = encode(grey(), "JPEG")
    began = time.thread_time()
    assert refusal(with_segments(data, b"\xff\xe0\x00\x02" * 2_000_000)) is errors.DamagedImage
    scan = data[data.index(b"\xff\xda") : -2]
    assert refusal(data[:-2] + scan * 1000 + b"\xff\xd9") is errors.DecompressionBomb
    assert time.thread_time() - began < 3


@pytest.mark.parametrize(
    ("repeats", "error", "cause"),
    [(11, errors.DamagedImage, "fewer bits"), (12, errors.DecompressionBomb, "too many scans")],
)
def test_a_large_jpeg_may_have_fewer_scans(
    repeats: int, error: type[errors.ImageRefused], cause: str
) -> None:
    data = encode(grey(), "JPEG")
    frame, scan = data.index(b"\xff\xc0"), data[data.index(b"\xff\xda") : -2]
    large = data[: frame + 5] + struct.pack(">HH", 7000, 7100) + data[frame + 9 : -2]
    with pytest.raises(error, match=cause):
        read_image(large + scan * repeats + b"\xff\xd9")


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("at_least", "scale"),
    [((400, 300), 1), ((200, 150), 2), ((101, 75), 2), ((100, 75), 4), ((10, 10), 8), ((0, 0), 8)],
)
def test_a_jpeg_is_decoded_smaller_but_never_below_what_is_asked(
    at_least: tuple[int, int], scale: int, orientation: int
) -> None:
    data = encode(colour(400, 300), "JPEG", exif=exif(orientation))
    turned = orientation == 6
    asked = at_least[::-1] if turned else at_least
    image = read_image(data, decode_at_least=asked)
    height, width = image.pixels.shape[:2]
    assert (image.width, image.height) == ((300, 400) if turned else (400, 300))
    assert width >= asked[0]
    assert height >= asked[1]
    assert width == -(-image.width // scale)
    assert height == -(-image.height // scale)


def test_only_jpegs_are_decoded_smaller() -> None:
    assert read_image(encode(grey(400, 300), "PNG"), decode_at_least=(10, 10)).pixels.size == 120000


# PNG -------------------------------------------------------------------------------------------


def test_a_png_keeps_only_what_decoding_needs_bit_for_bit() -> None:
    plain = encode(colour(), "PNG")
    bomb = zlib.compress(bytes(200_000_000), 9)
    dressed = with_chunks(
        plain,
        png_chunk(b"tEXt", b"Patient\x00" + NOTE),
        png_chunk(b"zTXt", b"Comment\x00\x00" + bomb),
        png_chunk(b"iTXt", b"Comment\x00\x01\x00\x00\x00" + bomb),
        png_chunk(b"iCCP", b"profile\x00\x00" + bomb),
        png_chunk(b"eXIf", exif(1)[6:]),
        png_chunk(b"prVt", NOTE),
    )
    began = time.thread_time()
    image = read_image(dressed + NOTE)
    assert time.thread_time() - began < 3
    assert image.clean == read_image(plain).clean
    assert image.clean == plain
    np.testing.assert_array_equal(image.pixels, colour())


def test_a_png_with_a_wrong_checksum_or_order_is_damaged() -> None:
    data = encode(grey(), "PNG")
    at = data.index(b"IDAT") + 8
    assert refusal(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) is errors.DamagedImage
    assert refusal(data[:8] + data[33:]) is errors.DamagedImage
    assert refusal(with_chunks(data, png_chunk(b"ABCD", b""))) is errors.DamagedImage


def test_a_png_that_holds_fewer_pixels_than_it_declares_is_damaged() -> None:
    data = encode(grey(), "PNG")
    header = struct.pack(">IIBBBBB", 640, 480, 8, 0, 0, 0, 0)
    assert refusal(data[:8] + png_chunk(b"IHDR", header) + data[33:]) is errors.DamagedImage


def test_a_png_that_inflates_to_more_than_its_pixels_is_a_bomb() -> None:
    """A bomb behind a small picture: nothing of it is inflated, and nothing of it is kept."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0))
    picture, bomb = bytes(64 * 65), bytes(200_000_000)
    pixels = png_chunk(b"IDAT", zlib.compress(picture + bomb, 1))
    began = time.thread_time()
    with pytest.raises(errors.DecompressionBomb, match="more data than pixels"):
        read_image(b"\x89PNG\r\n\x1a\n" + header + pixels + png_chunk(b"IEND", b""))
    assert time.thread_time() - began < 1.0


def test_a_png_of_countless_chunks_is_given_up_at_once() -> None:
    data = with_chunks(encode(grey(), "PNG"), png_chunk(b"tEXt", b"") * 1_000_000)
    began = time.thread_time()
    assert refusal(data) is errors.DamagedImage
    assert time.thread_time() - began < 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    frames = [Image.fromarray(colour()), Image.fromarray(colour()[::-1])]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert refusal(data) is errors.MultiFrameImage


def test_one_bit_becomes_black_and_white() -> None:
    bits = grey() > 100
    image = read_image(encode(Image.fromarray(bits), "PNG"))
    np.testing.assert_array_equal(image.pixels, np.where(bits, 255, 0))


def test_a_16_bit_grey_png_keeps_every_bit_and_a_16_bit_colour_png_becomes_8() -> None:
    image = read_image(encode(words(), "PNG"))
    assert image.pixels.dtype == np.uint16
    np.testing.assert_array_equal(image.pixels, words())
    deep = np.repeat(words()[..., np.newaxis], 3, axis=2)
    lines = b"".join(b"\x00" + line.astype(">u2").tobytes() for line in deep)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)),
            png_chunk(b"IDAT", zlib.compress(lines)),
            png_chunk(b"IEND", b""),
        )
    )
    colours = read_image(data).pixels
    assert colours.dtype == np.uint8
    np.testing.assert_array_equal(colours, deep >> 8)


def _interlaced(pixels: np.ndarray) -> bytes:
    """An Adam7 PNG, which Pillow does not write."""
    height, width = pixels.shape
    passes = [
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ]
    lines = b"".join(
        b"\x00" + line.tobytes() for y, x, dy, dx in passes for line in pixels[y::dy, x::dx]
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (
            png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)),
            png_chunk(b"IDAT", zlib.compress(lines)),
            png_chunk(b"IEND", b""),
        )
    )


def test_an_interlaced_png_is_read() -> None:
    np.testing.assert_array_equal(read_image(_interlaced(grey())).pixels, grey())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L"])
def test_transparent_parts_become_black_in_the_pixels_and_in_the_kept_file(mode: str) -> None:
    options = {}
    if mode in {"RGBA", "LA"}:
        image = Image.fromarray(colour()).convert(mode)
        image.putalpha(Image.fromarray(np.where(grey() > 100, 255, 0).astype(np.uint8)))
    else:
        image = Image.fromarray(colour()).convert(mode)
        image = image.quantize(8) if mode == "P" else image
        value = image.getpixel((0, 0))
        options["transparency"] = value
    data = encode(image, "PNG", **options)
    with Image.open(BytesIO(data)) as reopened:
        opaque = np.asarray(reopened.convert("RGBA"))
    read = read_image(data)
    assert read.pixels[0, 0].max() == 0
    expected = np.where(opaque[..., 3:] > 0, opaque[..., :3], 0)
    shown = read.pixels if read.pixels.ndim == 3 else read.pixels[..., np.newaxis]
    np.testing.assert_array_equal(np.broadcast_to(shown, expected.shape), expected)
    np.testing.assert_array_equal(pillow_sees(read.clean), read.pixels)


def test_a_png_stored_turned_is_kept_upright() -> None:
    data = encode(grey(), "PNG", exif=exif(6))
    image = read_image(data)
    np.testing.assert_array_equal(image.pixels, np.rot90(grey(), -1))
    np.testing.assert_array_equal(read_image(image.clean).pixels, image.pixels)
    assert NOTE not in image.clean


# TIFF ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compression", [None, "tiff_lzw", "packbits", "tiff_adobe_deflate", "tiff_deflate"]
)
@pytest.mark.parametrize("pixels", [grey(), colour(), words()], ids=["grey", "colour", "words"])
def test_a_tiff_is_read_exactly_whatever_its_compression(
    pixels: np.ndarray, compression: str | None
) -> None:
    data = encode(pixels, "TIFF", compression=compression, tiffinfo={270: SECRET})
    image = read_image(data)
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == pixels.dtype
    np.testing.assert_array_equal(pillow_sees(image.clean), pixels)
    assert NOTE not in image.clean


def test_a_jpeg_in_a_tiff_and_a_big_tiff_are_read() -> None:
    image = read_image(encode(colour(), "TIFF", compression="jpeg", quality=95))
    assert np.abs(image.pixels.astype(int) - colour()).mean() < 12
    big = encode(grey(), "TIFF", big_tiff=True)
    assert big[2] == 43
    np.testing.assert_array_equal(read_image(big).pixels, grey())


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_tiff_is_turned_upright(orientation: int) -> None:
    data = encode(grey(), "TIFF", tiffinfo={274: orientation})
    np.testing.assert_array_equal(
        read_image(data).pixels, np.rot90(grey(), {1: 0, 3: 2, 6: -1}[orientation])
    )


def _raw_tiff(pixels: np.ndarray, photometric: int, *, order: str = "<") -> bytes:
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    height, width = pixels.shape
    fields = [
        (256, width),
        (257, height),
        (258, 8 * pixels.dtype.itemsize),
        (259, 1),
        (262, photometric),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(raw)),
    ]
    head = {"<": b"II*\x00", ">": b"MM\x00*"}[order] + struct.pack(f"{order}I", 8 + len(raw))
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in fields)
    return head + raw + struct.pack(f"{order}H", len(fields)) + entries + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("pixels", [grey(), words()], ids=["grey", "words"])
def test_a_tiff_where_zero_is_white_is_inverted(pixels: np.ndarray, order: str) -> None:
    top = np.iinfo(pixels.dtype).max
    inverted = read_image(_raw_tiff(pixels, 0, order=order)).pixels
    np.testing.assert_array_equal(inverted, top - pixels)
    np.testing.assert_array_equal(read_image(_raw_tiff(pixels, 1, order=order)).pixels, pixels)


def test_a_tiff_with_odd_pixels_pages_or_compression_is_refused() -> None:
    assert refusal(encode(grey().astype(np.float32), "TIFF")) is errors.UnsupportedPixels
    assert refusal(encode(grey().astype(np.int32), "TIFF")) is errors.UnsupportedPixels
    fax = encode(Image.fromarray(grey() > 100), "TIFF", compression="group4")
    assert refusal(fax) is errors.UnsupportedFormat
    pages = encode(
        Image.fromarray(grey()), "TIFF", save_all=True, append_images=[Image.fromarray(grey())]
    )
    assert refusal(pages) is errors.MultiFrameImage


def test_a_tiff_that_lies_about_its_size_is_refused() -> None:
    raw = _raw_tiff(grey(), 1)
    field = struct.pack("<HHI", 256, 4, 1)
    wide = raw.replace(field + struct.pack("<I", 64), field + struct.pack("<I", 6400))
    assert refusal(wide) is errors.DamagedImage
    wider = raw.replace(field + struct.pack("<I", 64), field + struct.pack("<I", 2**31))
    assert refusal(wider) is errors.TooManyPixels


# WebP and BMP ----------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_lossless_webp_is_read_exactly_upright_and_kept_as_png(orientation: int) -> None:
    data = encode(colour(), "WEBP", lossless=True, exif=exif(orientation), xmp=NOTE)
    image = read_image(data)
    np.testing.assert_array_equal(image.pixels, np.rot90(colour(), -1 if orientation == 6 else 0))
    assert image.media_type == "image/png"
    assert NOTE not in image.clean


def test_a_webp_with_alpha_becomes_black_there() -> None:
    image = Image.fromarray(colour()).convert("RGBA")
    image.putalpha(Image.fromarray(np.where(grey() > 100, 255, 0).astype(np.uint8)))
    pixels = read_image(encode(image, "WEBP", lossless=True)).pixels
    assert pixels[grey() <= 100].max() == 0
    np.testing.assert_array_equal(pixels[grey() > 100], colour()[grey() > 100])


def test_bmps_are_read_exactly_and_compressed_ones_refused() -> None:
    for pixels in (grey(), colour()):
        data = encode(pixels, "BMP")
        np.testing.assert_array_equal(read_image(data).pixels, pixels)
        assert refusal(data[:30] + b"\x01" + data[31:]) is errors.UnsupportedFormat
        assert refusal(data[:18] + struct.pack("<i", 6000) + data[22:]) is errors.DamagedImage
        assert refusal(data[:18] + struct.pack("<ii", 60000, 60000) + data[26:]) is (
            errors.TooManyPixels
        )


@pytest.mark.parametrize("size", [(64, 48), (600, 400)])
def test_a_jpeg_inside_a_tiff_is_as_large_as_its_strip(size: tuple[int, int]) -> None:
    """A smaller one passed for a whole image, most of which nobody had written."""
    data = encode(grey(*size), "TIFF", compression="jpeg", quality=95)
    assert np.abs(read_image(data).pixels.astype(int) - grey(*size)).max() < 12
    frame = data.index(b"\xff\xc0") + 5
    for height, width in ((16, 16), (1, 1), (size[1] + 1, size[0]), (size[1], size[0] + 1)):
        spoilt = data[:frame] + struct.pack(">HH", height, width) + data[frame + 4 :]
        assert refusal(spoilt) is errors.DamagedImage
