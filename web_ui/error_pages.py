"""Write the error pages that Nginx serves when no service can answer.

`python -m web_ui.error_pages` writes `static/dist/errors/<status>.html` after the assets are built.
They come from the same template as the live error view, so they look and read the same.
"""

import sys
from dataclasses import replace
from pathlib import Path

from diagnosis.errors import (
    FileTooLarge,
    InvalidRequest,
    MethodNotAllowed,
    NoSuchResource,
    ServiceUnavailable,
    SightlineError,
)
from web_ui.bundle import Bundle
from web_ui.rendering import Renderer
from web_ui.settings import PACKAGE
from web_ui.views import ProblemView

_UNREACHABLE = ProblemView(
    502,
    "The pages cannot be shown at the moment",
    "A part of Sightline is starting or has stopped.",
    "Nothing was lost; try again in a few seconds.",
)

#: Nginx's own number for what came without TLS where TLS is asked for; it is sent as 403.
_WITHOUT_TLS = 497

PAGES: dict[int, ProblemView] = {
    400: ProblemView.of(InvalidRequest()),
    403: ProblemView(
        403,
        "This is not open to you",
        "The request was refused.",
        "Begin at the start page; if it happens again, tell whoever runs this service.",
    ),
    404: ProblemView.of(NoSuchResource()),
    405: ProblemView.of(MethodNotAllowed()),
    413: ProblemView.of(FileTooLarge()),
    414: ProblemView(
        414,
        "The address is too long",
        "The address is longer than any that Sightline uses.",
        "Begin at the start page.",
    ),
    421: ProblemView(
        421,
        "This host name is not served here",
        "The request names a host that this server does not answer for.",
        "Use the address that was printed when Sightline started.",
    ),
    429: ProblemView(
        429,
        "Too many requests in a short time",
        "This place has sent more requests than one place may.",
        "Wait a few seconds, then send it again.",
    ),
    431: ProblemView(
        431,
        "The request's headers are too large",
        "The headers of the request are larger than any that Sightline uses.",
        "Delete the cookies of this site and try again.",
    ),
    500: ProblemView.of(SightlineError()),
    501: ProblemView(
        501,
        "This kind of request is not understood",
        "The request uses a part of HTTP that Sightline does not take.",
        "Begin at the start page.",
    ),
    502: _UNREACHABLE,
    503: ProblemView.of(ServiceUnavailable()),
    504: ProblemView(
        504,
        "The answer took too long",
        "The image was not read in the time that is allowed for it.",
        "Try again; a smaller image is read faster.",
    ),
    _WITHOUT_TLS: ProblemView(
        403,
        "This must be sent over HTTPS",
        "The request came over plain HTTP, where others can read and change it on its way.",
        "Use the same address with https. Replace an API key that was sent with it.",
    ),
}


def write(folder: Path) -> tuple[Path, ...]:
    """Write every page into `<folder>/errors/`; `folder` holds the built assets.

    Raises AssetsMissing when they were not built.
    """
    render = Renderer(Bundle(folder))
    target = folder / "errors"
    target.mkdir(exist_ok=True)
    written = []
    for status, problem in PAGES.items():
        path = target / f"{status}.html"
        # Nginx answers with its own status, which may differ from that of the error's class.
        shown = replace(problem, status=problem.status if status == _WITHOUT_TLS else status)
        path.write_text(render.html("error.html", {"problem": shown}), "utf-8")
        written.append(path)
    return tuple(written)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE / "static" / "dist")
