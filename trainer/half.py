"""Half-precision storage: an artifact of half the bytes, whose arithmetic stays at 32 bit.

Kernels and their biases are stored as float16 and become float32 again when they are loaded. The
statistics of batch normalisation stay as they are: a variance near zero would not survive.
"""

import io
import zipfile
from typing import Any

import h5py
import numpy as np

from diagnosis.artifacts.archive import read_archive
from trainer.refusals import TrainerRefused

_WEIGHTS = "model.weights.h5"


def half_precision(keras_file: bytes) -> bytes:
    """A `.keras` file with the kernels and biases stored as float16.

    The same file gives the same bytes.

    Args:
        keras_file: the whole `.keras` file, inspected.

    Raises:
        TrainerRefused: a weight is larger than float16 can hold (65,504).
    """
    members = read_archive(keras_file)
    source, target = io.BytesIO(members[_WEIGHTS]), io.BytesIO()
    with h5py.File(source, "r") as before, h5py.File(target, "w") as after:
        _copy(before, after)
    members[_WEIGHTS] = target.getvalue()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _copy(source: Any, target: Any) -> None:
    target.attrs.update(source.attrs)
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copy(item, target.create_group(name))
        else:
            # A bias stands beside its kernel; statistics of a batch norm stand among themselves.
            beside = any(np.ndim(one) > 1 for one in source.values() if not hasattr(one, "values"))
            values = _rounded(item[()], item.name) if beside else item[()]
            made = target.create_dataset(name, data=values)
            made.attrs.update(item.attrs)


def _rounded(values: Any, where: str) -> Any:
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if not np.isfinite(half).all():
        raise TrainerRefused(
            f"{where} holds a weight above 65,504, which half precision cannot; "
            "publish without --half."
        )
    return half
