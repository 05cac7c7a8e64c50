"""Readings: one interface, Redis behind it, and a peer in memory for tests.

A reading never changes once it is stored; it is added, read and deleted. What clinicians say of it
is added beside it and never changes either. Ids are version 7 UUIDs, so their order is the order
of time, and a page is a range of ids.

Keys, for a unit `u`. The braces are Redis' hash tag: all keys of a unit lie in one slot, so one
transaction reaches them on a cluster too.

    results:{u}:row:<id>                     the prediction: JSON, zlib-compressed
    results:{u}:all                          sorted set of ids, all with score 0
    results:{u}:disease:<d>                  the same for one disease
    results:{u}:class:<c>                    the same for one top class, of any disease
    results:{u}:disease:<d>:class:<c>        the same for one top class of one disease, of readings
                                             that versions before stored; asked by nobody
    results:{u}:band:<b>                     the same for one band, `not_judged` or `none`
    results:{u}:batch:<id>                   the same for one batch
    results:{u}:review:<state>               the same for what the newest review came to; a reading
                                             in none of them is open
    results:{u}:opinions                     the same for readings with a first opinion
    results:{u}:patients                     sorted set: 16 digits of a digest of the patient's
                                             hashed reference, then the id
    results:{u}:reviews:<id>                 list of what was said of a reading, oldest first
    results:{u}:image:<digest>               set of the ids that keep this image
    results:{u}:once:<name>                  the id of the reading that a key answers with, for
                                             30 days; `-` while it is being made
    results:{u}:indexed                      that every row is in the indexes, see `indexing`

Most of a row is digests, names and sentences. Compressed, a reading takes less than 2 KB of
memory with its share of the indexes; as plain JSON it took 2.8 KB.
"""

from diagnosis.results.entering import enter
from diagnosis.results.memory import MemoryResults
from diagnosis.results.redis_store import RedisResults, connect
from diagnosis.results.store import (
    LONGEST_TEXT,
    MAX_PAGE,
    Claim,
    Page,
    ResultStore,
    Standing,
)

__all__ = [
    "LONGEST_TEXT",
    "MAX_PAGE",
    "Claim",
    "MemoryResults",
    "Page",
    "RedisResults",
    "ResultStore",
    "Standing",
    "connect",
    "enter",
]
