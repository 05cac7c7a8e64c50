"""The worklist: the readings of a unit, to be searched, filtered and worked through."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from diagnosis.errors import InvalidRequest
from web_ui.context import Asking, In

router = APIRouter()

#: A trail of more pages than this leads back to the newest page.
_LONGEST_TRAIL = 50


@router.get("/worklist")
async def worklist(
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
            "There is no such page of the worklist.",
            remedy="Open the worklist from its first page.",
        ) from error
    filters = {"disease": chosen.id if chosen else "", "class_id": class_id}
    passed = (trail or [])[-_LONGEST_TRAIL:]
    newer = _page(filters, passed[-1] if passed else "", passed[:-1]) if cursor else None
    older = None
    if found.next_cursor:
        older = _page(filters, found.next_cursor, [*passed, cursor] if cursor else [])
    return context.page(
        caller,
        "worklist.html",
        page="worklist",
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
    """The address of a page of the worklist."""
    query = [(name, value) for name, value in (filters | {"cursor": cursor}).items() if value]
    query += [("trail", passed) for passed in trail]
    return "/worklist?" + urlencode(query) if query else "/worklist"


@router.get("/history")
async def history(request: Request) -> Response:
    """Where the worklist stood before; what it was asked for goes along."""
    query = request.url.query
    return RedirectResponse("/worklist" + (f"?{query}" if query else ""), 308)
