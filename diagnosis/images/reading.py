"""The one way in: untrusted bytes to a checked image."""

from dataclasses import replace

from diagnosis.errors import DamagedImage, ImageRefused, ImageTooCostly
from diagnosis.images.bitmaps import decode_bmp, decode_webp
from diagnosis.images.checked import (
    CheckedImage,
    Pixels,
    SourceFormat,
    check_bytes,
    digest_of,
)
from diagnosis.images.dicom import read_dicom
from diagnosis.images.dicom_kept import keepable
from diagnosis.images.jpeg import decode_jpeg, strip_jpeg
from diagnosis.images.orientation import swaps_sides
from diagnosis.images.pixels import encode_png
from diagnosis.images.png import decode_png, strip_png
from diagnosis.images.recognition import recognise
from diagnosis.images.tiff import decode_tiff


def read_image(
    data: bytes, *, decode_at_least: tuple[int, int] | None = None, keep_dicom: bool = False
) -> CheckedImage:
    """Turn the bytes of a file that anybody may have sent into a checked image.

    Args:
        data: the whole file. Its format is recognised by its content.
        decode_at_least: smallest (width, height), as displayed, that the caller needs. A larger
            JPEG may then be decoded at 1/2, 1/4 or 1/8 of its size; other formats never are.
        keep_dicom: make a de-identified DICOM file of one that came.

    Raises:
        ImageRefused: a subclass that says why; nothing else, whatever the bytes.
    """
    check_bytes(data)
    source = recognise(data)
    try:
        return _read(data, source, decode_at_least, keep_dicom)
    except ImageRefused:
        raise
    except MemoryError:
        raise ImageTooCostly(cause=f"{source}: memory") from None
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile input
        # Not chained: a decoder's message may quote the file.
        raise DamagedImage(cause=f"{source}: {type(error).__name__}") from None


def _read(
    data: bytes,
    source: SourceFormat,
    decode_at_least: tuple[int, int] | None,
    keep_dicom: bool,
) -> CheckedImage:
    if source == "jpeg":
        jpeg = strip_jpeg(data)
        width, height = jpeg.width, jpeg.height
        if swaps_sides(jpeg.orientation):
            width, height = height, width
        return CheckedImage(
            pixels=decode_jpeg(jpeg, decode_at_least=decode_at_least),
            width=width,
            height=height,
            source_format=source,
            clean=jpeg.clean,
            media_type="image/jpeg",
            digest=digest_of(jpeg.clean),
        )
    if source == "png":
        pixels, clean = decode_png(strip_png(data))
        return _as_png(source, pixels, clean)
    if source == "dicom":
        return _read_dicom(data, keep_dicom)
    pixels = {"tiff": decode_tiff, "webp": decode_webp, "bmp": decode_bmp}[source](data)
    return _as_png(source, pixels, encode_png(pixels))


def _read_dicom(data: bytes, keep: bool) -> CheckedImage:
    dicom = read_dicom(data)
    image = replace(
        _as_png("dicom", dicom.pixels, encode_png(dicom.pixels)),
        modality=dicom.modality,
        patient_age_years=dicom.patient_age_years,
        burned_in=dicom.burned_in,
    )
    if not keep:
        return image
    kept = keepable(
        dicom.stored,
        dicom.pixels,
        dicom.dataset,
        modality=dicom.modality,
        identity=image.digest,
        burned_in=dicom.burned_in,
    )
    return replace(image, dicom=kept)


def _as_png(source: SourceFormat, pixels: Pixels, clean: bytes) -> CheckedImage:
    return CheckedImage(
        pixels=pixels,
        width=pixels.shape[1],
        height=pixels.shape[0],
        source_format=source,
        clean=clean,
        media_type="image/png",
        digest=digest_of(clean),
    )
