"""The pages that show what there is: start, disease, card, about, the API."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from diagnosis.contracts import DiseaseView, SuggestionList
from diagnosis.errors import SightlineError
from web_ui.api_reference import operations
from web_ui.caller import Caller
from web_ui.card_view import CardView
from web_ui.context import Asking, Context, DemoName, DiseaseId, In
from web_ui.model_pages import show_card
from web_ui.rendering import retry
from web_ui.views import DiseaseGroups, ProblemView, balanced_point, finding_of

router = APIRouter()


@router.get("/")
async def start(context: In, caller: Asking) -> Response:
    """The diseases as cards, those that can be read first."""
    return await show_start(context, caller)


async def show_start(
    context: Context,
    caller: Caller,
    *,
    proposals: SuggestionList | None = None,
    error: SightlineError | None = None,
) -> Response:
    """The start page; with proposals for an image, or with an error above the form for one."""
    listed = await context.api.diseases(caller)
    return context.page(
        caller,
        "start.html",
        status=error.status if error else 200,
        headers=retry(error) if error else None,
        page="start",
        groups=DiseaseGroups.of(listed.items),
        proposals=proposals,
        problem=ProblemView.of(error) if error else None,
        max_upload_bytes=context.settings.max_upload_bytes,
    )


@router.get("/diseases/{disease}")
async def disease_page(context: In, caller: Asking, disease: DiseaseId) -> Response:
    """The reading form of a disease, and how good its model is."""
    return show_disease(context, caller, await context.api.disease(caller, disease))


def show_disease(
    context: Context, caller: Caller, disease: DiseaseView, error: SightlineError | None = None
) -> Response:
    """The page of a disease; with an error, under that error's status and above the form."""
    return context.page(
        caller,
        "disease.html",
        status=error.status if error else 200,
        headers=retry(error) if error else None,
        page="start",
        disease=disease,
        finding=finding_of(disease),
        point=balanced_point(disease),
        problem=ProblemView.of(error) if error else None,
        max_upload_bytes=context.settings.max_upload_bytes,
    )


@router.get("/diseases/{disease}/card")
async def card_page(context: In, caller: Asking, disease: DiseaseId) -> Response:
    """The card of a disease's live model in plain words, with its figures drawn."""
    described = await context.api.disease(caller, disease)
    card = CardView.of(await context.api.card(caller, disease))
    return show_card(context, caller, described, card, "live")


@router.get("/demo/{disease}/{name}")
async def demo_image(context: In, caller: Asking, disease: DiseaseId, name: DemoName) -> Response:
    """A synthetic image, to be looked at before it is read."""
    image = await context.api.demo_image(caller, disease, name)
    return Response(image.content, headers=image.headers)


@router.get("/about")
async def about(context: In, caller: Asking) -> Response:
    """What Sightline is, how to read a reading, what is kept, how a model is added."""
    return context.page(caller, "about.html", page="about")


@router.get("/api")
async def api(request: Request, context: In, caller: Asking) -> Response:
    """The API described for a programmer, from its own OpenAPI document."""
    document = await context.api.openapi(caller)
    return context.page(
        caller,
        "api.html",
        page="api",
        info=document.get("info", {}),
        operations=operations(document),
        origin=str(request.base_url).rstrip("/"),
    )


@router.get("/api-console")
async def api_console(context: In, caller: Asking) -> Response:
    """The same API with a form for each call."""
    return context.page(caller, "console.html", page="api")


@router.get("/diseases")
async def diseases() -> Response:
    """The list of diseases is the start page."""
    return RedirectResponse("/", 308)
