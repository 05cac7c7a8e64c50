"""What is fuzzed: each reader of bytes that nobody vouched for, and the one error it may raise.

A target answers nothing. It raises what its reader must not: anything else is a finding.
"""

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

from diagnosis.artifacts.card import Card
from diagnosis.artifacts.config import read_config
from diagnosis.artifacts.ir import inspect_ir
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.artifacts.weights import read_weights
from diagnosis.errors import ArtifactRefused, ImageRefused, InputRefused
from diagnosis.images import MAX_BYTES, read_image
from inference_service.archives import Archive
from tests.fixtures.images import SECRET, colour, encode, one_of_each

MODELS = Path(__file__).parents[2] / "models"


@dataclass(frozen=True)
class Target:
    """One reader."""

    run: Callable[[bytes], None]
    seeds: Callable[[], tuple[bytes, ...]]


def image(data: bytes) -> None:
    """Any bytes give a checked image or an `ImageRefused`, and nothing of a patient is kept."""
    try:
        read = read_image(data)
    except ImageRefused:
        return
    assert read.pixels.shape[:2] == (read.height, read.width)
    assert min(read.width, read.height) >= 16
    assert SECRET.encode() not in told(read.clean)
    again = read_image(read.clean)
    assert again.pixels.shape == read.pixels.shape


def told(clean: bytes) -> bytes:
    """What a cleaned image says beside its pixels.

    Of a JPEG its application segments and comments, of a WebP all chunks but those of pixels: the
    fuzzer writes any text into tables and scans, and there it is numbers that make pixels.
    """
    if clean.startswith(b"RIFF"):
        return _beside_the_chunks_of_pixels(clean)
    if not clean.startswith(b"\xff\xd8"):
        return clean
    said, place = b"", 2
    while clean[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(clean[place + 2 : place + 4])
        if 0xE0 <= clean[place + 1] <= 0xEF or clean[place + 1] == 0xFE:
            said += clean[place:end]
        place = end
    return said


def _beside_the_chunks_of_pixels(webp: bytes) -> bytes:
    said, place = b"", 12
    while place < len(webp):
        end = place + 8 + int.from_bytes(webp[place + 4 : place + 8], "little")
        if webp[place : place + 4] not in (b"VP8 ", b"VP8L", b"ALPH"):
            said += webp[place:end]
        place = end + end % 2
    return said


def zip_of_files(data: bytes) -> None:
    """Any bytes give files that are what their checksums say, or are refused."""
    try:
        for member in Archive(BytesIO(data)).members():
            assert len(member.data) <= MAX_BYTES
            assert member.refused is None or member.data == b""
    except InputRefused:
        return


def a_zip(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """One of the kind that batches come as."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("ward/", b"")
        archive.writestr("ward/a.png", encode(colour(40, 32), "PNG"))
        archive.writestr("ward/b.txt", b"no image " * 40)
        archive.comment = b"a comment"
    return made.getvalue()


def refusing(reader: Callable[[bytes], object]) -> Callable[[bytes], None]:
    """A reader of a part of an artifact, which may only refuse."""

    def run(data: bytes) -> None:
        with suppress(ArtifactRefused):
            reader(data)

    return run


def weights(data: bytes) -> None:
    """The weights of a network, whose configuration is a good one."""
    config = read_config(members()["config.json"])
    refusing(lambda one: read_weights(one, config.weights))(data)


@cache
def smallest() -> Path:
    """The folder of the smallest artifact that ships."""
    return min(MODELS.glob("*/*/model.keras"), key=lambda path: path.stat().st_size).parent


@cache
def members() -> dict[str, bytes]:
    """What its `.keras` file holds."""
    with zipfile.ZipFile(smallest() / "model.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def empty_archive() -> bytes:
    """A small zip with the three members of a `.keras` file."""
    target = BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, json.dumps({}))
    return target.getvalue()


def images_of(*kinds: str) -> Callable[[], tuple[bytes, ...]]:
    """Good files of these kinds."""
    return lambda: tuple(data for kind, data in one_of_each().items() if kind in kinds)


TARGETS: dict[str, Target] = {
    "jpeg": Target(image, images_of("jpeg", "progressive jpeg")),
    "png": Target(image, images_of("png", "16-bit png", "palette png")),
    "tiff": Target(
        image,
        lambda: (
            *images_of("tiff", "16-bit tiff")(),
            encode(colour(40, 32), "TIFF", compression="jpeg"),
            encode(colour(40, 32), "TIFF", compression="tiff_adobe_deflate"),
        ),
    ),
    "webp": Target(
        image, lambda: (*images_of("webp")(), encode(colour(40, 32), "WEBP", lossless=True))
    ),
    "bmp": Target(image, images_of("bmp")),
    "dicom": Target(image, images_of("dicom", "deflated dicom")),
    "dicom-rle": Target(image, images_of("rle dicom")),
    "dicom-jpeg": Target(image, images_of("jpeg dicom")),
    "dicom-jpeg-2000": Target(image, images_of("jpeg 2000 dicom")),
    "card": Target(refusing(Card.from_json), lambda: ((smallest() / "card.json").read_bytes(),)),
    "config": Target(refusing(read_config), lambda: (members()["config.json"],)),
    "weights": Target(weights, lambda: (members()["model.weights.h5"],)),
    "zip": Target(zip_of_files, lambda: (a_zip(), a_zip(zipfile.ZIP_STORED))),
    "archive": Target(refusing(inspect_keras), lambda: (empty_archive(),)),
    "graph": Target(
        refusing(lambda data: inspect_ir(data, b"")),
        lambda: ((smallest() / "model.xml").read_bytes(),),
    ),
}
