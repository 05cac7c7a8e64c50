"""Pictures for the tiny model, which calls bright ones pneumonia."""

import io

import numpy as np
from PIL import Image


def picture(brightness: int, seed: int) -> np.ndarray:
    """Grey noise around a brightness, larger than the input."""
    noise = np.random.default_rng(seed).normal(0, 12, (160, 200))
    return np.clip(brightness + noise, 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


BRIGHT = png(picture(230, 9))
DARK = png(picture(20, 9))
