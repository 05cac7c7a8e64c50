"""The pages of batches: hand many files over as one job, and see what becomes of them."""

import json
from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlencode
from uuid import UUID

import httpx
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from pydantic import ValidationError

from diagnosis.contracts import MOST_BATCH_BYTES, MOST_ITEMS, Batch, NewBatch
from diagnosis.errors import InvalidRequest, SightlineError
from web_ui import read_first
from web_ui.batch_uploads import OVERHEAD_BYTES, Passing
from web_ui.batch_view import BatchView
from web_ui.caller import Caller
from web_ui.context import Asking, BatchId, Context, In
from web_ui.forms import Posted, check_token, posted
from web_ui.languages import _
from web_ui.rendering import asks_for_json
from web_ui.views import ProblemView

router = APIRouter()

#: Failed files that a page lists; the others stand in the table that can be carried away.
_MOST_FAILED = 200
_NOT_KEPT = {"cache-control": "no-store"}

Number = Annotated[int, Path(ge=0, lt=MOST_ITEMS)]


@router.get("/batches")
async def batches(
    context: In, caller: Asking, disease: str = "", cursor: str = "", deleted: bool = False
) -> Response:
    """The form for a new batch, and the unit's batches, newest first."""
    return await _start(context, caller, disease, cursor, deleted=deleted)


async def _start(
    context: Context,
    caller: Caller,
    disease: str = "",
    cursor: str = "",
    *,
    deleted: bool = False,
    problem: SightlineError | None = None,
) -> Response:
    listed = await context.api.diseases(caller)
    try:
        found = await context.batches.batches(
            caller, limit=context.settings.page_size, cursor=cursor or None
        )
    except InvalidRequest as error:
        raise InvalidRequest(
            _("There is no such page of batches."),
            remedy=_("Open the batches from the first page."),
        ) from error
    return context.page(
        caller,
        "batches.html",
        status=200 if problem is None else problem.status,
        page="batches",
        batches=found.items,
        older=f"/batches?{urlencode({'cursor': found.next_cursor})}" if found.next_cursor else "",
        first_page=not cursor,
        diseases=tuple(item for item in listed.items if item.status == "live"),
        chosen=disease,
        deleted=deleted,
        most=MOST_ITEMS,
        most_bytes=MOST_BATCH_BYTES,
        max_upload_bytes=context.settings.max_upload_bytes,
        problem=None if problem is None else ProblemView.of(problem),
    )


@router.post("/batches")
async def begin(request: Request, context: In, caller: Asking) -> Response:
    """Begin a batch.

    A script begins an empty one and sends its files one by one. A plain form brings the files
    along, which are handed on as they come.
    """
    if asks_for_json(request):
        fields = await posted(request)
        made = await context.batches.begin(caller, _wanted(fields["disease"], fields["name"]))
        told = {"id": str(made.id), "address": f"/batches/{made.id}"}
        return JSONResponse(told, 201, _NOT_KEPT)
    try:
        form = Passing(request, MOST_BATCH_BYTES + OVERHEAD_BYTES)
        await form.take_token()
        check_token(request, form.token)
        with form.told_first():
            made = await context.batches.take_form(caller, form.body, form.marks)
    except SightlineError as error:
        context.note_refusal(error)
        return await _start(context, caller, problem=error)
    return RedirectResponse(f"/batches/{made.id}", 303)


def _wanted(disease: str, name: str) -> NewBatch:
    try:
        return NewBatch(disease=disease, name=name)
    except ValidationError:
        raise InvalidRequest(
            _("The examination or the name of this batch is not allowed."),
            remedy=_("Choose an examination, and a name of at most 100 characters."),
        ) from None


@router.get("/batches/{batch}")
async def batch_page(context: In, caller: Asking, batch: BatchId, said: str = "") -> Response:
    """One batch: how far it is, what was found in it, and what failed."""
    found = await context.batches.batch(caller, batch)
    failed = []
    if found.counts.failed:
        async for item in context.batches.items(caller, batch, "failed"):
            failed.append(item)
            if len(failed) >= _MOST_FAILED:
                break
    return context.page(
        caller,
        "batch.html",
        page="batches",
        batch=found,
        view=BatchView(found, read_first.wanted(context.settings, caller)),
        failed=failed,
        said=said,
        most=MOST_ITEMS,
        most_bytes=MOST_BATCH_BYTES,
        max_upload_bytes=context.settings.max_upload_bytes,
    )


@router.get("/batches/{batch}/files")
async def files(context: In, caller: Asking, batch: BatchId) -> Response:
    """What has arrived, for a script that sends what is missing."""
    found = [
        {"number": item.number, "name": item.name, "size": item.size, "digest": item.digest}
        async for item in context.batches.items(caller, batch)
    ]
    return JSONResponse({"files": found}, 200, _NOT_KEPT)


@router.post("/batches/{batch}/files/{number}")
async def take_file(
    request: Request, context: In, caller: Asking, batch: BatchId, number: Number
) -> Response:
    """One file, from a script; the same one under the same number again changes nothing."""
    check_token(request, None)
    form = Passing(request, context.settings.max_upload_bytes + OVERHEAD_BYTES)
    with form.told_first():
        await context.batches.take_file(caller, batch, number, form.body, form.marks)
    return JSONResponse({"number": number}, 201, _NOT_KEPT)


@router.post("/batches/{batch}/archive")
async def take_archive(request: Request, context: In, caller: Asking, batch: BatchId) -> Response:
    """A ZIP, from a script."""
    check_token(request, None)
    archive = Passing(request, MOST_BATCH_BYTES)
    with archive.told_first():
        taken = await context.batches.take_archive(caller, batch, archive.body, archive.marks)
    return JSONResponse({"accepted": taken.accepted, "refused": taken.refused}, 201, _NOT_KEPT)


@router.post("/batches/{batch}/close")
async def close(
    request: Request, context: In, caller: Asking, batch: BatchId, _fields: Posted
) -> Response:
    """No more files come."""
    await context.batches.close_batch(caller, batch)
    return _back(request, batch)


@router.post("/batches/{batch}/retry")
async def retry(
    request: Request, context: In, caller: Asking, batch: BatchId, _fields: Posted
) -> Response:
    """Try again what failed."""
    await context.batches.retry(caller, batch)
    return _back(request, batch, "retry")


def _back(request: Request, batch: UUID, said: str = "") -> Response:
    """To the page of the batch; a script stays where it is."""
    if asks_for_json(request):
        return JSONResponse({}, 200, _NOT_KEPT)
    return RedirectResponse(f"/batches/{batch}" + (f"?said={said}" if said else ""), 303)


@router.get("/batches/{batch}/cancel")
async def confirm_cancel(context: In, caller: Asking, batch: BatchId) -> Response:
    """Ask before what waits is given up."""
    return await _confirm(context, caller, batch, "cancel")


@router.post("/batches/{batch}/cancel")
async def cancel(
    request: Request, context: In, caller: Asking, batch: BatchId, _fields: Posted
) -> Response:
    """Read no more of it; what was read stays."""
    await context.batches.cancel(caller, batch)
    return _back(request, batch, "cancel")


@router.get("/batches/{batch}/delete")
async def confirm_deletion(context: In, caller: Asking, batch: BatchId) -> Response:
    """Ask before a batch, its files and its readings are deleted."""
    return await _confirm(context, caller, batch, "delete")


@router.post("/batches/{batch}/delete")
async def delete(context: In, caller: Asking, batch: BatchId, _fields: Posted) -> Response:
    """Delete a batch with its files and its readings."""
    await context.batches.delete(caller, batch)
    return RedirectResponse("/batches?deleted=true", 303)


async def _confirm(context: Context, caller: Caller, batch: UUID, what: str) -> Response:
    found = await context.batches.batch(caller, batch)
    return context.page(caller, "batch_confirm.html", page="batches", batch=found, what=what)


@router.get("/batches/{batch}/events")
async def events(context: In, caller: Asking, batch: BatchId) -> Response:
    """How far the batch is, each time that changes: counts, and nothing of the answers."""
    answer = await context.batches.events(caller, batch)
    headers = _NOT_KEPT | {"x-accel-buffering": "no"}
    return StreamingResponse(_counted(answer), headers=headers, media_type="text/event-stream")


async def _counted(answer: httpx.Response) -> AsyncIterator[str]:
    try:
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                try:
                    batch = Batch.model_validate_json(line.removeprefix("data:"))
                except ValidationError:
                    continue
                told = {"state": batch.state, "counts": batch.counts.model_dump()}
                yield f"event: batch\ndata: {json.dumps(told)}\n\n"
            elif line.startswith((":", "retry:")):
                # So that a quiet stream is not taken for a dead one.
                yield f"{line}\n\n"
    except httpx.TransportError:
        # The service ended it in the middle; the browser comes again by itself.
        return
    finally:
        await answer.aclose()
