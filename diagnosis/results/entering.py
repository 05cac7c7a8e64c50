"""The commands that keep readings, for whatever transaction they are to be part of."""

from collections import defaultdict
from collections.abc import Iterable

from redis.asyncio.client import Pipeline

from diagnosis.contracts import Prediction
from diagnosis.results import keys


def enter(transaction: Pipeline, predictions: Iterable[Prediction]) -> None:
    """Add the commands to a transaction of the readings' unit; few, however many readings.

    An id that is kept already keeps its row; its indexes must then be those of the same reading.
    """
    members: dict[str, dict[str, float]] = defaultdict(dict)
    showing: dict[str, list[str]] = defaultdict(list)
    for one in predictions:
        unit, member = one.unit, one.id.hex
        # SETNX and not SET: who may only add readings (the trainer) is allowed no more.
        transaction.setnx(keys.row(unit, member), keys.packed(one))
        for entry in keys.entries(one):
            members[entry.key][entry.member] = 0
        for digest in one.image.kept:
            showing[keys.image(unit, digest)].append(member)
    for key, those in members.items():
        transaction.zadd(key, those)
    for key, ids in showing.items():
        transaction.sadd(key, *ids)
