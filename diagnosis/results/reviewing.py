"""What was said of readings, in Redis: a list a reading, of which nothing is ever changed."""

import zlib
from collections.abc import Iterable
from typing import cast

from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import WatchError

from diagnosis.contracts import Review
from diagnosis.errors import AlreadyReviewed, StoreUnavailable, UnknownPrediction
from diagnosis.opinions import Opined
from diagnosis.redis_connection import answers
from diagnosis.results import keys, listing

_READINGS_AT_ONCE = 200


async def add(client: Redis, unit: str, review: Review) -> None:
    """See `ResultStore.add_review`."""
    member = review.prediction_id.hex
    row, kept = keys.row(unit, member), keys.reviews(unit, member)
    async with client.pipeline(transaction=True) as transaction:
        while True:
            # Neither may the reading be deleted, nor somebody else add, between look and change.
            await transaction.watch(row, kept)
            if not await transaction.exists(row):
                raise UnknownPrediction
            if review.kind == "first_opinion":
                before = _readable(cast("list[bytes]", await transaction.lrange(kept, 0, -1)))
                if review.created_by in {one.created_by for one in before}:
                    raise AlreadyReviewed
            transaction.multi()  # type: ignore[no-untyped-call]
            transaction.rpush(kept, keys.packed(review))
            if review.kind == "first_opinion":
                transaction.zadd(keys.opinions(unit), {member: 0})
            if review.state is not None:
                for name in keys.review_indexes(unit):
                    transaction.zrem(name, member)
                transaction.zadd(keys.review_index(unit, review.state), {member: 0})
            try:
                await transaction.execute()
            except WatchError:
                continue
            return


async def of(client: Redis, unit: str, member: str) -> tuple[Review, ...]:
    """What was said of a reading, oldest first."""
    return _readable(cast("list[bytes]", await client.lrange(keys.reviews(unit, member), 0, -1)))


async def opined(client: Redis, unit: str, most: int) -> tuple[tuple[Opined, ...], bool]:
    """See `ResultStore.opined`."""
    found: list[Opined] = []
    seen, upper = 0, "+"
    while True:
        async with answers():
            answer = await client.zrevrangebylex(
                keys.opinions(unit), upper, "-", start=0, num=_READINGS_AT_ONCE
            )
            ids = [one.decode() for one in cast("list[bytes]", answer)]
            if seen + len(ids) > most:
                ids = ids[: most - seen]
                complete = False
            else:
                complete = True
            if ids:
                async with client.pipeline(transaction=False) as asking:
                    for member in ids:
                        asking.lrange(keys.reviews(unit, member), 0, -1)
                    said = await asking.execute()
                rows = keys.readable_rows(await listing.rows(client, unit, ids))
                by_id = {one.id.hex: one for one in rows}
                found += [
                    Opined(by_id[member], _readable(reviews))
                    for member, reviews in zip(ids, said, strict=True)
                    if member in by_id
                ]
        seen += len(ids)
        if not complete or len(ids) < _READINGS_AT_ONCE:
            return tuple(found), complete
        upper = f"({ids[-1]}"


def _readable(packed: Iterable[bytes]) -> tuple[Review, ...]:
    try:
        return tuple(Review.model_validate_json(keys.unpacked(one)) for one in packed)
    except (zlib.error, ValidationError) as error:
        raise StoreUnavailable(
            "A review was stored in a form that this version cannot read.",
            remedy="Try again later; if it stays so, tell whoever runs this service.",
            cause=f"unreadable review: {type(error).__name__}",
        ) from None
