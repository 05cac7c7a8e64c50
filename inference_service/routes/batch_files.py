"""Files that come for a batch."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response

from diagnosis.audit import Action
from diagnosis.contracts import LONGEST_ITEM_NAME, MOST_ITEMS, BatchItem
from diagnosis.errors import (
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
)
from inference_service.access import Asking
from inference_service.audited import Audited
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
    with service.pipeline.place():
        upload = await read_upload(request, seconds=service.settings.upload_seconds, field="file")
        name = text_field(upload, "name", longest=LONGEST_ITEM_NAME) or upload.filename
        item, new = await service.intake.take(batch, number, name, upload.image)
    if not new:
        response.status_code = 200
    return item
