"""A multipart upload, read into memory, with the limits that hold while it comes."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from diagnosis.errors import FileTooLarge
from diagnosis.images import MAX_BYTES
from inference_service.problems import BodyRefused, FieldRefused, ImageFieldMissing

#: Boundaries, part headers and the other fields of a form; all of them are short.
FORM_OVERHEAD = 64 * 1024
MAX_FIELD_BYTES = 4096
MAX_PARTS = 16

#: The body of the request, as the OpenAPI describes it; the form is read by hand.
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {
                        "type": "string",
                        "format": "binary",
                        "description": "JPEG, PNG, TIFF, WebP, BMP or single-frame DICOM, at most"
                        " 25 MB and 50 megapixels. Recognised by its content.",
                    },
                    "operating_point": {
                        "type": "string",
                        "enum": ["rule_out", "balanced", "rule_in"],
                        "default": "balanced",
                        "description": "Which threshold to apply; those of the disease's model.",
                    },
                    "patient_reference": {
                        "type": "string",
                        "maxLength": 200,
                        "description": "Your reference of the patient. Only a keyed hash is kept.",
                    },
                },
            }
        }
    },
}


@dataclass(frozen=True, slots=True)
class Upload:
    """What a form held: the image's bytes and the optional text fields."""

    image: bytes
    fields: dict[str, str]
    filename: str = ""
    """As it was sent. It may name a patient."""


class _InMemory(MultiPartParser):
    """A parser that writes no image of a patient to a temporary file on a disk."""

    spool_max_size = MAX_BYTES + FORM_OVERHEAD + 1


async def read_upload(request: Request, *, seconds: float, field: str = "image") -> Upload:
    """Read the form of a request.

    Args:
        request: a request whose body was not read yet.
        seconds: how long it may take.
        field: the one that holds the file.

    Raises:
        FileTooLarge: by its declared length, or as soon as more than the limit has come.
        BodyRefused: not multipart, malformed, or too slow.
        ImageFieldMissing: the file's field is missing or no file.
        FieldRefused: it is there twice.
    """
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise BodyRefused
    limit = MAX_BYTES + FORM_OVERHEAD
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise FileTooLarge
    parser = _InMemory(
        request.headers,
        _counted(request, limit),
        max_files=MAX_PARTS,
        max_fields=MAX_PARTS,
        max_part_size=MAX_FIELD_BYTES,
    )
    try:
        async with asyncio.timeout(seconds):
            form = await parser.parse()
    except MultiPartException as error:
        raise BodyRefused from error
    except TimeoutError as error:
        raise BodyRefused("The upload took too long.") from error
    try:
        images = form.getlist(field)
        if len(images) > 1:
            raise FieldRefused(**{field: "Send one image; a reading is made of one."})
        if not images or not isinstance(images[0], UploadFile):
            missing = "The image is missing; send it as a file in this field."
            raise ImageFieldMissing(**{field: missing})
        data = await images[0].read()
        filename = images[0].filename or ""
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
    finally:
        await form.close()
    if len(data) > MAX_BYTES:
        raise FileTooLarge
    return Upload(image=data, fields=fields, filename=filename)


async def _counted(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise FileTooLarge
        yield chunk


async def read_short(request: Request, *, seconds: float, longest: int = MAX_FIELD_BYTES) -> bytes:
    """The body of a request that is a few words, and the limits that hold while it comes.

    Raises:
        BodyRefused: it is longer, or too slow.
    """
    try:
        async with asyncio.timeout(seconds):
            return b"".join([chunk async for chunk in _counted(request, longest)])
    except FileTooLarge:
        raise BodyRefused(
            f"The body is longer than {longest} bytes.",
            remedy="Send what the API's description names, and nothing else.",
        ) from None
    except TimeoutError as error:
        raise BodyRefused("The request took too long.") from error


def text_field(upload: Upload, name: str, *, longest: int) -> str | None:
    """A text field without the blanks around it, or None where it is missing or blank.

    Raises:
        FieldRefused: longer than `longest` characters.
    """
    value = upload.fields.get(name, "").strip()
    if len(value) > longest:
        raise FieldRefused(**{name: f"At most {longest} characters."})
    return value or None
