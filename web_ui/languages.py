"""The words of the pages in the reader's language.

Every text of a page stands in English where it is used and is looked up in a catalogue of
`web_ui/locales/<language>/LC_MESSAGES/sightline.po`; what a catalogue lacks stays English.
"""

import io
from collections.abc import Mapping
from contextvars import ContextVar
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel import Locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from starlette.requests import Request

from diagnosis.telemetry import AsgiApp, Receive, Scope, Send

#: The languages by code, each named in itself.
LANGUAGES = {"en": "English", "es": "Español", "fr": "Français", "hi": "हिन्दी"}

#: Which language a browser has chosen; it says nothing about a person.
COOKIE = "sightline_language"

_LOCALES = Path(__file__).parent / "locales"
_SOURCE = "en"
_language: ContextVar[str] = ContextVar("language", default=_SOURCE)


def language() -> str:
    """The code of the language of the page that is being made."""
    return _language.get()


def _(text: str) -> str:
    """A text of a page in its reader's language.

    Templates have it as the filter `translated` for texts that stand elsewhere: names of the
    catalogue, sentences of errors.
    """
    # A catalogue keeps its own head under the empty text.
    return _catalogue(language()).gettext(text) if text else text


def ngettext(one: str, many: str, count: int) -> str:
    """A text about a number of things in the reader's language."""
    return _catalogue(language()).ngettext(one, many, count)


def preferred(cookie: str | None, accepted: str) -> str:
    """The language to answer in.

    Args:
        cookie: what was chosen on this browser, if anything.
        accepted: the request's `Accept-Language`; a malformed part of it counts as not said.
    """
    if cookie in LANGUAGES:
        return cookie
    wanted: list[tuple[float, str]] = []
    for part in accepted.split(",")[:20]:
        tag, _semicolon, quality = part.strip().partition(";q=")
        try:
            wanted.append((float(quality or 1), tag.partition("-")[0].lower()))
        except ValueError:
            continue
    for weight, code in sorted(wanted, key=lambda one: -one[0]):
        if weight > 0 and code in LANGUAGES:
            return code
    return _SOURCE


class InLanguage:
    """ASGI middleware: every page is made in the language that its reader prefers."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            accepted = request.headers.get("accept-language", "")
            _language.set(preferred(request.cookies.get(COOKIE), accepted))
        await self.app(scope, receive, send)


@cache
def _catalogue(code: str) -> NullTranslations:
    path = _LOCALES / code / "LC_MESSAGES" / "sightline.po"
    if not path.is_file():
        return NullTranslations()
    compiled = io.BytesIO()
    with path.open("rb") as file:
        write_mo(compiled, read_po(file, locale=code, charset="utf-8"))
    compiled.seek(0)
    return GNUTranslations(compiled)


def direction() -> str:
    """Which way the language of the page is written: `ltr` or `rtl`."""
    return Locale.parse(language()).text_direction


def globals_of_templates() -> Mapping[str, object]:
    """What the templates need beside the i18n extension itself."""
    return {"direction": direction, "language": language, "languages": LANGUAGES}
