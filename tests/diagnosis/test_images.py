"""The way in: what is recognised, what is refused and how, and that nothing else happens."""

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diagnosis import errors
from diagnosis.images import MAX_BYTES, CheckedImage, read_image
from tests.fixtures.images import (
    SECRET,
    colour,
    dicom,
    encode,
    grey,
    one_of_each,
    png_of_size,
    words,
)

EACH = one_of_each()


def check(image: CheckedImage) -> None:
    """What holds of every checked image."""
    assert image.pixels.dtype in (np.uint8, np.uint16)
    assert image.pixels.ndim == 2 or (image.pixels.shape[2:] == (3,))
    assert image.pixels.dtype == np.uint8 or image.pixels.ndim == 2
    assert image.pixels.shape[:2] == (image.height, image.width)
    assert not image.pixels.flags.writeable
    assert image.clean.startswith(
        {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG"}[image.media_type]
    )
    assert SECRET.encode() not in image.clean


@pytest.mark.parametrize("kind", EACH)
def test_every_format_is_read_and_its_kept_file_is_read_to_the_same(kind: str) -> None:
    image = read_image(EACH[kind])
    check(image)
    assert image.source_format == kind.rsplit(maxsplit=1)[-1]
    assert {image.width, image.height} == {40, 32}
    again = read_image(image.clean)
    np.testing.assert_array_equal(again.pixels, image.pixels)
    assert again.clean == image.clean or image.media_type == "image/png"
    assert read_image(EACH[kind]).digest == image.digest


@pytest.mark.parametrize(
    ("data", "refusal"),
    [
        (b"", errors.EmptyFile),
        (bytes(MAX_BYTES + 1), errors.FileTooLarge),
        (b"Findings: none.\n" * 50, errors.NotAnImage),
        (b"PK\x03\x04" + bytes(100), errors.NotAnImage),
        (bytes(1000), errors.NotAnImage),
        (b"BMW is a car, not a bitmap" * 5, errors.NotAnImage),
        (encode(grey(), "GIF"), errors.UnsupportedFormat),
        (encode(grey(), "JPEG2000"), errors.UnsupportedFormat),
        (encode(grey(), "PPM"), errors.UnsupportedFormat),
        (encode(grey(), "PDF"), errors.UnsupportedFormat),
        (encode(grey(), "ICO"), errors.UnsupportedFormat),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"></svg>', errors.UnsupportedFormat),
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), errors.UnsupportedFormat),
        (b"\x00\x00\x00\x18ftypavif" + bytes(40), errors.UnsupportedFormat),
        (b"8BPS\x00\x01" + bytes(40), errors.UnsupportedFormat),
        (png_of_size(10_000, 6_000), errors.TooManyPixels),
        (png_of_size(2**31 - 1, 2**31 - 1), errors.TooManyPixels),
        (png_of_size(0, 100), errors.DamagedImage),
        (encode(grey(15, 400), "PNG"), errors.ImageTooSmall),
        (encode(grey(400, 15), "JPEG"), errors.ImageTooSmall),
        (b"\xff\xd8\xff", errors.DamagedImage),
        (b"\x89PNG\r\n\x1a\n", errors.DamagedImage),
        (b"II*\x00", errors.DamagedImage),
        (b"RIFF\x04\x00\x00\x00WEBP", errors.DamagedImage),
        (bytes(128) + b"DICM", errors.DicomWithoutImage),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else repr(value[:12]),
)
def test_what_is_no_readable_image_gets_its_own_refusal(
    data: bytes, refusal: type[errors.ImageRefused]
) -> None:
    with pytest.raises(errors.ImageRefused) as caught:
        read_image(data)
    assert type(caught.value) is refusal


def test_an_unsupported_format_is_named() -> None:
    with pytest.raises(errors.UnsupportedFormat, match="HEIC photo"):
        read_image(b"\x00\x00\x00\x18ftypheic" + bytes(40))


def test_the_limit_of_pixels_is_on_the_product_and_16_is_enough() -> None:
    assert read_image(encode(grey(16, 16), "PNG")).pixels.shape == (16, 16)
    assert read_image(encode(np.zeros((20, 5000), np.uint8), "BMP")).width == 5000


@pytest.mark.parametrize("kind", EACH)
def test_a_file_cut_short_anywhere_is_refused(kind: str) -> None:
    data = EACH[kind]
    for length in {*range(4, len(data) - 1, max(1, len(data) // 60)), len(data) - 2}:
        # A DICOM without its pixels is a sound file without an image.
        with pytest.raises(errors.ImageRefused):
            read_image(data[:length])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(sorted(EACH)), data=st.data())
def test_no_mutation_of_a_valid_file_brings_anything_but_a_refusal(
    kind: str, data: st.DataObject
) -> None:
    mutated = bytearray(EACH[kind])
    places = st.integers(0, len(mutated) - 1)
    # Headers decide most, so half of the changes land there.
    head = st.integers(0, min(400, len(mutated) - 1))
    for place in data.draw(st.lists(st.one_of(places, head), min_size=1, max_size=12)):
        mutated[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        start, stop = sorted((data.draw(places), data.draw(places)))
        mutated[start:stop] = data.draw(st.binary(max_size=16))
    try:
        image = read_image(bytes(mutated))
    except errors.ImageRefused:
        return
    assert image.pixels.shape[:2] == (image.height, image.width)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([b"", *(data[:12] for data in EACH.values())]))
def test_no_bytes_bring_anything_but_a_refusal(tail: bytes, head: bytes) -> None:
    try:
        read_image(head + tail)
    except errors.ImageRefused:
        return


def test_a_refusal_and_the_log_quote_nothing_of_the_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken = dicom(words(), RescaleSlope=1).replace(b"MONOCHROME2 ", SECRET[:12].encode())
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with pytest.raises(errors.ImageRefused) as caught:
            read_image(broken)
    assert SECRET[:8] not in f"{caught.value} {caught.value.__cause__} {caplog.text}"
    assert caught.value.__cause__ is None
    assert not seen


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "BMP", "PNG", "JPEG"])
def test_colour_and_grey_keep_their_shape(kind: str) -> None:
    assert read_image(encode(colour(), kind)).pixels.shape == (48, 64, 3)
    if kind != "WEBP":
        assert read_image(encode(grey(), kind)).pixels.shape == (48, 64)


def real_dicoms() -> Iterator[Path]:
    """The files that ship with pydicom, and those below `SIGHTLINE_DATA` if it is set."""
    yield from sorted((Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm"))
    if data := os.environ.get("SIGHTLINE_DATA"):
        yield from sorted(path for path in (Path(data) / "dicom").glob("*") if path.is_file())


def test_real_dicom_files_are_read_or_refused_for_their_reason() -> None:
    refusals, files = [], list(real_dicoms())
    for path in files:
        try:
            check(read_image(path.read_bytes()))
        except errors.ImageRefused as refusal:
            refusals.append(type(refusal))
    assert len(files) - len(refusals) >= 20
    assert {errors.UnsupportedDicom, errors.MultiFrameImage, errors.DicomWithoutImage} <= set(
        refusals
    )
