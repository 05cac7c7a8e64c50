"""The closed list: every class that `config.json` may name, and every field it may hold.

A pair of module and class that is not here never reaches Keras: no Lambda, no TFSMLayer, no
lookup or hashing layer, no wrapper around another framework, no registered custom object, no
function, no loss, optimizer or metric. What is here only computes on numbers: the layers of the
usual image classifiers (ResNet, VGG, MobileNet, DenseNet, EfficientNet, SqueezeNet, residual
attention), their initializers, regularizers and constraints, as Keras 3.15 writes them.

A field that a later Keras adds is refused until it is read here and judged; the refusal names it.
"""

from collections.abc import Mapping

from diagnosis.artifacts.fields import (
    AXIS,
    FLAG,
    MAX_DIMENSION,
    NAMED,
    NUMBER,
    SEED,
    SHAPE,
    SIZE,
    SMALL,
    Allowed,
    Ends,
    Flag,
    Kind,
    Layers,
    Nothing,
    Part,
    Whole,
    words,
)

_DTYPES = frozenset({"float16", "float32", "mixed_bfloat16", "mixed_float16"})
_ACTIVATIONS = words(
    "celu", "elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh",
    "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu",
    "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
)  # fmt: skip
_PADDING = words("same", "valid")
# Channels first is refused: TensorFlow does not run it on a CPU, and the checked weight shapes
# are read from the last axis.
_CHANNELS = words("channels_last")
_INTERPOLATION = words("area", "bicubic", "bilinear", "lanczos3", "lanczos5", "nearest")
_DTYPE = Part("dtype", _DTYPES)
_INITIALIZER = Part("initializer")
_REGULARIZER = Part("regularizer")
_CONSTRAINT = Part("constraint")

_EVERY_LAYER: dict[str, Kind] = {"name": NAMED, "trainable": FLAG, "dtype": _DTYPE}


def _layer(**fields: Kind) -> Allowed:
    return Allowed("layer", _EVERY_LAYER | fields)


def _of_weights(*names: str) -> dict[str, Kind]:
    """The initializer, regularizer and constraint of each named weight."""
    fields: dict[str, Kind] = {}
    for name in names:
        fields[f"{name}_initializer"] = _INITIALIZER
        fields[f"{name}_regularizer"] = _REGULARIZER
        fields[f"{name}_constraint"] = _CONSTRAINT
    return fields


_CONVOLUTION: dict[str, Kind] = {
    "kernel_size": SMALL,
    "strides": SMALL,
    "padding": _PADDING,
    "data_format": _CHANNELS,
    "dilation_rate": SMALL,
    "activation": _ACTIVATIONS,
    "use_bias": FLAG,
    "activity_regularizer": _REGULARIZER,
}
_POOLING: dict[str, Kind] = {
    "pool_size": SMALL,
    "strides": SMALL,
    "padding": _PADDING,
    "data_format": _CHANNELS,
}
_GLOBAL_POOLING: dict[str, Kind] = {"data_format": _CHANNELS, "keepdims": FLAG}
_NORMALIZATION: dict[str, Kind] = {
    "axis": AXIS,
    "epsilon": NUMBER,
    "center": FLAG,
    "scale": FLAG,
    **_of_weights("beta", "gamma"),
}

_LAYERS: dict[str, Allowed] = {
    "InputLayer": Allowed(
        "layer",
        {
            "batch_shape": Whole(1, 1024),
            "dtype": words("float32"),
            "sparse": Flag(only=False),
            "ragged": Flag(only=False),
            "name": NAMED,
            "optional": Flag(only=False),
        },
    ),
    "Dense": _layer(
        units=SIZE,
        activation=_ACTIVATIONS,
        use_bias=FLAG,
        activity_regularizer=_REGULARIZER,
        quantization_config=Nothing(),
        **_of_weights("kernel", "bias"),
    ),
    "Conv2D": _layer(filters=SIZE, groups=SIZE, **_CONVOLUTION, **_of_weights("kernel", "bias")),
    "Conv2DTranspose": _layer(
        filters=SIZE, output_padding=SMALL, **_CONVOLUTION, **_of_weights("kernel", "bias")
    ),
    "DepthwiseConv2D": _layer(
        depth_multiplier=SMALL, **_CONVOLUTION, **_of_weights("depthwise", "bias")
    ),
    "SeparableConv2D": _layer(
        filters=SIZE,
        depth_multiplier=SMALL,
        **_CONVOLUTION,
        **_of_weights("depthwise", "pointwise", "bias"),
    ),
    "BatchNormalization": _layer(
        momentum=NUMBER,
        moving_mean_initializer=_INITIALIZER,
        moving_variance_initializer=_INITIALIZER,
        synchronized=Flag(only=False),
        renorm=Flag(only=False),
        renorm_clipping=Nothing(),
        renorm_momentum=NUMBER,
        **_NORMALIZATION,
    ),
    "LayerNormalization": _layer(rms_scaling=Flag(only=False), **_NORMALIZATION),
    "GroupNormalization": _layer(groups=Whole(-1, MAX_DIMENSION), **_NORMALIZATION),
    "UnitNormalization": _layer(axis=AXIS),
    "Normalization": _layer(axis=AXIS, invert=FLAG, mean=NUMBER, variance=NUMBER),
    "Rescaling": _layer(scale=NUMBER, offset=NUMBER),
    "Resizing": _layer(
        data_format=_CHANNELS,
        height=Whole(1, 1024),
        width=Whole(1, 1024),
        interpolation=_INTERPOLATION,
        crop_to_aspect_ratio=FLAG,
        pad_to_aspect_ratio=FLAG,
        fill_mode=words("constant"),
        fill_value=NUMBER,
        antialias=FLAG,
    ),
    "CenterCrop": _layer(data_format=_CHANNELS, height=Whole(1, 1024), width=Whole(1, 1024)),
    "Activation": _layer(activation=_ACTIVATIONS),
    "ReLU": _layer(max_value=NUMBER, negative_slope=NUMBER, threshold=NUMBER),
    "LeakyReLU": _layer(negative_slope=NUMBER),
    "PReLU": _layer(shared_axes=AXIS, **_of_weights("alpha")),
    "ELU": _layer(alpha=NUMBER),
    "Softmax": _layer(axis=AXIS),
    "MaxPooling2D": _layer(**_POOLING),
    "AveragePooling2D": _layer(**_POOLING),
    "GlobalMaxPooling2D": _layer(**_GLOBAL_POOLING),
    "GlobalAveragePooling2D": _layer(**_GLOBAL_POOLING),
    "Concatenate": _layer(axis=AXIS),
    "ZeroPadding2D": _layer(padding=Whole(0, 64), data_format=_CHANNELS),
    "Cropping2D": _layer(cropping=SMALL, data_format=_CHANNELS),
    "UpSampling2D": _layer(size=Whole(1, 16), data_format=_CHANNELS, interpolation=_INTERPOLATION),
    "Reshape": _layer(target_shape=SHAPE),
    "Flatten": _layer(data_format=_CHANNELS),
    "Permute": _layer(dims=AXIS),
    "Dropout": _layer(rate=NUMBER, seed=SEED, noise_shape=SHAPE),
    "SpatialDropout2D": _layer(rate=NUMBER, seed=SEED, data_format=_CHANNELS),
    "GaussianNoise": _layer(stddev=NUMBER, seed=SEED),
    "GaussianDropout": _layer(rate=NUMBER, seed=SEED),
    "Identity": _layer(),
} | {merge: _layer() for merge in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract")}


def _initializer(**fields: Kind) -> Allowed:
    return Allowed("initializer", fields)


_FANS: dict[str, Kind] = {"seed": SEED, "input_axes": AXIS, "output_axes": AXIS}
_INITIALIZERS: dict[str, Allowed] = {
    "Zeros": _initializer(),
    "Ones": _initializer(),
    "Constant": _initializer(value=NUMBER),
    "RandomNormal": _initializer(seed=SEED, mean=NUMBER, stddev=NUMBER),
    "TruncatedNormal": _initializer(seed=SEED, mean=NUMBER, stddev=NUMBER),
    "RandomUniform": _initializer(seed=SEED, minval=NUMBER, maxval=NUMBER),
    "Orthogonal": _initializer(seed=SEED, gain=NUMBER),
    "VarianceScaling": _initializer(
        scale=NUMBER,
        mode=words("fan_avg", "fan_in", "fan_out"),
        distribution=words("normal", "truncated_normal", "uniform", "untruncated_normal"),
        **_FANS,
    ),
} | {
    name: _initializer(**_FANS)
    for name in (
        "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform",
    )
}  # fmt: skip

_REGULARIZERS: dict[str, Allowed] = {
    "L1": Allowed("regularizer", {"l1": NUMBER}),
    "L2": Allowed("regularizer", {"l2": NUMBER}),
    "L1L2": Allowed("regularizer", {"l1": NUMBER, "l2": NUMBER}),
}
_CONSTRAINTS: dict[str, Allowed] = {
    "MaxNorm": Allowed("constraint", {"max_value": NUMBER, "axis": AXIS}),
    "NonNeg": Allowed("constraint", {}),
    "UnitNorm": Allowed("constraint", {"axis": AXIS}),
}


def _operation(name: str, **fields: Kind) -> Allowed:
    """A node that `x * 2` or `keras.ops` leaves in a graph: plain arithmetic, no weights."""
    return Allowed("operation", {"name": NAMED, **fields}, registered_name=name)


_ARITHMETIC = {
    name: _operation(name)
    for name in (
        "Absolute", "Add", "Exp", "Log", "Maximum", "Minimum", "Multiply", "Negative", "Sqrt",
        "Square", "Subtract", "Tanh", "TrueDivide",
    )
} | {
    "Clip": _operation("Clip", x_min=NUMBER, x_max=NUMBER),
    "Concatenate": _operation("Concatenate", axis=AXIS),
    "Max": _operation("Max", axis=AXIS, keepdims=FLAG, initial=NUMBER),
    "Mean": _operation("Mean", axis=AXIS, keepdims=FLAG),
    "Sum": _operation("Sum", axis=AXIS, keepdims=FLAG),
    "Transpose": _operation("Transpose", axes=AXIS),
}  # fmt: skip
_NEURAL = {
    name: _operation(name)
    for name in ("HardSigmoid", "HardSilu", "Relu", "Relu6", "Sigmoid", "Silu", "Softplus")
} | {
    "Elu": _operation("Elu", alpha=NUMBER),
    "Gelu": _operation("Gelu", approximate=FLAG),
    "LeakyRelu": _operation("LeakyRelu", negative_slope=NUMBER),
    "Softmax": _operation("Softmax", axis=AXIS),
}

_MODELS: dict[tuple[str | None, str], Allowed] = {
    ("keras.src.models.functional", "Functional"): Allowed(
        "model",
        {
            "name": NAMED,
            "trainable": FLAG,
            "layers": Layers(),
            "input_layers": Ends(),
            "output_layers": Ends(),
        },
        registered_name="Functional",
    ),
    ("keras", "Sequential"): Allowed(
        "model", _EVERY_LAYER | {"layers": Layers(), "build_input_shape": SHAPE}
    ),
}

#: (module, class) as Keras writes them -> what the class may hold. The name a class is
#: registered under is part of the entry and must match too.
ALLOWED: Mapping[tuple[str | None, str], Allowed] = (
    _MODELS
    | {("keras.layers", name): entry for name, entry in _LAYERS.items()}
    | {("keras.initializers", name): entry for name, entry in _INITIALIZERS.items()}
    | {("keras.regularizers", name): entry for name, entry in _REGULARIZERS.items()}
    | {("keras.constraints", name): entry for name, entry in _CONSTRAINTS.items()}
    | {("keras.src.ops.numpy", name): entry for name, entry in _ARITHMETIC.items()}
    | {("keras.src.ops.nn", name): entry for name, entry in _NEURAL.items()}
    | {
        ("keras", "DTypePolicy"): Allowed("dtype", {"name": words(*_DTYPES)}),
        (None, "__keras_tensor__"): Allowed(
            "tensor", {}
        ),  # its three fields are checked where it stands
    }
)
