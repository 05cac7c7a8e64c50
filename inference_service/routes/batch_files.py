"""Files that come for a batch."""

import asyncio
from tempfile import TemporaryFile
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from diagnosis.audit import Action
from diagnosis.contracts import (
    LONGEST_ITEM_NAME,
    MOST_BATCH_BYTES,
    MOST_ITEMS,
    BatchArchive,
    BatchItem,
)
from diagnosis.errors import (
    ArchiveBomb,
    AuditUnavailable,
    BatchClosed,
    BatchTooLarge,
    FileTooLarge,
    InvalidRequest,
    ItemTaken,
    MissingImage,
    Overloaded,
    QueueFull,
    StoreUnavailable,
    UnknownBatch,
    UnreadableArchive,
)
from inference_service.access import Asking
from inference_service.audited import Audited
from inference_service.parts import chunks
from inference_service.problems import documented
from inference_service.routes.batches import found
from inference_service.service import ServiceDependency
from inference_service.uploads import read_upload, text_field

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])

FILE_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "name": {
                        "type": "string",
                        "maxLength": LONGEST_ITEM_NAME,
                        "description": "Its name with its folders, to find it again; by default"
                        " the name that comes with the file.",
                    },
                    "file": {
                        "type": "string",
                        "format": "binary",
                        "description": "At most 25 MB. What cannot be read becomes a failed file"
                        " with its reason.",
                    },
                },
            }
        }
    },
}


@router.put(
    "/{batch_id}/files/{number}",
    status_code=201,
    operation_id="putBatchFile",
    openapi_extra={"requestBody": FILE_BODY},
    responses={
        200: {
            "model": BatchItem,
            "description": "The same file came before; nothing is doubled.",
        },
        **documented(
            UnknownBatch,
            BatchClosed,
            ItemTaken,
            BatchTooLarge,
            FileTooLarge,
            InvalidRequest,
            MissingImage,
            StoreUnavailable,
            AuditUnavailable,
            QueueFull,
            Overloaded,
        ),
    },
)
async def put_batch_file(
    batch_id: UUID,
    number: Annotated[int, Path(ge=0, lt=MOST_ITEMS, description="Its place in the batch.")],
    request: Request,
    response: Response,
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
) -> BatchItem:
    """Add one file to a batch. When this answers, it is kept, and will be read.

    The same number with the same content again is answered by the file that came before, so
    whoever lost an answer sends it again.
    """
    batch = await found(asking.unit, batch_id, Action.UPLOAD, audit, service)
    await service.intake.check()
    with service.places.take():
        upload = await read_upload(request, seconds=service.settings.upload_seconds, field="file")
        name = text_field(upload, "name", longest=LONGEST_ITEM_NAME) or upload.filename
        item, new = await service.intake.take(batch, number, name, upload.image)
    if not new:
        response.status_code = 200
    return item


_ZIP: dict[str, Any] = {
    "schema": {
        "type": "string",
        "format": "binary",
        "description": "A ZIP of at most 2,000 files and 2 GB, stored or deflated, without"
        " passwords. Hidden files, and what systems leave in folders, are left out.",
    }
}
ARCHIVE_BODY: dict[str, Any] = {
    "required": True,
    "content": {"application/zip": _ZIP, "application/octet-stream": _ZIP},
}


@router.post(
    "/{batch_id}/archive",
    operation_id="putBatchArchive",
    openapi_extra={"requestBody": ARCHIVE_BODY},
    responses=documented(
        UnknownBatch,
        BatchClosed,
        BatchTooLarge,
        UnreadableArchive,
        ArchiveBomb,
        InvalidRequest,
        StoreUnavailable,
        AuditUnavailable,
        QueueFull,
        Overloaded,
    ),
)
async def put_batch_archive(
    batch_id: UUID, request: Request, asking: Asking, audit: Audited, service: ServiceDependency
) -> BatchArchive:
    """Add the files of a ZIP to a batch. What is no file, or none that may be read, becomes a
    failed file with its reason; the others are read. The same archive again doubles nothing."""
    batch = await found(asking.unit, batch_id, Action.UPLOAD, audit, service)
    if batch.state != "open":
        raise BatchClosed
    await service.intake.check()
    # Without a name: whatever ends this process, the system takes the file away.
    with service.intake.place_for_archive() as folder, TemporaryFile(dir=folder) as file:
        async for chunk in chunks(
            request, seconds=service.settings.upload_seconds, most_bytes=MOST_BATCH_BYTES
        ):
            await asyncio.to_thread(file.write, chunk)
        accepted, refused = await service.intake.unpack(batch, file)
    batch = await service.batches.get(batch.unit, batch.id)
    return BatchArchive(batch=batch, accepted=accepted, refused=refused)
