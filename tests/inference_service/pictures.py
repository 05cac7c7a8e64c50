"""Pictures for the tiny model, which calls bright ones pneumonia."""

import numpy as np

from tests.fixtures import images


def picture(brightness: int, seed: int) -> np.ndarray:
    """Grey noise around a brightness, larger than the input."""
    noise = np.random.default_rng(seed).normal(0, 12, (160, 200))
    return np.clip(brightness + noise, 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    return images.encode(pixels, "PNG")


BRIGHT = png(picture(230, 9))
DARK = png(picture(20, 9))
