"""Where a network is cut for heatmaps: its last feature maps, in Keras and in the converted graph.

A cut is possible where every path from the image to the logits goes through one tensor. A recipe
may name that layer `maps`; else the latest one with enough locations is taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import Card
from diagnosis.artifacts.card import Explanation
from diagnosis.heatmap import Floats, Head, cells
from diagnosis.judgement import SMALLEST_PROBABILITY
from trainer.runtime import keras, openvino

#: A layer of this name is the one to cut at, where every path goes through it.
NAMED = "maps"
#: Locations a side. Fewer say nothing about a place; of more each costs a run of the head.
SMALLEST_SIDE, LARGE_SIDE, LARGEST_SIDE = 4, 16, 32
#: Largest difference between the converted graph's maps and Keras's, as a share of the largest.
LARGEST_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class Cut:
    """A network in two halves."""

    trunk: Callable[[Floats], Floats]
    """Images (N, H, W, C) to maps (N, height, width, channels)."""
    head: Head
    """Maps to raw outputs (N, classes)."""


@dataclass(frozen=True)
class Node:
    """The place of the maps in a converted graph."""

    name: str
    channels_first: bool


def find_layers(model: Any) -> list[str]:
    """The layers where a Keras model may be cut, the best one first; empty where there is none.

    `maps` comes first, then the latest layers that every path goes through: those with at least
    four locations a side before those with two, then pooling, which only makes maps coarser, and
    those with more than 16 a side last: a network that is read at several depths has no others.
    """
    found = [
        (
            operation.name != NAMED,
            max(tensor.shape[1:3]) > LARGE_SIDE,
            min(tensor.shape[1:3]) < SMALLEST_SIDE,
            "Pooling" in type(operation).__name__,
            place,
            operation.name,
        )
        for place, (operation, tensor) in enumerate(_cuttable(model))
        if _is_maps(tensor.shape)
    ]
    return [one[-1] for one in sorted(found)]


def cut_keras(model: Any, layer: str) -> Cut:
    """A Keras model in two halves at the output of a layer that `find_layers` found."""
    k = keras()
    tensor = next(one for operation, one in _tensors(model) if operation.name == layer)
    halves = [k.Model(model.inputs[0], tensor), k.Model(tensor, model.outputs[0])]

    def runner(half: Any) -> Callable[[Floats], Floats]:
        def run(batch: Floats) -> Floats:
            return np.asarray(k.ops.convert_to_numpy(half(batch, training=False)), np.float32)

        return run

    return Cut(runner(halves[0]), runner(halves[1]))


def by_gradients(model: Any, layer: str, card: Card, inputs: Floats) -> Floats:
    """The same as `hirescam`, by TensorFlow's gradients: quick where the weights change often.

    Args:
        model: a Keras model on TensorFlow.
        layer: where it is cut.
        card: says whether it gives logits or probabilities.
        inputs: images, (N, H, W, C).

    Returns:
        float32 (N, rows, columns, classes), in logits above the mean of the classes.
    """
    import tensorflow as tf

    k = keras()
    tensor = next(one for operation, one in _tensors(model) if operation.name == layer)
    maps = k.Model(model.inputs[0], tensor)(inputs, training=False)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps)
        logits = k.Model(tensor, model.outputs[0])(maps, training=False)
        if card.output == "probabilities":
            logits = tf.math.log(tf.clip_by_value(logits, SMALLEST_PROBABILITY, 1.0))
        each = tf.unstack(logits, axis=1)
    found = np.stack(
        [tf.reduce_sum(maps * tape.gradient(one, maps), axis=3).numpy() for one in each], axis=3
    )
    found -= found.mean(axis=3, keepdims=True)
    for axis, cell in enumerate(cells(*found.shape[1:3]), start=1):
        begins = np.flatnonzero(np.diff(cell, prepend=-1))
        found = np.add.reduceat(found, begins, axis=axis)
    return np.asarray(found, np.float32)


def find_node(xml: bytes, weights: bytes, inputs: Floats, maps: Floats) -> Node | None:
    """The node of a converted graph that has the same values as a layer of the Keras model.

    The conversion renames and folds layers, so it is found by what it computes.

    Args:
        xml: `model.xml`.
        weights: `model.bin`.
        inputs: some images, (N, H, W, C).
        maps: what the layer gives for them, (N, height, width, channels).

    Returns:
        The latest node of these values that every path to the logits goes through, or None.
    """
    ov = openvino()
    model = ov.Core().read_model(model=xml, weights=weights)
    names = [one.get_friendly_name() for one in model.get_ops()]
    _, height, width, channels = maps.shape
    places = [
        (operation, shape == [channels, height, width])
        for operation in model.get_ordered_ops()
        if operation.get_type_name() not in {"Parameter", "Constant", "Result"}
        and (shape := _shape(operation)) in ([channels, height, width], [height, width, channels])
        and names.count(operation.get_friendly_name()) == 1
        and _every_path(model, operation)
    ]
    if not places:
        return None
    compiled = ov.Core().compile_model(
        ov.Model([one.output(0) for one, _ in places], model.get_parameters(), "maps"),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},
    )
    found = compiled([inputs])
    largest = float(np.abs(maps).max())
    for number in reversed(range(len(places))):
        operation, first = places[number]
        # Where a side is as long as there are channels, the values tell the two layouts apart.
        for channels_first in {first, *([False] if channels == height == width else [])}:
            values = np.asarray(found[number])
            values = values.transpose(0, 2, 3, 1) if channels_first else values
            if np.abs(values - maps).max() <= LARGEST_DIFFERENCE * largest:
                return Node(operation.get_friendly_name(), channels_first)
    return None


def cut_graph(xml: bytes, weights: bytes, explanation: Explanation) -> Cut:
    """A converted graph in two halves at the node that the card names, as the service cuts it."""
    ov = openvino()
    core = ov.Core()

    def half(of_maps: bool) -> Any:
        model = core.read_model(model=xml, weights=weights)
        node = next(one for one in model.get_ops() if one.get_friendly_name() == explanation.node)
        maps = node.output(0)
        if of_maps:
            return ov.Model([maps], model.get_parameters(), "trunk")
        given = ov.op.Parameter(maps.element_type, maps.partial_shape)
        for target in maps.get_target_inputs():
            target.replace_source_output(given.output(0))
        return ov.Model(model.get_results(), [given], "head")

    config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    trunk, head = (
        core.compile_model(half(of_maps), "CPU", config).create_infer_request()
        for of_maps in (True, False)
    )
    first = explanation.channels_first

    def maps_of(batch: Floats) -> Floats:
        found = np.array(trunk.infer([batch])[0], np.float32)
        return np.ascontiguousarray(found.transpose(0, 2, 3, 1)) if first else found

    def outputs_of(batch: Floats) -> NDArray[np.floating]:
        asked = np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) if first else batch
        return np.array(head.infer([asked])[0])

    return Cut(maps_of, outputs_of)


def layers_of_head(model: Any, layer: str) -> frozenset[str]:
    """The names of the layers between the maps and the logits."""
    behind: set[str] = set()
    waiting = list(model.outputs)
    while waiting:
        operation, inputs = _made_by(waiting.pop())
        if operation.name != layer and operation.name not in behind:
            behind.add(operation.name)
            waiting += inputs
    return frozenset(behind)


def _made_by(tensor: Any) -> tuple[Any, list[Any]]:
    """The operation that makes a Keras tensor, and the tensors that it takes."""
    history = tensor._keras_history
    node = history.operation._inbound_nodes[history.node_index]
    return history.operation, list(node.input_tensors)


def _tensors(model: Any) -> Iterator[tuple[Any, Any]]:
    """Every operation of a Keras model with its tensor, from the logits back to the image."""
    waiting, seen = list(model.outputs), set()
    while waiting:
        tensor = waiting.pop(0)
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        operation, inputs = _made_by(tensor)
        if inputs:
            yield operation, tensor
            waiting += inputs


def _cuttable(model: Any) -> list[tuple[Any, Any]]:
    """The layers that every path goes through, the latest first."""
    layers = {id(one) for one in model.layers}
    return [
        (operation, tensor)
        for operation, tensor in _tensors(model)
        if id(operation) in layers and _dominates(model, operation)
    ]


def _dominates(model: Any, operation: Any) -> bool:
    """Whether no path from the image to the logits goes around an operation."""
    waiting, seen = list(model.outputs), set()
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        made_by, inputs = _made_by(tensor)
        if made_by is operation:
            continue
        if not inputs:
            return False
        waiting += inputs
    return True


def _is_maps(shape: Any) -> bool:
    return (
        len(shape) == 4
        and all(side is not None for side in shape[1:])
        and min(shape[1:3]) >= 2
        and max(shape[1:3]) <= LARGEST_SIDE
    )


def _shape(operation: Any) -> list[int] | None:
    """The shape of a node's output without the images' dimension; None where it is not maps."""
    shape = operation.output(0).partial_shape
    if shape.rank.is_dynamic or len(shape) != 4 or any(one.is_dynamic for one in list(shape)[1:]):
        return None
    return [one.get_length() for one in list(shape)[1:]]


def _every_path(model: Any, operation: Any) -> bool:
    """The same as `_dominates`, in a converted graph."""
    name = operation.get_friendly_name()
    waiting, seen = list(model.get_results()), set()
    while waiting:
        node = waiting.pop()
        own = node.get_friendly_name()
        if own in seen or own == name:
            continue
        seen.add(own)
        if node.get_type_name() == "Parameter":
            return False
        waiting += [one.get_source_output().get_node() for one in node.inputs()]
    return True
