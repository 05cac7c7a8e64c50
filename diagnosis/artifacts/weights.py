"""`model.weights.h5`, walked with h5py from memory before Keras sees it.

HDF5 can do far more than hold arrays: follow links into other files, put a data set's bytes
elsewhere, run filters on reading, declare terabytes that were never stored. Keras uses none of
it, so none is allowed: groups, hard links, and plain arrays that lie in the file byte by byte.
"""

import io
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import h5py
import numpy as np
from h5py import h5a, h5d, h5o, h5s, h5t

from diagnosis.artifacts.config import MAX_PARAMETERS
from diagnosis.artifacts.shapes import Shape
from diagnosis.errors import ArtifactRefused, WeightsRefused

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS = 20_000
MAX_DEPTH = 16
MAX_DECLARED_BYTES = 4 * MAX_PARAMETERS
#: State of seed generators and counters; weights are floating point.
MAX_WHOLE_NUMBERS = 16
#: What HDF5 itself may take for each object; bytes beyond it are hidden.
_OVERHEAD, _OVERHEAD_EACH = 65_536, 4_096

_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")
_TOP_LEVEL = frozenset({"layers", "vars"})
_FLOATS = {h5t.IEEE_F16LE: "<f2", h5t.IEEE_F32LE: "<f4"}
_WHOLES = (h5t.STD_I32LE, h5t.STD_I64LE, h5t.STD_U32LE, h5t.STD_U64LE)


@dataclass
class _Found:
    shapes: Counter[Shape] = field(default_factory=Counter)
    addresses: set[int] = field(default_factory=set)
    declared: int = 0
    counters: int = 0


def read_weights(data: bytes, expected: Sequence[Shape]) -> None:
    """Check the weights file.

    Args:
        data: the member's bytes.
        expected: the shapes of all floating-point weights that the configuration asks for.

    Raises:
        WeightsRefused: `cause` begins with the rule that was broken.
    """
    if not data.startswith(HDF5_MAGIC):
        _refuse("weights-format", "not an HDF5 file from its first byte")
    found = _Found()
    try:
        # From memory: HDF5 is given no path from which it could open another file.
        with h5py.File(io.BytesIO(data), "r") as file:
            _walk(file, data, found)
    except ArtifactRefused:
        raise
    except Exception as error:
        raise _refused(
            "weights-damaged", f"HDF5 cannot read it ({type(error).__name__})"
        ) from error
    if found.shapes != Counter(expected):
        odd = next(iter((found.shapes - Counter(expected)) or (Counter(expected) - found.shapes)))
        _refuse(
            "weights-match-config",
            f"the file holds {found.shapes[odd]} arrays of shape {odd}, "
            f"the configuration asks for {Counter(expected)[odd]}",
        )
    allowed = found.declared + _OVERHEAD + _OVERHEAD_EACH * len(found.addresses)
    if len(data) > allowed:
        _refuse("weights-hidden-bytes", f"{len(data)} bytes, of which {found.declared} are arrays")


def _walk(file: Any, data: bytes, found: _Found) -> None:
    _check_attributes(file.id, "/")
    found.addresses.add(h5o.get_info(file.id).addr)
    pending: list[tuple[Any, str, int]] = [(file, "", 0)]
    while pending:
        group, path, depth = pending.pop()
        if depth > MAX_DEPTH:
            _refuse("weights-depth", f"groups are nested deeper than {MAX_DEPTH}")
        if len(group) > MAX_OBJECTS:
            _refuse("weights-objects", f"more than {MAX_OBJECTS} objects")
        for name in group:
            where = f"{path}/{name}"
            if not _NAME.fullmatch(name) or (depth == 0 and name not in _TOP_LEVEL):
                _refuse("weights-name", f"{where[:120]!r} is not a name that Keras writes")
            if group.get(name, getlink=True, getclass=True) is not h5py.HardLink:
                _refuse("weights-link", f"{where} is a soft or an external link")
            item = group[name]
            address = h5o.get_info(item.id).addr
            if address in found.addresses:
                _refuse("weights-repeated", f"{where} is an object that stands elsewhere too")
            found.addresses.add(address)
            if len(found.addresses) > MAX_OBJECTS:
                _refuse("weights-objects", f"more than {MAX_OBJECTS} objects")
            _check_attributes(item.id, where)
            if isinstance(item, h5py.Group):
                pending.append((item, where, depth + 1))
            elif isinstance(item, h5py.Dataset):
                if path.rpartition("/")[2] != "vars" or not name.isdecimal():
                    _refuse("weights-name", f"{where} is an array where Keras writes none")
                _check_array(item.id, where, data, found)
            else:
                _refuse("weights-object", f"{where} is neither a group nor an array")


def _check_attributes(node: Any, where: str) -> None:
    """Keras writes one: the layer's name on a `vars` group. It is never read, only its type."""
    for index in range(h5a.get_num_attrs(node)):
        attribute = h5a.open(node, index=index)
        plain = (
            attribute.get_type().get_class() == h5t.STRING
            and attribute.get_space().get_simple_extent_type() == h5s.SCALAR
            and attribute.get_storage_size() <= 256
        )
        if attribute.name != b"name" or not where.endswith("/vars") or not plain:
            _refuse("weights-attribute", f"{where} carries an attribute that Keras does not write")


def _check_array(array: Any, where: str, data: bytes, found: _Found) -> None:
    plan = array.get_create_plist()
    if plan.get_layout() == h5d.VIRTUAL:
        _refuse("weights-virtual", f"{where} is a virtual data set")
    if plan.get_external_count():
        _refuse("weights-external", f"{where} keeps its bytes in another file")
    if plan.get_nfilters():
        _refuse("weights-filter", f"{where} is compressed or filtered")
    if plan.get_layout() not in (h5d.CONTIGUOUS, h5d.COMPACT):
        _refuse("weights-layout", f"{where} is stored in chunks")
    space, kind = array.get_space(), array.get_type()
    if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
        _refuse("weights-shape", f"{where} has no shape")
    shape = tuple(int(side) for side in array.shape)
    if len(shape) > 6 or any(not 1 <= side <= 100_000 for side in shape):
        _refuse("weights-shape", f"{where} has the shape {str(shape)[:80]}")
    count = math.prod(shape)
    number = next((text for one, text in _FLOATS.items() if kind.equal(one)), None)
    if number is None and not any(kind.equal(one) for one in _WHOLES):
        _refuse("weights-type", f"{where} does not hold plain numbers")
    declared = count * kind.get_size()
    found.declared += declared
    if found.declared > MAX_DECLARED_BYTES:
        _refuse("weights-size", f"the arrays declare more than {MAX_DECLARED_BYTES} bytes")
    if array.get_storage_size() != declared:
        _refuse("weights-not-stored", f"{where} declares {declared} bytes that are not all there")
    if number is None:
        found.counters += count
        if found.counters > MAX_OBJECTS or count > MAX_WHOLE_NUMBERS:
            _refuse("weights-type", f"{where} holds whole numbers instead of weights")
        return
    found.shapes[shape] += 1
    if plan.get_layout() == h5d.COMPACT:
        values = h5py.Dataset(array)[()]
    else:
        offset = array.get_offset()
        if offset is None or offset + declared > len(data):
            _refuse("weights-not-stored", f"{where} lies outside the file")
        values = np.frombuffer(data, number, count, offset)
    if not np.isfinite(values).all():
        _refuse("weights-not-finite", f"{where} holds a value that is infinite or not a number")


def _refuse(rule: str, what: str) -> NoReturn:
    raise _refused(rule, what)


def _refused(rule: str, what: str) -> WeightsRefused:
    return WeightsRefused(cause=f"{rule}: {what}")
