"""`config.json`, walked before Keras sees it.

Twice: first without knowing what anything means (depth, number of values, strings that are paths,
classes outside the closed list, wherever they stand), then knowing it (every class in its place,
every field of every class known, every value of the kind that field holds).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnosis.artifacts.fields import (
    MAX_DIMENSION,
    Allowed,
    Category,
    Ends,
    Layers,
    Part,
    is_name,
    is_number,
    is_whole,
)
from diagnosis.artifacts.shapes import Shape, weight_shapes
from diagnosis.artifacts.survey import find_entry, parse, refuse, refused, survey

MAX_LAYERS = 2_000
MAX_MODEL_DEPTH = 4
#: VGG16 with its dense head has 138 million.
MAX_PARAMETERS = 150_000_000
#: Elements of one image's activation between two layers, as the graph declares them.
MAX_ACTIVATION = 2**26

_OBJECT_KEYS = frozenset(
    {
        "module",
        "class_name",
        "config",
        "registered_name",
        "build_config",
        "compile_config",
        "name",
        "inbound_nodes",
        "shared_object_id",
    }
)
#: Small parts that layers may share; a shared layer would escape the count of its weights.
_SHAREABLE: frozenset[Category] = frozenset({"dtype", "initializer", "regularizer", "constraint"})
_TENSOR_TYPES = ("bfloat16", "float16", "float32")
_CALL_ARGUMENTS = frozenset({"mask", "training"})


@dataclass(frozen=True)
class ModelConfig:
    """What the walk found out: the shapes of all floating-point weights, and how many layers."""

    weights: tuple[Shape, ...]
    layers: int


@dataclass
class _Found:
    weights: list[Shape] = field(default_factory=list)
    parameters: int = 0
    layers: int = 0


def read_config(data: bytes) -> ModelConfig:
    """Check `config.json` against the closed list.

    Args:
        data: the member's bytes; their number is capped by the archive.

    Returns:
        The weights that Keras will allocate for it.

    Raises:
        ConfigRefused: `cause` begins with the rule that was broken.
    """
    parsed = parse(data)
    if not isinstance(parsed, dict):
        refuse("config-structure", "the configuration is no object")
    # First, because it is the one mistake that honest people make.
    _check_uncompiled(parsed)
    survey(parsed)
    found = _Found()
    _walk_object(parsed, "model", "model", found, 0)
    return ModelConfig(tuple(found.weights), found.layers)


def _walk_object(
    node: object, category: Category, where: str, found: _Found, depth: int
) -> Mapping[str, Any]:
    """Check one object of a category with all that it holds; returns its `config`."""
    if not isinstance(node, dict) or "class_name" not in node:
        refuse("config-structure", f"{where} is not an object with a class")
    entry = find_entry(node)
    if entry.category != category:
        refuse("config-place", f"{node['class_name']} stands where a {category} belongs ({where})")
    where = f"{where}.{node['class_name']}"
    if not node.keys() <= _OBJECT_KEYS:
        refuse("config-field", f"{where} holds {min(node.keys() - _OBJECT_KEYS)}")
    _check_uncompiled(node)
    if "shared_object_id" in node and (
        category not in _SHAREABLE or not is_whole(node["shared_object_id"])
    ):
        refuse("config-shared", f"{where} is a shared object")
    config = node.get("config")
    if not isinstance(config, dict):
        refuse("config-structure", f"{where} has no config")
    for key, value in config.items():
        _walk_field(entry, key, value, f"{where}.{key}", found, depth)
    _check_build(node.get("build_config"), where)
    return config


def _check_uncompiled(node: Mapping[str, Any]) -> None:
    if node.get("compile_config"):
        refuse(
            "config-compiled",
            "the model was saved with its optimizer; save a copy that was never compiled: "
            "type(model).from_config(model.get_config()) with the same weights",
        )


def _walk_field(
    entry: Allowed, key: str, value: object, where: str, found: _Found, depth: int
) -> None:
    kind = entry.fields.get(key)
    if kind is None:
        refuse("config-field", f"{where} is not a known field")
    if isinstance(kind, Layers):
        _walk_layers(value, where, found, depth + 1)
    elif isinstance(kind, Ends):
        _check_ends(value, where)
    elif value is None:
        return
    elif isinstance(kind, Part):
        if not (isinstance(value, str) and value in kind.words):
            _walk_object(value, kind.category, where, found, depth)
    elif problem := kind.problem(value):
        refuse("config-value", f"{where} {problem}")


def _check_build(build: object, where: str) -> None:
    if build is None:
        return
    if not isinstance(build, dict) or set(build) != {"input_shape"}:
        refuse("config-build", f"{where}.build_config is not an input_shape")
    _check_shape(build["input_shape"], where)


def _check_shape(shape: object, where: str) -> None:
    """Dimensions, None where unknown; or a list of such shapes."""
    if shape is None:
        return
    if not isinstance(shape, list) or len(shape) > 64:
        refuse("config-shape", f"{where} has an odd shape")
    if shape and all(isinstance(one, list) for one in shape):
        for one in shape:
            if any(isinstance(side, list) for side in one):
                refuse("config-shape", f"{where} has an odd shape")
            _check_shape(one, where)
        return
    size = 1
    for side in shape:
        if side is None:
            continue
        if not is_whole(side) or not 0 <= side <= MAX_DIMENSION:
            refuse("config-shape", f"{where} has a side of {str(side)[:40]}")
        size *= max(side, 1)
    if size > MAX_ACTIVATION:
        refuse("config-shape", f"{where} has {size} elements")


def _walk_layers(layers: object, where: str, found: _Found, depth: int) -> None:
    if not isinstance(layers, list):
        refuse("config-structure", f"{where} is not a list")
    if depth > MAX_MODEL_DEPTH:
        refuse("config-depth", f"models are nested deeper than {MAX_MODEL_DEPTH}")
    names: set[str] = set()
    for node in layers:
        if not isinstance(node, dict):
            refuse("config-structure", f"{where} holds something else than layers")
        category = find_entry(node).category
        if category not in ("layer", "model", "operation"):
            refuse("config-place", f"{node['class_name']} stands where a layer belongs")
        found.layers += 1
        if found.layers > MAX_LAYERS:
            refuse("config-layers", f"more than {MAX_LAYERS} layers")
        config = _walk_object(node, category, where, found, depth)
        name = config.get("name")
        if not isinstance(name, str) or node.get("name", name) != name or name in names:
            refuse("config-name", f"{where}.{name} has no name of its own")
        names.add(name)
        _walk_calls(node.get("inbound_nodes", []), f"{where}.{name}")
        if category == "layer":
            _count_weights(node, config, f"{where}.{name}", found)


def _count_weights(
    node: Mapping[str, Any], config: Mapping[str, Any], where: str, found: _Found
) -> None:
    try:
        shapes = weight_shapes(
            node["class_name"], config, (node.get("build_config") or {}).get("input_shape")
        )
    except ValueError as error:
        raise refused("config-build", f"{where}: {error}") from error
    found.weights.extend(shapes)
    found.parameters += sum(math.prod(shape) for shape in shapes)
    if found.parameters > MAX_PARAMETERS:
        refuse("config-parameters", f"more than {MAX_PARAMETERS} parameters")


def _walk_calls(calls: object, where: str) -> None:
    """The places where a layer is called in a graph: which tensors go in, and how."""
    if not isinstance(calls, list) or len(calls) > 64:
        refuse("config-structure", f"{where}.inbound_nodes is not a short list")
    for call in calls:
        if not isinstance(call, dict) or set(call) != {"args", "kwargs"}:
            refuse("config-structure", f"{where} is called in an unknown way")
        args, kwargs = call["args"], call["kwargs"]
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            refuse("config-structure", f"{where} is called in an unknown way")
        if not kwargs.keys() <= _CALL_ARGUMENTS:
            refuse("config-field", f"{where} is called with {min(kwargs.keys())}")
        for value in kwargs.values():
            if value is not None and not isinstance(value, bool):
                refuse("config-value", f"{where} is called with an odd value")
        pending: list[Any] = list(args)
        while pending:
            value = pending.pop()
            if isinstance(value, list):
                pending.extend(value)
            elif isinstance(value, dict):
                _check_tensor(value, where)
            elif value is not None and not is_number(value) and not isinstance(value, bool):
                refuse("config-value", f"{where} is called with an odd value")


def _check_tensor(node: Mapping[str, Any], where: str) -> None:
    if set(node) != {"class_name", "config"} or node["class_name"] != "__keras_tensor__":
        refuse("config-place", f"{where} is called with something else than tensors")
    config = node["config"]
    if not isinstance(config, dict) or set(config) != {"shape", "dtype", "keras_history"}:
        refuse("config-structure", f"{where} is called with a malformed tensor")
    _check_shape(config["shape"], where)
    if config["dtype"] not in _TENSOR_TYPES:
        refuse("config-value", f"{where} is called with a tensor of an odd type")
    if not _is_end(config["keras_history"]):
        refuse("config-structure", f"{where} is called with a tensor of unknown origin")


def _is_end(value: object) -> bool:
    """[layer name, number of the call, number of the tensor]"""
    return (
        isinstance(value, list)
        and len(value) == 3
        and is_name(value[0])
        and all(is_whole(index) and 0 <= index < 64 for index in value[1:])
    )


def _check_ends(value: object, where: str) -> None:
    if _is_end(value):
        return
    ends = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(ends, list) or not 0 < len(ends) <= 64 or not all(map(_is_end, ends)):
        refuse("config-structure", f"{where} does not say where tensors come from")
