"""Pages of the list out of Redis' indexes.

Each index is a sorted set of ids in the order of time. Of those that a question is about, the
smallest is gone through from its newest id, and the others are asked whether they hold the same
ids; a row is fetched only for what all of them hold. Words are looked for in rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from redis.asyncio import Redis

from diagnosis.contracts import ListedBand, Prediction
from diagnosis.results import keys
from diagnosis.results.store import Page, Standing, Wanted

#: What one request looks through at most; a cursor goes on from there.
MOST_IDS = 5_000
MOST_ROWS = 400

_IDS_AT_ONCE = 1_000
_ROWS_AT_ONCE = 100


@dataclass
class Allowance:
    """What a request may still look through."""

    ids: int = MOST_IDS
    rows: int = MOST_ROWS

    @property
    def used_up(self) -> bool:
        return self.ids <= 0 or self.rows <= 0


@dataclass(frozen=True)
class _Source:
    """A sorted set whose members end with an id, after the same beginning."""

    key: str
    prefix: str = ""


async def page(client: Redis, unit: str, asked: Wanted) -> Page:
    """A page of the list; see `ResultStore.list`."""
    if (one := _whole_id(asked.words)) is not None:
        return await _only(client, unit, one, asked)
    found: list[tuple[int, Prediction]] = []
    allowance = Allowance()
    for part in asked.bands:
        begins = asked.begins_at(part)
        if begins is None:
            continue
        place, upper = begins
        base, others = await _sources(client, unit, asked, part)
        several = bool(others or asked.words or asked.review == "open")
        # Few at first, because most filters let most readings through.
        count = min(_IDS_AT_ONCE, (3 if several else 1) * (asked.limit + 1))
        while True:
            ids = await _ids(client, base, upper, count)
            kept = await _in_all(client, unit, others, asked, ids)
            # As many rows as the page still needs, and one, which tells that another page follows.
            while kept:
                step = _ROWS_AT_ONCE if asked.words else asked.limit + 1 - len(found)
                now, kept = kept[:step], kept[step:]
                rows_now = await _saying(client, unit, now, asked.words)
                found += [(place, one) for one in rows_now if asked.fits(one)]
                upper = now[-1]
                if len(found) > asked.limit:
                    where, last = found[asked.limit - 1]
                    items = tuple(one for _, one in found[: asked.limit])
                    return items, asked.cursor(where, last.id.hex)
                if asked.words:
                    allowance.rows -= len(now)
                    if allowance.used_up:
                        return _part(found), asked.cursor(place, upper)
            if len(ids) < count:
                break
            upper = ids[-1]
            allowance.ids -= len(ids)
            if several and allowance.used_up:
                return _part(found), asked.cursor(place, upper)
            count = min(_IDS_AT_ONCE, 4 * count) if several else count
    return _part(found), None


async def standings(client: Redis, readings: Sequence[Prediction]) -> tuple[Standing, ...]:
    """What the list says of readings of one unit beside them."""
    if not readings:
        return ()
    unit, members = readings[0].unit, [one.id.hex for one in readings]
    async with client.pipeline(transaction=False) as asking:
        for name in keys.review_indexes(unit):
            asking.zmscore(name, members)
        for one in readings:
            if one.patient_reference is not None:
                prefix = keys.patient_prefix(one.patient_reference)
                asking.zlexcount(keys.patients(unit), f"[{prefix}", f"({prefix}g")
        answered = await asking.execute()
    scores, counts = answered[: len(keys.REVIEWED)], iter(answered[len(keys.REVIEWED) :])
    found = []
    for place, one in enumerate(readings):
        states = [
            state
            for state, held in zip(keys.REVIEWED, scores, strict=True)
            if held[place] is not None
        ]
        patient = 0 if one.patient_reference is None else int(next(counts))
        found.append(Standing(states[0] if states else "open", patient))
    return tuple(found)


async def rows(client: Redis, unit: str, ids: Sequence[str | bytes]) -> list[bytes | None]:
    """The rows of these ids, None where one is gone."""
    if not ids:
        return []
    names = [keys.row(unit, one.decode() if isinstance(one, bytes) else one) for one in ids]
    return cast("list[bytes | None]", await client.mget(names))


async def _saying(
    client: Redis, unit: str, ids: Sequence[str], words: Sequence[str]
) -> list[Prediction]:
    """The readings of these ids, without those that cannot hold the words."""
    found = [one for one in await rows(client, unit, ids) if one is not None]
    return keys.readable_rows(one for one in found if not words or keys.could_say(one, words))


async def _sources(
    client: Redis, unit: str, asked: Wanted, part: ListedBand | None
) -> tuple[_Source, list[_Source]]:
    """The smallest of the indexes that the question is about, and the others."""
    found = []
    if part is not None:
        found.append(_Source(keys.band_index(unit, part)))
    if asked.review in keys.REVIEWED:
        found.append(_Source(keys.review_index(unit, asked.review)))
    if asked.disease is not None:
        found.append(_Source(keys.index(unit, asked.disease, None)))
    if asked.class_id is not None:
        found.append(_Source(keys.index(unit, None, asked.class_id)))
    if asked.batch is not None:
        found.append(_Source(keys.batch_index(unit, asked.batch)))
    if asked.patient_reference is not None:
        # One patient's are few: the others are asked of those few.
        prefix = keys.patient_prefix(asked.patient_reference)
        return _Source(keys.patients(unit), prefix), found
    if not found:
        return _Source(keys.index(unit, None, None)), []
    if len(found) > 1:
        async with client.pipeline(transaction=False) as asking:
            for one in found:
                asking.zcard(one.key)
            sizes = await asking.execute()
        found = [one for _, one in sorted(zip(sizes, found, strict=True), key=lambda of: of[0])]
    return found[0], found[1:]


async def _ids(client: Redis, source: _Source, upper: str | None, count: int) -> list[str]:
    prefix = source.prefix
    # No hexadecimal digit comes after g.
    beginning = f"({prefix}g" if prefix else "+"
    highest = beginning if upper is None else f"({prefix}{upper}"
    lowest = f"[{prefix}" if prefix else "-"
    answer = await client.zrevrangebylex(source.key, highest, lowest, start=0, num=count)
    return [one.decode()[len(prefix) :] for one in cast("list[bytes]", answer)]


async def _in_all(
    client: Redis, unit: str, others: Sequence[_Source], asked: Wanted, ids: list[str]
) -> list[str]:
    """Those of the ids that all other indexes hold too."""
    excluded = keys.review_indexes(unit) if asked.review == "open" else ()
    if not ids or not (others or excluded):
        return ids
    async with client.pipeline(transaction=False) as asking:
        for one in others:
            asking.zmscore(one.key, ids)
        for name in excluded:
            asking.zmscore(name, ids)
        answered = cast("list[list[float | None]]", await asking.execute())
    held, barred = answered[: len(others)], answered[len(others) :]
    return [
        one
        for place, one in enumerate(ids)
        if all(scores[place] is not None for scores in held)
        and all(scores[place] is None for scores in barred)
    ]


async def _only(client: Redis, unit: str, one: UUID, asked: Wanted) -> Page:
    """The one reading whose whole id was looked for, if the rest of the question fits it."""
    found = keys.readable_rows(await rows(client, unit, [one.hex]))
    found = [item for item in found if asked.fits(item)]
    if asked.review is not None:
        states = await standings(client, found)
        found = [
            item for item, state in zip(found, states, strict=True) if state.review == asked.review
        ]
    return tuple(found), None


def _whole_id(words: Sequence[str]) -> UUID | None:
    for word in words:
        try:
            return UUID(word)
        except ValueError:
            continue
    return None


def _part(found: Sequence[tuple[int, Prediction]]) -> tuple[Prediction, ...]:
    return tuple(one for _, one in found)
