"""Checked image to array: the only preprocessing in the repository.

A `Preprocessing` is data: an ordered list of small named steps that travels in the artifact's
card. Training, evaluation, serving and the browser run the same steps. A step's meaning never
changes; a different meaning gets a new name. The digest names the whole list.
"""

import hashlib
import json
import math
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
#: ITU-R 601-2.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Step(BaseModel):
    """One named operation on an array, (H, W) or (H, W, C), of values 0 to 255 until scaled."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

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
        if pixels.dtype == np.uint8:
            return np.asarray(Image.fromarray(pixels).convert("L"))
        # Not a matrix product: its order of adding differs between machines.
        return np.asarray((pixels.astype(np.float32) * _LUMA).sum(axis=2), np.float32)


class Rgb(Step):
    """One channel to three equal ones; colour stays; (H, W) or (H, W, 3) to (H, W, 3)."""

    op: Literal["rgb"] = "rgb"

    def apply(self, pixels: Array) -> Array:
        return pixels if pixels.ndim == 3 else np.repeat(pixels[..., np.newaxis], 3, axis=2)


class CentreCrop(Step):
    """Keeps the middle `fraction` of each side: cuts borders and burned-in marks away.

    At least one pixel is left, however small the image.
    """

    op: Literal["centre_crop"] = "centre_crop"
    fraction: Annotated[float, Field(gt=0, le=1)]

    def cut_away(self, side: int) -> int:
        """Pixels that are cut from each end of a side of so many."""
        return min(round(side * (1 - self.fraction) / 2), (side - 1) // 2)

    def apply(self, pixels: Array) -> Array:
        top, left = (self.cut_away(side) for side in pixels.shape[:2])
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
        return np.asarray(np.clip(stretched, 0, 255), np.float32)


class Equalise(Step):
    """Histogram equalisation over 256 bins, of all channels together; the result has 8 bits.

    Every value becomes 255 times the share of pixels that are brighter than the darkest and not
    brighter than it (Gonzalez and Woods); a flat image becomes zero.
    """

    op: Literal["equalise"] = "equalise"

    def apply(self, pixels: Array) -> Array:
        bins = pixels
        if bins.dtype != np.uint8:
            bins = np.clip(np.rint(pixels.astype(np.float32)), 0, 255).astype(np.uint8)
        below = np.cumsum(np.bincount(bins.ravel(), minlength=256))
        darkest = below[bins.min()]
        table = np.rint(255.0 * (below - darkest) / max(int(below[-1] - darkest), 1))
        return np.asarray(np.clip(table, 0, 255).astype(np.uint8)[bins])


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
        return np.asarray((values - values.mean()) / max(float(values.std()), 1.0), np.float32)


class Normalise(Step):
    """Subtracts `mean` and divides by `std`, a figure a channel."""

    op: Literal["normalise"] = "normalise"
    mean: Annotated[tuple[float, ...], Field(min_length=1, max_length=3)]
    std: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, max_length=3)]

    @model_validator(mode="after")
    def _one_figure_a_channel(self) -> "Normalise":
        if len(self.mean) != len(self.std) or len(self.mean) == 2:
            raise ValueError("mean and std have one figure each, or three")
        return self

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
    """An ordered list of steps with a name; the last `resize` makes the network's input size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    steps: Annotated[tuple[AnyStep, ...], Field(min_length=2, max_length=12)]

    @model_validator(mode="after")
    def _steps_fit_each_other(self) -> "Preprocessing":
        ops = [step.op for step in self.steps]
        if "resize" not in ops:
            raise ValueError("a preprocessing has a resize step, so that every size of image fits")
        if not {"greyscale", "rgb"} & set(ops):
            raise ValueError("a preprocessing says greyscale or rgb, so that every image fits it")
        if "scaled_decode" in ops[1:]:
            raise ValueError("scaled_decode is the first step or none")
        if "centre_crop" in ops[len(ops) - ops[::-1].index("resize") :]:
            raise ValueError("a crop after the last resize would change the input's size")
        channels = None
        for step in self.steps:
            channels = {"greyscale": 1, "rgb": 3}.get(step.op, channels)
            if isinstance(step, Normalise) and len(step.mean) == 3 != channels:
                raise ValueError("three figures to normalise by need three channels: rgb first")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the array that `apply` returns, in pixels."""
        last = next(step for step in reversed(self.steps) if isinstance(step, Resize))
        return last.width, last.height

    @property
    def channels(self) -> Literal[1, 3]:
        """Of the array that `apply` returns."""
        last = next(step for step in reversed(self.steps) if isinstance(step, Greyscale | Rgb))
        return 1 if isinstance(last, Greyscale) else 3

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
        before = self.steps[: self.steps.index(resize)]
        kept = math.prod(step.fraction for step in before if isinstance(step, CentreCrop))
        width, height = (
            math.ceil(first.factor * side / kept) for side in (resize.width, resize.height)
        )
        return width, height

    def seen(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The part of an image that the network sees, as shares of its sides.

        Args:
            width: of the array that `apply` gets, in pixels.
            height: of the array that `apply` gets, in pixels.

        Returns:
            left, top, right and bottom from 0 to 1; the array of `apply` is this part, stretched.
        """
        sides = [width, height]
        box = [(0.0, 1.0), (0.0, 1.0)]
        for step in self.steps:
            if isinstance(step, Resize):
                sides = [step.width, step.height]
            elif isinstance(step, CentreCrop):
                for axis, side in enumerate(sides):
                    cut = step.cut_away(side)
                    low, high = box[axis]
                    share = (high - low) * cut / side
                    box[axis] = (low + share, high - share)
                    sides[axis] = side - 2 * cut
        (left, right), (top, bottom) = box
        return left, top, right, bottom

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
