"""How the pages ask inference_service about batches, and how files reach it through them."""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from uuid import UUID

import httpx

from diagnosis.contracts import (
    Batch,
    BatchArchive,
    BatchItem,
    BatchItemList,
    BatchList,
    BatchSummary,
    ItemState,
    NewBatch,
)
from web_ui.caller import Caller
from web_ui.calls import Calls

_ALL = "/api/v1/batches"
#: Items that are asked for at once.
_PAGE = 100
#: How long a service may take once it has a whole file, and a whole archive or form.
_FILE_SECONDS = 60.0
_MANY_SECONDS = 600.0


def _of(batch: UUID, *more: object) -> str:
    return "/".join((_ALL, str(batch), *(str(one) for one in more)))


class BatchClient(Calls):
    """A typed client of the API's batches; see `Calls`.

    Every method with a batch raises the API's UnknownBatch, for another unit's too.
    """

    async def begin(self, caller: Caller, wanted: NewBatch) -> Batch:
        """A new batch without a file. Raises UnknownDisease, ModelUnavailable, QueueFull."""
        return await self.model(Batch, "POST", _ALL, caller, json=wanted.model_dump(mode="json"))

    async def take_form(
        self, caller: Caller, body: AsyncIterable[bytes], marks: Mapping[str, str]
    ) -> Batch:
        """A new batch with the files of a multipart form, closed."""
        answer = await self.pass_on("POST", _ALL, caller, body, marks, seconds=_MANY_SECONDS)
        return Batch.model_validate_json(answer.content)

    async def take_file(
        self,
        caller: Caller,
        batch: UUID,
        number: int,
        body: AsyncIterable[bytes],
        marks: Mapping[str, str],
    ) -> None:
        """One file of an open batch, as a multipart form. Raises BatchClosed, ItemTaken."""
        path = _of(batch, "files", number)
        await self.pass_on("PUT", path, caller, body, marks, seconds=_FILE_SECONDS)

    async def take_archive(
        self, caller: Caller, batch: UUID, body: AsyncIterable[bytes], marks: Mapping[str, str]
    ) -> BatchArchive:
        """A ZIP whose members become files of an open batch. Raises UnreadableArchive."""
        path = _of(batch, "archive")
        answer = await self.pass_on("POST", path, caller, body, marks, seconds=_MANY_SECONDS)
        return BatchArchive.model_validate_json(answer.content)

    async def batches(self, caller: Caller, *, limit: int, cursor: str | None = None) -> BatchList:
        """A page of the unit's batches, newest first."""
        params = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return await self.model(BatchList, "GET", _ALL, caller, params=params)

    async def batch(self, caller: Caller, batch: UUID) -> Batch:
        """One batch."""
        return await self.model(Batch, "GET", _of(batch), caller)

    async def items(
        self, caller: Caller, batch: UUID, state: ItemState | None = None
    ) -> AsyncIterator[BatchItem]:
        """The files of a batch by their numbers, all or those in one state, asked for as needed."""
        cursor: str | None = None
        while True:
            asked = {"state": state, "cursor": cursor, "limit": str(_PAGE)}
            params = {name: value for name, value in asked.items() if value}
            page = await self.model(
                BatchItemList, "GET", _of(batch, "items"), caller, params=params
            )
            for item in page.items:
                yield item
            cursor = page.next_cursor
            if cursor is None:
                return

    async def close_batch(self, caller: Caller, batch: UUID) -> Batch:
        """No more files come."""
        return await self.model(Batch, "POST", _of(batch, "close"), caller)

    async def cancel(self, caller: Caller, batch: UUID) -> Batch:
        """What was not read yet is not read any more."""
        return await self.model(Batch, "POST", _of(batch, "cancel"), caller)

    async def retry(self, caller: Caller, batch: UUID) -> Batch:
        """What failed is tried again."""
        return await self.model(Batch, "POST", _of(batch, "retry"), caller)

    async def delete(self, caller: Caller, batch: UUID) -> None:
        """Delete a batch with its files and its readings."""
        await self.answer("DELETE", _of(batch), caller, timeout=_MANY_SECONDS)

    async def events(self, caller: Caller, batch: UUID) -> httpx.Response:
        """The batch each time it changes, as a stream; whoever reads it closes it."""
        return await self.stream(_of(batch, "events"), caller)

    async def summary(self, caller: Caller, batch: UUID) -> BatchSummary:
        """A row for each file, with what its reading says in short."""
        return await self.model(BatchSummary, "GET", _of(batch, "summary.json"), caller)

    async def summary_file(self, caller: Caller, batch: UUID, ending: str) -> httpx.Response:
        """The same as a file, `csv` or `json`, in parts; whoever reads it closes it."""
        return await self.stream(_of(batch, f"summary.{ending}"), caller)
