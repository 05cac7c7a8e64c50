"""The sign-off: who looked at a data set, when, at what, and whether it is still that data set.

It is kept as `signoff.json` beside the data, the newest last. It names a role and never a person or
a patient.
"""

import hashlib
import html
import json
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from diagnosis.contracts import Digest, now
from diagnosis.durable import replace_file
from trainer.data import beside
from trainer.refusals import DataRefused, TrainerRefused

NAME = "signoff.json"
#: Name of the `<meta>` in a contact sheet that says what it shows.
META = "sightline-sheet"
_LONG_NUMBER = re.compile(r"\d{5,}")
State = Literal["none", "matches", "outdated"]


def _names_nobody(text: str) -> str:
    if "@" in text or _LONG_NUMBER.search(text):
        raise ValueError("it must name no person: no address and no number of five digits or more")
    return text


Role = Annotated[str, Field(min_length=2, max_length=100), AfterValidator(_names_nobody)]
Note = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_names_nobody)]


class Record(BaseModel):
    """Base of what is stored: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SheetRecord(Record):
    """The contact sheet that was looked at."""

    digest: Digest
    seed: int
    shown: dict[str, int]
    """How many images the sheet shows in each of its lists."""


class SignOff(Record):
    """One sign-off."""

    by: Role
    """A role, for example `radiologist`."""
    at: datetime
    note: Note
    listing: Digest
    """Of the data set; see `trainer.data.listing_of`."""
    files: int
    sheet: SheetRecord | None = None


class _File(Record):
    sign_offs: tuple[SignOff, ...]


class SheetMeta(Record):
    """What a contact sheet says of itself."""

    listing: Digest
    seed: int
    shown: dict[str, int]


def place_of(data: Path, choice: Path | None) -> Path:
    """The file of sign-offs: the chosen one, or the one beside DATA."""
    return choice or beside(data, NAME)


def read(path: Path) -> tuple[SignOff, ...]:
    """The sign-offs of a file, the newest last; none where it does not exist.

    Raises:
        DataRefused: it is there and cannot be read.
    """
    try:
        return _File.model_validate_json(path.read_bytes()).sign_offs
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise DataRefused(
            f"{path} is no file of sign-offs; move it away and sign off again."
        ) from error


def state_of(sign_offs: tuple[SignOff, ...], listing: str) -> tuple[State, SignOff | None]:
    """Whether the data was signed off as it is, and the sign-off that says so.

    `outdated` comes with the newest sign-off of data that has changed since.
    """
    for one in reversed(sign_offs):
        if one.listing == listing:
            return "matches", one
    return ("outdated", sign_offs[-1]) if sign_offs else ("none", None)


def sentence(state: State, one: SignOff | None) -> str:
    """The state for a person."""
    if one is None:
        return "Not signed off."
    who = f"Signed off by {one.by} on {one.at:%Y-%m-%d}"
    return f"{who}." if state == "matches" else f"{who}; the data has changed since."


def sign(
    place: Path, *, by: str, note: str, listing: str, files: int, sheet: Path | None = None
) -> SignOff:
    """Add a sign-off to a file.

    Raises:
        TrainerRefused: the role or the note names somebody, or the sheet shows other data.
        DataRefused: the file cannot be written; the sentence names `--out`.
    """
    before = read(place)
    try:
        one = SignOff(
            by=by.strip(),
            at=now(),
            note=note.strip(),
            listing=listing,
            files=files,
            sheet=_sheet(sheet, listing) if sheet else None,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise TrainerRefused(f"--{first['loc'][0]}: {first['msg']}.") from error
    content = _File(sign_offs=(*before, one)).model_dump_json(indent=1).encode() + b"\n"
    try:
        replace_file(place, content)
    except OSError as error:
        raise DataRefused(
            f"{place} cannot be written ({error.strerror}). Name another file with --out FILE, and "
            "give it to audit and train with --sign-off FILE."
        ) from error
    return one


def _sheet(path: Path, listing: str) -> SheetRecord:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TrainerRefused(f"The sheet {path} cannot be read: {error.strerror}.") from error
    found = re.search(rf'<meta name="{META}" content="([^"]*)">'.encode(), content)
    said = found[1] if found else b""
    try:
        meta = SheetMeta.model_validate(json.loads(html.unescape(said.decode())))
    except ValueError as error:
        raise TrainerRefused(
            f"{path} is no contact sheet; `trainer audit DATA --sheet FILE` writes one."
        ) from error
    if meta.listing != listing:
        raise TrainerRefused(
            f"{path} shows other data than this, or the data has changed since it was written; "
            "write it anew with `trainer audit DATA --sheet FILE`."
        )
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return SheetRecord(digest=digest, seed=meta.seed, shown=meta.shown)
