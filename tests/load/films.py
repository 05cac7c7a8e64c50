"""Films to measure with: they show nobody, and they pass the gate."""

import io

import numpy as np
from PIL import Image

from diagnosis.images import read_image

SIZES = ((224, 224), (1600, 1300))


def film(demo: bytes, width: int, height: int, seed: int) -> bytes:
    """One of the artifact's demo images as a JPEG of some size, each with noise of its own.

    A refused image would cost no network.
    """
    random = np.random.default_rng(seed)
    smooth = Image.fromarray(read_image(demo).pixels).resize((width, height))
    noisy = np.asarray(smooth, np.float32) + random.normal(0, 4, (height, width))
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
