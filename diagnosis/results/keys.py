"""Names of keys and the form of rows. See the package for what each key holds."""

import hashlib
import json
import logging
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError

from diagnosis.contracts import (
    ListedBand,
    Prediction,
    ReviewState,
    Wire,
    listed_band,
)
from diagnosis.errors import StoreUnavailable
from diagnosis.results import dictionary

#: Bytes of JSON; more is no reading, however small it was compressed.
MAX_JSON = 1_000_000
#: States that have an index; a reading in none of them is open.
REVIEWED: tuple[ReviewState, ...] = ("agreed", "disagreed", "corrected")

_PATIENT_HEX = 16

log = logging.getLogger("diagnosis.results")


def row(unit: str, member: str) -> str:
    return f"results:{{{unit}}}:row:{member}"


def image(unit: str, digest: str) -> str:
    return f"results:{{{unit}}}:image:{digest.removeprefix('sha256:')}"


def index(unit: str, disease: str | None, class_id: str | None) -> str:
    about_disease = "" if disease is None else f":disease:{disease}"
    about_class = "" if class_id is None else f":class:{class_id}"
    return f"results:{{{unit}}}{(about_disease + about_class) or ':all'}"


def band_index(unit: str, band: ListedBand) -> str:
    return f"results:{{{unit}}}:band:{band}"


def batch_index(unit: str, batch: UUID) -> str:
    return f"results:{{{unit}}}:batch:{batch.hex}"


def review_index(unit: str, state: ReviewState) -> str:
    return f"results:{{{unit}}}:review:{state}"


def review_indexes(unit: str) -> tuple[str, ...]:
    return tuple(review_index(unit, state) for state in REVIEWED)


def reviews(unit: str, member: str) -> str:
    return f"results:{{{unit}}}:reviews:{member}"


def opinions(unit: str) -> str:
    return f"results:{{{unit}}}:opinions"


def patients(unit: str) -> str:
    return f"results:{{{unit}}}:patients"


def indexed(unit: str) -> str:
    return f"results:{{{unit}}}:indexed"


def once(unit: str, name: str) -> str:
    return f"results:{{{unit}}}:once:{name}"


def patient_prefix(reference: str) -> str:
    """What the members of a patient begin with. A digest of the reference: the reference itself
    stands in no command that a slow log could show."""
    return hashlib.sha256(reference.encode()).hexdigest()[:_PATIENT_HEX]


@dataclass(frozen=True)
class Entry:
    """A place in a sorted set."""

    key: str
    member: str


def entries(prediction: Prediction) -> tuple[Entry, ...]:
    """Where a new reading is entered."""
    unit, member = prediction.unit, prediction.id.hex
    top = top_class(prediction)
    names = [index(unit, None, None), index(unit, prediction.disease, None)]
    if top is not None:
        names.append(index(unit, None, top))
    if prediction.batch is not None:
        names.append(batch_index(unit, prediction.batch))
    return (*(Entry(name, member) for name in names), *later_entries(prediction))


def earlier_entries(prediction: Prediction) -> tuple[Entry, ...]:
    """Where versions before entered a reading and this one does not: one class of one disease,
    which the two other indexes tell as well, took 134 bytes a reading."""
    top = top_class(prediction)
    if top is None:
        return ()
    name = index(prediction.unit, prediction.disease, top)
    return (Entry(name, prediction.id.hex),)


def later_entries(prediction: Prediction) -> tuple[Entry, ...]:
    """Those of the entries that rows of earlier versions were stored without."""
    unit, member = prediction.unit, prediction.id.hex
    found = [Entry(band_index(unit, listed_band(prediction)), member)]
    if prediction.patient_reference is not None:
        prefix = patient_prefix(prediction.patient_reference)
        found.append(Entry(patients(unit), prefix + member))
    return tuple(found)


def top_class(prediction: Prediction) -> str | None:
    return prediction.top[0].id if prediction.top else None


def packed(content: Wire) -> bytes:
    # Looks further for what it has seen: some bytes less, in microseconds more.
    pressing = zlib.compressobj(zlib.Z_BEST_COMPRESSION, zdict=dictionary.ROWS)
    return pressing.compress(content.model_dump_json().encode()) + pressing.flush()


def unpacked(data: bytes) -> bytes:
    """The JSON of a row, whichever dictionary it was compressed with, or before there was one.

    Raises:
        zlib.error: it is damaged.
    """
    return zlib.decompressobj(zdict=dictionary.of(data)).decompress(data, MAX_JSON)


def readable(row: bytes) -> Prediction:
    try:
        return Prediction.model_validate_json(unpacked(row))
    except (zlib.error, ValidationError) as error:
        # Neither the row nor pydantic's message, which quotes it, may reach a log.
        raise StoreUnavailable(
            "This reading was stored in a form that this version cannot read.",
            remedy="Try again later; if it stays so, tell whoever runs this service.",
            cause=f"unreadable row: {type(error).__name__}",
        ) from None


def could_say(row: bytes, words: Iterable[str]) -> bool:
    """Whether a row holds all these words anywhere, which takes a quarter of the time that reading
    it takes; of a damaged one, True."""
    try:
        text = unpacked(row).decode().lower()
    except (zlib.error, ValueError):
        return True
    # As the row writes them: a quotation mark with a stroke before it.
    return all(json.dumps(word, ensure_ascii=False)[1:-1] in text for word in words)


def mentions(row: bytes, patient_reference: str) -> bool:
    """Whether a row holds this hash; of a damaged row nobody can say whose it is."""
    try:
        text = unpacked(row)
    except zlib.error:
        log.warning("a row that may be of a patient whose data is deleted cannot be read")
        return False
    # With its quotes: a digest is written with more in front, so none is taken for a reference.
    return f'"{patient_reference}"'.encode() in text


def readable_rows(rows: Iterable[bytes | None]) -> list[Prediction]:
    """The rows that are there and can be read; the log says how many cannot."""
    found: list[Prediction] = []
    unreadable = 0
    for row in rows:
        if row is None:
            continue
        try:
            found.append(readable(row))
        except StoreUnavailable:
            unreadable += 1
    if unreadable:
        log.warning("readings left out because they cannot be read: %d", unreadable)
    return found
