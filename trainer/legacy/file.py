"""Reads a legacy `.h5` with h5py from memory: its description and its arrays, nothing else.

Of all that HDF5 can do, only groups, hard links and plain arrays are followed, as in
`diagnosis.artifacts.weights`. Keras is not asked to open the file: a legacy `.h5` may hold Python
code that runs on loading.
"""

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5o, h5s, h5t
from numpy.typing import NDArray

from diagnosis.artifacts.weights import HDF5_MAGIC, MAX_DECLARED_BYTES, MAX_DEPTH, MAX_OBJECTS
from trainer.refusals import LegacyRefused

#: VGG16 with its optimizer's state has 1.6 GB; such a file is saved again without the state.
MAX_FILE_BYTES = 600_000_000
MAX_CONFIG_BYTES = 4_000_000
_FLOATS = (h5t.IEEE_F16LE, h5t.IEEE_F32LE, h5t.IEEE_F64LE)

Array = NDArray[np.float32]


@dataclass(frozen=True)
class LegacyFile:
    """What a legacy file says and holds."""

    name: str
    digest: str
    """`sha256:<hex>` of the file."""
    keras_version: str
    config: Mapping[str, Any]
    """The network's description: `class_name` and `config`."""
    weights: Mapping[str, Mapping[str, Array]]
    """By layer, in the order of the layer's weights: short name (such as `kernel`) to values."""


def read_legacy(path: Path) -> LegacyFile:
    """Read a legacy `.h5` file.

    Raises:
        LegacyRefused: it is none, is damaged, too large, or holds what Keras does not write.
    """
    if not path.is_file():
        raise LegacyRefused(f"{path} is not a file.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise LegacyRefused(
            f"{path.name} has more than {MAX_FILE_BYTES} bytes; save it without the optimizer "
            "(include_optimizer=False)."
        )
    data = path.read_bytes()
    if not data.startswith(HDF5_MAGIC):
        raise LegacyRefused(f"{path.name} is not an HDF5 file; only legacy Keras .h5 is imported.")
    try:
        # From memory: HDF5 is given no path from which it could open another file.
        with h5py.File(io.BytesIO(data), "r") as file:
            config, version = _description(file, path.name)
            weights = _weights(file, len(data))
    except LegacyRefused:
        raise
    except Exception as error:
        raise LegacyRefused(
            f"HDF5 cannot read {path.name} ({type(error).__name__}): it is damaged or cut off."
        ) from error
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    return LegacyFile(path.name, digest, version, config, weights)


def _description(file: Any, name: str) -> tuple[Mapping[str, Any], str]:
    if "model_config" not in file.attrs:
        raise LegacyRefused(
            f"{name} holds weights without the network they belong to; save the whole model "
            "(model.save), not its weights alone."
        )
    text = _text(file.attrs["model_config"], MAX_CONFIG_BYTES)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LegacyRefused(f"The network's description in {name} is not JSON.") from error
    if not isinstance(config, dict):
        raise LegacyRefused(f"The network's description in {name} is not one of Keras.")
    version = _text(file.attrs["keras_version"], 40) if "keras_version" in file.attrs else "1"
    return config, version


def _weights(file: Any, size: int) -> dict[str, dict[str, Array]]:
    if "model_weights" not in file:
        raise LegacyRefused("The file holds no model_weights.")
    if file.get("model_weights", getlink=True, getclass=True) is not h5py.HardLink:
        raise LegacyRefused("model_weights is a link to somewhere else.")
    top = file["model_weights"]
    groups, arrays = _walk(top, size)
    weights: dict[str, dict[str, Array]] = {}
    for layer in _names(top, "layer_names"):
        if layer in weights or layer not in groups:
            raise LegacyRefused(f"The layer {layer[:60]!r} is missing, or stands there twice.")
        weights[layer] = {}
        for full in _names(groups[layer], "weight_names"):
            found = arrays.get(f"{layer}/{full}")
            short = full.rpartition("/")[2].partition(":")[0]
            if found is None or short in weights[layer]:
                raise LegacyRefused(f"The weight {full[:80]!r} of {layer[:60]!r} is not there.")
            weights[layer][short] = found
    return weights


def _walk(top: Any, size: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """Groups and arrays below a group by path; each array is checked before its bytes are read."""
    groups: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    seen = {h5o.get_info(top.id).addr}
    pending: list[tuple[Any, str, int]] = [(top, "", 0)]
    declared = 0
    while pending:
        group, path, depth = pending.pop()
        if depth > MAX_DEPTH or len(group) > MAX_OBJECTS or len(seen) > MAX_OBJECTS:
            raise LegacyRefused("model_weights holds more objects, or deeper ones, than Keras's.")
        for name in group:
            where = f"{path}{name}"
            if group.get(name, getlink=True, getclass=True) is not h5py.HardLink:
                raise LegacyRefused(f"{where[:120]} is a link to somewhere else.")
            item = group[name]
            address = h5o.get_info(item.id).addr
            if address in seen:
                raise LegacyRefused(f"{where[:120]} is an object that stands elsewhere too.")
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups[where] = item
                pending.append((item, f"{where}/", depth + 1))
                continue
            if not isinstance(item, h5py.Dataset):
                raise LegacyRefused(f"{where[:120]} is neither a group nor an array.")
            declared += _check(item.id, where[:120], size)
            if declared > MAX_DECLARED_BYTES:
                raise LegacyRefused(f"The arrays declare more than {MAX_DECLARED_BYTES} bytes.")
            arrays[where] = np.asarray(item[()], np.float32)
            if not np.isfinite(arrays[where]).all():
                raise LegacyRefused(f"{where[:120]} holds a value that is no finite number.")
    return groups, arrays


def _check(array: Any, where: str, size: int) -> int:
    """How many bytes an array holds, once it is known to be a plain one."""
    plan, space, kind = array.get_create_plist(), array.get_space(), array.get_type()
    if plan.get_layout() == h5d.VIRTUAL or plan.get_external_count():
        raise LegacyRefused(f"{where} keeps its values in another file.")
    if plan.get_nfilters() or plan.get_layout() not in (h5d.CONTIGUOUS, h5d.COMPACT):
        raise LegacyRefused(f"{where} is compressed or stored in pieces, as Keras stores nothing.")
    if space.get_simple_extent_type() not in (h5s.SCALAR, h5s.SIMPLE):
        raise LegacyRefused(f"{where} has no shape.")
    if not any(kind.equal(one) for one in _FLOATS):
        raise LegacyRefused(f"{where} does not hold floating-point numbers.")
    shape = tuple(int(side) for side in array.shape)
    declared = math.prod(shape) * int(kind.get_size())
    if len(shape) > 6 or declared > size or array.get_storage_size() != declared:
        raise LegacyRefused(f"{where} declares the shape {str(shape)[:60]}, which is not there.")
    return declared


def _names(group: Any, key: str) -> list[str]:
    """A list of names that Keras keeps in an attribute; a long one in `key0`, `key1` and on."""
    keys = [key] if key in group.attrs else []
    while f"{key}{len(keys)}" in group.attrs and key not in keys:
        keys.append(f"{key}{len(keys)}")
    if not keys:
        raise LegacyRefused(f"{group.name[:120]} does not list its {key}.")
    found = [_text(one, 400) for part in keys for one in np.ravel(group.attrs[part])]
    if len(found) > MAX_OBJECTS:
        raise LegacyRefused(f"{group.name[:120]} lists more names than Keras writes.")
    return found


def _text(value: Any, most: int) -> str:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not isinstance(text, str) or len(text) > most:
        raise LegacyRefused(f"An attribute is no text, or is longer than {most} characters.")
    return text
