"""Readings: kept in Redis, or in memory as a peer behind the same protocol.

A reading never changes once it is stored; it is added, read and deleted. Ids are version 7 UUIDs,
so their order is the order of time, and a page is a range of ids: the cursor is the last id of
the page before.

Keys, for a unit `u`. The braces are Redis' hash tag: all keys of a unit lie in one slot, so one
transaction reaches them on a cluster too.

    results:{u}:row:<id>                     the prediction: JSON, zlib-compressed
    results:{u}:all                          sorted set of ids, all with score 0
    results:{u}:disease:<d>                  the same for one disease
    results:{u}:class:<c>                    the same for one top class, of any disease
    results:{u}:disease:<d>:class:<c>        the same for one top class of one disease
    results:{u}:image:<digest>               set of the ids that keep this image

Most of a row is digests, names and sentences. Compressed, a reading takes less than 2 KB of
memory with its share of the indexes; as plain JSON it took 2.8 KB.
"""

import logging
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, cast
from uuid import UUID

from pydantic import ValidationError
from redis.asyncio import Redis

from diagnosis.contracts import Prediction
from diagnosis.errors import InvalidRequest, StoreUnavailable
from diagnosis.redis_connection import answers, open_client

MAX_PAGE = 100

#: Bytes of JSON; more is no reading, however small it was compressed.
_MAX_JSON = 1_000_000

#: Rows that are looked through in one round trip; about half a megabyte.
_ROWS_AT_ONCE = 500
_SLUG = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CURSOR = re.compile(r"[0-9a-f]{32}")

_log = logging.getLogger(__name__)

Page = tuple[tuple[Prediction, ...], str | None]


class ResultStore(Protocol):
    """Where readings are kept. Every method may raise StoreUnavailable."""

    async def add(self, prediction: Prediction) -> None:
        """Keep a reading; when its id is kept already, nothing changes."""

    async def get(self, unit: str, prediction_id: UUID) -> Prediction | None:
        """One reading of a unit, or None."""

    async def list(
        self,
        unit: str,
        *,
        disease: str | None = None,
        class_id: str | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> Page:
        """A page of a unit's readings, newest first.

        Args:
            unit: whose readings.
            disease: only readings of this disease.
            class_id: only readings whose most probable class is this one.
            cursor: what the page before gave; None for the first page.
            limit: readings on the page, 1 to 100.

        Returns:
            The readings, and the cursor of the next page: None when there is none.

        Raises:
            InvalidRequest: the cursor, the limit or a name is malformed.
        """

    async def delete(self, unit: str, prediction_id: UUID) -> Prediction | None:
        """Delete a reading and return what it was; None when there was none.

        Of several callers that delete one reading at once, exactly one gets it.
        """

    async def keeps_image(self, unit: str, digest: str) -> bool:
        """Whether a reading of the unit still keeps the image, or DICOM file, of this digest."""

    async def of_patient(self, unit: str, patient_reference: str) -> tuple[UUID, ...]:
        """The ids of a unit's readings with this hashed reference, newest first.

        Every row is looked at, those too that only another version can read: an index could be
        out of step with the rows, and then a deletion would leave something behind.
        """

    async def ping(self) -> None:
        """Return when the store answers."""

    async def close(self) -> None:
        """Let go of connections."""


class MemoryResults:
    """Readings in this process, gone when it ends."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, UUID], Prediction] = {}

    async def add(self, prediction: Prediction) -> None:
        self._rows.setdefault((prediction.unit, prediction.id), prediction)

    async def get(self, unit: str, prediction_id: UUID) -> Prediction | None:
        return self._rows.get((unit, prediction_id))

    async def list(
        self,
        unit: str,
        *,
        disease: str | None = None,
        class_id: str | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> Page:
        _check_query(unit, disease, class_id, cursor, limit)
        found = sorted(
            (
                one
                for (owner, key), one in self._rows.items()
                if owner == unit
                and (cursor is None or key.hex < cursor)
                and _is_about(one, disease, class_id)
            ),
            key=lambda one: one.id.hex,
            reverse=True,
        )
        return _page(found, limit)

    async def delete(self, unit: str, prediction_id: UUID) -> Prediction | None:
        return self._rows.pop((unit, prediction_id), None)

    async def keeps_image(self, unit: str, digest: str) -> bool:
        return any(
            owner == unit and digest in one.image.kept for (owner, _), one in self._rows.items()
        )

    async def of_patient(self, unit: str, patient_reference: str) -> tuple[UUID, ...]:
        found = (
            key
            for (owner, key), one in self._rows.items()
            if owner == unit and one.patient_reference == patient_reference
        )
        return tuple(sorted(found, key=lambda key: key.hex, reverse=True))

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return


class RedisResults:
    """Readings in Redis. Durability is the server's: it runs with AOF `always`.

    A row that cannot be read (a newer version wrote it, or it is damaged) is left alone: `list`
    leaves it out and logs that it did, `get` and `delete` raise StoreUnavailable. To call it
    deleted would be untrue, and to delete it would leave an image that nobody knows of.

    Args:
        client: one of its own that answers in bytes, see `connect`; `close` closes it.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client

    async def add(self, prediction: Prediction) -> None:
        unit, member = prediction.unit, prediction.id.hex
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            # SETNX and not SET: who may only add readings (the trainer) is allowed no more.
            transaction.setnx(_row(unit, member), _packed(prediction))
            for index in _indexes(prediction):
                transaction.zadd(index, {member: 0})
            for digest in prediction.image.kept:
                transaction.sadd(_image(unit, digest), member)
            await transaction.execute()

    async def get(self, unit: str, prediction_id: UUID) -> Prediction | None:
        async with answers():
            row = cast("bytes | None", await self._client.get(_row(unit, prediction_id.hex)))
        return None if row is None else _readable(row)

    async def list(
        self,
        unit: str,
        *,
        disease: str | None = None,
        class_id: str | None = None,
        cursor: str | None = None,
        limit: int,
    ) -> Page:
        _check_query(unit, disease, class_id, cursor, limit)
        index = _index(unit, disease, class_id)
        found: list[Prediction] = []
        upper = "+" if cursor is None else f"({cursor}"
        async with answers():
            # A row may be gone or unreadable though its id was in the index, so ids are taken
            # until the page is full with one to spare, which tells that another page follows.
            while len(found) <= limit:
                answer = await self._client.zrevrangebylex(
                    index, upper, "-", start=0, num=limit + 1
                )
                ids = [member.decode() for member in cast("list[bytes]", answer)]
                if not ids:
                    break
                rows = cast(
                    "list[bytes | None]",
                    await self._client.mget([_row(unit, member) for member in ids]),
                )
                found += [one for one in _readable_rows(rows) if _is_about(one, disease, class_id)]
                upper = f"({ids[-1]}"
        return _page(found, limit)

    async def delete(self, unit: str, prediction_id: UUID) -> Prediction | None:
        prediction = await self.get(unit, prediction_id)
        if prediction is None:
            return None
        member = prediction_id.hex
        async with answers(), self._client.pipeline(transaction=True) as transaction:
            transaction.getdel(_row(unit, member))
            for index in _indexes(prediction):
                transaction.zrem(index, member)
            for digest in prediction.image.kept:
                transaction.srem(_image(unit, digest), member)
            deleted, *_ = await transaction.execute()
        return None if deleted is None else prediction

    async def keeps_image(self, unit: str, digest: str) -> bool:
        async with answers():
            return bool(await self._client.exists(_image(unit, digest)))

    async def of_patient(self, unit: str, patient_reference: str) -> tuple[UUID, ...]:
        found: list[UUID] = []
        upper = "+"
        while True:
            async with answers():
                answer = await self._client.zrevrangebylex(
                    _index(unit, None, None), upper, "-", start=0, num=_ROWS_AT_ONCE
                )
                ids = [member.decode() for member in cast("list[bytes]", answer)]
                if not ids:
                    return tuple(found)
                rows = cast(
                    "list[bytes | None]",
                    await self._client.mget([_row(unit, member) for member in ids]),
                )
            found += [
                UUID(hex=member)
                for member, row in zip(ids, rows, strict=True)
                if row is not None and _mentions(row, patient_reference)
            ]
            upper = f"({ids[-1]}"

    async def ping(self) -> None:
        async with answers():
            await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()


def connect(url: str, ca_file: Path | None = None) -> RedisResults:
    """A store on the Redis at `url`; see `diagnosis.redis_connection.open_client`."""
    return RedisResults(open_client(url, ca_file))


def _row(unit: str, member: str) -> str:
    return f"results:{{{unit}}}:row:{member}"


def _image(unit: str, digest: str) -> str:
    return f"results:{{{unit}}}:image:{digest.removeprefix('sha256:')}"


def _index(unit: str, disease: str | None, class_id: str | None) -> str:
    about_disease = "" if disease is None else f":disease:{disease}"
    about_class = "" if class_id is None else f":class:{class_id}"
    return f"results:{{{unit}}}{(about_disease + about_class) or ':all'}"


def _indexes(prediction: Prediction) -> tuple[str, ...]:
    unit, disease, top = prediction.unit, prediction.disease, _top_class(prediction)
    plain = (_index(unit, None, None), _index(unit, disease, None))
    if top is None:
        return plain
    return (*plain, _index(unit, None, top), _index(unit, disease, top))


def _top_class(prediction: Prediction) -> str | None:
    return prediction.top[0].id if prediction.top else None


def _is_about(prediction: Prediction, disease: str | None, class_id: str | None) -> bool:
    return (disease is None or prediction.disease == disease) and (
        class_id is None or _top_class(prediction) == class_id
    )


def _page(found: Sequence[Prediction], limit: int) -> Page:
    """The first `limit` of what was found, and a cursor when there is more."""
    page = tuple(found[:limit])
    return page, page[-1].id.hex if len(found) > limit else None


def _check_query(
    unit: str, disease: str | None, class_id: str | None, cursor: str | None, limit: int
) -> None:
    names = {"unit": unit, "disease": disease, "class_id": class_id}
    for field, value in names.items():
        if value is not None and not _SLUG.fullmatch(value):
            raise InvalidRequest(f"The {field} is not a name of this system.")
    if cursor is not None and not _CURSOR.fullmatch(cursor):
        raise InvalidRequest(
            "The cursor is not one that a page gave.",
            remedy="Begin at the first page, without a cursor.",
        )
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"The limit is a number from 1 to {MAX_PAGE}.")


def _packed(prediction: Prediction) -> bytes:
    return zlib.compress(prediction.model_dump_json().encode())


def _readable(row: bytes) -> Prediction:
    try:
        return Prediction.model_validate_json(zlib.decompressobj().decompress(row, _MAX_JSON))
    except (zlib.error, ValidationError) as error:
        # Neither the row nor pydantic's message, which quotes it, may reach a log.
        raise StoreUnavailable(
            "This reading was stored in a form that this version cannot read.",
            remedy="Try again later; if it stays so, tell whoever runs this service.",
            cause=f"unreadable row: {type(error).__name__}",
        ) from None


def _mentions(row: bytes, patient_reference: str) -> bool:
    """Whether a row holds this hash; of a damaged row nobody can say whose it is."""
    try:
        text = zlib.decompressobj().decompress(row, _MAX_JSON)
    except zlib.error:
        _log.warning("a row that may be of a patient whose data is deleted cannot be read")
        return False
    # With its quotes: a digest is written with more in front, so none is taken for a reference.
    return f'"{patient_reference}"'.encode() in text


def _readable_rows(rows: Iterable[bytes | None]) -> list[Prediction]:
    """The rows that are there and can be read; the log says how many cannot."""
    found: list[Prediction] = []
    unreadable = 0
    for row in rows:
        if row is None:
            continue
        try:
            found.append(_readable(row))
        except StoreUnavailable:
            unreadable += 1
    if unreadable:
        _log.warning("readings left out because they cannot be read: %d", unreadable)
    return found
