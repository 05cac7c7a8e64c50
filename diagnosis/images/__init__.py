"""Untrusted bytes to a checked, de-identified image.

`read_image` is the one way in. Inside: `recognition` names the format by content, `jpeg`, `png`,
`tiff`, `bitmaps` and `dicom` check and decode one family each, `checked` holds the limits.
"""

from diagnosis.images.checked import (
    MAX_BYTES,
    MAX_PIXELS,
    MIN_SIDE,
    BurnedIn,
    CheckedImage,
    ImageFacts,
    MediaType,
    Pixels,
    SourceFormat,
    digest_of,
)
from diagnosis.images.reading import read_image

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "MIN_SIDE",
    "BurnedIn",
    "CheckedImage",
    "ImageFacts",
    "MediaType",
    "Pixels",
    "SourceFormat",
    "digest_of",
    "read_image",
]
