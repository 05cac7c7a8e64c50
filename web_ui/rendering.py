"""Turn a template and its values into an answer; the one place where HTML leaves the service."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from diagnosis import WARNING
from diagnosis.errors import SightlineError
from web_ui import glossary, labels, languages, views
from web_ui.bundle import Bundle
from web_ui.caller import Caller
from web_ui.forms import TOKEN_FIELD

#: A refusal stands above the form, whatever part of the page the form wanted to fill.
_IN_PLACE = {
    "hx-retarget": "#problem",
    "hx-reselect": "#problem-view",
    "hx-reswap": "innerHTML",
}


#: Whom the pages are for that Nginx serves by itself.
NOBODY = Caller(request_id="", identity=None, signed="", browser={})


def environment(bundle: Bundle) -> Environment:
    """The templates with everything they share."""
    templates = Environment(
        loader=PackageLoader("web_ui"),
        extensions=["jinja2.ext.i18n"],
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The extension's own methods of the environment are not known to type checkers.
    install = templates.install_gettext_callables  # type: ignore[attr-defined]
    install(languages._, languages.ngettext, newstyle=True, pgettext=languages.pgettext)
    templates.filters.update(
        figure_name=labels.figure_name,
        interval_percent=views.interval_percent,
        non_commercial=labels.is_non_commercial,
        moment=languages.moment,
        percent=views.percent,
        short_digest=views.short_digest,
        point_name=labels.point_name,
        translated=languages.translated,
        words=labels.words,
    )
    templates.globals.update(
        bundle=bundle,
        glossary=glossary.glossary,
        heatmap_colours=labels.HEATMAP_COLOURS,
        lead=views.lead,
        tone=views.tone,
        warning=WARNING,
        page="",
        serial=glossary.serial,
        term_of=glossary.term_of,
        problem=None,
        done="",
        signed_out=False,
        who=NOBODY,
        token_field=TOKEN_FIELD,
        **languages.globals_of_templates(),
    )
    return templates


class Renderer:
    """Renders pages with the templates and the bundle of one app."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._templates = environment(bundle)

    def html(self, template: str, values: Mapping[str, Any]) -> str:
        """The text of a page."""
        return self._templates.get_template(template).render(**values)

    def page(
        self,
        template: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **values: Any,
    ) -> HTMLResponse:
        """A page that no cache keeps: it may show somebody's reading."""
        kept = {"cache-control": "no-store"} | dict(headers or {})
        return HTMLResponse(self.html(template, values), status, kept)

    def problem(self, request: Request, error: SightlineError) -> Response:
        """The error view: a whole page, its core where htmx asked for a part, or JSON for a script.

        A script that sends many files says in its own list what became of each.
        """
        view = views.ProblemView.of(error)
        if asks_for_json(request):
            told = {
                name: languages._(getattr(view, name)) for name in ("title", "detail", "remedy")
            }
            return JSONResponse(
                {"status": view.status, "code": error.code} | told,
                view.status,
                retry(error) | {"cache-control": "no-store"},
                "application/problem+json",
            )
        caller = Caller.of(request)
        part = "hx-request" in request.headers
        template = "partials/problem.html" if part else "error.html"
        headers = retry(error) | (_IN_PLACE if part else {})
        return self.page(template, who=caller, status=view.status, headers=headers, problem=view)


def asks_for_json(request: Request) -> bool:
    """Whether a script of ours wants the answer as data; a browser by itself never does."""
    return "application/json" in request.headers.get("accept", "")


def retry(error: SightlineError) -> dict[str, str]:
    """The headers that say when to try again."""
    if error.retry_after is None:
        return {}
    return {"retry-after": str(error.retry_after)}
