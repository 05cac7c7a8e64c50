"""Batches: made, listed, watched, cancelled, retried and deleted."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from diagnosis.audit import Action
from diagnosis.contracts import (
    Batch,
    BatchItemList,
    BatchList,
    ItemState,
    NewBatch,
    new_prediction_id,
    now,
)
from diagnosis.errors import (
    ArchiveBomb,
    AuditUnavailable,
    BatchClosed,
    BatchTooLarge,
    InvalidRequest,
    ModelRefused,
    ModelUnavailable,
    Overloaded,
    QueueFull,
    ServiceUnavailable,
    StoreUnavailable,
    UnknownBatch,
    UnknownDisease,
    UnreadableArchive,
)
from diagnosis.queue import MAX_PAGE
from inference_service.access import Asking
from inference_service.audited import Audit, Audited
from inference_service.events import HEARTBEAT_SECONDS, RETRY_MS
from inference_service.points import choose_point
from inference_service.problems import documented
from inference_service.service import Service, ServiceDependency
from inference_service.uploads import read_short
from inference_service.whole_batch import BATCH_BODY, take_form

#: How long a deletion goes on; asked again, it goes on from there.
_DELETE_SECONDS = 25.0
_ASK_SECONDS = 0.5
_AT_ONCE = 8

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])


@router.post(
    "",
    status_code=201,
    operation_id="createBatch",
    openapi_extra={"requestBody": BATCH_BODY},
    responses={
        201: {
            "headers": {
                "Location": {
                    "description": "The address of the batch.",
                    "schema": {"type": "string"},
                }
            }
        },
        **documented(
            UnknownDisease,
            ModelUnavailable,
            ModelRefused,
            InvalidRequest,
            StoreUnavailable,
            AuditUnavailable,
            ServiceUnavailable,
            QueueFull,
            BatchTooLarge,
            UnreadableArchive,
            ArchiveBomb,
            Overloaded,
        ),
    },
)
async def create_batch(
    request: Request,
    response: Response,
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
) -> Batch:
    """Begin a batch. Its files come one by one, or as an archive; each is read as it comes.

    Sent as a form, all of its files come with it, and no more after it: the fields first, then
    each file, or a ZIP of them, as `files`. What cannot be taken in becomes a failed file with its
    reason. Where the connection breaks off, what has come is read and the batch stays open.
    """

    async def start(fields: object) -> Batch:
        return await begin(_wanted(fields), asking.unit, asking.sub, audit, service)

    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        batch = await take_form(request, service, start)
    else:
        batch = await start(await read_short(request, seconds=service.settings.upload_seconds))
    response.headers["Location"] = f"/api/v1/batches/{batch.id}"
    return batch


def _wanted(fields: object) -> NewBatch:
    """What a batch is to be, of JSON or of the fields of a form.

    Raises:
        RequestValidationError: which names the fields.
    """
    try:
        if isinstance(fields, bytes):
            return NewBatch.model_validate_json(fields)
        return NewBatch.model_validate(fields)
    except ValidationError as error:
        told = error.errors(include_url=False, include_context=False, include_input=False)
        raise RequestValidationError(
            [{**one, "loc": ("body", *one["loc"])} for one in told]
        ) from None


async def begin(
    wanted: NewBatch, unit: str, created_by: str, audit: Audit, service: Service
) -> Batch:
    """A batch that is kept, and open."""
    model = service.models.check(wanted.disease)
    choose_point(model.card, wanted.operating_point)
    await service.intake.check()
    batch = Batch(
        id=new_prediction_id(),
        name=wanted.name,
        disease=wanted.disease,
        disease_name=model.disease.name,
        operating_point=wanted.operating_point,
        state="open",
        created_at=now(),
        created_by=created_by,
        unit=unit,
    )
    async with audit.doing(Action.UPLOAD, batch.id):
        await service.batches.create(batch)
    service.metrics.batches.labels("accepted").inc()
    return batch


@router.get(
    "",
    operation_id="listBatches",
    responses=documented(InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def list_batches(
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before.", pattern=r"^[0-9a-f]{32}$"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
) -> BatchList:
    """The batches of the own unit, newest first."""
    items, more = await service.batches.list(asking.unit, limit=limit, cursor=cursor)
    await audit.allowed(Action.VIEW)
    return BatchList(items=items, next_cursor=more)


@router.get(
    "/{batch_id}",
    operation_id="getBatch",
    responses=documented(UnknownBatch, InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def get_batch(
    batch_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> Batch:
    """One batch of the own unit, with what became of its files so far."""
    batch = await found(asking.unit, batch_id, Action.VIEW, audit, service)
    await audit.allowed(Action.VIEW, batch.id)
    return batch


@router.get(
    "/{batch_id}/items",
    operation_id="listBatchItems",
    responses=documented(UnknownBatch, InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def list_batch_items(
    batch_id: UUID,
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
    state: Annotated[ItemState | None, Query(description="Only files in this state.")] = None,
    cursor: Annotated[
        str | None,
        Query(description="`next_cursor` of the page before.", pattern=r"^[0-9]{1,8}$"),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> BatchItemList:
    """The files of a batch in the order of their numbers."""
    batch = await found(asking.unit, batch_id, Action.VIEW, audit, service)
    items, more = await service.batches.items(
        batch.unit, batch.id, limit=limit, cursor=cursor, state=state
    )
    await audit.allowed(Action.VIEW, batch.id)
    return BatchItemList(items=items, next_cursor=more)


@router.get(
    "/{batch_id}/events",
    operation_id="watchBatch",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `batch` with the batch as `GET` answers it, at"
            " once and whenever its counts change. It ends when the batch is done or cancelled,"
            " and by itself after some minutes; a browser then comes again.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **documented(UnknownBatch, InvalidRequest, StoreUnavailable, AuditUnavailable, Overloaded),
    },
)
async def watch_batch(
    batch_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> StreamingResponse:
    """How far a batch is, as it goes on."""
    service.events.check()
    batch = await found(asking.unit, batch_id, Action.VIEW, audit, service)
    await audit.allowed(Action.VIEW, batch.id)
    return StreamingResponse(
        _watched(batch, service),
        headers={"x-accel-buffering": "no"},
        media_type="text/event-stream",
    )


async def _watched(batch: Batch, service: Service) -> AsyncIterator[str]:
    """The text of a stream about a batch."""
    ends = time.monotonic() + service.settings.events_seconds
    beat = time.monotonic() + HEARTBEAT_SECONDS
    yield f"retry: {RETRY_MS}\n\n"
    shown: Batch | None = None
    with service.events.waiting() as waiting:
        while not service.events.closing and time.monotonic() < ends:
            if batch != shown:
                shown = batch
                yield f"event: batch\ndata: {batch.model_dump_json()}\n\n"
                if batch.over:
                    return
            elif time.monotonic() >= beat:
                beat = time.monotonic() + HEARTBEAT_SECONDS
                yield ": still here\n\n"
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    await waiting.wait()
                waiting.clear()
            except TimeoutError:
                pass
            try:
                batch = await service.batches.get(batch.unit, batch.id)
            except (StoreUnavailable, UnknownBatch):
                # The browser comes again, and is told.
                return


@router.post(
    "/{batch_id}/close",
    operation_id="closeBatch",
    responses=documented(
        UnknownBatch, BatchClosed, InvalidRequest, StoreUnavailable, AuditUnavailable
    ),
)
async def close_batch(
    batch_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> Batch:
    """No more files come. Once again, it changes nothing."""
    batch = await found(asking.unit, batch_id, Action.BATCH_CHANGE, audit, service)
    async with audit.doing(Action.BATCH_CHANGE, batch.id):
        return await service.batches.close_batch(batch.unit, batch.id)


@router.post(
    "/{batch_id}/cancel",
    operation_id="cancelBatch",
    responses=documented(
        UnknownBatch, BatchClosed, InvalidRequest, StoreUnavailable, AuditUnavailable
    ),
)
async def cancel_batch(
    batch_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> Batch:
    """Read no more of it. Files that wait are cancelled and their bytes deleted; what is done
    stays."""
    batch = await found(asking.unit, batch_id, Action.BATCH_CHANGE, audit, service)
    async with audit.doing(Action.BATCH_CHANGE, batch.id):
        cancelled = await service.batches.cancel(batch.unit, batch.id)
        await service.intake.drop([(batch, one) for one in cancelled])
        after = await service.batches.get(batch.unit, batch.id)
    if after.state == "cancelled" != batch.state:
        service.metrics.batches.labels("cancelled").inc()
    return after


@router.post(
    "/{batch_id}/retry",
    operation_id="retryBatch",
    responses=documented(
        UnknownBatch, BatchClosed, InvalidRequest, StoreUnavailable, AuditUnavailable, QueueFull
    ),
)
async def retry_batch(
    batch_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> Batch:
    """Read its failed files once more: those that were taken in."""
    batch = await found(asking.unit, batch_id, Action.BATCH_CHANGE, audit, service)
    await service.intake.check()
    async with audit.doing(Action.BATCH_CHANGE, batch.id):
        numbers: list[int] = []
        cursor = None
        while True:
            items, cursor = await service.batches.items(
                batch.unit, batch.id, limit=MAX_PAGE, cursor=cursor, state="failed"
            )
            numbers += [one.number for one in items if one.digest is not None]
            if cursor is None:
                break
        await service.batches.retry(batch.unit, batch.id, numbers)
        return await service.batches.get(batch.unit, batch.id)


@router.delete(
    "/{batch_id}",
    status_code=204,
    operation_id="deleteBatch",
    responses=documented(
        UnknownBatch, InvalidRequest, StoreUnavailable, AuditUnavailable, Overloaded
    ),
)
async def delete_batch(
    batch_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> None:
    """Delete a batch, what is kept of its files, and its readings. Of a very large one a part is
    deleted at a time; then the answer says so, and the same request goes on."""
    batch = await found(asking.unit, batch_id, Action.DELETE, audit, service)
    until = time.monotonic() + _DELETE_SECONDS
    async with audit.doing(Action.DELETE, batch.id):
        # From now on nobody takes, reads or retries any of it.
        await service.batches.cancel(batch.unit, batch.id, though_done=True)
        cursor = None
        while True:
            items, cursor = await service.batches.items(
                batch.unit, batch.id, limit=MAX_PAGE, cursor=cursor
            )
            await service.intake.drop([(batch, one) for one in items])
            if cursor is None:
                break
        while True:
            readings, _ = await service.results.list(batch.unit, batch=batch.id, limit=_AT_ONCE)
            if not readings:
                break
            await asyncio.gather(
                *(
                    service.pipeline.delete(
                        batch.unit,
                        one.id,
                        lambda one: audit.doing(Action.DELETE, one),
                        of_batch=True,
                    )
                    for one in readings
                )
            )
            if time.monotonic() > until:
                raise Overloaded(
                    "A part of this batch is deleted; the rest of it is not yet.",
                    remedy="Delete it again; that goes on where this ended.",
                )
        await service.batches.delete(batch.unit, batch.id)
    service.metrics.batches.labels("deleted").inc()


async def found(unit: str, batch_id: UUID, action: Action, audit: Audit, service: Service) -> Batch:
    """A batch of a unit.

    Raises:
        UnknownBatch: which is written down.
    """
    try:
        return await service.batches.get(unit, batch_id)
    except UnknownBatch:
        await audit.refused(action)
        raise
