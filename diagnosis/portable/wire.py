"""Writes ONNX's file format: the few protocol buffer messages that a graph of a network needs.

The numbers are those of `onnx.proto` (ONNX 1.12, IR version 8); nothing is read here. Writing them
by hand keeps a protocol buffer runtime out of the serving path.
"""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 8
OPSET = 17
#: `TensorProto.DataType` by NumPy's name.
DATA_TYPES = {"float32": 1, "int64": 7, "float16": 10}

#: What an attribute of a node may be.
Value = int | float | str | Sequence[int]


def node(
    kind: str, inputs: Sequence[str], output: str, attributes: dict[str, Value] | None = None
) -> bytes:
    """A `NodeProto` with one output."""
    parts = [_text(1, one) for one in inputs]
    parts += [_text(2, output), _text(3, output), _text(4, kind)]
    parts += [_field(5, _attribute(name, one)) for name, one in (attributes or {}).items()]
    return b"".join(parts)


def tensor(name: str, values: NDArray[np.generic]) -> bytes:
    """A `TensorProto` of a constant: float32, float16 or int64.

    Raises:
        KeyError: of another type.
    """
    kind = DATA_TYPES[values.dtype.name]
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    dims = b"".join(_number(1, side) for side in values.shape)
    return dims + _number(2, kind) + _text(8, name) + _field(9, little.tobytes())


def array(name: str, shape: Sequence[int | str]) -> bytes:
    """A `ValueInfoProto` of float32 values; a side that is a text varies and bears that name."""
    sides = [_text(2, one) if isinstance(one, str) else _number(1, one) for one in shape]
    described = _field(2, b"".join(_field(1, side) for side in sides))
    return _text(1, name) + _field(2, _field(1, _number(1, 1) + described))


def model(
    nodes: Sequence[bytes],
    constants: Sequence[bytes],
    inputs: Sequence[bytes],
    outputs: Sequence[bytes],
    facts: dict[str, str],
) -> bytes:
    """A `ModelProto`, the whole file; `facts` are its metadata."""
    graph = b"".join(
        [_field(1, one) for one in nodes]
        + [_text(2, "network")]
        + [_field(5, one) for one in constants]
        + [_field(11, one) for one in inputs]
        + [_field(12, one) for one in outputs]
    )
    told = [_field(14, _text(1, name) + _text(2, one)) for name, one in facts.items()]
    opset = _field(8, _text(1, "") + _number(2, OPSET))
    return (
        _number(1, IR_VERSION) + _text(2, "sightline") + _field(7, graph) + opset + b"".join(told)
    )


def _attribute(name: str, value: Value) -> bytes:
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, 3)
    if isinstance(value, float):
        return _text(1, name) + struct.pack("<Bf", (2 << 3) | 5, value) + _number(20, 1)
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    return _text(1, name) + b"".join(_number(8, one) for one in value) + _number(20, 7)


def _varint(value: int) -> bytes:
    left = value & 0xFFFF_FFFF_FFFF_FFFF  # negative numbers are written in 64 bits
    found = bytearray()
    while left > 0x7F:
        found.append((left & 0x7F) | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint((field << 3) | 2) + _varint(len(content)) + content


def _text(field: int, content: str) -> bytes:
    return _field(field, content.encode())
