"""A batch that comes as one form: its fields, then all of its files."""

from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO, cast

from starlette.requests import Request

from diagnosis.contracts import (
    LONGEST_BATCH_NAME,
    MOST_BATCH_BYTES,
    MOST_ITEMS,
    Batch,
    NewBatch,
)
from diagnosis.errors import ArchiveBomb, BatchTooLarge, FileTooLarge, UnreadableArchive
from inference_service.parts import Part, parts
from inference_service.problems import FieldRefused
from inference_service.service import Service

#: What a form holds beside its files: boundaries and headers of its parts.
_OVERHEAD = 4 * 1024 * 1024

BATCH_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": NewBatch.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["disease", "files"],
                "properties": {
                    "disease": {"type": "string"},
                    "name": {"type": "string", "maxLength": LONGEST_BATCH_NAME},
                    "operating_point": {
                        "type": "string",
                        "enum": ["rule_out", "balanced", "rule_in"],
                    },
                    "files": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "description": "Images of at most 25 MB each, or ZIPs of them. The fields"
                        " come before them.",
                    },
                },
            }
        },
    },
}

_FIELDS = ("disease", "name", "operating_point")


async def take_form(
    request: Request, service: Service, begin: Callable[[object], Awaitable[Batch]]
) -> Batch:
    """Take a whole batch in, and close it.

    Args:
        request: whose body is the form.
        service: of the batch.
        begin: makes the batch of its fields.

    Raises:
        BodyRefused, FieldRefused, BatchTooLarge, and what `begin` and the intake raise.
    """
    fields: dict[str, str] = {}
    batch: Batch | None = None
    number = 0
    with service.intake.place_for_archive() as folder:
        coming = parts(
            request,
            folder,
            seconds=service.settings.upload_seconds,
            most_bytes=MOST_BATCH_BYTES + _OVERHEAD,
        )
        async for part in coming:
            if part.filename is None:
                if part.name in _FIELDS and (text := part.text()):
                    fields[part.name] = text
                continue
            if part.name != "files" or (not part.filename and not part.size):
                # What a browser sends of a field in which nothing was chosen.
                continue
            batch = batch or await begin(fields)
            if number >= MOST_ITEMS:
                raise BatchTooLarge
            number = await _take(batch, number, part, service)
    if batch is None:
        raise FieldRefused(files="No file came; send each as a file in this field.")
    return await service.batches.close_batch(batch.unit, batch.id)


async def _take(batch: Batch, number: int, part: Part, service: Service) -> int:
    """Take one part in; the number of the next file."""
    intake, name = service.intake, part.filename or ""
    if part.dropped:
        await intake.set_aside(batch, number, name, FileTooLarge())
    elif part.is_zip:
        try:
            return await intake.unpack_at(batch, number, cast("BinaryIO", part.file))
        except (UnreadableArchive, ArchiveBomb) as refused:
            await intake.set_aside(batch, number, name, refused)
    else:
        part.file.seek(0)
        await intake.take(batch, number, name, part.file.read())
    return number + 1
