"""The audit trail, for auditors: who did what, found again and carried away."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response

from diagnosis.errors import InvalidRequest, NoSuchResource
from web_ui.context import Asking, In

router = APIRouter(prefix="/audit")

Term = Annotated[str, Query(max_length=80, pattern=r"^[A-Za-z0-9_@.:+-]*$")]

#: What can be looked for, in the words of the trail.
ACTIONS = (
    *("sign-in", "sign-out", "sign-in-failed", "denied", "view", "upload", "export", "review"),
    *("delete", "model-change", "threshold-change", "user-change", "key-change", "patient-delete"),
)
FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


@router.get("")
async def audit_page(
    context: In,
    caller: Asking,
    actor: Term = "",
    action: Term = "",
    object: Term = "",  # noqa: A002
    since: Term = "",
    until: Term = "",
    cursor: Term = "",
) -> Response:
    """The newest records that fit; older ones page by page."""
    asked = _asked(actor, action, object, since, until)
    paged = asked | ({"cursor": cursor} if cursor else {})
    try:
        found = await context.gateway.audit(caller, paged)
    except NoSuchResource:
        found = None
    older = None
    if found is not None and found.next_cursor is not None:
        older = "/audit?" + urlencode(asked | {"cursor": str(found.next_cursor)})
    return context.page(
        caller,
        "audit.html",
        page="audit",
        found=found,
        asked=asked,
        actions=ACTIONS,
        exports={name: "/audit/export?" + urlencode(asked | {"format": name}) for name in FORMATS},
        newest=("/audit?" + urlencode(asked) if asked else "/audit") if cursor else None,
        older=older,
    )


@router.get("/export")
async def export(
    context: In,
    caller: Asking,
    format: Annotated[str, Query(max_length=5)] = "csv",  # noqa: A002
    actor: Term = "",
    action: Term = "",
    object: Term = "",  # noqa: A002
    since: Term = "",
    until: Term = "",
) -> Response:
    """All records that fit, as a file."""
    if format not in FORMATS:
        raise InvalidRequest("An export is csv or jsonl.", remedy="Open the audit page again.")
    asked = _asked(actor, action, object, since, until)
    answer = await context.gateway.audit_export(caller, asked | {"format": format})
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="audit.{format}"',
    }
    return Response(answer.content, 200, headers, FORMATS[format])


def _asked(actor: str, action: str, object_id: str, since: str, until: str) -> dict[str, str]:
    given = {
        "actor": actor,
        "action": action,
        "object": object_id,
        "since": since,
        "until": until,
    }
    return {name: value for name, value in given.items() if value}
