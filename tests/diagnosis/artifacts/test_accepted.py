"""Real `.keras` files, written by Keras, pass the hardened opener; nothing else is needed."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from diagnosis.artifacts.allowed import ALLOWED
from diagnosis.artifacts.config import read_config
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.errors import ConfigRefused
from tests.fixtures.artifacts import load_keras, save_model, unpack

APPLICATIONS = {
    "ResNet50": {"classes": 2},
    "VGG16": {"include_top": False},
    "MobileNetV3Small": {"classes": 2},
    "DenseNet121": {"classes": 2},
    "EfficientNetV2B0": {"classes": 2},
}


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_networks_people_train_are_accepted(name: str) -> None:
    build = getattr(load_keras().applications, name)
    content = save_model(build(weights=None, input_shape=(32, 32, 3), **APPLICATIONS[name]))
    before = time.process_time()
    inspect_keras(content)
    assert time.process_time() - before < 1.0


def residual_attention() -> Any:
    """Down, up, a sigmoid mask over the trunk: the shape of a residual attention network."""
    keras = load_keras()
    layers = keras.layers
    image = keras.Input((32, 32, 1))
    trunk = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    mask = layers.MaxPooling2D(2)(trunk)
    mask = layers.Conv2D(8, 3, padding="same", activation="relu")(mask)
    mask = layers.UpSampling2D(2, interpolation="bilinear")(mask)
    mask = layers.Conv2D(8, 1, activation="sigmoid")(mask)
    x = layers.Multiply()([1 + mask, trunk])
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


def squeezenet() -> Any:
    keras = load_keras()
    layers = keras.layers
    image = keras.Input((64, 64, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    squeezed = layers.Conv2D(4, 1, activation="relu")(x)
    wide = layers.Conv2D(8, 3, padding="same", activation="relu")(squeezed)
    x = layers.Concatenate()([layers.Conv2D(8, 1, activation="relu")(squeezed), wide])
    x = layers.Dropout(0.5)(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(x))
    # A dot in front of a digit, as in the name that Keras gives its MobileNetV2.
    return keras.Model(image, x, name="squeezenet_1.00_64")


def half_precision() -> Any:
    keras = load_keras()
    policy = keras.mixed_precision.DTypePolicy("mixed_bfloat16")
    return keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            keras.layers.Conv2D(4, 3, dtype=policy),
            keras.layers.Flatten(),
            keras.layers.Dense(2, dtype="float32"),
        ]
    )


def every_layer() -> Any:
    """One network with every class of the closed list that is a layer or an operation."""
    keras = load_keras()
    layers, ops = keras.layers, keras.ops
    image = keras.Input((32, 32, 1))
    x = layers.Rescaling(1 / 127.5, offset=-1)(layers.Identity()(image))
    x = layers.CenterCrop(28, 28)(layers.Resizing(30, 30)(x))
    x = layers.Normalization(mean=[0.1], variance=[2.0])(x)
    x = layers.Normalization()(x)
    for layer in (
        layers.Conv2D(4, 3),
        layers.SeparableConv2D(4, 3, depth_multiplier=2),
        layers.DepthwiseConv2D(3, padding="same"),
        layers.Conv2DTranspose(4, 3, strides=2, padding="same"),
        layers.BatchNormalization(),
        layers.LayerNormalization(axis=[1, 2, 3]),
        layers.GroupNormalization(2),
        layers.UnitNormalization(),
        layers.Activation("swish"),
        layers.ReLU(6.0),
        layers.LeakyReLU(),
        layers.PReLU(shared_axes=[1, 2]),
        layers.PReLU(),
        layers.ELU(),
        layers.Softmax(),
        layers.MaxPooling2D(2),
        layers.AveragePooling2D(2),
        layers.ZeroPadding2D(((1, 2), (2, 1))),
        layers.Cropping2D(1),
        layers.UpSampling2D((2, 2)),
        layers.Permute((2, 1, 3)),
        layers.Dropout(0.1, seed=7),
        layers.SpatialDropout2D(0.1),
        layers.GaussianNoise(0.1),
        layers.GaussianDropout(0.1),
    ):
        x = layer(x)
    for merge in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"):
        x = getattr(layers, merge)()([x, x])
    x = layers.Concatenate()([x, x])
    for name in (
        "absolute", "exp", "log", "negative", "sqrt", "square", "tanh", "hard_sigmoid",
        "hard_silu", "relu", "relu6", "sigmoid", "silu", "softplus", "elu", "gelu", "leaky_relu",
        "softmax",
    ):  # fmt: skip
        x = getattr(ops, name)(x)
    x = (2 * x + 1 - x) / 3
    x = ops.clip(ops.minimum(ops.maximum(x, 0.0), 6.0), 0.1, 0.9)
    x = ops.concatenate([x, ops.transpose(x, (0, 2, 1, 3))], -1)
    x = x + ops.mean(x, (1, 2), keepdims=True)
    x = x * ops.max(x, -1, keepdims=True) + ops.sum(x, -1, keepdims=True)
    pooled = layers.GlobalMaxPooling2D()(x) + layers.GlobalAveragePooling2D()(x)
    x = layers.Flatten()(layers.Reshape((2, -1))(pooled))
    inner = keras.Sequential([keras.Input((x.shape[-1],)), layers.Dense(3, "gelu")], name="inner")
    return keras.Model(image, layers.Dense(2, name="logits")(inner(x)))


def every_part() -> Any:
    """One network with every initializer, regularizer and constraint of the closed list."""
    keras = load_keras()
    parts: dict[str, list[Any]] = {"initializers": [], "regularizers": [], "constraints": []}
    for module, name in ALLOWED:
        for kind, made in parts.items():
            if module == f"keras.{kind}":
                made.append(getattr(getattr(keras, kind), name)())
    x = image = keras.Input((4,), name="image")
    for initializer in parts["initializers"]:
        x = keras.layers.Dense(4, kernel_initializer=initializer)(x)
    for regularizer in parts["regularizers"]:
        x = keras.layers.Dense(4, kernel_regularizer=regularizer)(x)
    for constraint in parts["constraints"]:
        x = keras.layers.Dense(4, bias_constraint=constraint)(x)
    return keras.Model({"image": image}, {"logits": x})


@pytest.mark.parametrize(
    "build", [residual_attention, squeezenet, half_precision, every_layer, every_part]
)
def test_networks_of_our_own_are_accepted(build: Callable[[], Any]) -> None:
    inspect_keras(save_model(build()))


def test_nothing_stands_in_the_closed_list_that_no_real_network_shows() -> None:
    seen: set[tuple[str | None, str]] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            if "class_name" in node:
                seen.add((node.get("module"), node["class_name"]))
            node = list(node.values())
        if isinstance(node, list | tuple):
            for item in node:
                collect(item)

    keras = load_keras()
    for build in (every_layer, every_part, half_precision):
        collect(keras.saving.serialize_keras_object(build()))
    assert set(ALLOWED) <= seen


def test_the_weights_that_a_configuration_asks_for_are_those_that_keras_allocates() -> None:
    model = every_layer()
    found = read_config(unpack(save_model(model))["config.json"])
    # The counter of an adapted Normalization and the states of seed generators are no weights.
    floats = [v for v in model.variables if v.dtype.startswith("float")]
    assert sorted(found.weights) == sorted(tuple(variable.shape) for variable in floats)


def test_a_compiled_model_is_refused_and_its_uncompiled_copy_is_accepted() -> None:
    model = residual_attention()
    model.compile("adam", "mse")
    with pytest.raises(ConfigRefused, match=r"config-compiled.*from_config"):
        inspect_keras(save_model(model))
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    inspect_keras(save_model(copy))
