"""Make a reading, show it, show its image, delete it."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from diagnosis.contracts import Prediction
from diagnosis.errors import SightlineError
from web_ui import read_first
from web_ui.caller import Caller
from web_ui.context import Asking, Context, DiseaseId, In, ReadingId, demo_name
from web_ui.forms import Posted, check_token
from web_ui.languages import _
from web_ui.pages import show_disease
from web_ui.reading_page import ReadingPage
from web_ui.rendering import asks_for_json
from web_ui.uploads import ReadingForm, receive_form, sending_key
from web_ui.views import lead, tone
from web_ui.worklist_place import Step, WorklistPlace

router = APIRouter()


@router.post("/diseases/{disease}/readings")
async def make_reading(
    request: Request, context: In, caller: Asking, disease: DiseaseId
) -> Response:
    """Have the image read, or one of the demo images, and lead to the reading.

    What is refused is said on the page of the form, under the refusal's own status. The script
    that sends many images gets both as data.
    """
    try:
        form = await receive_form(request, context.settings.max_upload_bytes)
        check_token(request, form.token)
        reading = await context.api.read(
            caller,
            disease,
            await _image(context, caller, disease, form),
            patient_reference=form.patient_reference,
            key=sending_key(request),
        )
    except SightlineError as error:
        return await _refused(request, context, caller, disease, error)
    address = f"/readings/{reading.id}"
    for_a_list = asks_for_json(request)
    if for_a_list or "hx-request" in request.headers:
        # A form says the answer at once, too; the page with all that it rests on follows.
        led_on = {} if for_a_list else {"hx-redirect": address}
        made = _made(context, caller, reading, address)
        return JSONResponse(made, 201, {"cache-control": "no-store"} | led_on)
    return RedirectResponse(address, 303)


def _made(context: Context, caller: Caller, reading: Prediction, address: str) -> dict[str, str]:
    """What a list and a form say of an image; no answer where somebody reads before the model."""
    made = {"address": address, "outcome": reading.outcome}
    if reading.reason:
        made |= {"detail": _(reading.reason.detail), "remedy": _(reading.reason.remedy)}
    about = lead(reading)
    if about and not read_first.kept_back(context.settings, caller, reading, ()):
        made |= {"tone": tone(reading), "class": _(about.name)}
    return made


async def _image(context: Context, caller: Caller, disease: str, form: ReadingForm) -> bytes:
    if form.image is not None:
        return form.image
    demo = await context.api.demo_image(caller, disease, demo_name(form.demo or ""))
    return demo.content


async def _refused(
    request: Request, context: Context, caller: Caller, disease: str, error: SightlineError
) -> Response:
    """The form's page with the refusal on it, or the refusal alone where there is no form."""
    if "hx-request" in request.headers or asks_for_json(request):
        raise error
    try:
        form = await context.api.disease(caller, disease)
    except SightlineError:
        raise error from None
    context.note_refusal(error)
    return show_disease(context, caller, form, error)


@router.get("/diseases/{disease}/readings")
async def back_to_the_form(disease: DiseaseId) -> Response:
    """A refusal without scripts stands under this address; asked for again, it is the form."""
    return RedirectResponse(f"/diseases/{disease}", 303)


@router.get("/readings/{prediction}")
async def reading_page(
    request: Request, context: In, caller: Asking, prediction: ReadingId
) -> Response:
    """One reading: the answer first, then what it rests on and what was said of it."""
    shown = await ReadingPage.of(context, caller, prediction, request.query_params)
    return context.page(
        caller,
        "reading.html",
        page="worklist",
        shown=shown,
        reading=shown.reading,
        view=shown.view,
        kept_back=shown.kept_back,
    )


@router.get("/readings/{prediction}/next")
async def next_reading(
    request: Request, context: In, caller: Asking, prediction: ReadingId
) -> Response:
    """Lead to the reading after this one in the worklist that the address names."""
    return await _step(request, context, caller, prediction, "next")


@router.get("/readings/{prediction}/previous")
async def previous_reading(
    request: Request, context: In, caller: Asking, prediction: ReadingId
) -> Response:
    """Lead to the reading before this one in the worklist that the address names."""
    return await _step(request, context, caller, prediction, "previous")


async def _step(
    request: Request, context: Context, caller: Caller, prediction: UUID, step: Step
) -> Response:
    place = WorklistPlace.of(request.query_params)
    reading = await context.api.reading(caller, prediction)
    beside = await place.beside(context, caller, reading, step)
    if beside is None:
        return RedirectResponse(place.address(prediction, said=f"no-{step}"), 303)
    return RedirectResponse(place.address(beside), 303)


@router.get("/readings/{prediction}/thumbnail")
async def reading_thumbnail(
    request: Request, context: In, caller: Asking, prediction: ReadingId
) -> Response:
    """The image, small; unchanged where the browser has it."""
    known = request.headers.get("if-none-match")
    image = await context.api.thumbnail(caller, prediction, known)
    if image is None:
        headers = {"etag": known or "", "cache-control": "private, no-cache"}
        return Response(status_code=304, headers=headers)
    return Response(image.content, headers=image.headers)


@router.get("/readings/{prediction}/image")
async def reading_image(context: In, caller: Asking, prediction: ReadingId) -> Response:
    """The image that was read, as it is kept: without its metadata."""
    image = await context.api.reading_image(caller, prediction)
    return Response(image.content, headers=image.headers)


@router.get("/readings/{prediction}/heatmap")
async def reading_heatmap(
    context: In,
    caller: Asking,
    prediction: ReadingId,
    class_id: Annotated[str, Query(alias="class", pattern=r"^[a-z][a-z0-9_]{0,63}$")],
) -> Response:
    """Where the model found what speaks for a class: a picture to lay over the image."""
    if read_first.wanted(context.settings, caller):
        reading = await context.api.reading(caller, prediction)
        await read_first.refuse_kept_back(context, caller, reading)
    picture = await context.api.heatmap(caller, prediction, class_id)
    return Response(picture.content, headers=picture.headers)


@router.get("/readings/{prediction}/dicom")
async def reading_dicom(context: In, caller: Asking, prediction: ReadingId) -> Response:
    """The DICOM file of a reading in its full depth, where one is kept: de-identified."""
    file = await context.api.reading_dicom(caller, prediction)
    named = {"content-disposition": f'attachment; filename="{prediction}.dcm"'}
    return Response(file.content, headers=file.headers | named)


@router.get("/readings/{prediction}/delete")
async def confirm_deletion(context: In, caller: Asking, prediction: ReadingId) -> Response:
    """Ask before a reading and its image are deleted."""
    reading = await context.api.reading(caller, prediction)
    return context.page(caller, "delete.html", page="worklist", reading=reading)


@router.post("/readings/{prediction}/delete")
async def delete_reading(context: In, caller: Asking, prediction: ReadingId, _: Posted) -> Response:
    """Delete a reading and its image."""
    await context.api.delete(caller, prediction)
    return RedirectResponse("/worklist?deleted=true", 303)
