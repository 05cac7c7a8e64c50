"""The pages that show what there is: start, disease, card, history, about, the API."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from diagnosis.contracts import DiseaseView, SuggestionList
from diagnosis.errors import InvalidRequest, SightlineError
from web_ui.api_reference import operations
from web_ui.caller import Caller
from web_ui.card_view import CardView
from web_ui.context import Asking, Context, DemoName, DiseaseId, In
from web_ui.rendering import retry
from web_ui.views import DiseaseGroups, ProblemView, balanced_point, finding_of

router = APIRouter()

#: A trail of more pages than this leads back to the newest page.
_LONGEST_TRAIL = 50


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
    return context.page(caller, "card.html", page="start", disease=described, card=card)


@router.get("/demo/{disease}/{name}")
async def demo_image(context: In, caller: Asking, disease: DiseaseId, name: DemoName) -> Response:
    """A synthetic image, to be looked at before it is read."""
    image = await context.api.demo_image(caller, disease, name)
    return Response(image.content, headers=image.headers)


@router.get("/history")
async def history(
    context: In,
    caller: Asking,
    disease: str = "",
    class_id: str = "",
    cursor: str = "",
    trail: Annotated[list[str] | None, Query()] = None,
    deleted: bool = False,
) -> Response:
    """The readings, newest first.

    `trail` holds the cursors of the newer pages, so that there is a way back to each.
    """
    listed = await context.api.diseases(caller)
    chosen = next((item for item in listed.items if item.id == disease), None)
    classes = chosen.classes if chosen else ()
    if class_id not in {item.id for item in classes}:
        class_id = ""
    try:
        found = await context.api.readings(
            caller,
            limit=context.settings.page_size,
            cursor=cursor,
            disease=chosen.id if chosen else None,
            class_id=class_id,
        )
    except InvalidRequest as error:
        raise InvalidRequest(
            "There is no such page of the history.", remedy="Open the history from its first page."
        ) from error
    filters = {"disease": chosen.id if chosen else "", "class_id": class_id}
    passed = (trail or [])[-_LONGEST_TRAIL:]
    newer = _page(filters, passed[-1] if passed else "", passed[:-1]) if cursor else None
    older = None
    if found.next_cursor:
        older = _page(filters, found.next_cursor, [*passed, cursor] if cursor else [])
    return context.page(
        caller,
        "history.html",
        page="history",
        readings=found.items,
        diseases=listed.items,
        chosen=chosen,
        classes=classes,
        class_id=class_id,
        newer=newer,
        older=older,
        deleted=deleted,
    )


def _page(filters: dict[str, str], cursor: str, trail: list[str]) -> str:
    """The address of a page of the history."""
    query = [(name, value) for name, value in (filters | {"cursor": cursor}).items() if value]
    query += [("trail", passed) for passed in trail]
    return "/history?" + urlencode(query) if query else "/history"


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
