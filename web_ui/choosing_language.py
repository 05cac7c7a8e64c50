"""Choose the language of the pages, signed in or not."""

from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from diagnosis.errors import InvalidRequest
from web_ui.forms import Posted
from web_ui.languages import COOKIE, LANGUAGES

router = APIRouter()

_A_YEAR = 365 * 24 * 3600


@router.post("/language")
async def choose_language(request: Request, fields: Posted) -> Response:
    """Keep the choice on this browser, and lead back to the page that it was made on."""
    chosen = fields["language"]
    if chosen not in LANGUAGES:
        raise InvalidRequest("These pages are not written in that language.")
    answer = RedirectResponse(_back(request), 303)
    answer.set_cookie(
        COOKIE,
        chosen,
        max_age=_A_YEAR,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return answer


def _back(request: Request) -> str:
    """The page that the form stood on, if it is one of ours that can be asked for again."""
    referer = urlsplit(request.headers.get("referer", ""))
    if referer.netloc != request.headers.get("host", "") or "\\" in referer.path:
        return "/"
    # Two slashes would begin the address of another host.
    path = "/" + referer.path.lstrip("/")
    return f"{path}?{referer.query}" if referer.query else path
