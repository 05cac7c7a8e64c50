"""Which examination is this? An image goes in, what it may be read for comes out."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from diagnosis.contracts import SuggestionList
from diagnosis.errors import SightlineError
from web_ui.context import Asking, In
from web_ui.forms import check_token
from web_ui.languages import _
from web_ui.pages import show_start
from web_ui.rendering import asks_for_json
from web_ui.uploads import receive_form

router = APIRouter()


@router.post("/examinations")
async def propose(request: Request, context: In, caller: Asking) -> Response:
    """The start page with the proposals on it; htmx takes the proposals alone from it.

    The script that sends many images gets the proposals as data.

    Nothing of the image is kept, so each proposal asks for the image again, unless the browser
    still has it and hands it over.
    """
    try:
        form = await receive_form(request, context.settings.max_upload_bytes, demos=False)
        check_token(request, form.token)
        found = await context.api.suggestions(caller, form.image or b"")
    except SightlineError as error:
        if "hx-request" in request.headers or asks_for_json(request):
            raise
        context.note_refusal(error)
        return await show_start(context, caller, error=error)
    if asks_for_json(request):
        return JSONResponse(_answer(found), headers={"cache-control": "no-store"})
    return await show_start(context, caller, proposals=found)


def _answer(found: SuggestionList) -> dict[str, object]:
    items = [{"disease": one.disease, "name": _(one.name)} for one in found.items]
    return {"items": items, "detail": _(found.detail)}


@router.get("/examinations")
async def back_to_the_form() -> Response:
    """The proposals stand under this address; asked for again, it is the form."""
    return RedirectResponse("/#which", 303)
