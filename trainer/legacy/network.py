"""The network of a legacy file as a new Keras model that answers logits, one a class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diagnosis.artifacts.shapes import weight_shapes
from trainer.legacy.file import Array, LegacyFile
from trainer.legacy.layers import WEIGHTS, build_layer
from trainer.refusals import LegacyRefused
from trainer.runtime import keras

MAX_LAYERS = 2000
_SMALLEST, _LARGEST = 8, 1024


@dataclass(frozen=True)
class Node:
    """One layer of the description and the layers it takes its input from."""

    name: str
    class_name: object
    config: object
    takes: tuple[str, ...]


@dataclass(frozen=True)
class Outputs:
    """What the outputs of the file mean."""

    classes: tuple[str, ...]
    """Ids in the order of the file's outputs; of no meaning for one sigmoid output."""
    order: tuple[str, ...]
    """Ids in the order of the card."""
    probability_of: str | None = None
    """The class whose probability a single sigmoid output is."""


def rebuild(file: LegacyFile, outputs: Outputs) -> Any:
    """Build the network and give it the file's weights.

    Returns:
        A Keras model from (H, W, C) to logits in the card's order: a last softmax is taken off,
        and one sigmoid output z becomes the two logits 0 and z.

    Raises:
        LegacyRefused: the description is not one that is imported, or the weights do not fit it.
    """
    nodes, first, last = _graph(file.config)
    tensors: dict[str, Any] = {}
    inputs = None
    for node in nodes:
        if node.name in tensors:
            raise LegacyRefused(f"The layer {node.name!r} stands twice.")
        if node.class_name == "InputLayer":
            if inputs is not None or node.name != first:
                raise LegacyRefused("The network has more than one input.")
            inputs = tensors[node.name] = keras().Input(_shape(node.config), name="image")
            continue
        if any(name not in tensors for name in node.takes) or not node.takes:
            raise LegacyRefused(f"{node.name!r} takes its input from a layer that is not there.")
        tensors[node.name] = _apply(
            node, [tensors[name] for name in node.takes], file.weights.get(node.name, {}),
            ends=node.name == last,
        )  # fmt: skip
    if inputs is None or last not in tensors:
        raise LegacyRefused("The network has no input or no output.")
    spare = sorted(name for name, kept in file.weights.items() if kept and name not in tensors)
    if spare:
        raise LegacyRefused(f"The file holds weights of {spare[0][:60]!r}, which is no layer.")
    end = next(node for node in nodes if node.name == last)
    logits = _as_logits(tensors[last], _final_activation(end), outputs)
    return keras().Model(inputs, logits, name="imported")


def _graph(config: Mapping[str, Any]) -> tuple[list[Node], str, str]:
    """The layers in order, and the names of the first and of the last one."""
    kind, inner = config.get("class_name"), config.get("config")
    if kind == "Sequential":
        entries = inner.get("layers") if isinstance(inner, dict) else inner
        return _sequence(_layers(entries))
    if kind not in ("Model", "Functional") or not isinstance(inner, dict):
        raise LegacyRefused(
            f"The file describes a {str(kind)[:40]!r}, not a Sequential or a functional model."
        )
    entries = _layers(inner.get("layers"))
    nodes = [
        Node(_name(one), one.get("class_name"), one.get("config"), _takes(one)) for one in entries
    ]
    return nodes, _end(inner, "input_layers"), _end(inner, "output_layers")


def _layers(entries: object) -> list[dict[str, Any]]:
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_LAYERS:
        raise LegacyRefused(f"The network has no layers, or more than {MAX_LAYERS}.")
    if not all(isinstance(one, dict) and isinstance(one.get("config"), dict) for one in entries):
        raise LegacyRefused("A layer of the network has no configuration.")
    return entries


def _sequence(entries: list[dict[str, Any]]) -> tuple[list[Node], str, str]:
    nodes: list[Node] = []
    if entries[0].get("class_name") != "InputLayer":
        # Keras 2.2 wrote no input layer: the first layer says what it takes.
        nodes.append(Node("image", "InputLayer", entries[0]["config"], ()))
    for one in entries:
        before = (nodes[-1].name,) if nodes else ()
        nodes.append(Node(_name(one), one.get("class_name"), one["config"], before))
    return nodes, nodes[0].name, nodes[-1].name


def _name(entry: Mapping[str, Any]) -> str:
    name = entry.get("name", entry["config"].get("name"))
    if not isinstance(name, str) or not 1 <= len(name) <= 200:
        raise LegacyRefused("A layer of the network has no name.")
    return name


def _takes(entry: Mapping[str, Any]) -> tuple[str, ...]:
    nodes = entry.get("inbound_nodes")
    if nodes == []:
        return ()
    if not isinstance(nodes, list) or len(nodes) != 1 or not isinstance(nodes[0], list):
        raise LegacyRefused(
            f"{_name(entry)!r} is used in several places, or was written by Keras 3; neither is "
            "imported."
        )
    names = []
    for one in nodes[0]:
        if not (
            isinstance(one, list) and len(one) in (3, 4) and isinstance(one[0], str)
            and one[1:3] == [0, 0] and not (one[3] if len(one) == 4 else None)
        ):  # fmt: skip
            raise LegacyRefused(f"{_name(entry)!r} takes something else than layers' outputs.")
        names.append(one[0])
    return tuple(names)


def _end(inner: Mapping[str, Any], key: str) -> str:
    ends = inner.get(key)
    if (
        not isinstance(ends, list) or len(ends) != 1 or not isinstance(ends[0], list)
        or not ends[0] or not isinstance(ends[0][0], str)
    ):  # fmt: skip
        raise LegacyRefused("The network has not exactly one input and one output.")
    return ends[0][0]


def _shape(config: object) -> tuple[int, int, int]:
    shape = config.get("batch_input_shape") if isinstance(config, dict) else None
    if (
        not isinstance(shape, list) or len(shape) != 4 or shape[3] not in (1, 3)
        or not all(type(one) is int and _SMALLEST <= one <= _LARGEST for one in shape[1:3])
    ):  # fmt: skip
        raise LegacyRefused(
            f"The network takes {str(shape)[:60]}; an image of {_SMALLEST} to {_LARGEST} pixels a "
            "side with 1 or 3 channels is expected."
        )
    return shape[1], shape[2], shape[3]


def _apply(node: Node, taken: Sequence[Any], kept: Mapping[str, Array], *, ends: bool) -> Any:
    """The layer's output. Its weights are compared with the file's before any is allocated."""
    where = f"The layer {node.name[:60]!r}"
    layer = build_layer(node.class_name, node.config, where)
    if ends and node.class_name == "Dense":
        layer.activation = keras().activations.linear
    if ends and _final_activation(node) and node.class_name in ("Activation", "Softmax"):
        layer = keras().layers.Identity()
    names = [name for name in WEIGHTS.get(str(node.class_name), ()) if name in kept]
    shapes = weight_shapes(str(node.class_name), layer.get_config(), list(taken[0].shape))
    found = [kept[name].shape for name in names]
    if found != shapes or len(names) != len(kept):
        raise LegacyRefused(
            f"{where} asks for weights of the shapes {str(shapes)[:120]}; the file holds "
            f"{str([one.shape for one in kept.values()])[:120]}."
        )
    try:
        value = layer(list(taken) if len(taken) > 1 else taken[0])
    except (ValueError, TypeError) as error:
        raise LegacyRefused(f"{where} does not fit the layers before it.") from error
    if names:
        layer.set_weights([kept[name] for name in names])
    return value


def _final_activation(node: Node) -> str:
    """The activation of the last layer; empty where it has none of its own."""
    if node.class_name == "Softmax":
        return "softmax"
    if node.class_name in ("Dense", "Activation") and isinstance(node.config, dict):
        return str(node.config.get("activation", "linear"))
    return ""


def _as_logits(value: Any, activation: str, outputs: Outputs) -> Any:
    shape = tuple(value.shape)
    if len(shape) != 2:
        raise LegacyRefused(f"The network answers with the shape {shape}, not one figure a class.")
    width = int(shape[1])
    if width == 1:
        if activation != "sigmoid" or len(outputs.order) != 2:
            raise LegacyRefused(
                f"The network has one output ({activation or 'none'}): only a sigmoid that tells "
                f"two classes apart is imported, and there are {len(outputs.order)} classes."
            )
        if outputs.probability_of is None:
            raise LegacyRefused(
                "The network has one output: say with --probability-of whose probability it is, "
                f"{' or '.join(outputs.order)}."
            )
        matrix = np.array([[one == outputs.probability_of for one in outputs.order]], np.float32)
    else:
        if activation not in ("softmax", "linear", ""):
            raise LegacyRefused(
                f"The network's {width} outputs end in {activation}; only softmax (or plain "
                "logits) says which one of several classes it is."
            )
        if width != len(outputs.classes):
            raise LegacyRefused(
                f"The network has {width} outputs and there are {len(outputs.classes)} classes: "
                "name them with --classes in the order of the outputs."
            )
        if outputs.classes == outputs.order:
            return value
        matrix = np.array(
            [[one == other for other in outputs.order] for one in outputs.classes], np.float32
        )
    logits = keras().layers.Dense(len(outputs.order), use_bias=False, name="classes")
    value = logits(value)
    logits.set_weights([matrix])
    return value
