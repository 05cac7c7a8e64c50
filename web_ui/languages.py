"""The words of the pages in the reader's language.

Every text of a page stands in English where it is used and is looked up in a catalogue of
`web_ui/locales/<language>/LC_MESSAGES/sightline.po`; what a catalogue lacks stays English.
"""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path

from babel import Locale
from babel.dates import format_datetime
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
#: No sentence of ours is longer with its values in place.
_LONGEST = 1000
_PLACE = re.compile(r"\\\{[0-9]\\\}")
_FROM_THE_LEFT, _AS_BEFORE = "\u2066", "\u2069"
_MOMENT = "d MMM y, HH:mm 'UTC'"
_language: ContextVar[str] = ContextVar("language", default=_SOURCE)


def language() -> str:
    """The code of the language of the page that is being made."""
    return _language.get()


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Within it, texts are in this language."""
    before = _language.set(code)
    try:
        yield
    finally:
        _language.reset(before)


def _(text: str) -> str:
    """A text of a page in its reader's language."""
    # A catalogue keeps its own head under the empty text.
    return _catalogue(language()).gettext(text) if text else text


def translated(text: str) -> str:
    """A text that came from elsewhere: a name of the catalogue of diseases, a sentence of an error.

    Where values stand in such a sentence, the catalogue has it with numbered places, and the values
    are looked up by themselves. What is in no catalogue stays as it is.
    """
    catalogue = _catalogue(language())
    found = _(text)
    if found != text or language() == _SOURCE or len(text) > _LONGEST:
        return found
    # What is wrong and what to do about it, one after the other.
    for end in re.finditer(r"(?<=[.!?]) ", text):
        detail, remedy = text[: end.start()], text[end.end() :]
        if _(detail) != detail and _(remedy) != remedy:
            return f"{_(detail)} {_(remedy)}"
    for pattern, known in _patterns(language()):
        if match := pattern.fullmatch(text):
            return catalogue.gettext(known).format(*(translated(one) for one in match.groups()))
    return text


def pgettext(context: str, text: str) -> str:
    """A text that means two things in English, by what it means here."""
    return _catalogue(language()).pgettext(context, text)


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
            with speaking(preferred(request.cookies.get(COOKIE), accepted)):
                await self.app(scope, receive, send)
        else:
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


@cache
def _patterns(code: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """The sentences with places for values, the longest first: it says most of what it is about."""
    path = _LOCALES / code / "LC_MESSAGES" / "sightline.po"
    with path.open("rb") as file:
        ids = [one.id for one in read_po(file, locale=code, charset="utf-8")]
    placed = [one for one in ids if isinstance(one, str) and "{0}" in one]
    return tuple(
        (re.compile(_PLACE.sub("(.+?)", re.escape(one)), re.DOTALL), one)
        for one in sorted(placed, key=len, reverse=True)
    )


def direction() -> str:
    """Which way the language of the page is written: `ltr` or `rtl`."""
    return _direction(language())


@cache
def _direction(code: str) -> str:
    return Locale.parse(code).text_direction


def isolated(figure: str) -> str:
    """A figure with its signs, which reads from the left also among words read from the right.

    `> 99.9 %` would else show as `% 99.9 <` there.
    """
    return f"{_FROM_THE_LEFT}{figure}{_AS_BEFORE}" if direction() == "rtl" else figure


def moment(time: datetime) -> str:
    """`20 Nov 2026, 19:32 UTC`, the month as the reader's language has it."""
    utc = time.astimezone(UTC)
    return isolated(format_datetime(utc, _MOMENT, tzinfo=UTC, locale=language()))


def globals_of_templates() -> Mapping[str, object]:
    """What the templates need beside the i18n extension itself."""
    return {"direction": direction, "language": language, "languages": LANGUAGES}
