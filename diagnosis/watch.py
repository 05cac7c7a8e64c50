"""Which readings are still to be looked at for drift, and how it stands; in Redis, or in memory.

Readings and reviews are entered as they are kept. What `trainer infer` does is told first, because
the trainer knows neither which version is live nor how services count; a service takes it, counts
it, and enters what is to be looked at. What was looked at is taken out in the same step
in which the standing that came of it is written, and only where nobody else has written one since:
so any number of services may look, and each reading counts once.

Keys, for a disease `d`; the braces are Redis' hash tag, so that one step reaches all three:

    drift:{d}:readings     list of `VERSION UNIT ID`, oldest first, at most `MOST`
    drift:{d}:posted       the same of readings that `trainer infer` posted
    drift:{d}:reviews      the same of readings that were reviewed, by their first review
    drift:{d}:standing     the standing, as whoever looks writes it

And one of none, at most `MOST_TOLD`: who stops between taking and counting leaves a few uncounted.

    drift:posted           list of `WHAT DISEASE` and, of readings, `UNIT ID`, oldest first

They hold ids and no more; a reading that is deleted is simply not found.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, cast, get_args
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import WatchError

from diagnosis.contracts import Prediction
from diagnosis.redis_connection import answers, open_client

#: Entries of a list; the oldest beyond that are forgotten.
MOST = 5000
MOST_TOLD = 100_000

Kind = Literal["readings", "posted", "reviews"]
_TOLD = "drift:posted"
#: What `trainer infer` does: it posts a reading; a file has none; it begins a batch; it comes to a
#: batch's end.
Deed = Literal["reading", "failed", "accepted", "done"]


@dataclass(frozen=True)
class Entry:
    """A reading that is to be looked at."""

    version: str
    unit: str
    id: UUID

    @classmethod
    def of(cls, prediction: Prediction) -> Self:
        return cls(prediction.artifact.version, prediction.unit, prediction.id)

    def __str__(self) -> str:
        return f"{self.version} {self.unit} {self.id.hex}"

    @classmethod
    def parse(cls, text: str) -> Self:
        version, unit, member = text.split(" ")
        return cls(version, unit, UUID(hex=member))


@dataclass(frozen=True)
class Told:
    """Something that `trainer infer` did."""

    what: Deed
    disease: str
    unit: str = ""
    """Of the reading, and empty elsewhere."""
    id: UUID | None = None

    @classmethod
    def of(cls, prediction: Prediction) -> Self:
        return cls("reading", prediction.disease, prediction.unit, prediction.id)

    def __str__(self) -> str:
        words = (self.what, self.disease, self.unit, self.id.hex if self.id else "")
        return " ".join(word for word in words if word)

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What was told; None where it cannot be understood, for the trainer may write anything."""
        try:
            what, disease, *reading = text.split(" ")
            unit, member = reading or ("", None)
            id_ = None if member is None else UUID(hex=member)
        except ValueError:
            return None
        return cls(cast("Deed", what), disease, unit, id_) if what in get_args(Deed) else None


class Watch(Protocol):
    """Raises StoreUnavailable where it does not answer."""

    async def tell(self, done: Sequence[Told]) -> None:
        """The trainer did this; a service is to count it."""

    async def take(self, most: int) -> Sequence[Told]:
        """Take the oldest of what was told: nobody else gets it."""

    async def enter(self, kind: Kind, disease: str, predictions: Sequence[Prediction]) -> None:
        """Readings of a disease were kept, posted or reviewed."""

    async def waiting(self, kind: Kind, disease: str) -> int:
        """How many entries there are."""

    async def oldest(self, kind: Kind, disease: str, most: int) -> Sequence[Entry]:
        """The oldest entries; they stay."""

    async def standing(self, disease: str) -> bytes | None:
        """What was written last."""

    async def advance(
        self, kind: Kind, disease: str, taken: int, before: bytes | None, after: bytes
    ) -> bool:
        """Take out the oldest entries and write a standing; False, and nothing is done, where the
        standing is not `before` any more."""

    async def close(self) -> None:
        """Let go of connections."""


class MemoryWatch:
    """In this process, gone when it ends; the peer for tests."""

    def __init__(self) -> None:
        self._lists: defaultdict[tuple[Kind, str], list[Entry]] = defaultdict(list)
        self._standings: dict[str, bytes] = {}
        self._told: list[Told] = []

    async def tell(self, done: Sequence[Told]) -> None:
        self._told += done
        del self._told[:-MOST_TOLD]

    async def take(self, most: int) -> Sequence[Told]:
        taken = self._told[:most]
        del self._told[:most]
        return taken

    async def enter(self, kind: Kind, disease: str, predictions: Sequence[Prediction]) -> None:
        entries = self._lists[kind, disease]
        entries += [Entry.of(one) for one in predictions]
        del entries[:-MOST]

    async def waiting(self, kind: Kind, disease: str) -> int:
        return len(self._lists[kind, disease])

    async def oldest(self, kind: Kind, disease: str, most: int) -> Sequence[Entry]:
        return self._lists[kind, disease][:most]

    async def standing(self, disease: str) -> bytes | None:
        return self._standings.get(disease)

    async def advance(
        self, kind: Kind, disease: str, taken: int, before: bytes | None, after: bytes
    ) -> bool:
        if self._standings.get(disease) != before:
            return False
        self._standings[disease] = after
        del self._lists[kind, disease][:taken]
        return True

    async def close(self) -> None:
        return


class RedisWatch:
    """In Redis.

    Args:
        client: one of its own that answers in bytes; `close` closes it.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def tell(self, done: Sequence[Told]) -> None:
        await self._append(_TOLD, [str(one) for one in done], MOST_TOLD)

    async def take(self, most: int) -> Sequence[Told]:
        async with answers(), self._client.pipeline(transaction=True) as both:
            both.lrange(_TOLD, 0, most - 1)
            both.ltrim(_TOLD, most, -1)
            taken, _ = await both.execute()
        told = (Told.parse(one.decode("utf-8", "replace")) for one in cast("list[bytes]", taken))
        return [one for one in told if one is not None]

    async def enter(self, kind: Kind, disease: str, predictions: Sequence[Prediction]) -> None:
        await self._append(_list(kind, disease), [str(Entry.of(one)) for one in predictions], MOST)

    async def _append(self, name: str, entries: Sequence[str], most: int) -> None:
        if not entries:
            return
        async with answers(), self._client.pipeline(transaction=True) as both:
            both.rpush(name, *entries)
            both.ltrim(name, -most, -1)
            await both.execute()

    async def waiting(self, kind: Kind, disease: str) -> int:
        async with answers():
            return int(await self._client.llen(_list(kind, disease)))

    async def oldest(self, kind: Kind, disease: str, most: int) -> Sequence[Entry]:
        async with answers():
            found = await self._client.lrange(_list(kind, disease), 0, most - 1)
        return [Entry.parse(one.decode()) for one in cast("list[bytes]", found)]

    async def standing(self, disease: str) -> bytes | None:
        async with answers():
            return cast("bytes | None", await self._client.get(_standing(disease)))

    async def advance(
        self, kind: Kind, disease: str, taken: int, before: bytes | None, after: bytes
    ) -> bool:
        name = _standing(disease)
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            await transaction.watch(name)
            if await transaction.get(name) != before:
                return False
            transaction.multi()  # type: ignore[no-untyped-call]
            transaction.set(name, after)
            transaction.ltrim(_list(kind, disease), taken, -1)
            try:
                await transaction.execute()
            except WatchError:
                return False
        return True

    async def close(self) -> None:
        await self._client.aclose()


def connect_watch(url: str, ca_file: Path | None = None) -> RedisWatch:
    """The watch on the Redis at `url`; see `diagnosis.redis_connection.open_client`."""
    return RedisWatch(open_client(url, ca_file))


def _list(kind: Kind, disease: str) -> str:
    return f"drift:{{{disease}}}:{kind}"


def _standing(disease: str) -> str:
    return f"drift:{{{disease}}}:standing"
