"""Images that no modality makes, and good images made wrong: what every gate is fitted against.

Nothing here needs a file. Dead leaves (Lee, Mumford and Huang 2001) and noise with a falling
spectrum have the statistics of photographs without being any; models learn from such pictures
what the visible world is like (Baradad et al. 2021).
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from diagnosis.catalogue import Disease
from trainer.gate.acquisitions import Pixels

_SIDE = 128
Make = Callable[[np.random.Generator], Pixels]
Spoil = Callable[[Pixels, np.random.Generator], Pixels]


def blank(rng: np.random.Generator) -> Pixels:
    """One level, a slow gradient, or a dark corner; a little noise; grey or coloured."""
    down, across = np.mgrid[-1:1:128j, -1:1:128j]
    angle = rng.uniform(0, 2 * np.pi)
    slope = rng.choice([0.0, 0.0, rng.uniform(0, 60)])
    level = rng.uniform(0, 255) + slope * (np.cos(angle) * down + np.sin(angle) * across)
    level = level - rng.choice([0.0, rng.uniform(0, 50)]) * (down**2 + across**2)
    level = level + rng.normal(0, rng.choice([0.0, 1.0, 4.0]), level.shape)
    if rng.random() < 0.5:
        return _eight_bit(level)
    return _eight_bit(level[..., None] * rng.uniform(0.3, 1.0, 3))


def noise(rng: np.random.Generator) -> Pixels:
    """White, salt-and-pepper, or with a spectrum that falls by a power of 0.3 to 2 (of amplitude);
    grey or coloured."""
    kind = rng.integers(0, 4)
    channels = int(rng.choice([1, 1, 3]))
    grain = int(rng.choice([1, 1, 2, 4, 8]))
    shape = (_SIDE // grain, _SIDE // grain, channels)
    if kind == 0:
        field = rng.uniform(0, 255, shape)
    elif kind == 1:
        field = np.where(
            rng.random(shape) < rng.uniform(0.02, 0.5), 255.0 * (rng.random(shape) < 0.5), 128.0
        )
    elif kind == 2:
        field = rng.normal(rng.uniform(60, 190), rng.uniform(10, 80), shape)
    else:
        grain = 1
        field = np.stack([_falling(rng) for _ in range(channels)], axis=2)
    field = np.repeat(np.repeat(field, grain, axis=0), grain, axis=1)
    return _eight_bit(field[..., 0] if channels == 1 else field)


def leaves(rng: np.random.Generator) -> Pixels:
    """Dead leaves: discs, boxes and triangles that hide each other, shaded and textured."""
    grey = rng.random() < 0.4
    image = Image.new("RGB", (_SIDE, _SIDE), _colour(rng, grey))
    draw = ImageDraw.Draw(image)
    base, spread = rng.uniform(40, 215, 3), rng.uniform(15, 90)
    largest = rng.uniform(0.15, 0.7) * _SIDE
    for _ in range(int(rng.integers(5, 300))):
        # Sizes fall with the third power, as in the world.
        size = min(largest, 3.0 / np.sqrt(rng.uniform(0.0005, 1.0)))
        x, y = rng.uniform(-0.1, 1.1, 2) * _SIDE
        level = np.clip(base + rng.normal(0, spread, 3), 0, 255)
        fill = (int(level[0]),) * 3 if grey else tuple(int(one) for one in level)
        form = rng.integers(0, 3)
        if form == 0:
            draw.ellipse((x - size, y - size * rng.uniform(0.4, 1), x + size, y + size), fill=fill)
        elif form == 1:
            draw.rectangle((x - size, y - size, x + size * rng.uniform(0, 1), y + size), fill=fill)
        else:
            corners = rng.uniform(-size, size, (3, 2)) + np.array([x, y])
            draw.polygon([(float(a), float(b)) for a, b in corners], fill=fill)
    field = np.asarray(image, np.float64)
    field = field * (1 + rng.uniform(0, 0.25) * (_falling(rng)[..., None] - 128) / 128)
    down, across = np.mgrid[-1:1:128j, -1:1:128j]
    light = 1 + rng.uniform(-0.3, 0.3) * down + rng.uniform(-0.3, 0.3) * across
    field = field * light[..., None]
    return _eight_bit(field[..., 0] if grey else field)


def drawn(rng: np.random.Generator) -> Pixels:
    """A page of text, a chart, stripes or a chequerboard: screenshots and scans."""
    paper, ink = (255, 0) if rng.random() < 0.7 else (20, 230)
    image = Image.new("RGB", (_SIDE * 2, _SIDE * 2), (paper,) * 3)
    draw = ImageDraw.Draw(image)
    kind = rng.integers(0, 4)
    if kind == 0:
        for line in range(4, 250, int(rng.integers(10, 22))):
            length = int(rng.integers(5, 40))
            text = "".join(rng.choice(list("abcdefghij  klmnop rstu"), length))
            draw.text((int(rng.integers(2, 30)), line), text, fill=(ink,) * 3)
    elif kind == 1:
        for place in range(int(rng.integers(3, 12))):
            top = int(rng.integers(20, 220))
            draw.rectangle((12 + place * 20, top, 26 + place * 20, 240), fill=_colour(rng, False))
        draw.line((8, 8, 8, 244, 250, 244), fill=(ink,) * 3, width=2)
    else:
        step = int(rng.integers(4, 64))
        rows, columns = np.indices((_SIDE * 2, _SIDE * 2)) // step
        field = ((rows + (columns if kind == 3 else 0)) % 2) * 255
        return _eight_bit(np.rot90(field, int(rng.integers(0, 2))).astype(np.float64))
    return np.asarray(image, np.uint8)


def inverted(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    """A negative."""
    return 255 - pixels


def turned(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A quarter turn, to either side."""
    return np.ascontiguousarray(np.rot90(pixels, int(rng.choice([1, 3]))))


def upside_down(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Turned by half, or flipped top to bottom."""
    return np.ascontiguousarray(pixels[::-1] if rng.random() < 0.5 else pixels[::-1, ::-1])


def coloured(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """A grey picture in strong colour: photographed from a screen, or through a colour table."""
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    if rng.random() < 0.5:
        dark, light = (_colour(rng, False) for _ in range(2))
        middle = _colour(rng, False)
        return np.asarray(ImageOps.colorize(Image.fromarray(grey), dark, light, middle))
    strength = rng.uniform(0.25, 0.7)
    tint = np.array([1.0, 1.0 - strength * rng.random(), 1.0 - strength])
    return _eight_bit(grey[..., None] * rng.permutation(tint))


def without_colour(pixels: Pixels, _rng: np.random.Generator) -> Pixels:
    """A colour picture in grey."""
    return np.asarray(Image.fromarray(pixels).convert("L"))


#: Kinds that are made of nothing.
MADE: dict[str, Make] = {"blank": blank, "noise": noise, "leaves": leaves, "drawn": drawn}
#: What is a kind of its own only where it keeps no label: see `spoils_of`.
SPOILT: dict[str, Spoil] = {
    "inverted": inverted,
    "turned": turned,
    "upside_down": upside_down,
    "coloured": coloured,
    "without_colour": without_colour,
}


def spoils_of(disease: Disease, *, in_colour: bool) -> tuple[str, ...]:
    """Names of the ways in which a good image of this disease is made wrong.

    An image that the catalogue allows to be turned or flipped is as good that way.
    """
    allowed = set(disease.augmentations)
    names = ["inverted", "without_colour" if in_colour else "coloured"]
    if "rotate_right_angles" not in allowed:
        names.append("turned")
        if "flip_vertical" not in allowed:
            names.append("upside_down")
    return tuple(names)


def _falling(rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Noise whose amplitude falls with frequency, mean 128, float64 (128, 128)."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.fftfreq(_SIDE)))
    frequency[0, 0] = 1.0
    spectrum = np.fft.fft2(rng.normal(size=(_SIDE, _SIDE))) / frequency ** rng.uniform(0.3, 2.0)
    field = np.real(np.fft.ifft2(spectrum))
    scaled = (field - field.mean()) / max(float(field.std()), 1e-9)
    return np.asarray(128 + scaled * rng.uniform(20, 70))


def _colour(rng: np.random.Generator, grey: bool) -> tuple[int, int, int]:
    red, green, blue = (int(one) for one in rng.integers(0, 256, 3))
    return (red, red, red) if grey else (red, green, blue)


def _eight_bit(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Pixels:
    return np.asarray(np.clip(values, 0, 255), np.uint8)
