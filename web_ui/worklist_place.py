"""Where a reading stands in the worklist that it was opened from, and what is beside it there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode
from uuid import UUID

from diagnosis.contracts import URGENCY, Prediction, listed_band
from diagnosis.errors import InvalidRequest, UnknownPrediction
from web_ui import read_first
from web_ui.caller import Caller
from web_ui.context import Context

Step = Literal["next", "previous"]

#: What narrows and sorts the worklist; the addresses of its readings carry it along.
FILTERS = ("disease", "class_id", "band", "review", "same_patient_as", "batch", "q", "sort")
#: What would tell of the answers.
_TELLING = ("class_id", "band")
_LONGEST = 200
#: Pages of a hundred that are looked through for a reading's neighbour.
_MOST_PAGES = 50


@dataclass(frozen=True)
class WorklistPlace:
    """A worklist as it was narrowed and sorted; empty: all readings, newest first."""

    filters: Mapping[str, str]

    @classmethod
    def of(cls, query: Mapping[str, str]) -> "WorklistPlace":
        """From an address's query; what is no filter of ours is left out."""
        named = {name: query.get(name, "")[:_LONGEST] for name in FILTERS}
        return cls({name: value for name, value in named.items() if value})

    @property
    def worklist(self) -> str:
        """The address of the worklist."""
        return "/worklist" + (f"?{urlencode(self.filters)}" if self.filters else "")

    @property
    def query(self) -> str:
        """The filters as a query with its question mark, empty where there are none."""
        return f"?{urlencode(self.filters)}" if self.filters else ""

    def address(self, prediction: UUID, *, said: str = "") -> str:
        """The address of a reading in this worklist; `said` names what its page should tell."""
        query = urlencode({**self.filters, **({"said": said} if said else {})})
        return f"/readings/{prediction}" + (f"?{query}" if query else "")

    async def beside(
        self, context: Context, caller: Caller, reading: Prediction, step: Step
    ) -> UUID | None:
        """The reading after or before one in this worklist, None where there is none.

        The reading itself need not be in it any more: after a review it may not fit the filters.
        """
        filters = dict(self.filters)
        if read_first.wanted(context.settings, caller):
            for name in (*_TELLING, "sort"):
                filters.pop(name, None)
        urgent = filters.get("sort") == "urgent"

        def rank(one: Prediction) -> tuple[int, int]:
            band = URGENCY.index(listed_band(one)) if urgent else 0
            return band, -one.id.int

        own, before, cursor = rank(reading), None, None
        for _page in range(_MOST_PAGES):
            try:
                page = await context.api.readings(caller, limit=100, cursor=cursor, **filters)
            except (InvalidRequest, UnknownPrediction):
                return None
            for one in page.items:
                if rank(one) < own:
                    before = one.id
                elif rank(one) > own:
                    return one.id if step == "next" else before
            cursor = page.next_cursor
            if cursor is None:
                break
        return None if step == "next" else before
