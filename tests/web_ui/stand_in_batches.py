"""The stand-in's batches: files are kept when they come and read when a test says so."""

import csv
import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from fastapi import FastAPI, File, Form, Request, Response, UploadFile
from fastapi.responses import StreamingResponse

from diagnosis.contracts import (
    Batch,
    BatchArchive,
    BatchBands,
    BatchCounts,
    BatchItem,
    BatchItemList,
    BatchList,
    BatchSummary,
    BatchSummaryRow,
    NewBatch,
    Notice,
    listed_band,
    new_prediction_id,
    now,
)
from diagnosis.errors import BatchClosed, ItemTaken, SightlineError, UnknownBatch

if TYPE_CHECKING:
    from tests.web_ui.stand_in import StandIn


class StandInBatches:
    """The batches, their files, and whether these are read at once."""

    def __init__(self, stand_in: "StandIn") -> None:
        self.stand_in = stand_in
        self.known: dict[UUID, Batch] = {}
        self.items: dict[UUID, dict[int, BatchItem]] = {}
        self.bytes: dict[tuple[UUID, int], bytes] = {}
        self.working = True
        """Whether files are read as they come; else `work` reads them."""
        self.puts = 0
        """How many files came, those that were there already included."""

    def batch(self, batch: UUID) -> Batch:
        """As it is now. Raises UnknownBatch."""
        if batch not in self.known:
            raise UnknownBatch
        items = self.items[batch].values()
        counts = dict.fromkeys(BatchCounts.model_fields, 0)
        bands = dict.fromkeys(BatchBands.model_fields, 0)
        for item in items:
            counts["items"] += 1
            counts[item.state] += 1
            if item.band:
                bands[item.band] += 1
        found = self.known[batch]
        over = found.state == "running" and counts["waiting"] == 0
        told = {"counts": BatchCounts(**counts), "bands": BatchBands(**bands)}
        if over:
            told |= {"state": "done", "finished_at": now()}
        self.known[batch] = found.model_copy(update=told)
        return self.known[batch]

    def begin(self, wanted: NewBatch) -> Batch:
        """A new one, open."""
        disease = self.stand_in.disease(wanted.disease)
        made = Batch(
            id=new_prediction_id(),
            name=wanted.name,
            disease=disease.id,
            disease_name=disease.name,
            state="open",
            created_at=now(),
            created_by="ada",
        )
        self.known[made.id] = made
        self.items[made.id] = {}
        return made

    def take(self, batch: UUID, number: int, name: str, data: bytes) -> bool:
        """Keep a file; whether it is new."""
        self.puts += 1
        if self.batch(batch).state != "open":
            raise BatchClosed
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        known = self.items[batch].get(number)
        if known:
            if known.digest != digest:
                raise ItemTaken
            return False
        self.items[batch][number] = BatchItem(
            number=number,
            name=name,
            size=len(data),
            digest=digest,
            state="waiting",
            prediction_id=new_prediction_id(),
        )
        self.bytes[batch, number] = data
        if self.working:
            self.work(batch)
        return True

    def work(self, batch: UUID, most: int = 10_000) -> None:
        """Read so many of the files that wait."""
        for number, item in sorted(self.items[batch].items()):
            if item.state != "waiting" or most == 0:
                continue
            most -= 1
            told: dict[str, object] = {"tries": item.tries + 1}
            try:
                disease = self.stand_in.disease(self.known[batch].disease)
                made = self.stand_in.read(disease, self.bytes[batch, number])
                made = made.model_copy(update={"batch": batch})
                self.stand_in.readings[made.id] = made
                told |= {"state": "done", "band": listed_band(made), "prediction_id": made.id}
            except SightlineError as error:
                problem = Notice(code=error.code, detail=error.detail, remedy=error.remedy)
                told |= {"state": "failed", "problem": problem}
            self.items[batch][number] = item.model_copy(update=told)

    def move(self, batch: UUID, before: str, after: str) -> None:
        """Files in one state to another."""
        for number, item in self.items[batch].items():
            if item.state == before:
                update = {"state": after, "problem": None}
                self.items[batch][number] = item.model_copy(update=update)

    def put(self, batch: UUID, state: str) -> Batch:
        """The batch to another state."""
        self.known[batch] = self.known[batch].model_copy(update={"state": state})
        return self.batch(batch)

    def unpack(self, batch: UUID, data: bytes, first: int = 0) -> int:
        """Every member of a ZIP as a file."""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [one.filename for one in archive.infolist() if not one.is_dir()]
            for at, name in enumerate(names):
                self.take(batch, first + at, name, archive.read(name))
        return len(names)

    def row(self, item: BatchItem) -> BatchSummaryRow:
        """A file with what its reading says."""
        told: dict[str, object] = {}
        made = self.stand_in.readings.get(item.prediction_id) if item.prediction_id else None
        if made and made.top:
            told["top_class"] = made.top[0].id
            told["top_class_name"] = made.top[0].name
            told["probability"] = made.top[0].probability
        if item.problem:
            told["problem_code"] = item.problem.code
            told["problem"] = f"{item.problem.detail} {item.problem.remedy}"
        return BatchSummaryRow(
            number=item.number,
            name=item.name,
            state=item.state,
            band=item.band,
            prediction_id=made.id if made else None,
            **told,  # type: ignore[arg-type]
        )


def add_batch_routes(app: FastAPI, stand_in: "StandIn") -> None:
    """The routes of batches."""
    own = stand_in.batches

    @app.post("/api/v1/batches", status_code=201)
    async def begin(request: Request) -> Batch:
        if request.headers["content-type"].startswith("application/json"):
            return own.begin(NewBatch.model_validate_json(await request.body()))
        form = await request.form()
        assert "csrf_token" not in form
        made = own.begin(
            NewBatch(disease=str(form.get("disease", "")), name=str(form.get("name", "")))
        )
        number = 0
        for part in form.getlist("files"):
            if not isinstance(part, UploadFile) and not hasattr(part, "filename"):
                continue
            if not part.filename:  # type: ignore[union-attr]
                continue
            data = await part.read()  # type: ignore[union-attr]
            if data.startswith(b"PK"):
                number += own.unpack(made.id, data, number)
            else:
                own.take(made.id, number, part.filename or "", data)  # type: ignore[union-attr]
                number += 1
        await form.close()
        own.put(made.id, "running")
        return own.batch(made.id)

    @app.put("/api/v1/batches/{batch}/files/{number}")
    async def take(
        batch: UUID,
        number: int,
        response: Response,
        file: Annotated[UploadFile, File()],
        name: Annotated[str, Form()] = "",
    ) -> BatchItem:
        data = await file.read()
        response.status_code = 201 if own.take(batch, number, name, data) else 200
        return own.items[batch][number]

    @app.post("/api/v1/batches/{batch}/archive")
    async def archive(batch: UUID, request: Request) -> BatchArchive:
        assert request.headers["content-type"] == "application/zip"
        first = len(own.items[own.batch(batch).id])
        count = own.unpack(batch, await request.body(), first)
        return BatchArchive(batch=own.batch(batch), accepted=count, refused=0)

    @app.get("/api/v1/batches")
    async def listed(limit: int = 20, cursor: str | None = None) -> BatchList:
        before = UUID(cursor) if cursor else None
        ids = [one for one in sorted(own.known, reverse=True) if before is None or one < before]
        items = tuple(own.batch(one) for one in ids[:limit])
        return BatchList(items=items, next_cursor=ids[limit - 1].hex if len(ids) > limit else None)

    @app.get("/api/v1/batches/{batch}")
    async def one(batch: UUID) -> Batch:
        return own.batch(batch)

    @app.get("/api/v1/batches/{batch}/items")
    async def items(
        batch: UUID, state: str | None = None, cursor: int = 0, limit: int = 100
    ) -> BatchItemList:
        own.batch(batch)
        found = [
            item
            for number, item in sorted(own.items[batch].items())
            if state in (None, item.state) and number >= cursor
        ]
        more = str(found[limit].number) if len(found) > limit else None
        return BatchItemList(items=tuple(found[:limit]), next_cursor=more)

    @app.post("/api/v1/batches/{batch}/{what}")
    async def change(batch: UUID, what: str) -> Batch:
        found = own.batch(batch)
        if what == "close" and found.state == "open":
            return own.put(batch, "running")
        if what == "cancel" and not found.over:
            own.move(batch, "waiting", "cancelled")
            return own.put(batch, "cancelled")
        if what == "retry":
            own.move(batch, "failed", "waiting")
            return own.put(batch, "running")
        return found

    @app.delete("/api/v1/batches/{batch}", status_code=204)
    async def delete(batch: UUID) -> None:
        own.batch(batch)
        del own.known[batch]
        for item in own.items.pop(batch).values():
            if item.prediction_id:
                stand_in.readings.pop(item.prediction_id, None)

    @app.get("/api/v1/batches/{batch}/events")
    async def events(batch: UUID) -> StreamingResponse:
        """The batch as it is now, and the end; a browser comes again after `retry_ms`."""
        found = own.batch(batch)

        async def stream() -> AsyncIterator[str]:
            yield f"retry: {stand_in.retry_ms}\n\n"
            yield f"event: batch\ndata: {found.model_dump_json()}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.get("/api/v1/batches/{batch}/summary.json")
    async def summary(batch: UUID) -> BatchSummary:
        found = own.batch(batch)
        rows = tuple(own.row(item) for _, item in sorted(own.items[batch].items()))
        return BatchSummary(batch=found, rows=rows)

    @app.get("/api/v1/batches/{batch}/summary.csv")
    async def summary_csv(batch: UUID) -> Response:
        whole = await summary(batch)
        text = io.StringIO()
        rows = csv.DictWriter(text, list(BatchSummaryRow.model_fields))
        rows.writeheader()
        rows.writerows(row.model_dump(mode="json") for row in whole.rows)
        return Response(text.getvalue(), media_type="text/csv")
