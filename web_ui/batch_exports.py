"""A batch to be carried away: a row for each of its files, as CSV or JSON.

Each is written down in the audit trail as an export, by the service that hands it out.
"""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from diagnosis.contracts import BatchBands, BatchSummary, BatchSummaryRow
from diagnosis.errors import UnknownPrediction
from web_ui import read_first
from web_ui.batch_view import without_answer
from web_ui.caller import Caller
from web_ui.context import Asking, BatchId, Context, In
from web_ui.exports import MOST, file_of, table

router = APIRouter()

#: Of how many readings it is looked whether their reader has given an opinion; the answers of all
#: further ones are kept back from who reads first.
MOST_LOOKED_AT = 500
_AT_ONCE = 20


@router.get("/batches/{batch}.csv")
async def as_csv(context: In, caller: Asking, batch: BatchId) -> Response:
    """A row for each file; answers that are kept back from the reader are left out."""
    if not read_first.wanted(context.settings, caller):
        return await _passed_on(context, caller, batch, "csv", "text/csv; charset=utf-8")
    kept = await _kept_back(context, caller, batch)
    columns = tuple(BatchSummaryRow.model_fields)
    rows = [
        [_cell(value) for value in row.model_dump(mode="json").values()] + [kept.warning]
        for row in kept.rows
    ]
    text = table((*columns, "warning"), rows)
    return file_of(text, "text/csv; charset=utf-8", f"batch-{batch}.csv")


@router.get("/batches/{batch}.json")
async def as_json(context: In, caller: Asking, batch: BatchId) -> Response:
    """The batch with a row for each file; answers that are kept back are left out."""
    if not read_first.wanted(context.settings, caller):
        return await _passed_on(context, caller, batch, "json", "application/json")
    kept = await _kept_back(context, caller, batch)
    return file_of(kept.model_dump_json(indent=2), "application/json", f"batch-{batch}.json")


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


async def _passed_on(
    context: Context, caller: Caller, batch: UUID, ending: str, kind: str
) -> Response:
    answer = await context.batches.summary_file(caller, batch, ending)

    async def parts() -> AsyncIterator[bytes]:
        try:
            async for part in answer.aiter_bytes():
                yield part
        except httpx.TransportError as error:
            # A table that ends early must not look whole.
            raise ConnectionError("the summary broke off") from error
        finally:
            await answer.aclose()

    named = f'attachment; filename="batch-{batch}.{ending}"'
    headers = {"cache-control": "no-store", "content-disposition": named}
    return StreamingResponse(parts(), headers=headers, media_type=kind)


async def _kept_back(context: Context, caller: Caller, batch: UUID) -> BatchSummary:
    """The summary without what its reader has not given an opinion on."""
    if (await context.batches.batch(caller, batch)).counts.items > MOST:
        # It would be a table of nothing but answers that are kept back.
        raise read_first.AnswerKeptBack
    whole = await context.batches.summary(caller, batch)
    judged = [
        row.prediction_id
        for row in whole.rows
        if row.prediction_id is not None and row.state == "done" and row.band != "not_judged"
    ]
    opened = await _opened(context, caller, judged[:MOST_LOOKED_AT])
    rows = tuple(
        row if row.band == "not_judged" or row.prediction_id in opened else without_answer(row)
        for row in whole.rows
    )
    # The counts by band would tell of the others.
    alone = whole.batch.model_copy(update={"bands": BatchBands()})
    return BatchSummary(batch=alone, rows=rows)


async def _opened(context: Context, caller: Caller, readings: list[UUID]) -> set[UUID]:
    """Those of which this person has said something."""
    own = caller.identity.sub if caller.identity else ""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def said(reading: UUID) -> bool:
        async with turn:
            try:
                reviews = await context.api.reviews(caller, reading)
            except UnknownPrediction:
                return False
        return any(one.created_by == own for one in reviews)

    found = await asyncio.gather(*(said(one) for one in readings))
    return {one for one, spoken in zip(readings, found, strict=True) if spoken}
