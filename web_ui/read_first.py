"""Reading before the model: whose answers are kept back, and what a reading is without its answer.

Where somebody reads first, the model's answer stays out of every page until that person has said
something of the reading: it is not hidden by a style, it is not sent. Every page with readings
asks here, so that no list gives away what a reading's own page keeps back. It is a help to judge
unswayed and no secret: the API answers whoever may see the reading.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TypeVar

from diagnosis.contracts import UNDER_REVIEW, Prediction, Review
from diagnosis.errors import InputRefused
from web_ui.caller import Caller
from web_ui.context import Context
from web_ui.settings import Settings

Reading = TypeVar("Reading", bound=Prediction)

#: What tells of the answer in a reading.
_ANSWER: dict[str, object] = {
    "probabilities": (),
    "top": (),
    "conformal_set": (),
    "conformal_coverage": None,
    "band": None,
    "operating_point": None,
    "operating_points": (),
    "observed": None,
    "heatmap_classes": (),
}


class AnswerKeptBack(InputRefused):
    """Something of an answer was asked for by somebody who wants to read first."""

    code = "answer-kept-back"
    status = 409
    title = "Your own opinion comes first"
    default_detail = "The model's answer is kept back until you have recorded what you see."
    default_remedy = "Open the reading and record your opinion."


def wanted(settings: Settings, caller: Caller) -> bool:
    """Whether this person reads before the model: by the setting, or by the own choice."""
    if settings.read_first == "choice":
        return caller.identity is not None and caller.identity.read_first
    return settings.read_first == "always"


def kept_back(
    settings: Settings, caller: Caller, reading: Prediction, reviews: Iterable[Review]
) -> bool:
    """Whether the answer of a reading is not shown yet.

    An image that was not judged has no answer, and a word of one's own opens it for good.
    """
    if reading.outcome == "not_judged" or not wanted(settings, caller):
        return False
    own = caller.identity.sub if caller.identity else ""
    return all(one.created_by != own for one in reviews)


def without_answer(reading: Reading) -> Reading:
    """The reading with nothing in it that the model said of the image but that it may judge it.
    That the model is under review is no word of the image."""
    notices = tuple(one for one in reading.notices if one.code == UNDER_REVIEW)
    return reading.model_copy(update=_ANSWER | {"notices": notices})


async def for_list(
    context: Context, caller: Caller, readings: Sequence[Reading]
) -> tuple[tuple[Reading, bool], ...]:
    """The readings of a list, each with whether its answer is kept back; and without it, if so.

    A list must then not be narrowed or sorted by what the models answered either: by band, by the
    most probable class, by urgency.
    """
    if not wanted(context.settings, caller):
        return tuple((one, False) for one in readings)
    said = await asyncio.gather(*(context.api.reviews(caller, one.id) for one in readings))
    closed = [
        kept_back(context.settings, caller, one, reviews)
        for one, reviews in zip(readings, said, strict=True)
    ]
    return tuple(
        (without_answer(one) if shut else one, shut)
        for one, shut in zip(readings, closed, strict=True)
    )


async def refuse_kept_back(context: Context, caller: Caller, reading: Prediction) -> None:
    """Refuse what would give an answer away. Raises AnswerKeptBack."""
    if not wanted(context.settings, caller):
        return
    if kept_back(context.settings, caller, reading, await context.api.reviews(caller, reading.id)):
        raise AnswerKeptBack
