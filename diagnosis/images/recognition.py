"""Which format a file is, by its content alone."""

import re
import struct

from diagnosis.errors import EmptyFile, NotAnImage, UnsupportedFormat
from diagnosis.images.checked import SourceFormat

_BMP_HEADER_SIZES = {12, 40, 52, 56, 64, 108, 124}
#: Value representations that the first elements of a DICOM file can have.
_FIRST_VRS = {b"UL", b"OB", b"UI", b"CS", b"DA", b"TM", b"SH", b"LO", b"IS", b"DT", b"SQ"}
#: First elements seen in files without a header: group length, character set, image type, UIDs.
_FIRST_ELEMENTS = {0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0013, 0x0014, 0x0016, 0x0018}

#: Formats that are images (or hold them) and are not read: signature, offset, name.
_KNOWN: tuple[tuple[bytes, int, str], ...] = (
    (b"GIF87a", 0, "a GIF"),
    (b"GIF89a", 0, "a GIF"),
    (b"8BPS", 0, "a Photoshop file"),
    (b"\x00\x00\x00\x0cjP  ", 0, "a JPEG 2000 file"),
    (b"\xff\x4f\xff\x51", 0, "a JPEG 2000 file"),
    (b"\x00\x00\x00\x0cJXL ", 0, "a JPEG XL file"),
    (b"\xff\x0a", 0, "a JPEG XL file"),
    (b"\x49\x49\xbc", 0, "a JPEG XR file"),
    (b"%PDF-", 0, "a PDF"),
    (b"%!PS", 0, "a PostScript file"),
    (b"\x00\x00\x01\x00", 0, "an icon"),
    (b"v/1\x01", 0, "an OpenEXR file"),
    (b"#?RADIANCE", 0, "a Radiance file"),
    (b"NRRD000", 0, "an NRRD volume"),
    (b"n+1\x00", 344, "a NIfTI volume"),
    (b"SIMPLE  =", 0, "a FITS file"),
    (b"qoif", 0, "a QOI file"),
    (b"DDS ", 0, "a DDS texture"),
    (b"gimp xcf", 0, "a GIMP file"),
)
_FTYP_BRANDS = {
    b"heic": "an HEIC photo",
    b"heix": "an HEIC photo",
    b"hevc": "an HEIC photo",
    b"heim": "an HEIC photo",
    b"heis": "an HEIC photo",
    b"mif1": "an HEIF photo",
    b"msf1": "an HEIF photo",
    b"avif": "an AVIF image",
    b"avis": "an AVIF image",
    b"crx ": "a camera's raw file",
}
_PNM = re.compile(rb"P[1-7]\s")
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)


def recognise(data: bytes) -> SourceFormat:
    """The format that the content has, whatever the file's name or declared type says.

    Raises:
        EmptyFile: no bytes.
        UnsupportedFormat: an image of a format that is not read.
        NotAnImage: anything else.
    """
    if not data:
        raise EmptyFile
    # First: a DICOM file may carry the start of a TIFF in its preamble.
    if data[128:132] == b"DICM":
        return "dicom"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] in {b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"}:
        return "tiff"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "bmp"
    if _starts_like_dicom(data):
        return "dicom"
    raise _unsupported(data) or NotAnImage()


def _starts_like_dicom(data: bytes) -> bool:
    """True where a DICOM file without its 128-byte preamble seems to begin."""
    if len(data) < 16:
        return False
    group, element = struct.unpack("<HH", data[:4])
    explicit = data[4:6] in _FIRST_VRS
    if group == 0x0002:
        return explicit
    if group != 0x0008 or element not in _FIRST_ELEMENTS:
        return False
    length = int.from_bytes(data[4:8], "little")
    return explicit or (length % 2 == 0 and length <= 128)


def _unsupported(data: bytes) -> UnsupportedFormat | None:
    name = next((n for magic, at, n in _KNOWN if data[at : at + len(magic)] == magic), None)
    if name is None and data[4:8] == b"ftyp":
        name = _FTYP_BRANDS.get(data[8:12])
    if name is None and _PNM.match(data):
        name = "a Netpbm image"
    if name is None and data.lstrip()[:1] == b"<" and _SVG.search(data[:4096]):
        name = "an SVG drawing"
    if name is None:
        return None
    return UnsupportedFormat(f"This file is {name}, a format that Sightline does not read.")
