"""What a checked image is, and the limits every file is held to."""

import hashlib
from dataclasses import dataclass, field, fields
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diagnosis.errors import DamagedImage, FileTooLarge, ImageTooSmall, TooManyPixels

#: Bytes. The proxy's limit on a request's body is a little higher, so that this one answers.
MAX_BYTES = 25 * 1024 * 1024
#: Width times height, as declared in the file's header.
MAX_PIXELS = 50_000_000
#: Pixels, of each side.
MIN_SIDE = 16

SourceFormat = Literal["jpeg", "png", "tiff", "webp", "bmp", "dicom"]
MediaType = Literal["image/jpeg", "image/png"]
#: Text in the pixels: the file says that there is some, or does not say that there is none.
BurnedIn = Literal["stated", "possible"]
#: uint8 of shape (H, W) or (H, W, 3), or uint16 of shape (H, W) with the full range 0 to 65535.
Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageFacts:
    """What is known of a checked image beside its pixels."""

    width: int
    """Pixels of the original as displayed, also where it was decoded at a smaller scale."""
    height: int
    """Pixels of the original as displayed."""
    source_format: SourceFormat
    media_type: MediaType
    """Of the file to keep."""
    digest: str
    """`sha256:` and the hexadecimal SHA-256 of the file to keep."""
    modality: str | None = None
    """DICOM Modality, if it is one of the codes for images."""
    patient_age_years: float | None = None
    """DICOM Patient's Age; None where it is missing or malformed."""
    burned_in: BurnedIn | None = None
    """Whether a DICOM file leaves it open that names stand in its pixels."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CheckedImage(ImageFacts):
    """An image that was read to its end from bytes nobody vouched for."""

    pixels: Pixels = field(repr=False)
    """uint8 (H, W) or (H, W, 3), or uint16 (H, W) full range; upright; not writeable."""
    clean: bytes = field(repr=False)
    """The image without anything about the patient or the device: the file to keep."""
    dicom: bytes | None = field(default=None, repr=False)
    """The DICOM file, de-identified, where it was asked for."""

    @property
    def facts(self) -> ImageFacts:
        """All but the pixels and the files."""
        return ImageFacts(**{one.name: getattr(self, one.name) for one in fields(ImageFacts)})


def check_bytes(data: bytes) -> None:
    """Refuse a file that is larger than `MAX_BYTES`.

    Raises:
        FileTooLarge: it is.
    """
    if len(data) > MAX_BYTES:
        raise FileTooLarge


def check_size(width: int, height: int) -> None:
    """Hold a declared size to the limits, before a pixel is decoded.

    Raises:
        DamagedImage: a side is zero or negative.
        TooManyPixels: more than `MAX_PIXELS`.
        ImageTooSmall: a side is shorter than `MIN_SIDE`.
    """
    if width <= 0 or height <= 0:
        raise DamagedImage(cause="a declared side is not positive")
    if width * height > MAX_PIXELS:
        raise TooManyPixels
    if width < MIN_SIDE or height < MIN_SIDE:
        raise ImageTooSmall


def digest_of(data: bytes) -> str:
    """`sha256:` and the hexadecimal SHA-256 of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
