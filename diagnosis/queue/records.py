"""Names of keys and the form of records. See the package for what each key holds."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import cast, get_args
from uuid import UUID

from pydantic import ValidationError
from redis.typing import EncodableT, FieldT

from diagnosis.contracts import (
    Batch,
    BatchBands,
    BatchCounts,
    BatchItem,
    ItemState,
    ListedBand,
    Notice,
    Prediction,
    listed_band,
)
from diagnosis.errors import InvalidRequest, StoreUnavailable
from diagnosis.queue.protocol import MAX_PAGE
from diagnosis.telemetry import handed_on

#: What is set in a hash.
Fields = dict[FieldT, EncodableT]

#: Units that ever had a batch. The one key that is of no unit.
UNITS = "queue:units"
GROUP = "workers"
NUMBER = "number"

WAITING, FAILED, CANCELLED = "waiting", "failed", "cancelled"
#: Where a file that was read stands: under the band of its reading.
DONE: tuple[str, ...] = tuple(f"done:{band}" for band in get_args(ListedBand))
#: Every place that a file can stand in, and it is always in exactly one.
PLACES: tuple[str, ...] = (WAITING, FAILED, CANCELLED, *DONE)

#: How a batch stands: its files may come, have all come, or are read no more; or whoever posted
#: it reads them, and states it as a whole.
OPEN, CLOSED, STOPPED, POSTED = b"open", b"closed", b"stopped", b"posted"


def batches(unit: str) -> str:
    return f"queue:{{{unit}}}:batches"


def work(unit: str) -> str:
    return f"queue:{{{unit}}}:work"


def record(unit: str, batch: str) -> str:
    return f"queue:{{{unit}}}:{batch}"


def finished_at(unit: str, batch: str) -> str:
    return f"queue:{{{unit}}}:{batch}:finished"


def size(unit: str, batch: str) -> str:
    return f"queue:{{{unit}}}:{batch}:bytes"


def place(unit: str, batch: str, name: str) -> str:
    return f"queue:{{{unit}}}:{batch}:in:{name}"


def places(unit: str, batch: str) -> tuple[str, ...]:
    return tuple(place(unit, batch, one) for one in PLACES)


def item(unit: str, batch: str, number: int) -> str:
    return f"queue:{{{unit}}}:{batch}:item:{number}"


def stream(unit: str, batch: str) -> str:
    return f"queue:{{{unit}}}:{batch}:stream"


def place_of(prediction: Prediction | None) -> str:
    """Where a file stands that was finished with this reading, or without one."""
    return FAILED if prediction is None else f"done:{listed_band(prediction)}"


def places_of(state: ItemState | None) -> tuple[str, ...]:
    """The places of a state; all of them for None."""
    if state is None:
        return PLACES
    return DONE if state == "done" else (state,)


def batch_of(
    static: bytes, stands: bytes, counts: Mapping[str, int], finished: bytes | None
) -> Batch:
    """A batch as it is now, from what is kept of it.

    Args:
        static: the batch as it was made.
        stands: `OPEN`, `CLOSED`, `STOPPED` or `POSTED`.
        counts: how many files are in each place.
        finished: when the last of them was.
    """
    made = static_batch(static)
    if stands == POSTED:
        return made
    done = {one.removeprefix("done:"): counts.get(one, 0) for one in DONE}
    waiting = counts.get(WAITING, 0)
    state = {OPEN: "open", CLOSED: "running" if waiting else "done"}.get(stands, "cancelled")
    return made.model_copy(
        update={
            "state": state,
            "finished_at": datetime.fromisoformat(finished.decode())
            if finished is not None and state in ("done", "cancelled")
            else None,
            "counts": BatchCounts(
                items=sum(counts.values()),
                waiting=waiting,
                done=sum(done.values()),
                failed=counts.get(FAILED, 0),
                cancelled=counts.get(CANCELLED, 0),
            ),
            "bands": BatchBands(**done),
        }
    )


def static_batch(static: bytes) -> Batch:
    """The batch as it was made."""
    try:
        return Batch.model_validate_json(static)
    except ValidationError:
        # Neither the record nor pydantic's message, which quotes it, may reach a log.
        raise StoreUnavailable(
            "This batch was stored in a form that this version cannot read.",
            remedy="Try again later; if it stays so, tell whoever runs this service.",
            cause="unreadable batch",
        ) from None


def item_fields(one: BatchItem) -> Fields:
    """A file as a hash."""
    fields: Fields = {"name": one.name, "size": one.size, "tries": one.tries}
    fields["place"] = one.state if one.band is None else f"{one.state}:{one.band}"
    if one.digest is not None:
        fields["digest"] = one.digest
    if one.prediction_id is not None:
        fields["reading"] = one.prediction_id.hex
    return fields | ({} if one.problem is None else problem_fields(one.problem))


def entry(number: int) -> Fields:
    """What a file is in the stream: its number, and which request it was handed in with."""
    fields: Fields = {NUMBER: number}
    for key, value in handed_on().items():
        fields[key] = value
    return fields


def problem_fields(problem: Notice) -> Fields:
    return {"code": problem.code, "detail": problem.detail, "remedy": problem.remedy}


def item_of(number: int, kept: Mapping[bytes, bytes]) -> BatchItem:
    """The file that a hash holds."""
    fields = {key.decode(): value.decode() for key, value in kept.items()}
    state, _, band = fields["place"].partition(":")
    problem = None
    if state == FAILED:
        problem = Notice(**{key: fields.get(key, "") for key in ("code", "detail", "remedy")})
    reading = fields.get("reading")
    return BatchItem(
        number=number,
        name=fields["name"],
        size=int(fields["size"]),
        digest=fields.get("digest"),
        state=cast("ItemState", state),
        band=cast("ListedBand", band) if band else None,
        tries=int(fields.get("tries", 0)),
        prediction_id=None if reading is None else UUID(hex=reading),
        problem=problem,
    )


def numbers(members: Iterable[bytes]) -> list[int]:
    return [int(one) for one in members]


def page_limit(limit: int) -> int:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidRequest(f"The limit is a number from 1 to {MAX_PAGE}.")
    return limit


def item_cursor(cursor: str | None) -> int:
    """The number that a page begins after."""
    if cursor is None:
        return -1
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > 8:
        raise _no_cursor()
    return int(cursor)


def batch_cursor(cursor: str | None) -> str | None:
    """The id that a page begins after."""
    if cursor is not None and (len(cursor) != 32 or set(cursor) - set("0123456789abcdef")):
        raise _no_cursor()
    return cursor


def _no_cursor() -> InvalidRequest:
    return InvalidRequest(
        "The cursor is not one that a page gave.",
        remedy="Begin at the first page, without a cursor.",
    )
