"""Hostile files that are no image at all, of another format, or of two at once."""

import gzip
import random
import struct
import zipfile
import zlib
from io import BytesIO

from tests.fixtures.images import encode, grey, one_of_each
from tests.security.hostile_rasters import SIDES, SIGNATURE, good_png, jpeg, zeros


def file_empty(rng: random.Random) -> bytes:
    return b""


def file_of_a_few_bytes(rng: random.Random) -> bytes:
    return rng.randbytes(rng.randint(1, 15))


def file_of_zeros(rng: random.Random) -> bytes:
    return bytes(rng.randint(1, 2**22))


def file_of_noise(rng: random.Random) -> bytes:
    return b"\x01" + rng.randbytes(rng.randint(100, 50_000))


def file_of_text(rng: random.Random) -> bytes:
    return b"Dear colleague, please see the film.\n" * rng.randint(1, 5000)


def file_svg(rng: random.Random) -> bytes:
    script = b"<script>fetch('http://127.0.0.1/')</script>" * rng.randint(1, 9)
    return b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">' + script + b"</svg>"


def file_xml_bomb(rng: random.Random) -> bytes:
    entities = "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, rng.randint(5, 30))
    )
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "x">{entities}]><x>&a4;</x>'.encode()


def file_html(rng: random.Random) -> bytes:
    return b"<!doctype html><img src=x onerror=alert(1)>" + rng.randbytes(40)


def file_pdf(rng: random.Random) -> bytes:
    action = b"<< /OpenAction << /S /JavaScript /JS (app.alert(1)) >> >>"
    return b"%PDF-1.7\n" + action * rng.randint(1, 50)


def file_postscript(rng: random.Random) -> bytes:
    return b"%!PS-Adobe-3.0 EPSF-3.0\n{ (%pipe%id) (r) file } loop\n" * rng.randint(1, 20)


def file_program(rng: random.Random) -> bytes:
    start = rng.choice((b"MZ\x90\x00", b"\x7fELF\x02\x01\x01", b"\xca\xfe\xba\xbe", b"#!/bin/sh\n"))
    return start + rng.randbytes(rng.randint(100, 4000))


def member(name: str) -> zipfile.ZipInfo:
    """A member of an archive that does not say when it was made."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def file_zip_bomb(rng: random.Random) -> bytes:
    inner = BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member("image.dcm"), bytes(rng.randint(1, 4) * 2**20))
    outer = BytesIO()
    with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(rng.randint(2, 20)):
            archive.writestr(member(f"{number}.zip"), inner.getvalue())
    return outer.getvalue()


def file_gzip_bomb(rng: random.Random) -> bytes:
    return zeros(rng.choice((100, 200)), zlib.MAX_WBITS + 16)


def file_pickle(rng: random.Random) -> bytes:
    return (
        b"\x80\x04\x95\x1d"
        + bytes(7)
        + b"\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R." * rng.randint(1, 9)
    )


def file_hdf5(rng: random.Random) -> bytes:
    return b"\x89HDF\r\n\x1a\n" + rng.randbytes(rng.randint(100, 4000))


def file_gif_of_broken_lzw(rng: random.Random) -> bytes:
    size = struct.pack("<HH", *rng.choices((16, *SIDES), k=2))
    start = b"GIF89a" + size + b"\x80\0\0" + bytes(6) + b"\x2c\0\0\0\0" + size
    return start + b"\0" + bytes([rng.randint(9, 255)]) + b"\xff" + rng.randbytes(500)


def file_gif_of_many_frames(rng: random.Random) -> bytes:
    return b"GIF89a" + bytes(7) + (b"\x21\xf9\x04\0\0\0\0\0") * rng.randint(1000, 20_000)


def file_of_a_format_not_read(rng: random.Random) -> bytes:
    start = rng.choice(
        (
            b"8BPS\0\1",
            b"\0\0\1\0\xff\xff",
            b"v/1\x01",
            b"#?RADIANCE\n",
            b"DDS ",
            b"qoif\xff\xff\xff\xff",
            b"gimp xcf",
            b"SIMPLE  =",
            b"II\xbc\x01",
            b"\xff\x0a",
        )
    )
    return start + rng.randbytes(rng.randint(50, 2000))


def file_netpbm_of_65k(rng: random.Random) -> bytes:
    return b"P%d\n65535 65535\n255\n" % rng.randint(1, 6) + rng.randbytes(100)


def file_jpeg_2000(rng: random.Random) -> bytes:
    data = encode(grey(64, 64), "JPEG2000", no_jp2=rng.random() < 0.5)
    return data[: rng.randint(60, len(data))]


def file_heif(rng: random.Random) -> bytes:
    brand = rng.choice((b"heic", b"avif", b"mif1", b"crx "))
    return struct.pack(">I", rng.randint(0, 2**32 - 1)) + b"ftyp" + brand + rng.randbytes(200)


def file_pdf_and_jpeg(rng: random.Random) -> bytes:
    return b"%PDF-1.4\n1 0 obj\nstream\n" + jpeg(rng) + b"\nendstream\n%%EOF"


def file_gif_and_script(rng: random.Random) -> bytes:
    return b"GIF89a/*" + rng.randbytes(20) + b"*/=1;alert(1)//"


def file_zip_and_png(rng: random.Random) -> bytes:
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(member("image.png"), good_png(rng))
    return target.getvalue() + good_png(rng)


def file_html_and_jpeg(rng: random.Random) -> bytes:
    return b"<html><!--" + jpeg(rng) + b"--><script>alert(1)</script></html>"


def file_of_the_right_start(rng: random.Random) -> bytes:
    """The first bytes of a format, and noise."""
    start = rng.choice(
        (
            b"\xff\xd8\xff\xe0",
            SIGNATURE,
            b"II*\0",
            b"MM\0*",
            b"II+\0",
            b"RIFF\xff\xff\0\0WEBP",
            b"BM",
        )
    )
    if start == b"BM":
        start += rng.randbytes(12) + struct.pack("<I", rng.choice((12, 40, 108, 124)))
    return start + rng.randbytes(rng.randint(10, 3000))


def file_of_a_spoilt_start(rng: random.Random) -> bytes:
    """A good image whose first bytes went through a text filter, or lost some."""
    each = one_of_each()
    data = each[rng.choice(("png", "jpeg", "webp", "tiff"))]
    return rng.choice(
        (
            b"\xef\xbb\xbf" + data,
            data[:1] + bytes([data[1] ^ 0x80]) + data[2:],
            b"\n" + data,
            data[3:],
        )
    )


def file_compressed_image(rng: random.Random) -> bytes:
    return rng.choice((lambda data: gzip.compress(data, mtime=0), zlib.compress))(good_png(rng))
