"""Receive the reading form: in memory, within the limit, and without the file's name."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from diagnosis.errors import FileTooLarge, InvalidRequest, MissingImage
from web_ui.forms import TOKEN_FIELD

#: Boundaries, part headers and the small fields of the form.
_FORM_OVERHEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class ReadingForm:
    """What was sent: the bytes of an image, or the name of a demo image, never both."""

    image: bytes | None
    demo: str | None
    token: str | None = None
    """The session's, where the form carries it; whether it is right is for the page to check."""


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
        request.headers, _limited(request, limit), max_files=2, max_fields=4, max_part_size=200
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(
            "The form arrived incomplete or malformed.",
            remedy="Open the page again and send the image once more.",
        ) from error
    sent = form.get(TOKEN_FIELD)
    token = sent if isinstance(sent, str) else None
    try:
        for part in form.getlist("image"):
            # A file field that was left empty arrives as a part without a name.
            if isinstance(part, UploadFile) and (part.filename or part.size):
                if (part.size or 0) > max_image_bytes:
                    raise FileTooLarge
                return ReadingForm(image=await part.read(), demo=None, token=token)
        demo = form.get("demo")
        if demos and isinstance(demo, str) and demo:
            return ReadingForm(image=None, demo=demo, token=token)
    finally:
        await form.close()
    raise _nothing_chosen()


def _nothing_chosen() -> MissingImage:
    return MissingImage(
        "No image was chosen.",
        remedy="Choose an image first, then press the button below it.",
    )
