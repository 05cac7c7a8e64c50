"""From an artifact's OpenVINO IR to ONNX, which a browser and other devices run.

The IR is what is served: batch norms folded, layouts settled. Each of its operations has a twin in
ONNX, so the same constants in the same order give the same answers. What has no twin here is
refused by name; nothing is approximated. Only `inspect_ir`'s checked bytes are read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from xml.etree import ElementTree as ET

import numpy as np
from numpy.typing import NDArray

from diagnosis.errors import NotPortable
from diagnosis.portable import wire

Array = NDArray[np.generic]
#: A layer's port: (its number, the port's number).
Port = tuple[str, str]

INPUT, OUTPUT = "image", "outputs"
_TYPES = {"f32": "<f4", "f16": "<f2", "i64": "<i8", "i32": "<i4"}
#: Those that mean the same under another name, with the same inputs.
_TWINS = {
    "Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div", "ReLU": "Relu",
    "Sigmoid": "Sigmoid", "Tanh": "Tanh", "Sqrt": "Sqrt", "Exp": "Exp", "Maximum": "Max",
    "Minimum": "Min", "Power": "Pow", "HSwish": "HardSwish",
}  # fmt: skip
_REDUCTIONS = {"ReduceMean": "ReduceMean", "ReduceMax": "ReduceMax"}


@dataclass(frozen=True)
class _Layer:
    number: str
    kind: str
    data: Mapping[str, str]
    inputs: tuple[Port, ...]
    ranks: tuple[int, ...]
    """Of each input."""
    output: Port

    def numbers(self, name: str) -> list[int]:
        return [int(one) for one in self.data.get(name, "").split(",") if one.strip()]


@dataclass
class _Graph:
    """The ONNX graph as it grows."""

    names: dict[Port, str] = field(default_factory=dict)
    known: dict[Port, Array] = field(default_factory=dict)
    """Constants that no node needed yet."""
    nodes: list[bytes] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)

    def constant(self, values: Array) -> str:
        """A constant under a name of its own; 16-bit floats are widened where they are used."""
        name = f"c{len(self.constants)}"
        if values.dtype.name == "int32":
            values = values.astype(np.int64)
        self.constants.append(wire.tensor(name, values))
        if values.dtype.name != "float16":
            return name
        return self.add("Cast", [name], to=wire.DATA_TYPES["float32"])

    def add(self, kind: str, inputs: list[str], **attributes: wire.Value) -> str:
        """A node's output."""
        name = f"v{len(self.nodes)}"
        self.nodes.append(wire.node(kind, inputs, name, attributes))
        return name

    def input(self, port: Port) -> str:
        """The name under which a port's values are found."""
        if port not in self.names:
            if port not in self.known:
                _refuse("Result", "a further output of an operation is used")
            self.names[port] = self.constant(self.known[port])
        return self.names[port]

    def fixed(self, layer: _Layer, place: int) -> Array:
        """The values of an input that has to be a constant."""
        found = self.known.get(layer.inputs[place])
        if found is None:
            _refuse(layer.kind, "one of its parameters is computed")
        return found


def to_onnx(xml: bytes, constants: bytes, facts: Mapping[str, str]) -> bytes:
    """An IR as the bytes of an ONNX file: one input `image`, one output `outputs`, float32.

    Args:
        xml: `model.xml`, which `open_artifact` has checked.
        constants: `model.bin`, the same.
        facts: metadata of the file.

    Raises:
        NotPortable: an operation, or a variant of one, has no twin here.
    """
    # `inspect_ir` has refused doctypes and entities already.
    root = ET.fromstring(xml)  # noqa: S314
    graph = _Graph()
    shape: list[int | str] = []
    result: Port | None = None
    for layer in _sorted(root):
        if layer.kind == "Parameter":
            if shape or layer.data.get("element_type") != "f32":
                _refuse(layer.kind, "there is more than one input, or it is not of 32-bit floats")
            sides = [one.strip() for one in layer.data["shape"].split(",")]
            shape = ["images", *(int(one) for one in sides[1:])]
            graph.names[layer.output] = INPUT
        elif layer.kind == "Const":
            graph.known[layer.output] = _constant(layer, constants)
        elif layer.kind == "Convert":
            _convert(graph, layer)
        elif layer.kind == "Result":
            if result is not None:
                _refuse(layer.kind, "there is more than one output")
            result = layer.inputs[0]
        else:
            made = _WRITERS.get(layer.kind)
            if made is None:
                _refuse(layer.kind, "it has no twin")
            graph.names[layer.output] = made(graph, layer)
    if result is None or not shape:
        _refuse("Result", "there is no input or no output")
    graph.nodes.append(wire.node("Identity", [graph.input(result)], OUTPUT))
    return wire.model(
        graph.nodes,
        graph.constants,
        [wire.array(INPUT, shape)],
        [wire.array(OUTPUT, ["images", "classes"])],
        dict(facts),
    )


def _sorted(root: ET.Element) -> list[_Layer]:
    """The layers, each after those that it takes from."""
    edges = {
        (one.attrib["to-layer"], one.attrib["to-port"]): (
            one.attrib["from-layer"],
            one.attrib["from-port"],
        )
        for one in root.iterfind("edges/edge")
    }
    found = {}
    for element in root.iterfind("layers/layer"):
        number = element.attrib["id"]
        data = element.find("data")
        ports = list(element.iterfind("input/port"))
        outputs = list(element.iterfind("output/port"))
        found[number] = _Layer(
            number=number,
            kind=element.attrib["type"],
            data={} if data is None else data.attrib,
            inputs=tuple(edges[number, port.attrib["id"]] for port in ports),
            ranks=tuple(len(port.findall("dim")) for port in ports),
            # Where there are more, as the places of the maxima, only the first is known further on.
            output=(number, outputs[0].attrib["id"] if outputs else ""),
        )
    ready: dict[str, _Layer] = {}
    waiting = list(found.values())
    while waiting:
        later = []
        for layer in waiting:
            if all(number in ready for number, _ in layer.inputs):
                ready[layer.number] = layer
            else:
                later.append(layer)
        if len(later) == len(waiting):
            _refuse(later[0].kind, "the graph has a circle")
        waiting = later
    return list(ready.values())


def _constant(layer: _Layer, blob: bytes) -> Array:
    kind = _TYPES.get(layer.data["element_type"])
    if kind is None:
        _refuse(layer.kind, f"it is of type {layer.data['element_type']}")
    offset, size = int(layer.data["offset"]), int(layer.data["size"])
    values = np.frombuffer(blob[offset : offset + size], kind)
    return np.asarray(values.reshape(layer.numbers("shape")))


def _convert(graph: _Graph, layer: _Layer) -> None:
    """A constant stays as short as it is stored; nothing else is converted."""
    source = layer.inputs[0]
    if source not in graph.known or layer.data.get("destination_type") not in {"f32", "i64"}:
        _refuse(layer.kind, "it converts what is computed")
    graph.known[layer.output] = graph.known[source]


def _twin(graph: _Graph, layer: _Layer) -> str:
    return graph.add(_TWINS[layer.kind], [graph.input(one) for one in layer.inputs])


def _convolution(graph: _Graph, layer: _Layer) -> str:
    weights, group = graph.fixed(layer, 1), 1
    if layer.kind == "GroupConvolution":
        group = weights.shape[0]
        weights = weights.reshape(-1, *weights.shape[2:])
    return graph.add(
        "Conv",
        [graph.input(layer.inputs[0]), graph.constant(weights)],
        kernel_shape=[int(side) for side in weights.shape[2:]],
        group=int(group),
        strides=layer.numbers("strides"),
        dilations=layer.numbers("dilations"),
        **_padding(layer),
    )


def _pooling(graph: _Graph, layer: _Layer) -> str:
    if layer.data.get("rounding_type", "floor") != "floor":
        _refuse(layer.kind, "it rounds up")
    attributes: dict[str, wire.Value] = {
        "kernel_shape": layer.numbers("kernel"),
        "strides": layer.numbers("strides"),
        **_padding(layer),
    }
    if layer.kind == "AvgPool":
        attributes["count_include_pad"] = int(layer.data.get("exclude-pad") == "false")
        return graph.add("AveragePool", [graph.input(layer.inputs[0])], **attributes)
    attributes["dilations"] = layer.numbers("dilations") or [1, 1]
    return graph.add("MaxPool", [graph.input(layer.inputs[0])], **attributes)


def _padding(layer: _Layer) -> dict[str, wire.Value]:
    how = layer.data.get("auto_pad", "explicit")
    if how in {"same_upper", "same_lower", "valid"}:
        return {"auto_pad": how.upper()}
    if how not in {"explicit", "notset"}:
        _refuse(layer.kind, f"it pads by {how[:20]}")
    return {"pads": layer.numbers("pads_begin") + layer.numbers("pads_end")}


def _reduction(graph: _Graph, layer: _Layer) -> str:
    return graph.add(
        _REDUCTIONS[layer.kind],
        [graph.input(layer.inputs[0])],
        axes=[int(one) for one in graph.fixed(layer, 1).ravel()],
        keepdims=int(layer.data.get("keep_dims") == "true"),
    )


def _transpose(graph: _Graph, layer: _Layer) -> str:
    order = [int(one) for one in graph.fixed(layer, 1).ravel()]
    return graph.add("Transpose", [graph.input(layer.inputs[0])], perm=order)


def _product(graph: _Graph, layer: _Layer) -> str:
    parts = []
    for place, side in enumerate(("transpose_a", "transpose_b")):
        source, rank = layer.inputs[place], layer.ranks[place]
        turned = layer.data.get(side) == "true"
        if turned and rank < 2:
            _refuse(layer.kind, "it turns a list")
        if turned and source in graph.known:
            parts.append(graph.constant(np.swapaxes(graph.known[source], -1, -2)))
        elif turned:
            order = [*range(rank - 2), rank - 1, rank - 2]
            parts.append(graph.add("Transpose", [graph.input(source)], perm=order))
        else:
            parts.append(graph.input(source))
    return graph.add("MatMul", parts)


def _concat(graph: _Graph, layer: _Layer) -> str:
    parts = [graph.input(one) for one in layer.inputs]
    return graph.add("Concat", parts, axis=int(layer.data["axis"]))


def _clamp(graph: _Graph, layer: _Layer) -> str:
    ends = [
        graph.constant(np.asarray(float(layer.data[one]), np.float32)) for one in ("min", "max")
    ]
    return graph.add("Clip", [graph.input(layer.inputs[0]), *ends])


def _softmax(graph: _Graph, layer: _Layer) -> str:
    axis = int(layer.data.get("axis", "1"))
    return graph.add("Softmax", [graph.input(layer.inputs[0])], axis=axis)


def _swish(graph: _Graph, layer: _Layer) -> str:
    taken = steep = graph.input(layer.inputs[0])
    if len(layer.inputs) > 1:
        beta = graph.fixed(layer, 1).astype(np.float32)
        steep = graph.add("Mul", [taken, graph.constant(beta)])
    return graph.add("Mul", [taken, graph.add("Sigmoid", [steep])])


def _hard_sigmoid(graph: _Graph, layer: _Layer) -> str:
    return graph.add("HardSigmoid", [graph.input(layer.inputs[0])], alpha=1 / 6, beta=0.5)


def _reshape(graph: _Graph, layer: _Layer) -> str:
    wanted = graph.fixed(layer, 1).astype(np.int64)
    if layer.data.get("special_zero") != "true" and not wanted.all():
        _refuse(layer.kind, "it makes an empty array")
    return graph.add("Reshape", [graph.input(layer.inputs[0]), graph.constant(wanted)])


def _sides(graph: _Graph, layer: _Layer) -> str:
    if len(layer.inputs) < 2:
        _refuse(layer.kind, "it does not say which sides")
    axes = np.atleast_1d(graph.fixed(layer, 1)).astype(np.int64)
    return graph.add(layer.kind, [graph.input(layer.inputs[0]), graph.constant(axes)])


def _pad(graph: _Graph, layer: _Layer) -> str:
    if layer.data.get("pad_mode") != "constant":
        _refuse(layer.kind, f"it pads by {layer.data.get('pad_mode', '')[:20]}")
    sides = [graph.fixed(layer, place).ravel() for place in (1, 2)]
    parts = [graph.input(layer.inputs[0]), graph.constant(np.concatenate(sides).astype(np.int64))]
    if len(layer.inputs) > 3:
        parts.append(graph.constant(graph.fixed(layer, 3).astype(np.float32)))
    return graph.add("Pad", parts, mode="constant")


_WRITERS: Mapping[str, Callable[[_Graph, _Layer], str]] = {
    **dict.fromkeys(_TWINS, _twin),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    "Convolution": _convolution,
    "GroupConvolution": _convolution,
    "MaxPool": _pooling,
    "AvgPool": _pooling,
    "Transpose": _transpose,
    "MatMul": _product,
    "Concat": _concat,
    "Clamp": _clamp,
    "SoftMax": _softmax,
    "Softmax": _softmax,
    "Swish": _swish,
    "HSigmoid": _hard_sigmoid,
    "Reshape": _reshape,
    "Squeeze": _sides,
    "Unsqueeze": _sides,
    "Pad": _pad,
}


def _refuse(kind: str, why: str) -> NoReturn:
    raise NotPortable(cause=f"onnx-{kind[:40]}: {why}")
