"""Reading PyTorch's arrays without PyTorch: the layout, and files that mean harm."""

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainer.backbones.torch_arrays import read_arrays
from trainer.refusals import RecipeRefused

MAGIC = 0x1950A86A20F9469CFC6C


class Named:
    """Stands in a made pickle for a name such as torch.FloatStorage."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Stored:
    """Stands in a made pickle for a storage."""

    def __init__(self, key: str, count: int, kind: str = "FloatStorage") -> None:
        self.pid = ("storage", Named("torch", kind), key, "cpu", count, None)


class Tensor:
    """Stands in a made pickle for a tensor of a storage."""

    def __init__(self, storage: Any, offset: int, shape: Any, strides: Any) -> None:
        self.parts = (storage, offset, shape, strides, False, OrderedDict())


class Writer(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Writes the stand-ins as PyTorch writes what they stand for."""

    def persistent_id(self, value: Any) -> Any:
        return value.pid if isinstance(value, Stored) else None

    def save(self, value: Any, *rest: Any, **more: Any) -> Any:
        if isinstance(value, Named):
            self.write(f"c{value.module}\n{value.name}\n".encode())
            return None
        if isinstance(value, Tensor):
            self.save(Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(value.parts)
            self.write(pickle.REDUCE)
            return None
        return super().save(value, *rest, **more)


def pickled(value: Any) -> bytes:
    stream = io.BytesIO()
    Writer(stream, protocol=2).dump(value)
    return stream.getvalue()


def legacy(
    tensors: Mapping[str, Any], storages: Mapping[str, bytes], counts: Mapping[str, int]
) -> bytes:
    """A file of the layout before PyTorch 1.6."""
    head = [MAGIC, 1001, {"little_endian": True}, OrderedDict(tensors), list(storages)]
    body = b"".join(struct.pack("<q", counts[key]) + raw for key, raw in storages.items())
    return b"".join(map(pickled, head)) + body


NUMBERS = np.arange(12, dtype="<f4")


def made(tensor: Any = None, *, raw: bytes = NUMBERS.tobytes(), count: int = 12) -> bytes:
    tensor = tensor or Tensor(Stored("7", 12), 0, (3, 4), (4, 1))
    return legacy({"kernel": tensor}, {"7": raw}, {"7": count})


def test_arrays_are_read_with_their_offsets_and_strides(tmp_path: Path) -> None:
    storage, counter = Stored("7", 12), Stored("8", 1, "LongStorage")
    content = legacy(
        {
            "kernel": Tensor(storage, 0, (3, 4), (4, 1)),
            "turned": Tensor(storage, 0, (4, 3), (1, 4)),
            "last": Tensor(storage, 10, (2,), (1,)),
            "one": Tensor(storage, 5, (), ()),
            "steps": Tensor(counter, 0, (), ()),
        },
        {"7": NUMBERS.tobytes(), "8": struct.pack("<q", 9)},
        {"7": 12, "8": 1},
    )
    (tmp_path / "made.pth").write_bytes(content)
    found = read_arrays(tmp_path / "made.pth")
    assert set(found) == {"kernel", "turned", "last", "one"}
    assert np.array_equal(found["kernel"], NUMBERS.reshape(3, 4))
    assert np.array_equal(found["turned"], NUMBERS.reshape(3, 4).T)
    assert found["last"].tolist() == [10, 11]
    assert found["one"] == 5
    assert all(one.dtype == np.float32 and one.flags.owndata for one in found.values())


def hostile(module: str, name: str, argument: str) -> bytes:
    """Protocol 2: push the function, push its argument, call it."""
    text = argument.encode()
    call = b"\x80\x02c" + f"{module}\n{name}\n".encode()
    return call + b"X" + struct.pack("<I", len(text)) + text + b"\x85R."


@pytest.mark.parametrize(
    ("module", "name"),
    [("os", "system"), ("posix", "system"), ("builtins", "eval"), ("torch", "load"),
     ("collections", "OrderedDict.fromkeys"), ("torch._utils", "_rebuild_parameter")],
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 3, 4])
def test_a_pickle_that_names_anything_else_ends_the_reading_and_runs_nothing(
    module: str, name: str, place: int, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    parts = [pickled(one) for one in (MAGIC, 1001, {}, OrderedDict(), [])]
    parts[place] = hostile(module, name, f"touch {mark}")
    path = tmp_path / "hostile.pth"
    path.write_bytes(b"".join(parts))
    with pytest.raises(RecipeRefused, match=f"it names {module}.{name}"):
        read_arrays(path)
    assert not mark.exists()


MUTATIONS = {
    "a type is called": hostile("torch", "FloatStorage", "4"),
    "a type is changed": b"\x80\x02ctorch\nFloatStorage\n}X\x01\x00\x00\x00aK\x01sb.",
    "the function is changed": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x0c\x00\x00\x00"
    b"__defaults__K\x01s\x86b.",
    "a tensor without a storage": pickled(OrderedDict(a=Tensor("text", 0, (1,), (1,)))),
    "a tensor of text": pickled(OrderedDict(a=Tensor(Stored("7", 12), "a", (1,), (1,)))),
    "no tensor": pickled(OrderedDict(a=3)),
    "no dictionary": pickled([1, 2]),
    "an unknown type": pickled(
        OrderedDict(a=Tensor(Stored("7", 12, "HalfStorage"), 0, (1,), (1,)))
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MUTATIONS)
def test_a_pickle_that_misuses_the_known_names_is_refused(case: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.pth"
    head = [pickled(one) for one in (MAGIC, 1001, {})]
    body = [MUTATIONS[case], pickled(["7"]), struct.pack("<q", 12), NUMBERS.tobytes()]
    path.write_bytes(b"".join([*head, *body]))
    with pytest.raises(RecipeRefused, match="no file of plain PyTorch arrays"):
        read_arrays(path)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (3, 5), (4, 1)), (0, (3, 4), (5, 1)), (11, (2,), (1,)), (-1, (2,), (1,)),
     (0, (2,), (-1,)), (0, (-2,), (1,)), (0, (2,), (0,)), (0, (0,), (1,)), (0, (2, 2), (1,)),
     (0, (9, 4), (1, 1)), (0, (2**40,), (2**40,)), (0, (1 << 70,), (1,))],
)  # fmt: skip
def test_a_tensor_outside_its_storage_is_refused(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "outside.pth"
    path.write_bytes(made(Tensor(Stored("7", 12), offset, shape, strides)))
    with pytest.raises(RecipeRefused, match="no file of plain PyTorch arrays"):
        read_arrays(path)


@pytest.mark.parametrize("cut", [1, 47, 49, 60, 150, 10_000])
def test_a_file_that_is_cut_off_is_refused(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    path.write_bytes(made()[: -cut or None])
    with pytest.raises(RecipeRefused, match="no file of plain PyTorch arrays"):
        read_arrays(path)


def test_a_storage_that_is_shorter_or_longer_than_described_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "storage.pth"
    for raw, count in ((NUMBERS[:6].tobytes(), 6), (NUMBERS.tobytes(), 1 << 60), (b"", -1)):
        path.write_bytes(made(raw=raw, count=count))
        with pytest.raises(RecipeRefused, match="a storage is cut off"):
            read_arrays(path)


def test_a_missing_file_a_text_and_a_foreign_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeRefused, match="cannot be read"):
        read_arrays(tmp_path / "none.pth")
    for content in (b"", b"text", pickled(MAGIC), b"".join(pickled(1) for _ in range(5))):
        (tmp_path / "text.pth").write_bytes(content)
        with pytest.raises(RecipeRefused, match="no file of plain PyTorch arrays"):
            read_arrays(tmp_path / "text.pth")
