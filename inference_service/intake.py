"""Files of batches taken in: their bytes durable first, then their records."""

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from diagnosis.contracts import (
    LONGEST_ITEM_NAME,
    MOST_BATCH_BYTES,
    MOST_ITEMS,
    Batch,
    BatchItem,
    Notice,
    new_prediction_id,
)
from diagnosis.errors import (
    BatchTooLarge,
    InputRefused,
    Overloaded,
    QueueFull,
    StoreUnavailable,
)
from diagnosis.image_store import ImageStore, spooled_as
from diagnosis.queue import MAX_PAGE, Batches
from inference_service.archives import Archive, Member

#: How long the number of waiting files is believed.
_BACKLOG_SECONDS = 1.0
#: Archives that are taken in at a time.
MOST_ARCHIVES = 4
#: Members of an archive that are taken in together.
_AT_ONCE, _BYTES_AT_ONCE = 32, 32 * 1024 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0080-\u009f\u2028\u2029\ud800-\udfff]")


class Intake:
    """Takes files in.

    Args:
        batches: where their records are kept.
        spool: where their bytes are kept until they are read.
        folder: where archives lie while they are taken in.
        most_waiting: files that may wait for workers.
    """

    def __init__(
        self, batches: Batches, spool: ImageStore, folder: Path, *, most_waiting: int
    ) -> None:
        self.spool = spool
        self._batches = batches
        self._most_waiting = most_waiting
        self.folder = folder
        self._archives = 0
        self._backlog = (float("-inf"), 0)

    async def check(self) -> None:
        """Raise QueueFull where too many files wait; before any of their bytes are read."""
        at, waiting = self._backlog
        if time.monotonic() - at > _BACKLOG_SECONDS:
            waiting = (await self._batches.backlog()).files
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

    @contextmanager
    def place_for_archive(self) -> Iterator[Path]:
        """A folder for one archive, which is large; there is room for few at a time.

        Raises:
            Overloaded: there is none.
            StoreUnavailable: the disk is full, or cannot be written.
        """
        if self._archives >= MOST_ARCHIVES:
            raise Overloaded
        self._archives += 1
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            yield self.folder
        except OSError as error:
            raise StoreUnavailable(cause=f"archive: {type(error).__name__}") from error
        finally:
            self._archives -= 1

    async def set_aside(
        self, batch: Batch, number: int, name: str, refused: InputRefused
    ) -> BatchItem:
        """Make a file that is refused a failed one with its reason."""
        item = BatchItem(
            number=number, name=plain_name(name), state="failed", problem=_notice(refused)
        )
        await self._batches.accept(batch.unit, batch.id, [item])
        return item

    async def unpack(self, batch: Batch, file: BinaryIO) -> tuple[int, int]:
        """Take in the files of an archive, and set aside those that are none. The same archive
        again doubles nothing.

        Args:
            batch: whose files.
            file: the archive.

        Returns:
            How many were taken in, those that were there before among them, and how many not.

        Raises:
            UnreadableArchive, ArchiveBomb, BatchTooLarge: and nothing of it was taken in.
            BatchClosed, UnknownBatch, StoreUnavailable: sent again, the rest is taken in.
        """
        archive = await asyncio.to_thread(Archive, file)
        there = await self._all(batch)
        known = {(one.name, one.digest) for one in there}
        number = max((one.number for one in there), default=-1) + 1
        if len(archive) > MOST_ITEMS:
            raise BatchTooLarge
        accepted = refused = 0
        members = archive.members()
        while (group := await asyncio.to_thread(_next, members)) != []:
            items: list[BatchItem] = []
            writes = []
            for member in group:
                name = plain_name(member.name)
                digest = None if member.refused is not None else _digest(member.data)
                accepted += member.refused is None
                refused += member.refused is not None
                if (name, digest) in known:
                    continue
                if number >= MOST_ITEMS:
                    raise BatchTooLarge
                item = _item(number, name, digest, member)
                number += 1
                items.append(item)
                if digest is not None:
                    spooled = self.spooled(batch, item)
                    writes.append(asyncio.to_thread(self.spool.put, spooled, member.data))
            await asyncio.gather(*writes)
            await self._batches.accept(batch.unit, batch.id, items, most_bytes=MOST_BATCH_BYTES)
        return accepted, refused

    async def unpack_at(self, batch: Batch, number: int, file: BinaryIO) -> int:
        """Take in an archive among other files; the number of the file after it."""
        await self.unpack(batch, file)
        there = await self._all(batch)
        return max((one.number for one in there), default=number - 1) + 1

    async def _all(self, batch: Batch) -> list[BatchItem]:
        found: list[BatchItem] = []
        cursor = None
        while True:
            page, cursor = await self._batches.items(
                batch.unit, batch.id, limit=MAX_PAGE, cursor=cursor
            )
            found += page
            if cursor is None:
                return found

    async def item(self, batch: Batch, number: int) -> BatchItem | None:
        """The file of a number, if there is one."""
        found, _ = await self._batches.items(
            batch.unit, batch.id, limit=1, cursor=str(number - 1) if number else None
        )
        return found[0] if found and found[0].number == number else None

    async def drop(self, files: Sequence[tuple[Batch, BatchItem]], *, durably: bool = True) -> None:
        """Delete the bytes of files that nobody will read; for `durably` see `ImageStore`."""
        names = [self.spooled(batch, one) for batch, one in files if one.digest is not None]
        await asyncio.to_thread(self.spool.delete_many, names, durably=durably)

    @staticmethod
    def spooled(batch: Batch, item: BatchItem) -> str:
        """What a file's bytes are kept under."""
        assert item.digest is not None
        return spooled_as(batch.unit, batch.id.hex, item.number, item.digest)


def plain_name(name: str) -> str:
    """A name as it can be shown: without control characters, and its end where it is too long."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", name)[-LONGEST_ITEM_NAME:]


def _next(members: Iterator[Member]) -> list[Member]:
    """The next few members: as many as are well kept in memory."""
    group: list[Member] = []
    for one in members:
        group.append(one)
        if len(group) == _AT_ONCE or sum(len(each.data) for each in group) > _BYTES_AT_ONCE:
            break
    return group


def _item(number: int, name: str, digest: str | None, member: Member) -> BatchItem:
    if member.refused is not None:
        return BatchItem(number=number, name=name, state="failed", problem=_notice(member.refused))
    return BatchItem(
        number=number,
        name=name,
        size=len(member.data),
        digest=digest,
        state="waiting",
        prediction_id=new_prediction_id(),
    )


def _notice(refused: InputRefused) -> Notice:
    return Notice(code=refused.code, detail=refused.detail, remedy=refused.remedy)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
