"""Checked image to array: the only preprocessing in the repository.

A `Preprocessing` is data: an ordered list of small named steps that travels in the artifact's
card. Training, evaluation, serving and the browser run the same steps. A step's meaning never
changes; a different meaning gets a new name. The digest names the whole list.
"""

import hashlib
import json
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

Array = NDArray[np.generic]

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}


class Step(BaseModel):
    """One named operation on an array of shape (H, W) or (H, W, C), values 0 to 255 until scaled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def apply(self, pixels: Array) -> Array:
        """Return the changed array; never changes its argument."""
        raise NotImplementedError


class ScaledDecode(Step):
    """Allows a JPEG to be decoded at 1/2, 1/4 or 1/8, never below `factor` times the input size.

    It changes no array: `Preprocessing.decode_at_least` hands it to the decoder, in training too.
    """

    op: Literal["scaled_decode"] = "scaled_decode"
    factor: Annotated[int, Field(ge=2, le=8)] = 2

    def apply(self, pixels: Array) -> Array:
        return pixels


class Greyscale(Step):
    """Colour to one channel by ITU-R 601-2 luma; (H, W, 3) or (H, W) to (H, W)."""

    op: Literal["greyscale"] = "greyscale"

    def apply(self, pixels: Array) -> Array:
        if pixels.ndim == 2:
            return pixels
        return np.asarray(Image.fromarray(pixels.astype(np.uint8)).convert("L"))


class Rgb(Step):
    """One channel to three equal ones; colour stays; (H, W) or (H, W, 3) to (H, W, 3)."""

    op: Literal["rgb"] = "rgb"

    def apply(self, pixels: Array) -> Array:
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=2)


class CentreCrop(Step):
    """Keeps the middle `fraction` of each side: cuts borders and burned-in marks away."""

    op: Literal["centre_crop"] = "centre_crop"
    fraction: Annotated[float, Field(gt=0, le=1)]

    def apply(self, pixels: Array) -> Array:
        top, left = (round(side * (1 - self.fraction) / 2) for side in pixels.shape[:2])
        return pixels[top : pixels.shape[0] - top, left : pixels.shape[1] - left]


class Resize(Step):
    """Stretches to `width` by `height` with an antialiased filter (Pillow's).

    8-bit pixels are resized and rounded in 8 bit, all others in 32-bit floats.
    """

    op: Literal["resize"] = "resize"
    width: Annotated[int, Field(ge=8, le=1024)]
    height: Annotated[int, Field(ge=8, le=1024)]
    filter: Literal["bilinear", "bicubic", "box"] = "bilinear"

    def apply(self, pixels: Array) -> Array:
        size, resample = (self.width, self.height), _FILTERS[self.filter]
        if pixels.dtype == np.uint8:
            return np.asarray(Image.fromarray(pixels).resize(size, resample))
        planes = pixels.astype(np.float32).reshape(*pixels.shape[:2], -1)
        resized = [
            np.asarray(Image.fromarray(planes[..., index]).resize(size, resample))
            for index in range(planes.shape[2])
        ]
        return resized[0] if pixels.ndim == 2 else np.stack(resized, axis=2)


class ContrastStretch(Step):
    """Maps the `low` and `high` percentiles to 0 and 255 and clips; a flat image becomes zero."""

    op: Literal["contrast_stretch"] = "contrast_stretch"
    low: Annotated[float, Field(ge=0, lt=50)] = 1.0
    high: Annotated[float, Field(gt=50, le=100)] = 99.0

    def apply(self, pixels: Array) -> Array:
        values = pixels.astype(np.float32)
        bottom, top = np.percentile(values, [self.low, self.high])
        stretched = (values - bottom) * (255.0 / max(top - bottom, 1e-6))
        return np.clip(stretched, 0, 255).astype(np.float32)


class Equalise(Step):
    """Histogram equalisation over 256 bins, of all channels together; mixed with the original.

    `strength` 1 replaces every value by 255 times its rank, 0 changes nothing.
    """

    op: Literal["equalise"] = "equalise"
    strength: Annotated[float, Field(gt=0, le=1)] = 1.0

    def apply(self, pixels: Array) -> Array:
        values = pixels.astype(np.float32)
        bins = np.clip(np.rint(values), 0, 255).astype(np.uint8)
        rank = np.cumsum(np.bincount(bins.ravel(), minlength=256)).astype(np.float32)
        table = 255.0 * (rank - rank[0]) / max(float(rank[-1] - rank[0]), 1.0)
        return (self.strength * table[bins] + (1 - self.strength) * values).astype(np.float32)


class Scale(Step):
    """Divides by `divisor`, then subtracts `offset`."""

    op: Literal["scale"] = "scale"
    divisor: Annotated[float, Field(gt=0)] = 255.0
    offset: float = 0.0

    def apply(self, pixels: Array) -> Array:
        return (
            pixels.astype(np.float32) / np.float32(self.divisor) - np.float32(self.offset)
        ).astype(np.float32)


class Standardise(Step):
    """Subtracts the image's own mean and divides by its own standard deviation (at least 1)."""

    op: Literal["standardise"] = "standardise"

    def apply(self, pixels: Array) -> Array:
        values = pixels.astype(np.float32)
        return ((values - values.mean()) / max(float(values.std()), 1.0)).astype(np.float32)


class Normalise(Step):
    """Subtracts `mean` and divides by `std`, a figure a channel."""

    op: Literal["normalise"] = "normalise"
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def apply(self, pixels: Array) -> Array:
        mean, std = (np.asarray(figures, np.float32) for figures in (self.mean, self.std))
        return ((pixels.astype(np.float32) - mean) / std).astype(np.float32)


AnyStep = Annotated[
    ScaledDecode
    | Greyscale
    | Rgb
    | CentreCrop
    | Resize
    | ContrastStretch
    | Equalise
    | Scale
    | Standardise
    | Normalise,
    Field(discriminator="op"),
]


class Preprocessing(BaseModel):
    """An ordered list of steps with a name; exactly one of them is `resize`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    steps: Annotated[tuple[AnyStep, ...], Field(min_length=2, max_length=12)]

    @model_validator(mode="after")
    def _one_resize_and_a_hint_first(self) -> "Preprocessing":
        ops = [step.op for step in self.steps]
        if ops.count("resize") != 1:
            raise ValueError("a preprocessing has exactly one resize step")
        if not {"greyscale", "rgb"} & set(ops):
            raise ValueError("a preprocessing says greyscale or rgb, so that every image fits it")
        if "scaled_decode" in ops[1:]:
            raise ValueError("scaled_decode is the first step or none")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of the steps (the name does not count): the same digest, the same pixels."""
        steps = [step.model_dump(mode="json") for step in self.steps]
        text = json.dumps(steps, sort_keys=True, separators=(",", ":"))
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    @property
    def decode_at_least(self) -> tuple[int, int] | None:
        """Smallest (width, height) that a JPEG may be decoded at; None for its full size."""
        first = self.steps[0]
        if not isinstance(first, ScaledDecode):
            return None
        resize = next(step for step in self.steps if isinstance(step, Resize))
        crop = next((step.fraction for step in self.steps if isinstance(step, CentreCrop)), 1.0)
        width, height = (
            round(first.factor * side / crop) for side in (resize.width, resize.height)
        )
        return width, height

    def apply(self, pixels: Array) -> NDArray[np.float32]:
        """Turn an image into the network's input.

        Args:
            pixels: uint8 or uint16 (full range), shape (H, W) or (H, W, 3), as
                `diagnosis.images` hands it out.

        Returns:
            float32, shape (height, width, channels), contiguous; without the batch dimension.
        """
        array: Array = pixels
        if array.dtype == np.uint16:
            array = (array.astype(np.float32) / 257.0).astype(np.float32)
        for step in self.steps:
            array = step.apply(array)
        if array.ndim == 2:
            array = array[..., np.newaxis]
        return np.ascontiguousarray(array, dtype=np.float32)
