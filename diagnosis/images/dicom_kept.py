"""DICOM: the file that may be kept of one that came, de-identified.

The Basic Application Level Confidentiality Profile (PS3.15, Table E.1-1) says of each attribute
whether it goes, is emptied or is replaced. Nothing is copied here by leaving things out: a new
data set is made of the elements that make the picture, each read as a number or as one of few
words, so whatever the table names, and whatever a manufacturer added, is not there. What the
table replaces (UIDs) is made anew, what it empties is empty, and the method and its code say so.

The object is a Secondary Capture, whose modules need nothing that was taken away.
"""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DSfloat

from diagnosis.images.checked import BurnedIn, Pixels
from diagnosis.images.dicom_display import first_number, first_table

#: PS3.16, CID 7050: what is said of the file in (0012,0064).
METHOD = ("113100", "DCM", "Basic Application Confidentiality Profile")
#: What Table E.1-1 empties, and a Secondary Capture has to have (type 2).
_EMPTY = (
    "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "PatientName",
    "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "SeriesNumber", "InstanceNumber",
    "PatientOrientation",
)  # fmt: skip
_WINDOW = ("WindowCenter", "WindowWidth")
#: Millimetres from row to row and from column to column: in the patient, and at the detector.
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing")
_LARGEST_SPACING = 100.0
_FUNCTIONS = {"LINEAR", "LINEAR_EXACT", "SIGMOID"}


def keepable(
    stored: NDArray[np.generic] | None,
    pixels: Pixels,
    dataset: Dataset,
    *,
    modality: str | None,
    identity: str,
    burned_in: BurnedIn | None = "possible",
) -> bytes:
    """The bytes of a DICOM file with the same picture and nothing about anybody.

    Args:
        stored: the stored grey values, (H, W); None for a colour image.
        pixels: what a display shows; kept in place of stored colours, as RGB.
        dataset: the elements that make the picture, read from the file that came.
        modality: one of the codes of images, or None.
        identity: digest of the picture; the new UIDs follow from it, so they are the same
            whenever the same picture comes, and tell nothing else.
        burned_in: whether text may stand in the pixels. Then the file does not claim that the
            patient's identity was removed, which in DICOM is said of pixels and attributes alike.
    """
    kept = Dataset()
    for keyword in _EMPTY:
        setattr(kept, keyword, "")
    kept.SOPClassUID = SecondaryCaptureImageStorage
    kept.SOPInstanceUID = _uid("instance", identity)
    kept.StudyInstanceUID = _uid("study", identity)
    kept.SeriesInstanceUID = _uid("series", identity)
    kept.Modality = modality or "OT"
    kept.ConversionType = "WSD"
    _say_how(kept, removed=burned_in is None)
    said = str(dataset.get("BurnedInAnnotation"))
    if said in {"YES", "NO"}:
        kept.BurnedInAnnotation = said
    if stored is None:
        _put_pixels(kept, np.asarray(pixels), "RGB", 8)
    else:
        _put_grey(kept, stored, dataset)
    _put_spacings(kept, dataset)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = kept.SOPClassUID
    meta.MediaStorageSOPInstanceUID = kept.SOPInstanceUID
    kept.file_meta = meta
    target = BytesIO()
    # The preamble is zeroes: nothing of another format can hide in front.
    kept.save_as(target, enforce_file_format=True)
    return target.getvalue()


def _say_how(kept: Dataset, *, removed: bool) -> None:
    kept.PatientIdentityRemoved = "YES" if removed else "NO"
    kept.DeidentificationMethod = METHOD[2]
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = METHOD
    kept.DeidentificationMethodCodeSequence = Items([code])
    kept.LongitudinalTemporalInformationModified = "REMOVED"


def _put_grey(kept: Dataset, stored: NDArray[np.generic], dataset: Dataset) -> None:
    """The stored values and what a display needs to show them, number by number."""
    bits, signed = int(dataset.BitsStored), int(dataset.get("PixelRepresentation") or 0)
    values = _of_these_bits(stored, bits)
    _put_pixels(kept, values, str(dataset.PhotometricInterpretation), bits)
    kept.PixelRepresentation = signed
    kind, range_ = ("SS", np.iinfo(np.int16)) if signed else ("US", np.iinfo(np.uint16))
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        value = first_number(dataset, keyword)
        # One that no pixel can have pads nothing, and cannot be written.
        if value is not None and range_.min <= value <= range_.max:
            kept.add_new(keyword, kind, int(value))
    slope, intercept = (
        first_number(dataset, "RescaleSlope"),
        first_number(dataset, "RescaleIntercept"),
    )
    if (modality := first_table(dataset, "ModalityLUTSequence")) is not None:
        kept.ModalityLUTSequence = Items([_table_item(*modality, "US")])
    elif slope and intercept is not None:
        kept.RescaleSlope, kept.RescaleIntercept = _decimals(slope, intercept)
        kept.RescaleType = "US"
    centre, width = (first_number(dataset, keyword) for keyword in _WINDOW)
    if (voi := first_table(dataset, "VOILUTSequence")) is not None:
        kept.VOILUTSequence = Items([_table_item(*voi)])
    elif centre is not None and width is not None:
        kept.WindowCenter, kept.WindowWidth = _decimals(centre, width)
        function = str(dataset.get("VOILUTFunction") or "").strip().upper()
        if function in _FUNCTIONS:
            kept.VOILUTFunction = function


def _put_spacings(kept: Dataset, dataset: Dataset) -> None:
    """How far apart the pixels are, where the file says it in two numbers that can be true."""
    for keyword in _SPACINGS:
        try:
            rows, columns = (float(one) for one in dataset.get(keyword) or ())
        except (TypeError, ValueError, OverflowError, IndexError, AttributeError):
            continue
        if 0 < rows < _LARGEST_SPACING and 0 < columns < _LARGEST_SPACING:
            setattr(kept, keyword, list(_decimals(round(rows, 6), round(columns, 6))))


def _put_pixels(
    kept: Dataset, pixels: NDArray[np.generic], photometric: str, bits_stored: int
) -> None:
    kept.Rows, kept.Columns = pixels.shape[:2]
    kept.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        kept.PlanarConfiguration = 0
    kept.PhotometricInterpretation = photometric
    kept.BitsAllocated = 8 * pixels.dtype.itemsize
    kept.BitsStored = bits_stored
    kept.HighBit = bits_stored - 1
    kept.PixelRepresentation = 0
    raw = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    kept.PixelData = raw + bytes(len(raw) % 2)
    kept["PixelData"].VR = "OW" if pixels.dtype.itemsize == 2 else "OB"


def _of_these_bits(stored: NDArray[np.generic], bits: int) -> NDArray[np.generic]:
    """The values without the bits above those that count, which may hold an overlay of text.

    Where a frame was coded with fewer bits than the data set says, they are widened.
    """
    if bits > 8 * stored.dtype.itemsize:
        return stored.astype(f"{stored.dtype.kind}2")
    spare = 8 * stored.dtype.itemsize - bits
    values: NDArray[Any] = np.asarray(stored)
    return (values << spare) >> spare


def _table_item(
    entries: NDArray[np.float64], first: float, bits: int, kind: str | None = None
) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries) % 65536, int(first), bits]
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    if kind is not None:
        item.ModalityLUTType = kind
    return item


def _decimals(*values: float) -> Sequence[DSfloat]:
    """As decimal strings of at most 16 characters."""
    return [DSfloat(value, auto_format=True) for value in values]


def _uid(what: str, identity: str) -> str:
    """A UID from 128 bits of a digest (PS3.5, B.2)."""
    digest = hashlib.sha256(f"{what} {identity}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
