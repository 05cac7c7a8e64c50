"""SqueezeNet v1.1 (Iandola et al. 2016), without its top; ImageNet weights under the MIT licence.

The file is read with h5py, array by array; it is never loaded as a model. The ImageNet means are
folded into the first layer, so the network takes pixels from 0 to 255, grey or RGB.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from trainer.refusals import RecipeRefused
from trainer.runtime import keras

LICENCE = "SqueezeNet v1.1, ImageNet weights (MIT)"
#: Blue, green, red: the order in which the network was trained.
_MEANS = np.array([103.939, 116.779, 123.68], np.float32)
_FIRES = range(2, 10)
_POOLED_AFTER = (3, 5)
#: Squeeze and expand widths of a fire module.
_WIDTHS = {
    **dict.fromkeys((2, 3), (16, 64)),
    **dict.fromkeys((4, 5), (32, 128)),
    **dict.fromkeys((6, 7), (48, 192)),
    **dict.fromkeys((8, 9), (64, 256)),
}
Weights = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]


def read_weights(path: Path | None) -> Weights:
    """Kernel and bias of each layer, by the names `conv1`, `fire2_squeeze1x1` and so on.

    Raises:
        RecipeRefused: no file, not HDF5, or not this network's arrays.
    """
    if path is None:
        raise RecipeRefused(
            "The recipe starts from pretrained SqueezeNet weights: name the file with --weights, "
            "or set SIGHTLINE_TRAINER_WEIGHTS."
        )
    if not path.is_file():
        raise RecipeRefused(f"The weights {path} do not exist.")
    try:
        with h5py.File(path, "r") as file:
            names = ["conv1"] + [
                f"fire{fire}/{part}"
                for fire in _FIRES
                for part in ("squeeze1x1", "expand1x1", "expand3x3")
            ]
            found = {name.replace("/", "_"): _arrays(file[name]) for name in names}
    except (OSError, KeyError, ValueError) as error:
        raise RecipeRefused(f"{path} does not hold SqueezeNet v1.1 weights: {error}.") from error
    for name, (kernel, bias) in found.items():
        if kernel.shape != _shape(name) or bias.shape != kernel.shape[-1:]:
            raise RecipeRefused(f"{path} holds an array of an unexpected shape for {name}.")
    return found


def build(weights: Weights, inputs: Any, last: int = 9) -> dict[int, Any]:
    """The feature maps after each fire module up to `last`, by the module's number.

    Args:
        weights: from `read_weights`.
        inputs: a Keras tensor (H, W, 1) or (H, W, 3 as RGB), pixels 0 to 255.
        last: the last fire module to build, 2 to 9.
    """
    layers = keras().layers
    kernel, bias = weights["conv1"]
    bias = bias - np.einsum("hwco,c->o", kernel, _MEANS)
    kernel = kernel.sum(axis=2, keepdims=True) if inputs.shape[-1] == 1 else kernel[:, :, ::-1]
    value = _conv(layers, inputs, "conv1", (kernel, bias), strides=2, padding="valid")
    value = layers.MaxPooling2D(3, 2, name="pool1")(value)
    maps = {}
    for fire in range(2, last + 1):
        name = f"fire{fire}"
        squeezed = _conv(layers, value, f"{name}_squeeze1x1", weights[f"{name}_squeeze1x1"])
        value = layers.Concatenate(name=f"{name}_concat")(
            [
                _conv(layers, squeezed, f"{name}_{part}", weights[f"{name}_{part}"])
                for part in ("expand1x1", "expand3x3")
            ]
        )
        maps[fire] = value
        if fire in _POOLED_AFTER:
            value = layers.MaxPooling2D(3, 2, name=f"pool{fire}")(value)
    return maps


def layer_names(last: int = 9) -> frozenset[str]:
    """Names of the layers that bring pretrained weights."""
    parts = ("squeeze1x1", "expand1x1", "expand3x3")
    return frozenset(
        {"conv1", *(f"fire{fire}_{part}" for fire in range(2, last + 1) for part in parts)}
    )


def _conv(layers: Any, value: Any, name: str, arrays: Any, **settings: Any) -> Any:
    kernel, bias = arrays
    settings = {"padding": "same", **settings}
    layer = layers.Conv2D(
        kernel.shape[3], kernel.shape[0], activation="relu", name=name, **settings
    )
    made = layer(value)
    layer.set_weights([kernel, bias])
    return made


def _arrays(group: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    found: dict[int, NDArray[np.float32]] = {}

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (1, 4) and item.size < 10_000_000:
            found[item.ndim] = np.asarray(item[()], np.float32)

    group.visititems(visit)
    return found[4], found[1]


def _shape(name: str) -> tuple[int, int, int, int]:
    if name == "conv1":
        return (3, 3, 3, 64)
    fire, part = int(name[4]), name[6:]
    squeeze, expand = _WIDTHS[fire]
    if part == "squeeze1x1":
        before = 64 if fire == 2 else 2 * _WIDTHS[fire - 1][1]
        return (1, 1, before, squeeze)
    size = int(part[-1])
    return (size, size, squeeze, expand)
