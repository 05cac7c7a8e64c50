"""Indexes for rows that were stored before there were such indexes.

The first list of a unit after an update enters every row that the unit has, once: a mark says that
it was done. Each process looks through the newest rows anew, because a process of the version
before may have added some while the others were updated.
"""

import asyncio
import zlib
from typing import cast

from pydantic import ValidationError
from redis.asyncio import Redis

from diagnosis.contracts import Prediction
from diagnosis.errors import StoreUnavailable
from diagnosis.redis_connection import DEADLINE, answers
from diagnosis.results import keys, listing

_ROWS_AT_ONCE = 250
#: The form of the indexes; another number enters every row again.
_FORM = "1"


class Indexing:
    """Enters rows where earlier versions did not.

    Args:
        client: the store's.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._units: dict[str, asyncio.Task[None]] = {}

    def begin(self, unit: str) -> asyncio.Task[None]:
        """See to a unit's indexes, in the background and once a process; a failure is retried."""
        task = self._units.get(unit)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._units[unit] = asyncio.create_task(self._enter(unit))
        return task

    async def wait(self, task: asyncio.Task[None]) -> None:
        """Until the indexes are whole.

        Raises:
            StoreUnavailable: they are not within two seconds; they may be a little later.
        """
        try:
            async with asyncio.timeout(DEADLINE):
                await asyncio.shield(task)
        except TimeoutError as error:
            raise StoreUnavailable(
                "The list is being prepared for this question, which happens once.",
                remedy="Try again in a minute; the newest readings are listed meanwhile.",
                cause="indexes are being made",
            ) from error

    async def close(self) -> None:
        """Stop; what was not finished is begun again by the next process."""
        tasks = [one for one in self._units.values() if not one.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _enter(self, unit: str) -> None:
        mark, upper = keys.indexed(unit), "+"
        async with answers():
            whole = await self._client.get(mark) == _FORM.encode()
        while True:
            async with answers():
                answer = await self._client.zrevrangebylex(
                    keys.index(unit, None, None), upper, "-", start=0, num=_ROWS_AT_ONCE
                )
                ids = [one.decode() for one in cast("list[bytes]", answer)]
                await self._enter_rows(unit, ids)
            if whole or len(ids) < _ROWS_AT_ONCE:
                break
            upper = f"({ids[-1]}"
        if not whole:
            async with answers():
                await self._client.setnx(mark, _FORM)

    async def _enter_rows(self, unit: str, ids: list[str]) -> None:
        found = [one for one in await listing.rows(self._client, unit, ids) if one is not None]
        readings = [one for row in found if (one := _lenient(row)) is not None]
        if not readings:
            return
        async with self._client.pipeline(transaction=False) as entering:
            for one in readings:
                for entry in keys.later_entries(one):
                    entering.zadd(entry.key, {entry.member: 0})
            await entering.execute()
        # What was deleted meanwhile took away only what was entered by then.
        left = await listing.rows(self._client, unit, [one.id.hex for one in readings])
        gone = [one for one, row in zip(readings, left, strict=True) if row is None]
        if gone:
            async with self._client.pipeline(transaction=False) as leaving:
                for one in gone:
                    for entry in keys.later_entries(one):
                        leaving.zrem(entry.key, entry.member)
                await leaving.execute()


def _lenient(row: bytes) -> Prediction | None:
    """The reading of a row; None where it cannot be read, which is said when it is listed."""
    try:
        return Prediction.model_validate_json(keys.unpacked(row))
    except (zlib.error, ValidationError):
        return None
