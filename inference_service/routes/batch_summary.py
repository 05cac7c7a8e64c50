"""A batch carried away: a row for each of its files, as a table or as JSON."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from diagnosis import WARNING
from diagnosis.audit import Action
from diagnosis.contracts import Batch, BatchItem, BatchSummary, BatchSummaryRow, Prediction
from diagnosis.errors import AuditUnavailable, InvalidRequest, StoreUnavailable, UnknownBatch
from diagnosis.queue import MAX_PAGE
from inference_service.access import Asking
from inference_service.audited import Audited
from inference_service.problems import documented
from inference_service.routes.batches import found
from inference_service.service import Service, ServiceDependency
from inference_service.views import as_it_stands

#: Readings that are asked for at once; fewer than the store has connections.
_AT_ONCE = 8
#: A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")

COLUMNS = (*BatchSummaryRow.model_fields, "warning")

router = APIRouter(prefix="/api/v1/batches", tags=["batches"])


@router.get(
    "/{batch_id}/summary.json",
    operation_id="getBatchSummary",
    responses=documented(UnknownBatch, InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def get_batch_summary(
    batch_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> BatchSummary:
    """A batch with a row for each of its files."""
    batch = await found(asking.unit, batch_id, Action.EXPORT, audit, service)
    await audit.allowed(Action.EXPORT, batch.id)
    rows = [row async for page in _pages(batch, service) for row in page]
    return BatchSummary(batch=batch, rows=tuple(rows))


@router.get(
    "/{batch_id}/summary.csv",
    operation_id="getBatchTable",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The same as a table: UTF-8 with a byte order mark. A cell that a"
            " spreadsheet would run begins with an apostrophe.",
            "content": {"text/csv": {"schema": {"type": "string"}}},
        },
        **documented(UnknownBatch, InvalidRequest, StoreUnavailable, AuditUnavailable),
    },
)
async def get_batch_table(
    batch_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> StreamingResponse:
    """A row for each file of a batch."""
    batch = await found(asking.unit, batch_id, Action.EXPORT, audit, service)
    await audit.allowed(Action.EXPORT, batch.id)
    name = f'attachment; filename="batch-{batch.id}.csv"'
    return StreamingResponse(
        _table(batch, service), headers={"content-disposition": name}, media_type="text/csv"
    )


async def _table(batch: Batch, service: Service) -> AsyncIterator[str]:
    # A spreadsheet takes it for UTF-8 only where this mark stands first.
    yield "\N{BYTE ORDER MARK}" + _lines([COLUMNS])
    async for page in _pages(batch, service):
        yield _lines([(*row.model_dump(mode="json").values(), WARNING) for row in page])


def _lines(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\r\n")
    written.writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: object) -> str:
    """A cell that no spreadsheet runs."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


async def _pages(batch: Batch, service: Service) -> AsyncIterator[list[BatchSummaryRow]]:
    """Its rows in the order of numbers, a page of files at a time."""
    cursor: str | None = None
    while True:
        items, cursor = await service.batches.items(
            batch.unit, batch.id, limit=MAX_PAGE, cursor=cursor
        )
        readings: list[Prediction | None] = []
        for begin in range(0, len(items), _AT_ONCE):
            readings += await asyncio.gather(
                *(_reading(one, batch, service) for one in items[begin : begin + _AT_ONCE])
            )
        yield [_row(one, reading) for one, reading in zip(items, readings, strict=True)]
        if cursor is None:
            return


async def _reading(item: BatchItem, batch: Batch, service: Service) -> Prediction | None:
    if item.state != "done" or item.prediction_id is None:
        return None
    found = await service.results.get(batch.unit, item.prediction_id)
    return None if found is None else as_it_stands(service.models, found)


def _row(item: BatchItem, reading: Prediction | None) -> BatchSummaryRow:
    top = None if reading is None or not reading.top else reading.top[0]
    problem = item.problem or (None if reading is None else reading.reason)
    return BatchSummaryRow(
        number=item.number,
        name=item.name,
        state=item.state,
        band=item.band if reading is not None else None,
        top_class=None if top is None else top.id,
        top_class_name=None if top is None else top.name,
        probability=None if top is None else top.probability,
        prediction_id=None if reading is None else reading.id,
        problem_code=None if problem is None else problem.code,
        problem=None if problem is None else f"{problem.detail} {problem.remedy}".strip(),
        model_under_review=None if reading is None else reading.model_under_review,
    )
