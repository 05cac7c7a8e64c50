"""Receive the reading form: in memory, within the limit, and without the file's name."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from diagnosis.errors import FileTooLarge, InvalidRequest, MissingImage
from web_ui.forms import TOKEN_FIELD

#: One text field; a patient reference has up to 200 characters, each of up to four bytes.
_LARGEST_FIELD_BYTES = 1000
#: The header in which a script names a sending, so that trying again makes no second reading.
KEY_HEADER = "idempotency-key"
#: Boundaries, part headers and the small fields of the form.
_FORM_OVERHEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class ReadingForm:
    """What was sent: the bytes of an image, or the name of a demo image, never both."""

    image: bytes | None
    demo: str | None
    token: str | None = None
    """The session's, where the form carries it; whether it is right is for the page to check."""
    patient_reference: str | None = None
    """Whose image it is, in the sender's own words; None where nothing was said."""


def _in_memory(limit: int) -> type[MultiPartParser]:
    class InMemoryParser(MultiPartParser):
        # Starlette's own default writes what is larger than 1 MB to the disk's temporary folder,
        # where a patient's image has no business.
        spool_max_size = limit + 1

    return InMemoryParser


async def _limited(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise FileTooLarge
        yield chunk


async def receive_form(
    request: Request, max_image_bytes: int, *, demos: bool = True
) -> ReadingForm:
    """Read the form of a reading from the request's body.

    Args:
        request: a POST with `multipart/form-data`, or a form with `demo` alone.
        max_image_bytes: the largest image that is taken.
        demos: whether the name of a demo image is taken in place of an image.

    Raises FileTooLarge, InvalidRequest for a form that is cut short, and MissingImage when there is
    neither an image nor a demo.
    """
    limit = max_image_bytes + _FORM_OVERHEAD_BYTES
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise FileTooLarge
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise _nothing_chosen()
    parser = _in_memory(limit)(
        request.headers,
        _limited(request, limit),
        max_files=2,
        max_fields=4,
        max_part_size=_LARGEST_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(
            "The form arrived incomplete or malformed.",
            remedy="Open the page again and send the image once more.",
        ) from error
    token = _text(form.get(TOKEN_FIELD))
    reference = _text(form.get("patient_reference"))
    try:
        for part in form.getlist("image"):
            # A file field that was left empty arrives as a part without a name.
            if isinstance(part, UploadFile) and (part.filename or part.size):
                if (part.size or 0) > max_image_bytes:
                    raise FileTooLarge
                return ReadingForm(await part.read(), None, token, reference)
        demo = _text(form.get("demo"))
        if demos and demo:
            return ReadingForm(None, demo, token)
    finally:
        await form.close()
    raise _nothing_chosen()


def sending_key(request: Request) -> UUID | None:
    """The name that a script gave to this sending, if it gave one. Raises InvalidRequest."""
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return None
    try:
        return UUID(key)
    except ValueError:
        raise InvalidRequest("The key of this sending is no UUID.") from None


def _text(field: object) -> str | None:
    """A text field without the blanks around it; None where it is missing, blank or a file."""
    return (field.strip() or None) if isinstance(field, str) else None


def _nothing_chosen() -> MissingImage:
    return MissingImage(
        "No image was chosen.",
        remedy="Choose an image first, then press the button below it.",
    )
