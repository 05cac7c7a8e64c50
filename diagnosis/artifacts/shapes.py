"""Which weights a layer of `config.json` will make Keras allocate.

Keras allocates the weights of a layer from its configuration before it reads the weights file.
Worked out here first, the shapes must be those that are stored: a small file cannot ask for a
large model.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Shape = tuple[int, ...]
Config = Mapping[str, Any]


def _bias(config: Config, size: int) -> list[Shape]:
    return [(size,)] if config["use_bias"] else []


def _dense(config: Config, channels: int, _: Sequence[Any]) -> list[Shape]:
    return [(channels, config["units"]), *_bias(config, config["units"])]


def _conv(config: Config, channels: int, _: Sequence[Any]) -> list[Shape]:
    height, width = config["kernel_size"]
    filters = config["filters"]
    return [(height, width, channels // config["groups"], filters), *_bias(config, filters)]


def _conv_transpose(config: Config, channels: int, _: Sequence[Any]) -> list[Shape]:
    height, width = config["kernel_size"]
    filters = config["filters"]
    return [(height, width, filters, channels), *_bias(config, filters)]


def _depthwise(config: Config, channels: int, _: Sequence[Any]) -> list[Shape]:
    height, width = config["kernel_size"]
    multiplier = config["depth_multiplier"]
    return [(height, width, channels, multiplier), *_bias(config, channels * multiplier)]


def _separable(config: Config, channels: int, _: Sequence[Any]) -> list[Shape]:
    height, width = config["kernel_size"]
    multiplier, filters = config["depth_multiplier"], config["filters"]
    return [
        (height, width, channels, multiplier),
        (1, 1, channels * multiplier, filters),
        *_bias(config, filters),
    ]


def _along(axis: int | Sequence[int] | None, shape: Sequence[Any]) -> Shape:
    axes = [] if axis is None else [axis] if isinstance(axis, int) else axis
    return tuple(shape[index] for index in axes)


def _scale_and_offset(config: Config, shape: Shape) -> list[Shape]:
    return [shape] * (config["scale"] + config["center"])


def _batch_norm(config: Config, _: int, shape: Sequence[Any]) -> list[Shape]:
    along = _along(config["axis"], shape)
    return [*_scale_and_offset(config, along), along, along]


def _norm(config: Config, _: int, shape: Sequence[Any]) -> list[Shape]:
    return _scale_and_offset(config, _along(config["axis"], shape))


def _normalization(config: Config, _: int, shape: Sequence[Any]) -> list[Shape]:
    # Means that stand in the configuration are no weights.
    return [] if config.get("mean") is not None else [_along(config["axis"], shape)] * 2


def _prelu(config: Config, _: int, shape: Sequence[Any]) -> list[Shape]:
    alpha = list(shape[1:])
    for axis in config["shared_axes"] or []:
        alpha[axis - 1] = 1
    return [tuple(alpha)]


_RULES: dict[str, Callable[[Config, int, Sequence[Any]], list[Shape]]] = {
    "Dense": _dense,
    "Conv2D": _conv,
    "Conv2DTranspose": _conv_transpose,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _norm,
    "GroupNormalization": _norm,
    "Normalization": _normalization,
    "PReLU": _prelu,
}


def weight_shapes(class_name: str, config: Config, input_shape: object) -> list[Shape]:
    """The shapes of a layer's floating-point weights; empty for a layer without weights.

    Args:
        class_name: of an allowed layer.
        config: its configuration, every field already checked.
        input_shape: what `build_config` says; the batch dimension is None.

    Raises:
        ValueError: the layer has weights and its configuration does not say how large they are.
    """
    rule = _RULES.get(class_name)
    if rule is None:
        return []
    if not isinstance(input_shape, list) or not input_shape or not isinstance(input_shape[-1], int):
        raise ValueError("its build_config has no input_shape with a known last dimension")
    try:
        shapes = rule(config, input_shape[-1], input_shape)
    except (KeyError, TypeError, IndexError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"its weights cannot be sized ({type(error).__name__})") from error
    if not all(isinstance(side, int) for shape in shapes for side in shape):
        raise ValueError("a weight would have a dimension that is not known")
    return shapes
