"""Readings to be carried away: one as JSON, a list of them as CSV.

Each is written down in the audit trail as an export, by the service that hands the readings out.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Request, Response

from diagnosis import WARNING
from diagnosis.contracts import (
    ListedBand,
    ListedPrediction,
    Prediction,
    Review,
    ReviewState,
    Sort,
    Wire,
)
from diagnosis.errors import InvalidRequest
from web_ui import read_first
from web_ui.caller import Caller
from web_ui.context import Asking, Context, In, ReadingId
from web_ui.languages import _
from web_ui.views import tone

router = APIRouter()

#: Readings in one table. A longer list is cut, and its last row says so.
MOST = 5000
#: The same where each reading's reviews have to be looked at first.
MOST_READ_FIRST = 500
#: Readings that are asked for at once.
_PAGE = 100

_SLUG = re.compile("[a-z][a-z0-9_]{0,63}")
#: What a list may be narrowed by and sorted by, as the API names it, and how that may look.
_ASKED = {
    "disease": _SLUG,
    "class_id": _SLUG,
    "band": re.compile("|".join(get_args(ListedBand))),
    "review": re.compile("|".join(get_args(ReviewState))),
    "same_patient_as": re.compile("[0-9a-f-]{32,36}"),
    "batch": re.compile("[0-9a-f-]{32,36}"),
    "q": re.compile(".{1,200}"),
    "sort": re.compile("|".join(get_args(Sort))),
}
#: Those that would give an answer away that is kept back.
_OF_THE_ANSWER = ("class_id", "band", "sort")

COLUMNS = (
    "reading", "read_at", "disease", "outcome", "band", "most_probable_class", "its_probability",
    "finding", "probability_of_finding", "operating_point", "threshold", "positive",
    "not_judged_because", "review", "model_version", "model_under_review", "synthetic", "address",
    "warning",
)  # fmt: skip

#: A cell that begins with one of these is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class ExportedReading(Wire):
    """A reading with all that clinicians said of it."""

    prediction: Prediction
    reviews: tuple[Review, ...]
    """Oldest first."""
    warning: str = WARNING


@router.get("/readings/{prediction}.json")
async def as_json(context: In, caller: Asking, prediction: ReadingId) -> Response:
    """The reading as the API has it, with its reviews; without the patient's hashed reference."""
    reading = await context.api.reading(caller, prediction, export=True)
    reviews = await context.api.reviews(caller, prediction)
    if read_first.kept_back(context.settings, caller, reading, reviews):
        raise read_first.AnswerKeptBack
    # The hash would tie what was carried away to the patient's other readings.
    alone = reading.model_copy(update={"patient_reference": None})
    exported = ExportedReading(prediction=alone, reviews=reviews)
    return file_of(
        exported.model_dump_json(indent=2), "application/json", f"reading-{prediction}.json"
    )


async def _asked(request: Request) -> dict[str, str]:
    """What the list is narrowed by; what was left empty is left out. Raises InvalidRequest."""
    given = {name: request.query_params.get(name, "") for name in _ASKED}
    asked = {name: value for name, value in given.items() if value}
    if not all(_ASKED[name].fullmatch(value) for name, value in asked.items()):
        raise InvalidRequest(
            _("There is no such list."), remedy=_("Open the worklist and try again from there.")
        )
    return asked


@router.get("/worklist.csv")
async def as_csv(
    context: In, caller: Asking, asked: Annotated[dict[str, str], Depends(_asked)]
) -> Response:
    """The worklist with its filters and its order, all pages of it up to `MOST` readings."""
    first = read_first.wanted(context.settings, caller)
    if first:
        asked = {name: value for name, value in asked.items() if name not in _OF_THE_ANSWER}
    found, more = await _all(context, caller, asked, MOST_READ_FIRST if first else MOST)
    rows = list(_rows(found))
    if more:
        said = _(
            "The list is longer: only its first %d readings stand here. Narrow it by a filter."
        )
        rows.append([said % len(found)])
    return file_of(table(COLUMNS, rows), "text/csv; charset=utf-8", "worklist.csv")


async def _all(
    context: Context, caller: Caller, asked: dict[str, str], most: int
) -> tuple[Sequence[tuple[ListedPrediction, bool]], bool]:
    """The readings, each with whether its answer is kept back, and whether there are more."""
    found: list[tuple[ListedPrediction, bool]] = []
    cursor: str | None = None
    while True:
        page = await context.api.readings(caller, limit=_PAGE, cursor=cursor, **asked)
        found += await read_first.for_list(context, caller, page.items)
        cursor = page.next_cursor
        if cursor is None or len(found) >= most:
            return found[:most], cursor is not None or len(found) > most


def _rows(found: Sequence[tuple[ListedPrediction, bool]]) -> Iterator[list[object]]:
    for reading, kept_back in found:
        point = reading.operating_point
        top = reading.top[0] if reading.top else None
        of_finding = next(
            (one for one in reading.probabilities if point and one.id == point.class_id), None
        )
        band = "kept_back" if kept_back else tone(reading).replace("-", "_")
        yield [
            reading.id,
            reading.created_at.isoformat(),
            reading.disease,
            reading.outcome,
            band if reading.band is None else reading.band,
            top.id if top else "",
            f"{top.probability:.6g}" if top else "",
            point.class_id if point else "",
            f"{of_finding.probability:.6g}" if of_finding else "",
            point.name if point else "",
            f"{point.threshold:.6g}" if point else "",
            ("yes" if point.positive else "no") if point else "",
            reading.reason.code if reading.reason else "",
            reading.review,
            reading.artifact.version,
            "yes" if reading.model_under_review else "no",
            "yes" if reading.image.demo else "no",
            f"/readings/{reading.id}",
            reading.warning,
        ]


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV that spreadsheets read rightly, and of which they run nothing."""
    text = io.StringIO()
    # A spreadsheet takes it for UTF-8 only where this mark stands first.
    text.write("\N{BYTE ORDER MARK}")
    written = csv.writer(text, lineterminator="\r\n")
    written.writerow(columns)
    written.writerows([_harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def _harmless(cell: object) -> str:
    """A cell that no spreadsheet runs."""
    text = str(cell)
    return f"'{text}" if text.startswith(_FORMULA) else text


def file_of(content: str, kind: str, name: str) -> Response:
    """An answer that a browser saves under this name."""
    headers = {"cache-control": "no-store", "content-disposition": f'attachment; filename="{name}"'}
    return Response(content, 200, headers, kind)
