"""One hostile configuration a rule, refused by that rule; without the hostile part it passes."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from diagnosis.artifacts.opener import inspect_keras
from diagnosis.errors import ConfigRefused
from tests.diagnosis.artifacts.hostile import layer, with_config, with_config_text
from tests.fixtures.artifacts import pack, unpack

Change = Callable[[dict[str, Any]], object]


def _object(module: str | None, class_name: str, /, **config: Any) -> Any:
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": None,
    }


def _append(node: dict[str, Any]) -> Change:
    """Add a layer at the end of the graph, called on the logits."""
    node = {
        **node,
        "name": node["config"].get("name", "added") if isinstance(node["config"], dict) else "x",
        "inbound_nodes": [],
    }
    return lambda config: config["config"]["layers"].append(node)


def _activation(value: object) -> Change:
    return lambda config: layer(config, "Dense")["config"].update(activation=value)


def _initializer(value: object) -> Change:
    return lambda config: layer(config, "Dense")["config"].update(kernel_initializer=value)


def _dense(**fields: object) -> Change:
    return lambda config: layer(config, "Dense")["config"].update(fields)


def _nested(depth: int) -> object:
    value: object = 0
    for _ in range(depth):
        value = [value]
    return value


def _rename(name: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        dense = layer(config, "Dense")
        dense["name"] = dense["config"]["name"] = name
        config["config"]["output_layers"][0] = name

    return change


def _call(config: dict[str, Any]) -> dict[str, Any]:
    call: dict[str, Any] = layer(config, "Dense")["inbound_nodes"][0]
    return call


def _inner(depth: int) -> dict[str, Any]:
    """Sequential models, one inside the other."""
    layers = [_inner(depth - 1)] if depth else []
    inner: dict[str, Any] = _object("keras", "Sequential", name=f"inner{depth}", layers=layers)
    return inner


def _huge_but_declared(config: dict[str, Any]) -> None:
    dense = layer(config, "Dense")
    dense["build_config"]["input_shape"] = [None, 60_000]
    dense["config"]["units"] = 60_000


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wAAAA", "defaults": None}}

CASES: dict[str, tuple[str, Change]] = {
    # Classes that run code, read files or open addresses, one a known hole of Keras.
    "lambda layer": ("config-class", _append(_object("keras.layers", "Lambda", function=LAMBDA))),
    "lambda as activation": ("config-class", _activation(LAMBDA)),
    "any module (CVE-2025-1550)": ("config-class", _append(_object("os", "system", x="id"))),
    "function of a module": (
        "config-class",
        _activation({"module": "builtins", "class_name": "function", "config": "eval"}),
    ),
    "get_file gadget (CVE-2025-8747)": (
        "config-class",
        _append({"module": "keras.utils", "class_name": "function", "config": "get_file"}),
    ),
    "unsafe switch (CVE-2025-9906)": (
        "config-class",
        _append(_object("keras.config", "enable_unsafe_deserialization")),
    ),
    "model loaded inside": ("config-class", _append(_object("keras.models", "load_model"))),
    "TFSMLayer (CVE-2026-1462)": (
        "config-class",
        _append(_object("keras.layers", "TFSMLayer", filepath="evil")),
    ),
    "StringLookup (CVE-2025-12058)": (
        "config-class",
        _append(_object("keras.layers", "StringLookup", vocabulary="secrets")),
    ),
    "IntegerLookup": ("config-class", _append(_object("keras.layers", "IntegerLookup"))),
    "Hashing": ("config-class", _append(_object("keras.layers", "Hashing"))),
    "TextVectorization": ("config-class", _append(_object("keras.layers", "TextVectorization"))),
    "TorchModuleWrapper": (
        "config-class",
        _append(_object("keras.layers", "TorchModuleWrapper")),
    ),
    "JaxLayer": ("config-class", _append(_object("keras.layers", "JaxLayer"))),
    "FlaxLayer": ("config-class", _append(_object("keras.layers", "FlaxLayer"))),
    "allowed class of another module": (
        "config-class",
        lambda config: layer(config, "Dense").update(module="evil.layers"),
    ),
    "class of the old format": ("config-class", lambda c: layer(c, "Dense").pop("module")),
    "typespec": ("config-class", _activation({"class_name": "__typespec__", "config": []})),
    "numpy literal": ("config-class", _dense(quantization_config={"class_name": "__numpy__"})),
    "class deep inside": ("config-class", _dense(units=[{"x": [_object("os", "system")]}])),
    "class that is a list": ("config-class", lambda c: c.update(class_name=["Functional"])),
    "registered custom object": (
        "config-registered-name",
        lambda config: layer(config, "Dense").update(registered_name="evil>Dense"),
    ),
    # Allowed things in places where they do not belong.
    "layer as initializer": (
        "config-place",
        _initializer(_object("keras.layers", "Identity", name="x")),
    ),
    "initializer as layer": ("config-place", _append(_object("keras.initializers", "Zeros"))),
    "layer as model": ("config-place", lambda c: c.update(layer(c, "Dense"))),
    "object as argument": (
        "config-place",
        lambda c: _call(c)["args"].append(_object("keras.initializers", "Zeros")),
    ),
    "shared layer": ("config-shared", lambda c: layer(c, "Dense").update(shared_object_id=7)),
    "shared by a word": (
        "config-shared",
        _initializer(_object("keras.initializers", "Zeros") | {"shared_object_id": "x"}),
    ),
    # Text.
    "absolute path": ("config-path", _dense(bias_initializer="/etc/passwd")),
    "path upwards (CVE-2026-12479)": ("config-path", _rename("../../x")),
    "layer name with a slash": ("config-path", _rename("block1/conv")),
    "home folder": ("config-path", _rename("~root")),
    "address": ("config-path", _activation("https://example.org/x")),
    "Windows drive": ("config-path", _activation("C:x")),
    "Windows path": ("config-path", _activation("a\\b")),
    "path as a key": ("config-path", _dense(**{"/etc/passwd": 1})),
    "file name as layer name": ("config-value", _rename("vocabulary.txt")),
    "long text": ("config-string", _activation("x" * 101)),
    "control character": ("config-string", _activation("relu\n")),
    "odd key": ("config-key", _dense(**{"1x": 1})),
    "unknown activation": ("config-value", _activation("evil")),
    "nameless layer": ("config-name", lambda c: layer(c, "Dense")["config"].pop("name")),
    "two names": ("config-name", lambda c: layer(c, "Dense").update(name="other")),
    "name taken": ("config-name", lambda c: c["config"]["layers"].append(layer(c, "ReLU"))),
    # Fields and values.
    "unknown field": ("config-field", _dense(custom_objects={})),
    "unknown field of an object": ("config-field", lambda c: c.update(custom_objects={})),
    "unknown argument of a call": ("config-field", lambda c: _call(c)["kwargs"].update(fn="relu")),
    "text as argument of a call": ("config-value", lambda c: _call(c)["args"].append("relu")),
    "odd value of an argument": ("config-value", lambda c: _call(c)["kwargs"].update(mask=[1])),
    "true for a number": ("config-value", _dense(units=True)),
    "channels first": (
        "config-value",
        lambda c: layer(c, "Conv2D")["config"].update(data_format="channels_first"),
    ),
    "optimizer": ("config-compiled", lambda c: c.update(compile_config={"optimizer": "adam"})),
    "no configuration": ("config-structure", lambda c: layer(c, "Dense").pop("config")),
    "layers that are none": ("config-structure", lambda c: c["config"].update(layers={})),
    "text as layer": ("config-structure", lambda c: c["config"]["layers"].append("x")),
    "outputs from nowhere": ("config-structure", lambda c: c["config"].update(output_layers=[])),
    "tensor from nowhere": (
        "config-structure",
        lambda c: _call(c)["args"][0]["config"].update(keras_history=["x", -1, 0]),
    ),
    # Sizes.
    "huge layer": ("config-value", _dense(units=10**9)),
    "huge layer that is declared": ("config-parameters", _huge_but_declared),
    "layer of unknown size": ("config-build", lambda c: layer(c, "Dense").pop("build_config")),
    "odd build": (
        "config-build",
        lambda c: layer(c, "Dense").update(build_config={"shapes_dict": {}}),
    ),
    "weights of unknown size": (
        "config-build",
        lambda c: layer(c, "Dense")["build_config"].update(input_shape=[None, None]),
    ),
    "huge side": (
        "config-shape",
        lambda c: layer(c, "Dense")["build_config"].update(input_shape=[None, 10**6]),
    ),
    "huge image": (
        "config-shape",
        lambda c: layer(c, "Conv2D")["build_config"].update(input_shape=[None, 9**5, 9**5, 1]),
    ),
    "huge number": ("config-number", _dense(units=2**64)),
    "too many layers": ("config-layers", lambda c: c["config"]["layers"].extend(
        _object("keras.layers", "Identity", name=f"x{i}") for i in range(2_000)
    )),
    "too many values": ("config-size", _dense(units=[0] * 400_001)),
    "deep nesting": ("config-depth", _dense(units=_nested(60))),
    "deep models": ("config-depth", _append(_inner(6))),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "change"), CASES.values(), ids=CASES)
def test_a_hostile_configuration_is_refused(good: bytes, rule: str, change: Change) -> None:
    with pytest.raises(ConfigRefused) as refused:
        inspect_keras(with_config(good, change))
    assert refused.value.cause is not None
    assert refused.value.cause.startswith(f"{rule}: ")


def test_the_same_file_rewritten_without_a_hostile_part_is_accepted(good: bytes) -> None:
    inspect_keras(with_config(good, lambda config: None))


@pytest.mark.parametrize(
    "change",
    [
        _rename("block1_conv-2"),
        _activation("relu"),
        _initializer(_object("keras.initializers", "Zeros") | {"shared_object_id": 7}),
        _append(_object("keras.layers", "Identity", name="added")),
        _append(_inner(1)),
        lambda config: _call(config)["kwargs"].update(training=False),
        lambda config: config.update(compile_config={}),
    ],
)
def test_the_harmless_neighbours_of_hostile_parts_are_accepted(good: bytes, change: Change) -> None:
    inspect_keras(with_config(good, change))


TEXTS: dict[str, tuple[str, Callable[[str], str]]] = {
    "not JSON": ("config-json", lambda text: text[:-1]),
    "something behind": ("config-json", lambda text: text + "{}"),
    "byte order mark": ("config-json", lambda text: "\ufeff" + text),
    "not UTF-8": ("config-json", lambda text: text.replace("float32", "\udcff", 1)),
    "endless number": ("config-json", lambda text: text.replace("32", "1" * 5000, 1)),
    "a list": ("config-structure", lambda text: f"[{text}]"),
    "a key twice": ("config-duplicate-key", lambda text: '{"module": "os", ' + text[1:]),
    "NaN": ("config-not-finite", lambda text: text.replace("0.99", "NaN", 1)),
    "Infinity": ("config-not-finite", lambda text: text.replace("0.99", "-Infinity", 1)),
    "overflow": ("config-not-finite", lambda text: text.replace("0.99", "1e999", 1)),
    "stack overflow": (
        "config-depth",
        lambda text: text.replace("32", "[" * 100_000 + "]" * 100_000, 1),
    ),
}


@pytest.mark.parametrize(("rule", "change"), TEXTS.values(), ids=TEXTS)
def test_hostile_text_is_refused(good: bytes, rule: str, change: Callable[[str], str]) -> None:
    with pytest.raises(ConfigRefused, match=rf"\({rule}: "):
        inspect_keras(with_config_text(good, change))


@pytest.mark.parametrize(
    ("rule", "metadata"),
    [
        ("metadata-keys", {"keras_version": "3.15.1"}),
        ("metadata-keys", ["keras_version"]),
        ("metadata-value", {"keras_version": "2.15.0", "date_saved": "2026-01-02@03:04:05"}),
        ("metadata-value", {"keras_version": "3.15.1", "date_saved": "/etc/passwd"}),
    ],
)
def test_odd_metadata_is_refused(good: bytes, rule: str, metadata: object) -> None:
    members = unpack(good) | {"metadata.json": json.dumps(metadata).encode()}
    with pytest.raises(ConfigRefused, match=rf"\({rule}: "):
        inspect_keras(pack(members))
