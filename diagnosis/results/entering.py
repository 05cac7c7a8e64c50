"""The commands that keep a reading, for whatever transaction they are to be part of."""

from redis.asyncio.client import Pipeline

from diagnosis.contracts import Prediction
from diagnosis.results import keys


def enter(transaction: Pipeline, prediction: Prediction) -> None:
    """Add the commands to a transaction of the reading's unit.

    An id that is kept already keeps its row; its indexes must then be those of the same reading.
    """
    unit, member = prediction.unit, prediction.id.hex
    # SETNX and not SET: who may only add readings (the trainer) is allowed no more.
    transaction.setnx(keys.row(unit, member), keys.packed(prediction))
    for entry in keys.entries(prediction):
        transaction.zadd(entry.key, {entry.member: 0})
    for digest in prediction.image.kept:
        transaction.sadd(keys.image(unit, digest), member)
