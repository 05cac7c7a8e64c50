"""Say what one makes of a reading: a first opinion before the answer, a review after it."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from diagnosis.contracts import LONGEST_NOTE, NewReview
from diagnosis.errors import AlreadyReviewed, InvalidRequest
from web_ui import read_first
from web_ui.context import Asking, In, ReadingId
from web_ui.forms import Fields, Posted
from web_ui.languages import _
from web_ui.worklist_place import WorklistPlace

router = APIRouter()

#: What the form sends where a clinician cannot tell.
CANNOT_TELL = "-"


@router.post("/readings/{prediction}/reviews")
async def add_review(
    request: Request, context: In, caller: Asking, prediction: ReadingId, fields: Posted
) -> Response:
    """Record an opinion, and lead back to the reading, where it stands with the others."""
    said = _said(fields)
    if said.kind == "review":
        reading = await context.api.reading(caller, prediction)
        await read_first.refuse_kept_back(context, caller, reading)
    try:
        await context.api.add_review(caller, prediction, said)
    except AlreadyReviewed:
        # A second press, or a second window: the first one counts, and the answer may be shown.
        if said.kind == "review":
            raise
    place = WorklistPlace.of(request.query_params)
    return RedirectResponse(place.address(prediction, said=said.verdict or "opinion"), 303)


def _said(fields: Fields) -> NewReview:
    """What a form says. Raises InvalidRequest with what is missing."""
    kind, verdict, class_id = fields["kind"] or "review", fields["verdict"], fields["class_id"]
    again = _("Go back to the reading, and try again.")
    if kind == "first_opinion":
        if not class_id:
            missing = _("Choose what you see, or that you cannot tell.")
            raise InvalidRequest(missing, remedy=again)
        class_id = "" if class_id == CANNOT_TELL else class_id
    elif verdict == "correct":
        if not class_id:
            raise InvalidRequest(_("Choose the class that it is."), remedy=again)
    else:
        # One form for all three: the class is for the correction alone.
        class_id = ""
    try:
        return NewReview.model_validate(
            {
                "kind": kind,
                "verdict": verdict or None,
                "class_id": class_id or None,
                "note": fields["note"].replace("\r\n", "\n"),
            }
        )
    except ValidationError:
        if len(fields["note"]) > LONGEST_NOTE:
            raise InvalidRequest(_("The note is too long."), remedy=again) from None
        raise InvalidRequest(_("The form arrived malformed."), remedy=again) from None
