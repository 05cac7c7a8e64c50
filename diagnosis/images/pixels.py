"""Between Pillow's images and the arrays of a checked image."""

from io import BytesIO

import numpy as np
from PIL import Image

from diagnosis.errors import UnsupportedPixels
from diagnosis.images.checked import MAX_PIXELS, Pixels

# Every size is checked in the header before Pillow opens a file; this is the second lock.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

_WORDS = {"I;16", "I;16L", "I;16B", "I;16N"}
_WITH_ALPHA = {"LA", "La", "PA", "RGBA", "RGBa"}
_TO_RGB = {"P", "RGBX", "CMYK", "YCbCr"}


def to_pixels(image: Image.Image) -> Pixels:
    """Decode an opened image into an array; transparent parts become black.

    Returns:
        uint8 (H, W) or (H, W, 3), or uint16 (H, W), not writeable.

    Raises:
        UnsupportedPixels: 32-bit, floating point or a colour space with no safe meaning.
    """
    if image.mode in _WORDS:
        # Copied in the machine's byte order: `I;16B` is big-endian.
        return frozen(np.asarray(image).astype(np.uint16))
    if is_transparent(image):
        image = _on_black(image)
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in _TO_RGB:
        image = image.convert("RGB")
    if image.mode not in {"L", "RGB"}:
        raise UnsupportedPixels(cause=f"mode {image.mode}")
    return frozen(np.asarray(image, dtype=np.uint8))


def is_transparent(image: Image.Image) -> bool:
    """True where a page behind the image would be seen through it."""
    return image.mode in _WITH_ALPHA or (image.mode not in _WORDS and "transparency" in image.info)


def _on_black(image: Image.Image) -> Image.Image:
    layers = image.convert("RGBA")
    mode = "L" if image.mode in {"1", "L", "LA", "La"} else "RGB"
    return Image.composite(
        layers.convert("RGB").convert(mode),
        Image.new(mode, image.size),
        layers.getchannel("A"),
    )


def frozen(pixels: Pixels) -> Pixels:
    """The array, contiguous and not writeable."""
    if not pixels.flags.c_contiguous:
        pixels = pixels.copy()
    pixels.flags.writeable = False
    return pixels


def encode_png(pixels: Pixels) -> bytes:
    """A PNG of these pixels and nothing else; fast rather than small."""
    target = BytesIO()
    Image.fromarray(pixels).save(target, format="PNG", compress_level=1)
    return target.getvalue()
