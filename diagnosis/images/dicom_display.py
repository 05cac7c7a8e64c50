"""DICOM: stored grey values to what a display would show (PS3.3 C.11.1, C.11.2; PS3.4 N.2).

All of it is a function of the stored value alone, so it is worked out once for each of the 256
or 65,536 values a pixel can have, and the image is looked up in that table.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from diagnosis.images.checked import Pixels
from diagnosis.images.pixels import frozen

Floats = NDArray[np.float64]


def to_display(stored: NDArray[np.generic], dataset: Dataset) -> Pixels:
    """Bring stored values to a display's range; black is 0 for MONOCHROME1 too.

    The steps, each where the data set has it: modality table or rescale; VOI table, else the
    first window. Where it has neither, 8-bit values keep their range and longer ones are spread
    from the smallest to the largest that occurs, padding left aside. Padding becomes black.

    Args:
        stored: (H, W), 8 or 16 bit, signed or unsigned.
        dataset: where the display's parameters are.

    Returns:
        (H, W): uint8 where up to 8 bits are stored, uint16 with the full range otherwise.
    """
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    codes = np.ascontiguousarray(stored, stored.dtype.newbyteorder("=")).view(unsigned)
    values = np.arange(2 ** (8 * unsigned.itemsize)).astype(unsigned).view(f"i{unsigned.itemsize}")
    if np.issubdtype(stored.dtype, np.unsignedinteger):
        values = values.view(unsigned)
    bits = int(dataset.BitsStored)
    padding = _padding(values, dataset)
    modality = _modality_values(values.astype(np.float64), dataset)
    shown = _through_voi_table(modality, dataset)
    if shown is None:
        shown = _through_window(modality, dataset)
    if shown is None:
        if bits <= 8:
            used = np.isin(values, _range(bits, signed=values.dtype.kind == "i"))
        else:
            used = _occurring(codes, len(values)) & ~padding
            used = used if used.any() else ~padding
        shown = _spread(modality, modality[used] if used.any() else modality)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 1.0 - shown
    shown = np.where(padding, 0.0, np.clip(shown, 0.0, 1.0))
    if bits <= 8:
        return frozen(np.rint(shown * 255).astype(np.uint8)[codes])
    return frozen(np.rint(shown * 65535).astype(np.uint16)[codes])


def _range(bits: int, *, signed: bool) -> NDArray[np.int64]:
    """Every value that so many stored bits can have."""
    low = -(2 ** (bits - 1)) if signed else 0
    return np.arange(low, low + 2**bits)


def _occurring(codes: NDArray[Any], size: int) -> NDArray[np.bool_]:
    occurring = np.zeros(size, dtype=np.bool_)
    occurring[codes] = True
    return occurring


def _spread(values: Floats, used: Floats) -> Floats:
    """0 at the smallest used value and 1 at the largest; all 0 where there is only one."""
    low, high = float(used.min()), float(used.max())
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def _padding(values: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_]:
    """Which values stand for no measurement at all (PS3.3 C.7.5.1.1.2)."""
    edges = [
        first_number(dataset, "PixelPaddingValue"),
        first_number(dataset, "PixelPaddingRangeLimit"),
    ]
    known = [edge for edge in edges if edge is not None]
    if edges[0] is None:
        return np.zeros(values.shape, dtype=np.bool_)
    return (values >= min(known)) & (values <= max(known))


def _modality_values(values: Floats, dataset: Dataset) -> Floats:
    table = first_table(dataset, "ModalityLUTSequence")
    if table is not None:
        entries, first, _ = table
        return entries[np.clip(values - first, 0, len(entries) - 1).astype(np.int64)]
    slope, intercept = (
        first_number(dataset, "RescaleSlope"),
        first_number(dataset, "RescaleIntercept"),
    )
    if not slope or intercept is None:
        return values
    return values * slope + intercept


def _through_voi_table(values: Floats, dataset: Dataset) -> Floats | None:
    table = first_table(dataset, "VOILUTSequence")
    if table is None:
        return None
    entries, first, bits = table
    index = np.clip(np.floor(values - first), 0, len(entries) - 1).astype(np.int64)
    return entries[index] / (2.0**bits - 1)


def _through_window(values: Floats, dataset: Dataset) -> Floats | None:
    """The first window; None where there is none, or none that makes sense."""
    centre, width = first_number(dataset, "WindowCenter"), first_number(dataset, "WindowWidth")
    if centre is None or width is None:
        return None
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function == "SIGMOID" and width > 0:
        return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -500, 500))))
    if function == "LINEAR_EXACT" and width > 0:
        return (values - centre) / width + 0.5
    if function == "LINEAR" and width > 1:
        return (values - (centre - 0.5)) / (width - 1) + 0.5
    if function == "LINEAR" and width == 1:
        return np.where(values <= centre - 0.5, 0.0, 1.0)
    return None


def first_table(dataset: Dataset, keyword: str) -> tuple[Floats, float, int] | None:
    """Entries, first mapped value and bits of a sequence's first table; None without a usable one.

    An implicit data set does not say whether the first value is signed: it is, where pixels are.
    """
    sequence = dataset.get(keyword)
    if not sequence:
        return None
    item = sequence[0]
    descriptor = [int(figure) for figure in item.LUTDescriptor]
    data = item.LUTData
    if isinstance(data, bytes):
        # 8-bit entries may be packed two a word; every other table has a word an entry.
        words = len(data) >= 2 * (descriptor[0] or 65536)
        little = item.original_encoding[1] is not False
        data = np.frombuffer(data, ("<u2" if little else ">u2") if words else np.uint8)
    entries = np.atleast_1d(np.asarray(data, dtype=np.float64))[: descriptor[0] or 65536]
    first, bits = descriptor[1], descriptor[2]
    if int(dataset.get("PixelRepresentation") or 0) and first >= 32768:
        first -= 65536
    return (entries, float(first), bits) if len(entries) and 8 <= bits <= 16 else None


def first_number(dataset: Dataset, keyword: str) -> float | None:
    """The first finite number of an element; None where it is missing, empty or malformed."""
    try:
        value = dataset.get(keyword)
        first = value[0] if isinstance(value, list | tuple) or hasattr(value, "append") else value
        number = float(first)
    except (TypeError, ValueError, IndexError, OverflowError, AttributeError):
        return None
    return number if math.isfinite(number) else None
