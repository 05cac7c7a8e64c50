"""DICOM: stored pixels, from each transfer syntax that is read to one array."""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import decode as decode_codestream
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from rle.utils import decode_pixel_data as decode_segments

from diagnosis.errors import DamagedImage, DecompressionBomb, UnsupportedDicom
from diagnosis.images.checked import Pixels
from diagnosis.images.jpeg import strip_jpeg
from diagnosis.images.pixels import frozen

_NATIVE = {
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
}
_JPEG_2000 = {uid.JPEG2000Lossless, uid.JPEG2000}
READ_SYNTAXES = frozenset(_NATIVE | _JPEG_2000 | {uid.JPEGBaseline8Bit, uid.RLELossless})

_GREY = {"MONOCHROME1", "MONOCHROME2"}
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}
_PALETTE = "PALETTE COLOR"
_MAX_TILES = 4096


def is_monochrome(dataset: Dataset) -> bool:
    """True for one grey sample a pixel, whichever end is white."""
    return dataset.get("PhotometricInterpretation") in _GREY


def decode_frame(dataset: Dataset, syntax: uid.UID) -> NDArray[np.generic]:
    """Decode the one frame.

    Returns:
        Monochrome or palette: the stored values, (H, W), signed or unsigned, 8 or 16 bit.
        Colour: RGB, (H, W, 3), 8 bit.

    Raises:
        UnsupportedDicom: a kind of pixel that is not read.
        DamagedImage: the frame contradicts the data set, or is cut short.
    """
    _check_kind(dataset)
    data: bytes = dataset.PixelData
    if syntax in _NATIVE:
        array = _decode_by_pydicom(data, dataset, syntax)
    else:
        frame = get_frame(data, 0, number_of_frames=1)
        if syntax == uid.RLELossless:
            array = _decode_rle(frame, dataset)
        elif syntax in _JPEG_2000:
            array = _decode_jpeg_2000(frame, dataset)
        else:
            _check_jpeg(frame, dataset)
            array = _decode_by_pydicom(data, dataset, syntax)
    samples = int(dataset.SamplesPerPixel)
    size = (int(dataset.Rows), int(dataset.Columns))
    if array.shape != (size if samples == 1 else (*size, 3)):
        raise DamagedImage(cause="dicom: the decoder sees another size")
    return array


def _decode_by_pydicom(data: bytes, dataset: Dataset, syntax: uid.UID) -> NDArray[np.generic]:
    """Uncompressed pixels and JPEG baseline; colours come back as RGB."""
    samples = int(dataset.SamplesPerPixel)
    options: dict[str, Any] = {
        "rows": int(dataset.Rows),
        "columns": int(dataset.Columns),
        "number_of_frames": 1,
        "samples_per_pixel": samples,
        "photometric_interpretation": str(dataset.PhotometricInterpretation),
        "bits_allocated": int(dataset.BitsAllocated),
        "bits_stored": int(dataset.BitsStored),
        "pixel_representation": _signed(dataset),
        "pixel_keyword": "PixelData",
        "pixel_vr": str(dataset["PixelData"].VR),
    }
    if samples > 1:
        options["planar_configuration"] = int(dataset.get("PlanarConfiguration") or 0)
    plugin = "pillow" if syntax == uid.JPEGBaseline8Bit else ""
    array, _ = get_decoder(syntax).as_array(data, index=0, decoding_plugin=plugin, **options)
    return array


def _decode_rle(frame: bytes, dataset: Dataset) -> NDArray[np.generic]:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    # A row of a byte plane takes a byte in 128 more than its pixels at worst. Twice that is
    # generous; what is longer would unpack to far more than the image.
    planes_in = int(dataset.SamplesPerPixel) * allocated // 8
    if len(frame) > 1024 + 2 * planes_in * rows * (columns + columns // 128 + 2):
        raise DecompressionBomb(cause="dicom: more runs than pixels")
    planes: NDArray[Any] = np.frombuffer(
        decode_segments(frame, version=2, rows=rows, columns=columns, bits_allocated=allocated),
        f"<{'ui'[_signed(dataset)]}{allocated // 8}",
    ).reshape(-1, rows, columns)
    # Shifted up and back: unused high bits go, and a sign is carried into them.
    planes = (planes << (allocated - stored)) >> (allocated - stored)
    if len(planes) == 1:
        return np.asarray(planes[0])
    return _as_rgb(np.moveaxis(planes, 0, -1), dataset)


def _decode_jpeg_2000(frame: bytes, dataset: Dataset) -> NDArray[np.generic]:
    start = frame.find(b"\xff\x4f\xff\x51")
    depth = _check_codestream(frame, start, dataset)
    array: NDArray[np.generic] = decode_codestream(frame[start:], j2k_format=0)
    if array.ndim == 3:
        return _as_rgb(array, dataset)
    if _signed(dataset) and array.dtype.kind == "u":
        # The code stream says unsigned, the data set signed: the bits are a two's complement.
        spare = 8 * array.dtype.itemsize - depth
        return (array.view(f"i{array.dtype.itemsize}") << spare) >> spare
    return array


def _as_rgb(array: NDArray[np.generic], dataset: Dataset) -> NDArray[np.generic]:
    """RGB from colours as stored; the JPEG 2000 transforms were undone by its decoder."""
    if str(dataset.PhotometricInterpretation).startswith("YBR_FULL"):
        return convert_color_space(array, "YBR_FULL", "RGB")
    return array


def _signed(dataset: Dataset) -> int:
    """1 where stored values are signed, else 0."""
    return int(dataset.get("PixelRepresentation") or 0)


def _check_kind(dataset: Dataset) -> None:
    """Refuse pixels that are not read: by samples, bits and colour space."""
    photometric = dataset.get("PhotometricInterpretation")
    samples, allocated = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
    stored = int(dataset.BitsStored)
    if photometric not in _GREY | _COLOUR | {_PALETTE}:
        raise UnsupportedDicom("This DICOM image uses a colour space that is not read.")
    if samples != (3 if photometric in _COLOUR else 1):
        raise DamagedImage(cause="dicom: samples do not fit the colour space")
    if allocated not in {8, 16} or not 8 <= stored <= allocated:
        raise UnsupportedDicom("This DICOM image does not have 8 to 16 bits a pixel.")
    if photometric in _COLOUR and allocated != 8:
        raise UnsupportedDicom("This DICOM image has colours of more than 8 bits.")
    if _signed(dataset) not in {0, 1}:
        raise DamagedImage(cause="dicom: pixel representation")


def _check_jpeg(frame: bytes, dataset: Dataset) -> None:
    """See that a JPEG is whole and as large as declared."""
    jpeg = strip_jpeg(frame)
    declared = (int(dataset.Columns), int(dataset.Rows), int(dataset.SamplesPerPixel))
    if (jpeg.width, jpeg.height, jpeg.components) != declared:
        raise DamagedImage(cause="dicom: the JPEG is of another size")


def _check_codestream(frame: bytes, start: int, dataset: Dataset) -> int:
    """See that a JPEG 2000 code stream is whole and as large as declared; its bits a sample."""
    # A frame of odd length is padded with one byte.
    if start < 0 or b"\xff\xd9" not in frame.rstrip(b"\x00")[-3:]:
        raise DamagedImage(cause="dicom: no whole JPEG 2000 code stream")
    size = (int(dataset.Columns), int(dataset.Rows))
    samples = int(dataset.SamplesPerPixel)
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top, components = (
        struct.unpack_from(">8IH", frame, start + 8)
    )
    if (right - left, bottom - top) != size or components != samples:
        raise DamagedImage(cause="dicom: the JPEG 2000 image is of another size")
    if not tile_width or not tile_height:
        raise DamagedImage(cause="dicom: tiles of no size")
    tiles = -(-(right - tile_left) // tile_width) * -(-(bottom - tile_top) // tile_height)
    depths = {frame[start + 42 + 3 * index] & 0x7F for index in range(components)}
    if not 0 < tiles <= _MAX_TILES or not max(depths) < 16:
        raise UnsupportedDicom(cause="JPEG 2000 tiles or depth")
    if samples == 3 and depths != {7}:
        raise UnsupportedDicom("This DICOM image has colours of more than 8 bits.")
    return max(depths) + 1


def to_colour(stored: NDArray[np.generic], dataset: Dataset) -> Pixels:
    """What `decode_frame` made of a colour image, as uint8 RGB (H, W, 3), not writeable."""
    if dataset.PhotometricInterpretation == _PALETTE:
        if "RedPaletteColorLookupTableData" not in dataset:
            raise UnsupportedDicom("This DICOM image has a colour palette that is not read.")
        stored = apply_color_lut(stored, dataset)
        if stored.dtype.itemsize == 2:
            stored = stored.view(np.uint16) >> 8
    return frozen(stored.astype(np.uint8, copy=False))
