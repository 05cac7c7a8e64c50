"""Everything that a reading's page shows, asked for at once."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from diagnosis.contracts import (
    DiseaseView,
    ListedPrediction,
    Prediction,
    PredictionPage,
    Review,
    answer_class,
)
from diagnosis.errors import SightlineError
from web_ui import read_first
from web_ui.caller import Caller
from web_ui.context import Context
from web_ui.reading_view import ClassName, ReadingView
from web_ui.worklist_place import WorklistPlace
from web_ui.worth import Worth

Answer = TypeVar("Answer")

#: Images of a patient that stand beside the reading; the worklist shows the others.
_CASE_IMAGES = 12
#: Probabilities of all classes sum to one; of very many classes only some are in a reading.
_ALL_CLASSES = 0.999


@dataclass(frozen=True)
class CaseImage:
    """A reading of the same patient, as it stands beside this one."""

    reading: ListedPrediction
    kept_back: bool
    """Whether its answer is not shown yet; it then has none."""
    shown: bool
    """Whether it is the one that the page is about."""


@dataclass(frozen=True)
class ReadingPage:
    """The parts of the page; see the templates in `reading/`."""

    reading: Prediction
    """Without its answer where that is kept back."""
    view: ReadingView
    kept_back: bool
    reviews: tuple[Review, ...] | None
    """What was said of the reading, the newest first; nothing while the answer is kept back,
    because it tells of it. None where it cannot be had."""
    classes: tuple[ClassName, ...]
    """What it could be, in the catalogue's order."""
    case: tuple[CaseImage, ...]
    """The patient's readings, newest first; empty where no reference tells whose image it is."""
    case_total: int
    worth: Worth
    place: WorklistPlace
    said: str
    """What was just done, for the page to tell."""

    @classmethod
    async def of(
        cls, context: Context, caller: Caller, prediction: UUID, query: Mapping[str, str]
    ) -> "ReadingPage":
        """Ask for all that the page shows. Raises UnknownPrediction.

        What stands beside the answer may be missing: the page then is without it.
        """
        api = context.api
        asked: Awaitable[tuple[Review, ...] | None] = api.reviews(caller, prediction)
        if not read_first.wanted(context.settings, caller):
            asked = _if_there(context, asked)
        reading, reviews = await asyncio.gather(api.reading(caller, prediction), asked)
        shut = read_first.kept_back(context.settings, caller, reading, reviews or ())
        disease, card, case = await asyncio.gather(
            _if_there(context, _disease(context, caller, reading)),
            _if_there(context, _card(context, caller, reading)),
            _if_there(context, _case(context, caller, reading)),
        )
        named = disease.classes if disease else reading.probabilities
        seen = read_first.without_answer(reading) if shut else reading
        images = await read_first.for_list(context, caller, case.items) if case else ()
        return cls(
            reading=seen,
            view=ReadingView.of(seen),
            kept_back=shut,
            reviews=None if reviews is None else () if shut else tuple(reversed(reviews)),
            classes=tuple(ClassName(one.id, one.name) for one in named),
            case=tuple(CaseImage(one, closed, one.id == reading.id) for one, closed in images),
            case_total=case.items[0].patient_readings if case and case.items else 0,
            worth=Worth.of(reading, card),
            place=WorklistPlace.of(query),
            said=query.get("said", ""),
        )

    @property
    def answer_name(self) -> str:
        """What the answer counts as, for somebody who is asked to agree with it."""
        answer = answer_class(self.reading)
        return next((one.name for one in self.reading.probabilities if one.id == answer), "")

    @property
    def class_names(self) -> Mapping[str, str]:
        """The names of the classes by id."""
        return {one.id: one.name for one in self.classes}


async def _card(context: Context, caller: Caller, reading: Prediction) -> dict[str, Any] | None:
    """The card of the version that answered; an image that was not judged asks for none."""
    if reading.outcome == "not_judged":
        return None
    return await context.api.card_of(caller, reading.artifact)


async def _disease(context: Context, caller: Caller, reading: Prediction) -> DiseaseView | None:
    """The disease, where the reading itself does not name every class of it."""
    if sum(one.probability for one in reading.probabilities) > _ALL_CLASSES:
        return None
    return await context.api.disease(caller, reading.disease)


async def _case(context: Context, caller: Caller, reading: Prediction) -> PredictionPage | None:
    if reading.patient_reference is None:
        return None
    return await context.api.readings(caller, limit=_CASE_IMAGES, same_patient_as=str(reading.id))


async def _if_there(context: Context, asked: Awaitable[Answer]) -> Answer | None:
    try:
        return await asked
    except SightlineError as error:
        context.note_refusal(error)
        return None
