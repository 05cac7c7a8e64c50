"""Files of batches taken in: their bytes durable first, then their records."""

import asyncio
import hashlib
import re
import time
from collections.abc import Sequence

from diagnosis.contracts import (
    LONGEST_ITEM_NAME,
    MOST_BATCH_BYTES,
    Batch,
    BatchItem,
    new_prediction_id,
)
from diagnosis.errors import InputRefused, QueueFull
from diagnosis.image_store import FolderImageStore, spooled_as
from diagnosis.queue import Batches

#: How long the number of waiting files is believed.
_BACKLOG_SECONDS = 1.0
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u2028\u2029\ud800-\udfff]")


class Intake:
    """Takes files in.

    Args:
        batches: where their records are kept.
        spool: where their bytes are kept until they are read.
        most_waiting: files that may wait for workers.
    """

    def __init__(self, batches: Batches, spool: FolderImageStore, *, most_waiting: int) -> None:
        self.spool = spool
        self._batches = batches
        self._most_waiting = most_waiting
        self._backlog = (float("-inf"), 0)

    async def check(self) -> None:
        """Raise QueueFull where too many files wait; before any of their bytes are read."""
        at, waiting = self._backlog
        if time.monotonic() - at > _BACKLOG_SECONDS:
            waiting = await self._batches.backlog()
            self._backlog = time.monotonic(), waiting
        if waiting >= self._most_waiting:
            raise QueueFull

    async def take(
        self, batch: Batch, number: int, name: str, data: bytes
    ) -> tuple[BatchItem, bool]:
        """Take one file in; when this returns, bytes and record are durable.

        Args:
            batch: whose file.
            number: its place.
            name: as it was sent.
            data: its bytes, whatever they are.

        Returns:
            The file, and whether it is new: the same content may come again.

        Raises:
            BatchClosed, BatchTooLarge, ItemTaken, UnknownBatch, StoreUnavailable.
        """
        item = BatchItem(
            number=number,
            name=plain_name(name),
            size=len(data),
            digest=await asyncio.to_thread(_digest, data),
            state="waiting",
            prediction_id=new_prediction_id(),
        )
        there = await self.item(batch, number)
        if there is not None and there.digest == item.digest:
            return there, False
        spooled = self.spooled(batch, item)
        await asyncio.to_thread(self.spool.put, spooled, data)
        try:
            (said,) = await self._batches.accept(
                batch.unit, batch.id, [item], most_bytes=MOST_BATCH_BYTES
            )
        except InputRefused:
            # Not where the store did not answer: it may be there, and then its bytes have to be.
            there = await self.item(batch, number)
            if there is None or there.digest != item.digest:
                await asyncio.to_thread(self.spool.delete, spooled)
            raise
        if said == "accepted":
            return item, True
        # Somebody sent the same at the same time.
        return await self.item(batch, number) or item, False

    async def item(self, batch: Batch, number: int) -> BatchItem | None:
        """The file of a number, if there is one."""
        found, _ = await self._batches.items(
            batch.unit, batch.id, limit=1, cursor=str(number - 1) if number else None
        )
        return found[0] if found and found[0].number == number else None

    async def drop(self, batch: Batch, items: Sequence[BatchItem]) -> None:
        """Delete the bytes of files that nobody will read."""
        for one in items:
            if one.digest is not None:
                await asyncio.to_thread(self.spool.delete, self.spooled(batch, one))

    @staticmethod
    def spooled(batch: Batch, item: BatchItem) -> str:
        """What a file's bytes are kept under."""
        assert item.digest is not None
        return spooled_as(batch.unit, batch.id.hex, item.number, item.digest)


def plain_name(name: str) -> str:
    """A name as it can be shown: without control characters, and its end where it is too long."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", name)[-LONGEST_ITEM_NAME:]


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
