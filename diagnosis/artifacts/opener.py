"""The hardened opener of `.keras` files: everything is checked before Keras sees a byte.

It imports no ML framework and runs nothing of what it reads. What passes is handed to Keras as
the very bytes that were checked.
"""

from diagnosis.artifacts.archive import read_archive
from diagnosis.artifacts.config import read_config
from diagnosis.artifacts.survey import read_metadata
from diagnosis.artifacts.weights import HDF5_MAGIC, read_weights
from diagnosis.errors import FormatRefused

# What else is called a model, by how it begins (or by what stands at an offset).
_OTHER_FORMATS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, HDF5_MAGIC, "hdf5", "an HDF5 model, which can hold Python code that runs on loading"),
    (0, b"\x80", "pickle", "a Python pickle, which can run any code on loading"),
    (0, b"\x1f\x8b", "gzip", "a gzip archive"),
    (257, b"ustar", "tar", "a tar archive, as SavedModels are often passed on"),
    (4, b"TFL3", "tflite", "a TensorFlow Lite model"),
    (0, b"\x93NUMPY", "numpy", "a NumPy array file"),
)
#: What to do with a model of another format.
CONVERT = (
    "Where you trust it, load it there or rebuild the network and set its weights, save it "
    "uncompiled with model.save('model.keras'), and publish that."
)


def inspect_keras(data: bytes) -> None:
    """Check the bytes of a `.keras` file; returns only if Keras may load them.

    Args:
        data: the whole file.

    Raises:
        FormatRefused: another format than `.keras`; the remedy says how to convert it.
        ArchiveRefused: the zip is not exactly the three members it may hold.
        ConfigRefused: the configuration holds something outside the closed list.
        WeightsRefused: the weights file holds more than plain arrays that fit the configuration.
    """
    _check_format(data)
    members = read_archive(data)
    read_metadata(members["metadata.json"])
    config = read_config(members["config.json"])
    read_weights(members["model.weights.h5"], config.weights)


def _check_format(data: bytes) -> None:
    for offset, magic, name, what in _OTHER_FORMATS:
        if data[offset : offset + len(magic)] == magic:
            raise FormatRefused(
                f"This is {what}; only .keras artifacts are read.",
                remedy=CONVERT,
                cause=f"format-{name}: recognised by its first bytes",
            )
    if not data.startswith(b"PK\x03\x04"):
        raise FormatRefused(remedy=CONVERT, cause="format-unknown: not a zip archive")
    # PyTorch's zip archives hold a pickle; their first member tells them apart.
    if b"/data.pkl" in data[:200] or b"/.format_version" in data[:200]:
        raise FormatRefused(
            "This is a PyTorch file, which holds a Python pickle; only .keras artifacts are read.",
            remedy=CONVERT,
            cause="format-pytorch: recognised by its first member",
        )
