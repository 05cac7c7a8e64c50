"""The worklist: the readings of a unit, to be searched, filtered and worked through."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, get_args
from urllib.parse import urlencode
from uuid import UUID

import httpx
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from diagnosis.contracts import (
    URGENCY,
    ClassView,
    DiseaseView,
    ListedPrediction,
    ReviewState,
    new_prediction_id,
)
from diagnosis.errors import InvalidRequest
from web_ui import read_first
from web_ui.caller import Caller
from web_ui.context import Asking, Context, In
from web_ui.opinions_view import opinion_rows, part_words
from web_ui.views import DiseaseGroups
from web_ui.worklist_place import WorklistPlace

router = APIRouter()

#: A trail of more pages than this leads back to the first page.
_LONGEST_TRAIL = 50
#: Of many readings the API looks through a part at a time; so many parts make one page here.
_MOST_LOOKS = 4
_STATES: tuple[ReviewState, ...] = get_args(ReviewState)


@dataclass(frozen=True)
class Choice:
    """How the list was narrowed and sorted; what makes no sense here was left out."""

    disease: DiseaseView | None
    class_id: str
    band: str
    review: str
    same_patient_as: str
    batch: str
    q: str
    urgent: bool

    @classmethod
    def of(
        cls, query: Mapping[str, str], diseases: tuple[DiseaseView, ...], *, unswayed: bool
    ) -> "Choice":
        """From an address.

        Args:
            query: of the address.
            diseases: the catalogue.
            unswayed: whether the reader wants no hint of the answers, of which band, class and
                urgency tell.
        """
        named = WorklistPlace.of(query).filters
        disease = next((item for item in diseases if item.id == named.get("disease")), None)
        class_id = named.get("class_id", "")
        band = named.get("band", "")
        review = named.get("review", "")
        classes = {item.id for item in disease.classes} if disease else set()
        return cls(
            disease=disease,
            class_id=class_id if class_id in classes and not unswayed else "",
            band=band if band in URGENCY and not unswayed else "",
            review=review if review in _STATES else "",
            same_patient_as=_id(named.get("same_patient_as", "")),
            batch=_id(named.get("batch", "")),
            q=" ".join(named.get("q", "").split()),
            urgent=named.get("sort") == "urgent" and not unswayed,
        )

    @property
    def filters(self) -> dict[str, str]:
        """What narrows and sorts, as the API and the addresses name it."""
        named = {
            "disease": self.disease.id if self.disease else "",
            "class_id": self.class_id,
            "band": self.band,
            "review": self.review,
            "same_patient_as": self.same_patient_as,
            "batch": self.batch,
            "q": self.q,
            "sort": "urgent" if self.urgent else "",
        }
        return {name: value for name, value in named.items() if value}

    @property
    def narrowed(self) -> bool:
        """Whether some readings are left out."""
        return bool(self.filters.keys() - {"sort"})

    @property
    def classes(self) -> tuple[ClassView, ...]:
        """What the class may be chosen from."""
        return self.disease.classes if self.disease else ()


def _id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


@router.get("/worklist")
async def worklist(
    request: Request,
    context: In,
    caller: Asking,
    cursor: str = "",
    trail: Annotated[list[str] | None, Query()] = None,
    deleted: bool = False,
) -> Response:
    """The readings, newest or most urgent first.

    `trail` holds the cursors of the pages before, so that there is a way back to each.
    """
    unswayed = read_first.wanted(context.settings, caller)
    listed = await context.api.diseases(caller)
    chosen = Choice.of(request.query_params, listed.items, unswayed=unswayed)
    # What comes in from here on is new to who looks at this page.
    seen_until = new_prediction_id()
    found, following = await _page_of(context, caller, chosen, cursor)
    passed = (trail or [])[-_LONGEST_TRAIL:]
    before = _address(chosen, passed[-1] if passed else "", passed[:-1]) if cursor else None
    after = _address(chosen, following, [*passed, cursor] if cursor else []) if following else None
    return context.page(
        caller,
        "worklist.html",
        page="worklist",
        rows=await read_first.for_list(context, caller, found),
        diseases=listed.items,
        to_try=DiseaseGroups.of(listed.items).to_try,
        chosen=chosen,
        place=WorklistPlace(chosen.filters),
        unswayed=unswayed,
        bands=URGENCY,
        states=_STATES,
        seen_until=seen_until,
        before=before,
        after=after,
        deleted=deleted,
    )


async def _page_of(
    context: Context, caller: Caller, chosen: Choice, cursor: str
) -> tuple[list[ListedPrediction], str | None]:
    """The readings of a page and the cursor of the next one.

    The page is short, or empty, where the looking was ended before it was full.
    """
    found: list[ListedPrediction] = []
    following: str | None = cursor or None
    size = context.settings.page_size
    for _look in range(_MOST_LOOKS):
        try:
            page = await context.api.readings(
                caller, limit=size - len(found), cursor=following, **chosen.filters
            )
        except InvalidRequest as error:
            raise InvalidRequest(
                "There is no such page of the worklist.",
                remedy="Open the worklist from its first page.",
            ) from error
        found += page.items
        following = page.next_cursor
        if following is None or len(found) >= size:
            break
    return found, following


def _address(chosen: Choice, cursor: str, trail: list[str]) -> str:
    """The address of a page of the worklist."""
    query = [*chosen.filters.items(), *([("cursor", cursor)] if cursor else [])]
    query += [("trail", passed) for passed in trail]
    return "/worklist?" + urlencode(query) if query else "/worklist"


@router.get("/history")
async def history(request: Request) -> Response:
    """Where the worklist stood before; what it was asked for goes along."""
    query = request.url.query
    return RedirectResponse("/worklist" + (f"?{query}" if query else ""), 308)


@router.get("/readings/events")
async def events(
    request: Request, context: In, caller: Asking, after: UUID | None = None
) -> Response:
    """Each new reading of the unit as it comes, for a page that is open.

    The stream begins after the event that the browser names when it comes again, else after the
    reading that the page names.
    """
    last = _id(request.headers.get("last-event-id", "")) or (str(after) if after else "")
    answer = await context.api.events(caller, last)

    async def passed_on() -> AsyncIterator[bytes]:
        try:
            async for part in answer.aiter_raw():
                yield part
        except httpx.TransportError:
            # The service ended it in the middle; the browser comes again by itself.
            return
        finally:
            await answer.aclose()

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(passed_on(), headers=headers, media_type="text/event-stream")


@router.get("/opinions")
async def opinions(context: In, caller: Asking) -> Response:
    """How often an answer changed a mind, and whether rightly."""
    found = await context.api.opinions(caller)
    return context.page(
        caller,
        "opinions.html",
        page="worklist",
        rows=opinion_rows(found),
        part_words=part_words(),
        complete=found.complete,
    )
