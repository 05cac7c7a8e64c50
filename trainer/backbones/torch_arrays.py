"""Reads the arrays of a PyTorch state file without PyTorch, and without running what it says.

A `.pth` file is a pickle, and a pickle can call anything. This reader knows three names: an ordered
dictionary, and how PyTorch says `tensor of a storage`; every other name ends the reading. It reads
the legacy layout (before PyTorch 1.6): four pickles, a list of storages, and their bytes.
"""

import io
import math
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.refusals import RecipeRefused

_MAGIC = 0x1950A86A20F9469CFC6C
_MAX_BYTES = 1 << 30
_TYPES: dict[str, np.dtype[Any]] = {
    "FloatStorage": np.dtype("<f4"),
    "LongStorage": np.dtype("<i8"),
}


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str
    count: int

    @property
    def dtype(self) -> np.dtype[Any]:
        return _TYPES[self.kind]


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Rebuild:
    """What stands for PyTorch's function; without attributes, so that a pickle can set none."""

    __slots__ = ()

    def __call__(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("a tensor has no storage")
        return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


def read_arrays(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """The file's floating-point arrays by name; whole numbers (counters) are left out.

    Raises:
        RecipeRefused: the file is missing, damaged, or names anything but tensors.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise RecipeRefused(f"{path} is larger than {_MAX_BYTES} bytes.")
        stream = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise RecipeRefused(f"The weights {path} cannot be read: {error.strerror}.") from error
    try:
        magic, _version, _machine, tensors, keys = (_Reader(stream).load() for _ in range(5))
        if magic == _MAGIC:
            return _arrays(stream, tensors, keys)
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, EOFError, IndexError,
            AttributeError, OverflowError, MemoryError) as error:  # fmt: skip
        raise RecipeRefused(f"{path} is no file of plain PyTorch arrays: {error}.") from error
    raise RecipeRefused(f"{path} is no file of plain PyTorch arrays in the legacy layout.")


class _Reader(pickle.Unpickler):
    """An unpickler that can make ordered dictionaries and descriptions of tensors only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Rebuild()
        if module == "torch" and name in _TYPES:
            return name  # not the dtype: a pickle can call and change what it is given
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        what, kind, key, place, count, view = pid
        if what != "storage" or place != "cpu" or view is not None or not isinstance(count, int):
            raise pickle.UnpicklingError("a storage is described in an unknown way")
        return _Storage(str(key), str(kind), count)


def _arrays(stream: io.BytesIO, tensors: Any, keys: Any) -> dict[str, NDArray[np.float32]]:
    known = {one.storage.key: one.storage for one in tensors.values()}
    buffers = {}
    for key in keys:
        storage = known[str(key)]
        count = int.from_bytes(stream.read(8), "little")
        size = storage.count * storage.dtype.itemsize
        raw = stream.read(size) if count == storage.count and size >= 0 else b""
        if len(raw) != size:
            raise ValueError("a storage is cut off")
        buffers[storage.key] = np.frombuffer(raw, storage.dtype)
    found = {}
    for name, one in tensors.items():
        if one.storage.dtype.kind != "f":
            continue
        buffer = buffers[one.storage.key]
        last = one.offset + sum(
            (side - 1) * stride for side, stride in zip(one.shape, one.strides, strict=True)
        )
        if min((*one.shape, *one.strides, 1), default=1) < 1 or not 0 <= one.offset <= last < len(
            buffer
        ):
            raise ValueError("a tensor lies outside its storage")
        if math.prod(one.shape) > len(buffer):
            raise ValueError("a tensor is larger than its storage")
        view = np.lib.stride_tricks.as_strided(
            buffer[one.offset :], one.shape, [stride * buffer.itemsize for stride in one.strides]
        )
        found[str(name)] = np.array(view, np.float32, order="C")
    return found
