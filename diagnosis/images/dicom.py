"""DICOM: the few elements that make a picture, read from a file that nobody vouched for.

Everything else in the file, the patient's name first of all, is skipped and never parsed.
"""

import logging
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom import config, uid
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from diagnosis.errors import (
    DamagedImage,
    DecompressionBomb,
    DicomWithoutImage,
    MultiFrameImage,
    UnsupportedDicom,
)
from diagnosis.images.checked import MAX_PIXELS, BurnedIn, Pixels, check_size
from diagnosis.images.dicom_display import to_display
from diagnosis.images.dicom_pixels import READ_SYNTAXES, decode_frame, is_monochrome, to_colour

#: Modality codes of objects that are images; any other value is not handed on.
_MODALITIES = """
BI CR CT DG DX ES GM IO IVOCT IVUS MG MR NM OCT OP OPM OPT OPTENF OT PT PX RF RG SC SM TG US VL XA
XC
"""
MODALITIES = frozenset(_MODALITIES.split())
#: Of these, what made the image writes names and dates into it (PS3.3 lets each say that it did
#: not). `OT` and `SC` are screens and scans of paper.
BURNING_MODALITIES = frozenset(["ES", "GM", "IVUS", "OT", "RF", "SC", "US", "XA", "XC"])
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
#: Bytes that a deflated data set may inflate to: the largest image, and room for its elements.
_MAX_INFLATED = 3 * MAX_PIXELS + 16 * 1024 * 1024
_INFLATED_AT_ONCE = 1024 * 1024
#: Beyond the first 16 MiB, bytes for each compressed one: a picture has tens, one value a thousand.
_SURE, _MOST_TO_ONE = 16 * 1024 * 1024, 200
#: Elements (of nested sequences too) that are looked at before a file is given up.
_MAX_READS = 40_000
#: Fragments of compressed pixels, and items of sequences.
_MAX_ITEMS = 10_000
_ITEM = b"\xfe\xff\x00\xe0"
_MAX_VALUE_BYTES = 1024
_MAX_TABLE_BYTES = 1024 * 1024
_AGE = re.compile(r"(\d{3})([DWMY])")
_DAYS_A_UNIT = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}

_TABLES = (
    "ModalityLUTSequence",
    "VOILUTSequence",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
)
_VALUES = (
    "SOPClassUID",
    "Modality",
    "ConversionType",
    "BurnedInAnnotation",
    "PatientAge",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "RescaleIntercept",
    "RescaleSlope",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
)
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_TAGS = {keyword: tag_for_keyword(keyword) for keyword in (*_TABLES, *_VALUES, *_PIXELS)}

# pydicom's messages quote the file. What matters of them is in our own errors.
config.settings.reading_validation_mode = config.IGNORE
for _name in ("pydicom", "openjpeg", "pylibjpeg", "rle"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class DicomImage:
    """The picture of a DICOM file and what a reading says of it."""

    pixels: Pixels
    modality: str | None
    patient_age_years: float | None
    burned_in: BurnedIn | None
    stored: NDArray[np.generic] | None
    """Stored grey values, (H, W); None for a colour image."""
    dataset: Dataset
    """The elements that make the picture."""


def read_dicom(data: bytes) -> DicomImage:
    """Read a single-frame DICOM image and bring it to the display's range.

    Raises:
        DicomWithoutImage: a report, an index, a structure set.
        MultiFrameImage: several frames.
        UnsupportedDicom: a compression or a kind of pixel that is not read, by name.
        DamagedImage, TooManyPixels, ImageTooSmall: as everywhere.
    """
    # Each warning would quote a value. Installed here, not at import, so that a program's later
    # filters do not bring them back; installing it again changes nothing.
    warnings.filterwarnings("ignore", module=r"(pydicom|openjpeg|diagnosis\.images\.dicom)")
    syntax, body = _read_meta(data)
    if syntax not in READ_SYNTAXES:
        raise _unsupported_syntax(syntax)
    if syntax == uid.DeflatedExplicitVRLittleEndian:
        body = _inflate(body)
    dataset = _read_elements(body, uid.UID(syntax))
    _check(dataset)
    stored = decode_frame(dataset, uid.UID(syntax))
    grey = is_monochrome(dataset)
    return DicomImage(
        pixels=to_display(stored, dataset) if grey else to_colour(stored, dataset),
        modality=_modality(dataset),
        patient_age_years=_age_years(dataset),
        burned_in=_burned_in(dataset),
        stored=stored if grey else None,
        dataset=dataset,
    )


def _read_meta(data: bytes) -> tuple[str, bytes]:
    """Transfer syntax, and the bytes of the data set after the file's meta information."""
    position = 132 if data[128:132] == b"DICM" else 0
    syntax = ""
    while data[position : position + 2] == b"\x02\x00" and position + 8 <= len(data):
        element, vr, length = struct.unpack_from("<H2sH", data, position + 2)
        start = position + 8
        if vr in {b"OB", b"UN", b"OW", b"SQ", b"UT"}:
            (length,) = struct.unpack_from("<I", data, start)
            start += 4
        position = start + length
        if element == 0x0010:
            syntax = data[start:position].rstrip(b"\x00 ").decode("ascii")
    if position > len(data):
        raise DamagedImage(cause="dicom: the meta information is cut short")
    if not syntax:
        explicit = data[position + 4 : position + 6].isalpha()
        syntax = uid.ExplicitVRLittleEndian if explicit else uid.ImplicitVRLittleEndian
    return syntax, data[position:]


def _unsupported_syntax(syntax: str) -> UnsupportedDicom:
    names = {
        uid.JPEGExtended12Bit: "12-bit JPEG",
        uid.JPEGLossless: "JPEG Lossless",
        uid.JPEGLosslessSV1: "JPEG Lossless",
        uid.JPEGLSLossless: "JPEG-LS",
        uid.JPEGLSNearLossless: "JPEG-LS",
        uid.JPEG2000MCLossless: "JPEG 2000 multi-component",
        uid.JPEG2000MC: "JPEG 2000 multi-component",
        uid.HTJ2KLossless: "high-throughput JPEG 2000",
        uid.HTJ2KLosslessRPCL: "high-throughput JPEG 2000",
        uid.HTJ2K: "high-throughput JPEG 2000",
    }
    name = names.get(uid.UID(syntax))
    if name is None and syntax.startswith("1.2.840.10008.1.2.4.10"):
        name = "video"
    if name is None:
        return UnsupportedDicom(cause="unknown transfer syntax")
    return UnsupportedDicom(f"This DICOM image is compressed as {name}, which is not read.")


def _inflate(body: bytes) -> bytes:
    # Counted before it is kept: a bomb costs time for what an image may have, and no memory.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size, rest = 0, body
    while not inflater.eof:
        part = inflater.decompress(rest, _INFLATED_AT_ONCE)
        size, rest = size + len(part), inflater.unconsumed_tail
        if size > _MAX_INFLATED or size > _SURE + _MOST_TO_ONE * (len(body) - len(rest)):
            raise DecompressionBomb(cause="dicom: inflates beyond any image")
        if not part and not rest and not inflater.eof:
            raise DamagedImage(cause="dicom: the deflated data set is cut short")
    return zlib.decompress(body, -zlib.MAX_WBITS, size)


class _Reader(BytesIO):
    """Bytes that may be read from a limited number of times: once or twice an element."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = _MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise DamagedImage(cause="dicom: too many elements")
        return super().read(size)


def _read_elements(body: bytes, syntax: uid.UID) -> Dataset:
    """The elements that make the picture, their values still unparsed and of bounded length."""
    reader = _Reader(body)
    if body.count(_ITEM) > _MAX_ITEMS:
        raise DamagedImage(cause="dicom: too many items")
    dataset = read_dataset(
        reader,
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        specific_tags=[tag for tag in _TAGS.values() if tag is not None],
    )
    if reader.tell() > len(body):
        raise DamagedImage(cause="dicom: an element is cut short")
    for keyword in (*_VALUES, *_TABLES):
        element = dataset.get_item(keyword) if keyword in dataset else None
        value = getattr(element, "value", None)
        limit = _MAX_TABLE_BYTES if keyword in _TABLES else _MAX_VALUE_BYTES
        if isinstance(value, bytes) and len(value) > limit:
            raise DamagedImage(cause=f"dicom: {keyword} is too long")
    return dataset


def _check(dataset: Dataset) -> None:
    """Refuse what is no single picture within the limits, before anything is decoded."""
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise UnsupportedDicom("This DICOM image has floating-point pixels, which are not read.")
    if not dataset.get("PixelData"):
        raise DicomWithoutImage
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise MultiFrameImage
    check_size(int(dataset.Columns), int(dataset.Rows))


def _modality(dataset: Dataset) -> str | None:
    modality = dataset.get("Modality")
    return modality if isinstance(modality, str) and modality in MODALITIES else None


def _burned_in(dataset: Dataset) -> BurnedIn | None:
    """Whether text may stand in the pixels: the file says so, or says nothing where it is usual."""
    said = dataset.get("BurnedInAnnotation")
    if said == "YES":
        return "stated"
    if said == "NO":
        return None
    captured = str(dataset.get("SOPClassUID") or "").startswith(_SECONDARY_CAPTURE)
    usual = captured or dataset.get("ConversionType") or _modality(dataset) in BURNING_MODALITIES
    return "possible" if usual else None


def _age_years(dataset: Dataset) -> float | None:
    match = _AGE.fullmatch(str(dataset.get("PatientAge") or "").strip())
    if match is None:
        return None
    return round(int(match[1]) * _DAYS_A_UNIT[match[2]] / _DAYS_A_UNIT["Y"], 3)
