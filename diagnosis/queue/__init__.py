"""Batches of files and the workers that read them: one interface, Redis behind it, and a peer in
memory for tests.

A file of a batch is called an item. It is accepted only when its bytes lie in the image store and
its record here; the id of its reading is fixed then. From there on it is in exactly one place at
any time: it waits, failed, was cancelled, or is done under the band of its reading. It leaves
`waiting` once, in one transaction that rests on its record being as it was (WATCH), and that keeps
its reading, moves it and acknowledges its entry together. So whatever dies, whenever, an item that
was accepted is read, and whatever is done twice counts once.

Keys, for a unit `u`, a batch `b` and an item `n`. The braces are Redis' hash tag, the same as that
of the unit's readings: one transaction reaches both, on a cluster too.

    queue:units                     set of the units that ever had a batch
    queue:{u}:batches               sorted set of ids, all with score 0
    queue:{u}:work                  sorted set of the ids of batches with items for workers
    queue:{u}:b                     hash: the batch as it was made, and whether it is open, closed
                                    or stopped
    queue:{u}:b:finished            when its last item was
    queue:{u}:b:bytes               bytes of its items
    queue:{u}:b:item:n              hash: the item, its place, how often it was begun
    queue:{u}:b:in:<place>          sorted set of the numbers that stand there, the number as score;
                                    what is counted is their sizes, so no count can be wrong
    queue:{u}:b:stream              stream of the items that nobody has finished, group `workers`
"""

from pathlib import Path

from diagnosis.queue.memory import MemoryQueue
from diagnosis.queue.protocol import (
    MAX_PAGE,
    MOST_TRIES,
    Backlog,
    Batches,
    Finished,
    Taken,
    Work,
)
from diagnosis.queue.redis_batches import RedisBatches
from diagnosis.queue.redis_work import RedisWork
from diagnosis.redis_connection import open_client

__all__ = [
    "MAX_PAGE",
    "MOST_TRIES",
    "Backlog",
    "Batches",
    "Finished",
    "MemoryQueue",
    "RedisBatches",
    "RedisWork",
    "Taken",
    "Work",
    "connect_batches",
    "connect_work",
]


def connect_batches(url: str, ca_file: Path | None = None) -> RedisBatches:
    """Batches on the Redis at `url`; see `diagnosis.redis_connection.open_client`."""
    return RedisBatches(open_client(url, ca_file))


def connect_work(url: str, ca_file: Path | None = None) -> RedisWork:
    """The workers' end there; see `diagnosis.redis_connection.open_client`."""
    return RedisWork(open_client(url, ca_file))
