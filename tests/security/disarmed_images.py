"""Good images with something hostile beside their pixels, which the reader leaves out.

Each class is a function of nothing; it answers the file and what must not be kept of it.
"""

import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO

from tests.fixtures.images import (
    colour,
    dicom,
    encode,
    grey,
    jpeg_segment,
    png_chunk,
    with_chunks,
    with_segments,
)
from tests.security.hostile_rasters import riff
from tests.security.hostile_tiff import LONG, PIXELS, tiff

Made = tuple[bytes, bytes]


def png_text_bomb() -> Made:
    bomb = zlib.compress(bytes(100 * 2**20), 9)
    return with_chunks(encode(grey(), "PNG"), png_chunk(b"iTXt", b"a\0\1\0\0\0" + bomb)), bomb


def png_profile_bomb() -> Made:
    bomb = zlib.compress(bytes(100 * 2**20), 9)
    return with_chunks(encode(grey(), "PNG"), png_chunk(b"iCCP", b"a\0\0" + bomb)), bomb


def png_with_a_program_behind_it() -> Made:
    return encode(grey(), "PNG") + b"MZ\x90\0 this program", b"MZ\x90\0"


def jpeg_exif_that_points_at_itself() -> Made:
    loop = b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<HHHII", 1, 0x8769, 4, 1, 8)
    loop += struct.pack("<I", 8)
    return with_segments(encode(grey(), "JPEG"), jpeg_segment(0xE1, loop)), loop


def jpeg_profile_longer_than_it_is() -> Made:
    lie = b"ICC_PROFILE\0\xff\x01" + struct.pack(">I", 0xFFFFFFFF) + bytes(200)
    return with_segments(encode(colour(), "JPEG"), jpeg_segment(0xE2, lie)), lie


def jpeg_and_zip() -> Made:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("run.sh", "id")
    return encode(grey(), "JPEG") + target.getvalue(), target.getvalue()


def jpeg_and_script() -> Made:
    script = b"<script>alert(document.domain)</script>"
    return with_segments(encode(grey(), "JPEG"), jpeg_segment(0xFE, script)), script


def webp_with_odd_metadata() -> Made:
    good = encode(colour(), "WEBP")
    odd = b"<x:xmpmeta><!ENTITY a SYSTEM 'file:///etc/passwd'>"
    head = b"\x0c\0\0\0" + struct.pack("<I", 63)[:3] + struct.pack("<I", 47)[:3]
    return riff((b"VP8X", head), (good[12:16], good[20:]), (b"XMP ", odd)), odd


def tiff_of_directories_inside_itself() -> Made:
    note = b"file:///etc/passwd"
    return tiff(PIXELS + note, t330=(LONG, 1, 8), t34665=(LONG, 1, 8), t34853=(LONG, 1, 8)), note


def dicom_behind_a_program() -> Made:
    program = b"MZ\x90\0 this program"
    data = dicom(grey())
    return program.ljust(128, b"\0") + data[128:], program


CLASSES: dict[str, Callable[[], Made]] = {
    name.replace("_", "-"): make
    for name, make in vars().copy().items()
    if getattr(make, "__module__", "") == __name__
}
