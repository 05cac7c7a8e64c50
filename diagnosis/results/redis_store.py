"""Readings in Redis. Durability is the server's: it runs with AOF `always`."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Unpack, cast
from uuid import UUID

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import WatchError

from diagnosis.contracts import Prediction, Review
from diagnosis.errors import ReadingUnderWay
from diagnosis.opinions import Opined
from diagnosis.redis_connection import answers, open_client
from diagnosis.results import keys, listing, reviewing
from diagnosis.results.entering import enter
from diagnosis.results.indexing import Indexing
from diagnosis.results.store import Asked, Claim, Page, Standing, wanted

#: Rows that are looked through in one round trip; about half a megabyte.
_ROWS_AT_ONCE = 500
#: How long a claimed key is taken where nothing came of it. A reading may take longer; then the
#: first that is added counts.
_CLAIM_SECONDS = 30
#: How long a key answers with its reading. A device may deliver what it could not send before.
_ONCE_SECONDS = 30 * 24 * 60 * 60
_TAKEN = b"-"


class RedisResults:
    """See `ResultStore`.

    A row that cannot be read (a newer version wrote it, or it is damaged) is left alone: `list`
    leaves it out and logs that it did, `get` and `delete` raise StoreUnavailable. To call it
    deleted would be untrue, and to delete it would leave an image that nobody knows of.

    Args:
        client: one of its own that answers in bytes, see `connect`; `close` closes it.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._indexing = Indexing(client)

    async def add(self, prediction: Prediction, once: str | None = None) -> None:
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            if once is None:
                enter(transaction, [prediction])
                await transaction.execute()
            else:
                await self._add_once(transaction, prediction, keys.once(prediction.unit, once))

    async def _add_once(self, transaction: Pipeline, prediction: Prediction, name: str) -> None:
        """Add it unless the key has an answer, which nobody gives it between look and change."""
        member = prediction.id.hex
        while True:
            await transaction.watch(name)
            if await transaction.get(name) not in (None, _TAKEN, member.encode()):
                raise ReadingUnderWay
            transaction.multi()  # type: ignore[no-untyped-call]
            enter(transaction, [prediction])
            transaction.set(name, member, ex=_ONCE_SECONDS)
            with suppress(WatchError):
                await transaction.execute()
                return

    async def add_many(self, predictions: Sequence[Prediction]) -> None:
        if not predictions:
            return
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            enter(transaction, predictions)
            await transaction.execute()

    async def claim(self, unit: str, once: str) -> Claim:
        key = keys.once(unit, once)
        async with answers():
            if await self._client.set(key, _TAKEN, nx=True, ex=_CLAIM_SECONDS):
                return "ours"
            kept = cast("bytes | None", await self._client.get(key))
        return "taken" if kept is None or kept == _TAKEN else UUID(hex=kept.decode())

    async def release(self, unit: str, once: str) -> None:
        name = keys.once(unit, once)
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            await transaction.watch(name)
            if await transaction.get(name) == _TAKEN:
                transaction.multi()  # type: ignore[no-untyped-call]
                transaction.delete(name)
                # Where it failed, somebody has just given it an answer.
                with suppress(WatchError):
                    await transaction.execute()

    async def get(self, unit: str, prediction_id: UUID) -> Prediction | None:
        async with answers():
            row = cast("bytes | None", await self._client.get(keys.row(unit, prediction_id.hex)))
        return None if row is None else keys.readable(row)

    async def list(self, unit: str, **asked: Unpack[Asked]) -> Page:
        asking = wanted(unit, **asked)
        prepared = self._indexing.begin(unit)
        if asking.band or asking.patient_reference or asking.sort == "urgent":
            await self._indexing.wait(prepared)
        async with answers():
            return await listing.page(self._client, unit, asking)

    async def standings(self, readings: Sequence[Prediction]) -> tuple[Standing, ...]:
        async with answers():
            return await listing.standings(self._client, readings)

    async def since(self, unit: str, after: UUID, limit: int) -> tuple[Prediction, ...]:
        async with answers():
            answer = await self._client.zrangebylex(
                keys.index(unit, None, None), f"({after.hex}", "+", start=0, num=limit
            )
            found = await listing.rows(self._client, unit, cast("list[bytes]", answer))
        return tuple(keys.readable_rows(found))

    async def add_review(self, unit: str, review: Review) -> None:
        async with answers():
            await reviewing.add(self._client, unit, review)

    async def reviews(self, unit: str, prediction_id: UUID) -> tuple[Review, ...]:
        async with answers():
            return await reviewing.of(self._client, unit, prediction_id.hex)

    async def opined(self, unit: str, most: int) -> tuple[tuple[Opined, ...], bool]:
        return await reviewing.opined(self._client, unit, most)

    async def delete(self, unit: str, prediction_id: UUID) -> Prediction | None:
        prediction = await self.get(unit, prediction_id)
        if prediction is None:
            return None
        member = prediction_id.hex
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            transaction.getdel(keys.row(unit, member))
            for entry in (*keys.entries(prediction), *keys.earlier_entries(prediction)):
                transaction.zrem(entry.key, entry.member)
            for digest in prediction.image.kept:
                transaction.srem(keys.image(unit, digest), member)
            for name in (*keys.review_indexes(unit), keys.opinions(unit)):
                transaction.zrem(name, member)
            transaction.delete(keys.reviews(unit, member))
            deleted, *_ = await transaction.execute()
        return None if deleted is None else prediction

    async def keeps_image(self, unit: str, digest: str) -> bool:
        async with answers():
            return bool(await self._client.exists(keys.image(unit, digest)))

    async def release_image(self, unit: str, digest: str, prediction_id: UUID) -> bool:
        name = keys.image(unit, digest)
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            transaction.srem(name, prediction_id.hex)
            transaction.exists(name)
            _, kept = await transaction.execute()
        return bool(kept)

    async def of_patient(self, unit: str, patient_reference: str) -> tuple[UUID, ...]:
        found: list[UUID] = []
        upper = "+"
        while True:
            async with answers():
                answer = await self._client.zrevrangebylex(
                    keys.index(unit, None, None), upper, "-", start=0, num=_ROWS_AT_ONCE
                )
                ids = [member.decode() for member in cast("list[bytes]", answer)]
                if not ids:
                    return tuple(found)
                rows = await listing.rows(self._client, unit, ids)
            found += [
                UUID(hex=member)
                for member, row in zip(ids, rows, strict=True)
                if row is not None and keys.mentions(row, patient_reference)
            ]
            upper = f"({ids[-1]}"

    async def ping(self) -> None:
        async with answers():
            await self._client.ping()

    async def close(self) -> None:
        await self._indexing.close()
        await self._client.aclose()


def connect(url: str, ca_file: Path | None = None) -> RedisResults:
    """A store on the Redis at `url`; see `diagnosis.redis_connection.open_client`."""
    return RedisResults(open_client(url, ca_file))
