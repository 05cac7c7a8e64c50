"""What a queue of batches does: for those who hand batches in, and for those who read them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, NamedTuple, Protocol
from uuid import UUID

from diagnosis.contracts import Batch, BatchItem, ItemState, Notice, Prediction

#: How often a file is begun before it is set aside, because whoever read it died each time.
MOST_TRIES = 3
MAX_PAGE = 200

BatchPage = tuple[tuple[Batch, ...], str | None]
ItemPage = tuple[tuple[BatchItem, ...], str | None]
#: What became of a file that was handed in: taken, or there before with the same content.
Accepted = Literal["accepted", "there"]
#: Called after each step that was the last of a batch: whoever made that step, once.
OnDone = Callable[[], None]
#: Whether a batch, with its counts as they are now or not, can be read at the moment.
Readable = Callable[[Batch], bool]


@dataclass(frozen=True, slots=True)
class Taken:
    """A file that somebody reads now."""

    batch: Batch
    """As it was made: its counts are not those of now."""
    item: BatchItem
    entry: str | None = None
    """Its entry in the stream; None where it came by no stream."""
    handed: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Which request it was handed in with, see `diagnosis.telemetry.handed_on`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a file that was taken: a reading, or a problem."""

    taken: Taken
    prediction: Prediction | None = None
    problem: Notice | None = None

    def __post_init__(self) -> None:
        assert (self.prediction is None) != (self.problem is None)


class Backlog(NamedTuple):
    """What waits for workers, in all units."""

    files: int
    oldest_seconds: float
    """For how long the oldest of them has waited; 0 where none does."""


class Batches(Protocol):
    """Batches and their files. Every method may raise StoreUnavailable; those that are about one
    batch raise UnknownBatch where the unit has none of this id.
    """

    on_done: OnDone

    async def create(self, batch: Batch) -> None:
        """Keep a batch, which is open and has no files yet."""

    async def post(self, batch: Batch, items: Sequence[BatchItem] = ()) -> None:
        """Keep a batch that whoever posts it reads by itself, as it states it, counts included.

        Posted again it is replaced, and so are these items; other items stay. No worker takes any
        of them, and nobody can close, cancel or retry it here.
        """

    async def get(self, unit: str, batch_id: UUID) -> Batch:
        """A batch as it is now."""

    async def list(self, unit: str, *, limit: int, cursor: str | None = None) -> BatchPage:
        """A unit's batches, newest first.

        Raises:
            InvalidRequest: the cursor or the limit is malformed.
        """

    async def items(
        self,
        unit: str,
        batch_id: UUID,
        *,
        limit: int,
        cursor: str | None = None,
        state: ItemState | None = None,
    ) -> ItemPage:
        """The files of a batch by number, all or those in a state.

        Raises:
            InvalidRequest: the cursor or the limit is malformed.
        """

    async def accept(
        self,
        unit: str,
        batch_id: UUID,
        items: Sequence[BatchItem],
        *,
        queued: bool = True,
        most_bytes: int | None = None,
    ) -> tuple[Accepted, ...]:
        """Take files in; when this returns, they are durable. All of them, or none.

        Args:
            unit: whose batch.
            batch_id: of the batch.
            items: `waiting` with the id of the reading to come, or `failed` with a problem.
            queued: whether the workers are to read them; else whoever accepted them does.
            most_bytes: of all files of the batch together.

        Raises:
            BatchTooLarge: they would be more.
            BatchClosed: the batch takes no more files.
            ItemTaken: a number has a file with other content already.
        """

    async def close_batch(self, unit: str, batch_id: UUID) -> Batch:
        """No more files come; once again it changes nothing.

        Raises:
            BatchClosed: it was cancelled.
        """

    async def cancel(
        self, unit: str, batch_id: UUID, *, though_done: bool = False
    ) -> tuple[BatchItem, ...]:
        """Read no more of it; the files that waited. Once again, it is the rest of them.

        What was done by then stays, and so does the state of a batch that was done already,
        unless `though_done`: before it is deleted nobody may retry it any more.
        """

    async def retry(self, unit: str, batch_id: UUID, numbers: Sequence[int]) -> int:
        """Let these of its failed files wait again; how many did.

        Raises:
            BatchClosed: it was cancelled.
        """

    async def forget(self, unit: str, batch_id: UUID, prediction_id: UUID) -> None:
        """Forget the name of the file whose reading is deleted; nothing where there is none."""

    async def delete(self, unit: str, batch_id: UUID) -> None:
        """Delete a batch whose readings are deleted; it must be cancelled or done. Nothing of it
        is left. Nothing happens where there is none."""

    async def backlog(self) -> Backlog:
        """The files that no worker has finished."""

    async def ping(self) -> None:
        """Return when the store answers."""

    async def close(self) -> None:
        """Let go of connections."""


class Work(Protocol):
    """The workers' end of the queue. Every method may raise StoreUnavailable; what was taken then
    comes again after its lease at the latest, and what was finished is finished once.
    """

    on_done: OnDone

    async def claim(self, worker: str, most: int, readable: Readable) -> tuple[Taken, ...]:
        """Take files that nobody reads: in turn from each batch that has some.

        Args:
            worker: a name that no other has.
            most: files at most.
            readable: which batches are left alone for now.
        """

    async def reclaim(
        self, worker: str, lease: timedelta, most: int, readable: Readable
    ) -> tuple[Taken, ...]:
        """Take over files of workers that have not renewed their lease.

        A file that was begun `MOST_TRIES` times is set aside instead: it fails.
        """

    async def renew(self, worker: str, taken: Sequence[Taken]) -> None:
        """Begin the lease of files anew."""

    async def release(self, worker: str, taken: Sequence[Taken]) -> None:
        """Give files back that came to nothing here; whoever takes over next has them. This was no
        try; those before it, which ended their workers, count still."""

    async def finish(self, finished: Sequence[Finished]) -> tuple[bool, ...]:
        """Keep what became of files; of each, whether it was this call that did.

        A reading is kept, its file counted and its entry acknowledged in one step, and only while
        the file waits: nothing is kept of one that was cancelled or deleted, or was finished by
        somebody else.
        """

    async def ping(self) -> None:
        """Return when the store answers."""

    async def close(self) -> None:
        """Let go of connections."""
