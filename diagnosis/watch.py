"""Which readings are still to be looked at for drift, and how it stands; in Redis, or in memory.

Readings and reviews are entered as they are kept. What was looked at is taken out in the same step
in which the standing that came of it is written, and only where nobody else has written one since:
so any number of services may look, and each reading counts once.

Keys, for a disease `d`; the braces are Redis' hash tag, so that one step reaches all three:

    drift:{d}:readings     list of `VERSION UNIT ID`, oldest first, at most `MOST`
    drift:{d}:reviews      the same of readings that were reviewed
    drift:{d}:standing     the standing, as whoever looks writes it

They hold ids and no more; a reading that is deleted is simply not found.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import WatchError

from diagnosis.contracts import Prediction
from diagnosis.redis_connection import answers, open_client

#: Entries of a list; the oldest beyond that are forgotten.
MOST = 5000

Kind = Literal["readings", "reviews"]


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


class Watch(Protocol):
    """Raises StoreUnavailable where it does not answer."""

    async def enter(self, kind: Kind, prediction: Prediction) -> None:
        """A reading was kept, or reviewed."""

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

    async def enter(self, kind: Kind, prediction: Prediction) -> None:
        entries = self._lists[kind, prediction.disease]
        entries.append(Entry.of(prediction))
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

    async def enter(self, kind: Kind, prediction: Prediction) -> None:
        name = _list(kind, prediction.disease)
        async with answers(), self._client.pipeline(transaction=True) as both:
            both.rpush(name, str(Entry.of(prediction)))
            both.ltrim(name, -MOST, -1)
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
