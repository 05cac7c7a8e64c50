"""The audit trail, for auditors: who did what, found again and carried away."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Response

from diagnosis.audit import Action
from diagnosis.errors import InvalidRequest, NoSuchResource
from web_ui.accounts import AuditPage
from web_ui.context import Asking, In
from web_ui.views import ProblemView

router = APIRouter(prefix="/audit")

Term = Annotated[str, Query(max_length=80)]

FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


async def _asked(
    actor: Term = "",
    action: Term = "",
    what: Annotated[Term, Query(alias="object")] = "",
    since: Annotated[Term, Query(alias="from")] = "",
    until: Annotated[Term, Query(alias="to")] = "",
) -> dict[str, str]:
    """What is looked for, by the names of the API; what was left empty is left out."""
    given = {"actor": actor, "action": action, "object": what, "from": since, "to": until}
    return {name: value for name, value in given.items() if value}


Asked = Annotated[dict[str, str], Depends(_asked)]


@router.get("")
async def audit_page(
    context: In,
    caller: Asking,
    asked: Asked,
    cursor: Annotated[str, Query(max_length=20, pattern=r"^[0-9]*$")] = "",
) -> Response:
    """The newest records that fit; older ones page by page."""
    status, problem, found = 200, None, None
    try:
        found = await context.gateway.audit(caller, asked | ({"cursor": cursor} if cursor else {}))
    except NoSuchResource:
        # A gateway without the trail's routes; the page says so.
        pass
    except InvalidRequest as error:
        context.note_refusal(error)
        status, found = error.status, AuditPage(items=())
        problem = ProblemView(
            status,
            "This cannot be looked for",
            "An account is looked for by the name that it is signed in with, or by its id; a key, a"
            " reading or a version by its id alone.",
            "Correct the name, or copy the id from a record, or leave the field empty.",
        )
    older = None
    if found is not None and found.next_cursor is not None:
        older = "/audit?" + urlencode(asked | {"cursor": str(found.next_cursor)})
    return context.page(
        caller,
        "audit.html",
        status=status,
        page="audit",
        found=found,
        asked=asked,
        actions=[one.value for one in Action],
        problem=problem,
        exports={name: "/audit/export?" + urlencode(asked | {"format": name}) for name in FORMATS},
        newest=("/audit?" + urlencode(asked) if asked else "/audit") if cursor else None,
        older=older,
    )


@router.get("/export")
async def export(
    context: In,
    caller: Asking,
    asked: Asked,
    kind: Annotated[str, Query(alias="format", max_length=5)] = "csv",
) -> Response:
    """All records that fit, as a file."""
    if kind not in FORMATS:
        raise InvalidRequest("An export is csv or json.", remedy="Open the audit page again.")
    answer = await context.gateway.audit_export(caller, asked | {"format": kind})
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="audit.{kind}"',
    }
    return Response(answer.content, 200, headers, FORMATS[kind])
