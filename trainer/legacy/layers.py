"""The closed list: each layer that a legacy file may name, and how it is built anew.

A builder reads the fields it knows, checks each, and calls the Keras class itself; no class is
looked up by a name from the file. A field that is not known here is refused, because it could
change what the network computes.
"""

from collections.abc import Callable, Mapping
from typing import Any

from trainer.legacy.fields import Fields
from trainer.refusals import LegacyRefused
from trainer.runtime import keras

ACTIVATIONS = frozenset({
    "linear", "relu", "relu6", "sigmoid", "softmax", "tanh", "elu", "selu", "softplus", "swish",
    "hard_sigmoid",
})  # fmt: skip


def _shared(fields: Fields) -> dict[str, Any]:
    fields.only("data_format", "channels_last", None)
    return {"activation": fields.word("activation", ACTIVATIONS, "linear"),
            "use_bias": fields.flag("use_bias", True)}  # fmt: skip


def _convolution(fields: Fields) -> dict[str, Any]:
    return _shared(fields) | {
        "kernel_size": fields.pair("kernel_size", 1, 64),
        "strides": fields.pair("strides", 1, 64, (1, 1)),
        "padding": fields.word("padding", {"same", "valid"}, "valid"),
        "dilation_rate": fields.pair("dilation_rate", 1, 64, (1, 1)),
    }


def _conv(fields: Fields) -> Any:
    groups = fields.whole("groups", 1, 65_536, 1)
    filters = fields.whole("filters", 1, 65_536)
    return keras().layers.Conv2D(filters, groups=groups, **_convolution(fields))


def _depthwise(fields: Fields) -> Any:
    fields.ignore("filters", "groups")
    multiplier = fields.whole("depth_multiplier", 1, 64, 1)
    return keras().layers.DepthwiseConv2D(depth_multiplier=multiplier, **_convolution(fields))


def _separable(fields: Fields) -> Any:
    fields.only("groups", 1)
    multiplier = fields.whole("depth_multiplier", 1, 64, 1)
    filters = fields.whole("filters", 1, 65_536)
    return keras().layers.SeparableConv2D(
        filters, depth_multiplier=multiplier, **_convolution(fields)
    )


def _dense(fields: Fields) -> Any:
    return keras().layers.Dense(fields.whole("units", 1, 65_536), **_shared(fields))


def _norm(fields: Fields) -> Any:
    fields.ignore("momentum")
    axis = fields.take("axis", 3)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, 1, 3):
        raise LegacyRefused(f"{fields.where}: axis {str(axis)[:20]} is not the channels'.")
    return keras().layers.BatchNormalization(
        axis=-1,
        epsilon=fields.number("epsilon", 1e-12, 1.0, 1e-3),
        center=fields.flag("center", True),
        scale=fields.flag("scale", True),
    )


def _pooling(name: str) -> Callable[[Fields], Any]:
    def build(fields: Fields) -> Any:
        fields.only("data_format", "channels_last", None)
        size = fields.pair("pool_size", 1, 64, (2, 2))
        return getattr(keras().layers, name)(
            pool_size=size,
            strides=fields.pair("strides", 1, 64, size),
            padding=fields.word("padding", {"same", "valid"}, "valid"),
        )

    return build


def _global(name: str) -> Callable[[Fields], Any]:
    def build(fields: Fields) -> Any:
        fields.only("data_format", "channels_last", None)
        return getattr(keras().layers, name)(keepdims=fields.flag("keepdims", False))

    return build


def _dropout(fields: Fields) -> Any:
    return keras().layers.Dropout(fields.number("rate", 0.0, 0.99, 0.5))


def _flatten(fields: Fields) -> Any:
    fields.only("data_format", "channels_last", None)
    return keras().layers.Flatten()


def _activation(fields: Fields) -> Any:
    return keras().layers.Activation(fields.word("activation", ACTIVATIONS))


def _relu(fields: Fields) -> Any:
    most = fields.take("max_value", None)
    return keras().layers.ReLU(
        max_value=None if most is None else fields.checked("max_value", most, 0.0, 1e6),
        negative_slope=fields.number("negative_slope", 0.0, 10.0, 0.0),
        threshold=fields.number("threshold", -1e6, 1e6, 0.0),
    )


def _leaky(fields: Fields) -> Any:
    return keras().layers.LeakyReLU(negative_slope=fields.number("alpha", 0.0, 10.0, 0.3))


def _softmax(fields: Fields) -> Any:
    fields.only("axis", -1)
    return keras().layers.Softmax()


def _padding(fields: Fields) -> Any:
    fields.only("data_format", "channels_last", None)
    return keras().layers.ZeroPadding2D(fields.nested_pair("padding", 0, 64))


def _concatenate(fields: Fields) -> Any:
    axis = fields.take("axis", -1)
    if axis not in (-1, 1, 2, 3):
        raise LegacyRefused(f"{fields.where}: axis {str(axis)[:20]} cannot be joined along.")
    return keras().layers.Concatenate(axis=axis)


LAYERS: Mapping[str, Callable[[Fields], Any]] = {
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
    "BatchNormalization": _norm,
    "MaxPooling2D": _pooling("MaxPooling2D"),
    "AveragePooling2D": _pooling("AveragePooling2D"),
    "GlobalMaxPooling2D": _global("GlobalMaxPooling2D"),
    "GlobalAveragePooling2D": _global("GlobalAveragePooling2D"),
    "Dropout": _dropout,
    "SpatialDropout2D": _dropout,
    "Flatten": _flatten,
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "Softmax": _softmax,
    "ZeroPadding2D": _padding,
    "Add": lambda _: keras().layers.Add(),
    "Concatenate": _concatenate,
}
#: Names by which a layer's arrays stand in the file, in the order in which Keras takes them.
WEIGHTS: Mapping[str, tuple[str, ...]] = {
    "Conv2D": ("kernel", "bias"),
    "DepthwiseConv2D": ("depthwise_kernel", "bias"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "Dense": ("kernel", "bias"),
    "BatchNormalization": ("gamma", "beta", "moving_mean", "moving_variance"),
}


def build_layer(class_name: object, config: object, where: str) -> Any:
    """A new Keras layer, with random weights, as a legacy description asks for it.

    Raises:
        LegacyRefused: it is not on the list, or a field of it is unknown or out of range.
    """
    builder = LAYERS.get(class_name) if isinstance(class_name, str) else None
    if builder is None:
        raise LegacyRefused(
            f"{where} is of the kind {str(class_name)[:40]!r}, which is not imported. A Lambda or "
            "a layer of its own holds code: rebuild the network in a recipe instead."
        )
    fields = Fields(config, where)
    layer = builder(fields)
    fields.finish()
    return layer
