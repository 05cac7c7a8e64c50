"""DICOM: which files are pictures, how stored values become grey levels, what is handed on."""

import struct
import time
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing
from pydicom.sequence import Sequence

from diagnosis import errors
from diagnosis.images import read_image
from tests.fixtures.images import (
    SECRET,
    colour,
    dicom,
    dicom_bytes,
    dicom_dataset,
    encapsulated,
    encode,
    grey,
    words,
)

#: 12 bits in 16, from 100 to 3000, as detectors store them.
STORED = (100 + words() / 65535 * 2900).astype(np.uint16)


def refusal(data: bytes) -> errors.ImageRefused:
    with pytest.raises(errors.ImageRefused) as caught:
        read_image(data)
    return caught.value


def shown(pixels: np.ndarray, **changes: Any) -> np.ndarray:
    return read_image(dicom(pixels, **{"BitsStored": 12, "HighBit": 11, **changes})).pixels


def spread(values: np.ndarray) -> np.ndarray:
    """Smallest to 0 and largest to 65535."""
    values = values.astype(np.float64)
    return np.rint((values - values.min()) / (values.max() - values.min()) * 65535)


def lut_item(entries: np.ndarray, first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item["LUTDescriptor"].VR = "US"
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return item


# How it is stored ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "syntax",
    [
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.DeflatedExplicitVRLittleEndian,
    ],
)
@pytest.mark.parametrize("pixels", [grey(), grey(65, 49), STORED, colour()])
def test_every_uncompressed_syntax_is_read_the_same(pixels: np.ndarray, syntax: str) -> None:
    image = read_image(dicom(pixels, syntax))
    expected = spread(pixels) if pixels.dtype == np.uint16 else pixels
    np.testing.assert_array_equal(image.pixels, expected)
    assert image.pixels.dtype == pixels.dtype
    assert image.source_format == "dicom"
    assert SECRET.encode() not in image.clean


def test_big_endian_is_read() -> None:
    dataset = dicom_dataset(STORED)
    dataset.PixelData = STORED.astype(">u2").tobytes()
    data = dicom_bytes(dataset, uid.ExplicitVRBigEndian)
    np.testing.assert_array_equal(read_image(data).pixels, spread(STORED))


@pytest.mark.parametrize("pixels", [grey(), STORED, STORED.astype(np.int16) - 1000, colour()])
def test_rle_is_read_exactly(pixels: np.ndarray) -> None:
    dataset = dicom_dataset(pixels)
    dicom_bytes(dataset)
    dataset.compress(uid.RLELossless)
    expected = spread(pixels) if pixels.dtype.itemsize == 2 else pixels
    read = read_image(dicom_bytes(dataset, uid.RLELossless)).pixels
    np.testing.assert_array_equal(read, expected)


@pytest.mark.parametrize("pixels", [grey(), STORED, STORED.astype(np.int16) - 1000, colour()])
def test_lossless_jpeg_2000_is_read_exactly(pixels: np.ndarray) -> None:
    from openjpeg.utils import encode_array

    frame = bytes(
        encode_array(
            pixels,
            bits_stored=8 * pixels.dtype.itemsize,
            photometric_interpretation=1 if pixels.ndim == 3 else 2,
            use_mct=False,
        )
    )
    data = encapsulated(pixels, frame, uid.JPEG2000Lossless)
    expected = spread(pixels) if pixels.dtype.itemsize == 2 else pixels
    np.testing.assert_array_equal(read_image(data).pixels, expected)


def test_jpeg_baseline_is_read_in_grey_and_in_colour() -> None:
    for pixels, photometric in ((grey(), "MONOCHROME2"), (colour(), "YBR_FULL_422")):
        frame = encode(pixels, "JPEG", quality=95)
        data = encapsulated(
            pixels, frame, uid.JPEGBaseline8Bit, PhotometricInterpretation=photometric
        )
        read = read_image(data).pixels
        assert read.shape == pixels.shape
        assert np.abs(read.astype(int) - read_image(frame).pixels).max() <= 3


@pytest.mark.parametrize("planar", [0, 1])
def test_ybr_and_planar_colours_become_rgb(planar: int) -> None:
    flat = np.full((16, 16, 3), (76, 85, 255), np.uint8)  # red
    stored = flat.transpose(2, 0, 1) if planar else flat
    data = dicom(
        flat,
        PixelData=stored.tobytes(),
        PlanarConfiguration=planar,
        PhotometricInterpretation="YBR_FULL",
    )
    assert np.abs(read_image(data).pixels.astype(int) - (254, 0, 0)).max() <= 2


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_colour(bits: int) -> None:
    red, green, blue = (np.roll(np.arange(256), shift) for shift in (0, 50, 100))
    changes: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for name, table in (("Red", red), ("Green", green), ("Blue", blue)):
        scaled = table * 257 if bits == 16 else table
        changes[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        dtype = "<u2" if bits == 16 else np.uint8
        changes[f"{name}PaletteColorLookupTableData"] = scaled.astype(dtype).tobytes()
    pixels = read_image(dicom(grey(), **changes)).pixels
    np.testing.assert_array_equal(
        pixels, np.stack([red[grey()], green[grey()], blue[grey()]], axis=2)
    )


def test_files_without_a_preamble_or_meta_information_are_read() -> None:
    data = dicom(grey())
    np.testing.assert_array_equal(read_image(data[132:]).pixels, grey())
    bare = BytesIO()
    dataset = dicom_dataset(grey())
    dataset.save_as(bare, implicit_vr=False, little_endian=True)
    np.testing.assert_array_equal(read_image(bare.getvalue()).pixels, grey())
    implicit = BytesIO()
    dicom_dataset(grey()).save_as(implicit, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_image(implicit.getvalue()).pixels, grey())


# How stored values are shown -------------------------------------------------------------------


def test_without_a_window_long_values_are_spread_and_short_ones_kept() -> None:
    np.testing.assert_array_equal(shown(STORED), spread(STORED))
    dim = np.asarray(grey() // 2, np.uint8)
    np.testing.assert_array_equal(read_image(dicom(dim)).pixels, dim)
    flat = np.full_like(STORED, 7)
    assert shown(flat).max() == 0


def test_monochrome1_is_inverted() -> None:
    inverted = shown(STORED, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(inverted, 65535 - spread(STORED), atol=1)
    np.testing.assert_array_equal(
        read_image(dicom(grey(), PhotometricInterpretation="MONOCHROME1")).pixels, 255 - grey()
    )


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_count_for_the_range(photometric: str) -> None:
    padded = STORED.copy()
    padded[:5], padded[5:10] = 4000, 4090
    changes = {"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}
    pixels = shown(padded, PhotometricInterpretation=photometric, **changes)
    assert pixels[:10].max() == 0
    expected = spread(STORED[10:])
    if photometric == "MONOCHROME1":
        expected = 65535 - expected
    np.testing.assert_allclose(pixels[10:], expected, atol=1)


@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("rescale", [{}, {"RescaleSlope": "2.5", "RescaleIntercept": "-1024"}])
def test_a_window_is_applied_as_the_standard_says(
    function: str | None, signed: bool, rescale: dict[str, str]
) -> None:
    pixels = STORED.astype(np.int16) - 1500 if signed else STORED
    changes = {
        **rescale,
        "WindowCenter": [300, 5],
        "WindowWidth": [900, 9],
        "VOILUTFunction": function,
    }
    dataset = dicom_dataset(pixels, BitsStored=12, HighBit=11, **changes)
    reference = apply_windowing(apply_modality_lut(pixels, dataset), dataset)
    slope, intercept = (
        float(rescale.get(key, default))
        for key, default in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    low = (-2048 if signed else 0) * slope + intercept
    expected = (reference - low) / (4095 * slope) * 65535
    np.testing.assert_allclose(shown(pixels, **changes), expected, atol=1)


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": 500, "WindowWidth": 0},
        {"WindowCenter": 500},
        {"WindowCenter": 500, "WindowWidth": 300, "VOILUTFunction": "CUBIC"},
    ],
)
def test_a_window_of_no_sense_is_as_none(window: dict[str, Any]) -> None:
    np.testing.assert_array_equal(shown(STORED, **window), spread(STORED))


@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_modality_and_voi_tables_are_applied_as_the_standard_says(syntax: str) -> None:
    modality = lut_item((np.arange(2000) ** 2 // 1000).astype(np.uint16), 500, 16)
    voi = lut_item(np.linspace(4095, 0, 3000).astype(np.uint16), 200, 12)
    changes = {
        "BitsStored": 12,
        "ModalityLUTSequence": Sequence([modality]),
        "VOILUTSequence": Sequence([voi]),
        "WindowCenter": 1,
        "WindowWidth": 1,
    }
    dataset = dicom_dataset(STORED, **changes)
    data = dicom_bytes(dataset, syntax)
    reference = apply_voi(apply_modality_lut(STORED, dataset), dataset)
    np.testing.assert_allclose(read_image(data).pixels, reference / 4095 * 65535, atol=1)


# What is refused -------------------------------------------------------------------------------


def test_a_dicom_without_a_picture_is_told_apart() -> None:
    assert type(refusal(dicom(None))) is errors.DicomWithoutImage
    assert type(refusal(dicom(grey(), PixelData=None))) is errors.DicomWithoutImage


def test_several_frames_are_refused() -> None:
    twice = dicom(grey(), NumberOfFrames=2, PixelData=grey().tobytes() * 2)
    assert type(refusal(twice)) is errors.MultiFrameImage
    np.testing.assert_array_equal(read_image(dicom(grey(), NumberOfFrames=1)).pixels, grey())


@pytest.mark.parametrize(
    ("syntax", "name"),
    [
        (uid.JPEGLSLossless, "JPEG-LS"),
        (uid.JPEGLosslessSV1, "JPEG Lossless"),
        (uid.JPEGExtended12Bit, "12-bit JPEG"),
        (uid.HTJ2K, "high-throughput JPEG 2000"),
        (uid.MPEG4HP41, "video"),
    ],
)
def test_a_compression_that_is_not_read_is_named(syntax: str, name: str) -> None:
    refused = refusal(encapsulated(grey(), b"\xff\xd8\xff\xd9", syntax))
    assert type(refused) is errors.UnsupportedDicom
    assert name in refused.detail


def test_an_unknown_compression_is_refused() -> None:
    data = dicom(grey()).replace(b"1.2.840.10008.1.2.1\x00", b"1.2.3.4.5".ljust(20, b"\x00"))
    assert type(refusal(data)) is errors.UnsupportedDicom


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Rows": 60000, "Columns": 60000}, errors.TooManyPixels),
        ({"Rows": 8}, errors.ImageTooSmall),
        ({"Rows": 480}, errors.DamagedImage),
        ({"BitsAllocated": 32, "BitsStored": 32}, errors.UnsupportedDicom),
        ({"BitsAllocated": 1, "BitsStored": 1}, errors.UnsupportedDicom),
        ({"BitsStored": 4}, errors.UnsupportedDicom),
        ({"PhotometricInterpretation": "HSV"}, errors.UnsupportedDicom),
        ({"PhotometricInterpretation": "RGB"}, errors.DamagedImage),
        ({"FloatPixelData": b"\x00" * 4}, errors.UnsupportedDicom),
        ({"Rows": None}, errors.DamagedImage),
    ],
)
def test_what_contradicts_itself_or_is_not_read_is_refused(
    changes: dict[str, Any], expected: type[errors.ImageRefused]
) -> None:
    assert type(refusal(dicom(grey(), **changes))) is expected


def test_a_compressed_frame_that_is_larger_than_declared_is_refused_before_decoding() -> None:
    for kind, syntax, options in (
        ("JPEG", uid.JPEGBaseline8Bit, {}),
        ("JPEG2000", uid.JPEG2000Lossless, {"no_jp2": True}),
    ):
        large = encode(grey(200, 100), kind, **options)
        assert type(refusal(encapsulated(grey(), large, syntax))) is errors.DamagedImage
        right = encode(grey(), kind, **options)
        assert read_image(encapsulated(grey(), right, syntax)).width == 64
        cut = encapsulated(grey(), right[:-6], syntax)
        assert type(refusal(cut)) is errors.DamagedImage


def test_a_deflate_bomb_is_given_up_at_its_cap() -> None:
    head = dicom(grey(), uid.DeflatedExplicitVRLittleEndian)
    length = 132 + 12 + struct.unpack_from("<I", head, 140)[0]
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = deflate.compress(bytes(1 << 20)) + deflate.flush(zlib.Z_FULL_FLUSH)
    bomb = block * 4000 + deflate.flush()
    began = time.thread_time()
    assert type(refusal(head[:length] + bomb)) is errors.DecompressionBomb
    assert time.thread_time() - began < 3


def test_countless_elements_or_items_are_given_up_at_once() -> None:
    head = dicom(grey())
    length = 132 + 12 + struct.unpack_from("<I", head, 140)[0]
    element = struct.pack("<HH2sH", 0x0008, 0x0100, b"SH", 0)
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    began = time.thread_time()
    for body in (
        element * 3_000_000,
        sequence + item + element * 2_000_000,
        sequence + item * 10**6,
    ):
        assert type(refusal(head[:length] + body)) is errors.DamagedImage
    assert type(refusal(head[:length] + (sequence + item) * 3000)) is errors.DamagedImage
    assert time.thread_time() - began < 3


# What is handed on -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("043Y", 43.0),
        ("018M", 1.5),
        ("002W", 0.038),
        ("010D", 0.027),
        ("000D", 0.0),
        ("43Y", None),
        ("ABCY", None),
        ("", None),
        (None, None),
    ],
)
def test_the_age_is_handed_on_in_years(age: str | None, years: float | None) -> None:
    data = dicom(grey(), PatientAge="043Y")
    if age is None:
        data = dicom(grey())
    else:
        data = data.replace(b"AS\x04\x00043Y", b"AS\x04\x00" + age.encode().ljust(4))
    assert read_image(data).patient_age_years == years


def test_only_a_modality_of_the_closed_list_is_handed_on() -> None:
    assert read_image(dicom(grey(), Modality="CR")).modality == "CR"
    assert read_image(dicom(grey(), Modality="SMITH")).modality is None
    assert read_image(dicom(grey(), Modality=None)).modality is None


def test_runs_for_far_more_than_the_pixels_are_a_bomb() -> None:
    runs = b"\x81\x00" * 9_000
    frame = struct.pack("<16I", 1, 64, *([0] * 14)) + runs
    assert type(refusal(encapsulated(grey(), frame, uid.RLELossless))) is errors.DecompressionBomb
