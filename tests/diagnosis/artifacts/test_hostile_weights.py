"""One hostile weights file a rule, refused by that rule; without the hostile part it passes."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from diagnosis.artifacts import weights
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.errors import WeightsRefused
from tests.diagnosis.artifacts.hostile import with_weights
from tests.fixtures.artifacts import pack, unpack

Change = Callable[[h5py.File], object]
DENSE = "layers/dense/vars"


def _replace(**how: object) -> Change:
    """Write the bias of the last layer again, in another way."""

    def change(file: h5py.File) -> None:
        value = file[f"{DENSE}/1"][()]
        del file[f"{DENSE}/1"]
        file[DENSE].create_dataset("1", **{"data": value, **how})

    return change


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(2,), dtype="<f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=(2,))
    del file[f"{DENSE}/1"]
    file.create_virtual_dataset(f"{DENSE}/1", layout)


def _shape_bomb(file: h5py.File) -> None:
    """CVE-2026-0897: terabytes declared, nothing stored."""
    del file[f"{DENSE}/1"]
    file[DENSE].create_dataset("1", shape=(90_000, 90_000, 90), dtype="<f4", chunks=(1, 1, 1))


def _unstored(file: h5py.File) -> None:
    del file[f"{DENSE}/1"]
    file[DENSE].create_dataset("1", shape=(2,), dtype="<f4")


def _large_unstored(file: h5py.File) -> None:
    del file[f"{DENSE}/1"]
    file[DENSE].create_dataset("1", shape=(90_000, 90_000), dtype="<f4")


def _cycle(file: h5py.File) -> None:
    file["layers/dense/loop"] = file["layers"]


def _second_name(file: h5py.File) -> None:
    del file[f"{DENSE}/1"]
    file[f"{DENSE}/1"] = file["layers/batch_normalization/vars/0"]


def _named_type(file: h5py.File) -> None:
    file["layers/dense/type"] = np.dtype("<f4")


def _deep(file: h5py.File) -> None:
    file.create_group("layers/" + "/".join(["deep"] * 20))


def _attribute(where: str, name: str, value: object) -> Change:
    return lambda file: file[where].attrs.create(name, value)


def _reference(file: h5py.File) -> None:
    _replace(data=[file["layers"].ref] * 2, dtype=h5py.ref_dtype)(file)


def _not_finite(file: h5py.File) -> None:
    file[f"{DENSE}/0"][0, 0] = np.nan


CASES: dict[str, tuple[str, Change]] = {
    "soft link": (
        "weights-link",
        lambda file: file["layers"].__setitem__("x", h5py.SoftLink("/layers/dense")),
    ),
    "external link": (
        "weights-link",
        lambda file: file["layers"].__setitem__("x", h5py.ExternalLink("/etc/x.h5", "/")),
    ),
    "virtual data set": ("weights-virtual", _virtual),
    "bytes in another file": (
        "weights-external",
        _replace(data=None, shape=(2,), dtype="<f4", external=[("/etc/passwd", 0, 8)]),
    ),
    "gzip": ("weights-filter", _replace(chunks=(2,), compression="gzip")),
    "shuffle": ("weights-filter", _replace(chunks=(2,), shuffle=True)),
    "checksum filter": ("weights-filter", _replace(chunks=(2,), fletcher32=True)),
    "chunks": ("weights-layout", _replace(chunks=(2,))),
    "shape bomb in chunks (CVE-2026-0897)": ("weights-layout", _shape_bomb),
    "shape bomb (CVE-2026-12570)": ("weights-size", _large_unstored),
    "nothing stored": ("weights-not-stored", _unstored),
    "no shape": ("weights-shape", _replace(data=h5py.Empty("<f4"))),
    "zero side": ("weights-shape", _replace(data=np.zeros((0, 2), "<f4"))),
    "too many sides": ("weights-shape", _replace(data=np.zeros((1,) * 7, "<f4"))),
    "text": ("weights-type", _replace(data=["x", "y"])),
    "references": ("weights-type", _reference),
    "double": ("weights-type", _replace(data=np.zeros(2, "<f8"))),
    "big endian": ("weights-type", _replace(data=np.zeros(2, ">f4"))),
    "opaque": ("weights-type", _replace(data=np.zeros(2, "V4"))),
    "records": ("weights-type", _replace(data=np.zeros(2, [("a", "<f4")]))),
    "whole numbers": ("weights-type", _replace(data=np.zeros(100, "<i4"))),
    "cycle": ("weights-repeated", _cycle),
    "second name": ("weights-repeated", _second_name),
    "named type": ("weights-object", _named_type),
    "optimizer": ("weights-name", lambda file: file.create_group("optimizer/vars")),
    "name with dots": ("weights-name", lambda file: file["layers"].create_group("...")),
    "array outside vars": (
        "weights-name",
        lambda file: file["layers/dense"].create_dataset("0", data=np.zeros(2, "<f4")),
    ),
    "array without number": (
        "weights-name",
        lambda file: file[DENSE].create_dataset("kernel", data=np.zeros(2, "<f4")),
    ),
    "deep groups": ("weights-depth", _deep),
    "attribute": ("weights-attribute", _attribute("layers", "x", 1)),
    "attribute of an array": ("weights-attribute", _attribute(f"{DENSE}/0", "dtype", "bfloat16")),
    "reference as name": (
        "weights-attribute",
        lambda file: file[DENSE].attrs.create("name", file.ref, dtype=h5py.ref_dtype),
    ),
    "long name": ("weights-attribute", _attribute(DENSE, "name", np.bytes_(b"x" * 1000))),
    "not a number": ("weights-not-finite", _not_finite),
    "array missing": ("weights-match-config", lambda file: file[DENSE].__delitem__("1")),
    "array too many": (
        "weights-match-config",
        lambda file: file[DENSE].create_dataset("2", data=np.zeros(2, "<f4")),
    ),
    "other shape": ("weights-match-config", _replace(data=np.zeros(3, "<f4"))),
}


@pytest.mark.parametrize(("rule", "change"), CASES.values(), ids=CASES)
def test_a_hostile_weights_file_is_refused(good: bytes, rule: str, change: Change) -> None:
    with pytest.raises(WeightsRefused) as refused:
        inspect_keras(with_weights(good, change))
    assert refused.value.cause is not None
    assert refused.value.cause.startswith(f"{rule}: ")


@pytest.mark.parametrize(
    "change",
    [
        lambda file: None,
        _replace(),
        _replace(data=np.zeros(2, "<f2")),
        lambda file: file[DENSE].create_dataset("2", data=np.uint32([1, 2])),
        lambda file: file.create_group("layers/dense/seed_generator/vars"),
    ],
)
def test_the_harmless_neighbours_of_hostile_parts_are_accepted(good: bytes, change: Change) -> None:
    inspect_keras(with_weights(good, change))


def test_too_many_objects_are_refused(good: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MAX_OBJECTS", 10)
    with pytest.raises(WeightsRefused, match="weights-objects"):
        inspect_keras(good)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("weights-format", lambda data: b"x" * 512 + data),
        ("weights-format", lambda data: b""),
        ("weights-damaged", lambda data: data[:600]),
        ("weights-hidden-bytes", lambda data: data + bytes(1_000_000)),
    ],
)
def test_bytes_around_the_weights_are_refused(
    good: bytes, rule: str, change: Callable[[bytes], bytes]
) -> None:
    members = unpack(good)
    members["model.weights.h5"] = change(members["model.weights.h5"])
    with pytest.raises(WeightsRefused, match=rf"\({rule}: "):
        inspect_keras(pack(members))


def test_an_external_link_is_never_followed(good: bytes, tmp_path: Path) -> None:
    """The linked file is there and good, so following it would not fail."""
    outside = tmp_path / "outside.h5"
    outside.write_bytes(unpack(good)["model.weights.h5"])

    def link(file: h5py.File) -> None:
        del file["layers/dense"]
        file["layers/dense"] = h5py.ExternalLink(str(outside), "layers/dense")

    hostile = with_weights(good, link)
    inside = tmp_path / "inside.h5"
    inside.write_bytes(unpack(hostile)["model.weights.h5"])
    with h5py.File(inside) as file:
        assert file["layers/dense/vars/0"].shape == (256, 2)
    with pytest.raises(WeightsRefused, match="weights-link"):
        inspect_keras(hostile)
