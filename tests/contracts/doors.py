"""Every door of the house: the routes of the applications and the locations of the proxy.

`python -m tests.contracts.doors` writes the tables of `docs/security.md` anew.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI

import gateway.identity.access
import inference_service.access
import web_ui.access
from diagnosis.access import EVERYBODY, OPEN, AccessTable
from diagnosis.identity import Role
from gateway.rendering import render
from gateway.settings import Settings
from gateway.stack import Places, nginx_variables

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
BEGIN, END = "<!-- routes: begin -->", "<!-- routes: end -->"

#: What machines of the private side ask; the proxy answers 404.
PRIVATE = ("/healthz", "/readyz", "/metrics")

#: Open in the gateway's table because they look by themselves for the session, whole or begun.
_BY_THEMSELVES = (
    ("GET", "/internal/check"),
    ("GET", "/auth/session"),
    ("POST", "/auth/totp"),
    ("POST", "/auth/totp/confirm"),
)

TABLES: dict[str, AccessTable] = {
    "inference_service": inference_service.access.TABLE,
    "web_ui": web_ui.access.TABLE,
    "identity_service": gateway.identity.access.TABLE | dict.fromkeys(_BY_THEMSELVES, EVERYBODY),
}


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Method and template of every route that an application answers; HEAD goes with GET."""
    return set(_walk(app.routes))


def _walk(routes: Sequence[Any]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if (included := getattr(route, "original_router", None)) is not None:
            yield from _walk(included.routes)
        else:
            yield from ((method, route.path) for method in route.methods - {"HEAD"})


@dataclass(frozen=True)
class Location:
    """A location of the proxy's configuration."""

    kind: str
    """``, `=`, `^~` or `~`."""
    pattern: str
    goes_to: str
    """A service, `files`, or the status that the proxy answers by itself."""
    asks: str
    """What it asks first: `identity`, whether it is anybody; `ops`, whether they have that role."""
    internal: bool

    @property
    def name(self) -> str:
        return f"{self.kind} {self.pattern}".strip()


def locations(text: str | None = None) -> tuple[Location, ...]:
    """The locations of the rendered configuration, in its order."""
    if text is None:
        settings = Settings(grafana="127.0.0.1:3000")
        text = render(nginx_variables(settings, Places.under(Path("/run/sightline"))))
    # The public server; a second one, on the private side, is the exporter's.
    text = re.split(r"^    server \{$", text, flags=re.MULTILINE)[1]
    found = []
    for match in re.finditer(r"^\s*location (?:(=|\^~|~) )?(\S+) \{$", text, re.MULTILINE):
        body = _block(text, match.end())
        sent = re.search(r"proxy_pass http://([a-z_]+)", body)
        answer = re.search(r"return (\d{3})", body)
        asks = re.search(r"auth_request /__(\w+);", body)
        goes_to = sent[1] if sent else "files" if "alias " in body else answer[1] if answer else "?"
        found.append(
            Location(
                match[1] or "",
                match[2],
                goes_to,
                asks=asks[1] if asks else "",
                internal=bool(re.search(r"^\s*internal;", body, re.MULTILINE)),
            )
        )
    return tuple(found)


def _block(text: str, start: int) -> str:
    depth, at = 1, start
    while depth:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
    return text[start : at - 1]


def location_of(path: str, among: Sequence[Location]) -> Location:
    """The location that Nginx takes for a path: exact, then the longest prefix, then a pattern."""
    for one in among:
        if one.kind == "=" and one.pattern == path:
            return one
    prefixes = [one for one in among if one.kind in {"", "^~"} and path.startswith(one.pattern)]
    longest = max(prefixes, key=lambda one: len(one.pattern))
    if longest.kind == "^~":
        return longest
    for one in among:
        # Nginx and Python write names of groups differently.
        if one.kind == "~" and re.search(one.pattern.replace("(?<", "(?P<"), path):
            return one
    return longest


def path_of(template: str) -> str:
    """A path that a template stands for."""
    return re.sub(r"\{[^}]+\}", "x", template)


def may(allowed: frozenset[Role] | None, role: Role | None) -> bool:
    """What a table says of a role; None stands for nobody who is signed in."""
    return allowed is OPEN or (role is not None and role in allowed)


def document() -> str:
    """The tables as they stand in the document, between the markers."""
    lines = []
    for service, table in TABLES.items():
        roles = " | ".join(Role)
        lines += [
            f"### {service}",
            "",
            f"| route | nobody | {roles} |",
            "|---|---|" + "---|" * len(Role),
        ]
        lines += [_row(key, allowed) for key, allowed in table.items()]
        lines.append("")
    lines += ["### Nginx", "", "| location | goes to | who is there |", "|---|---|---|"]
    shown = [(one.name.replace("|", "\\|"), one) for one in locations()]
    lines += [f"| `{name}` | {one.goes_to} | {_asked(one)} |" for name, one in shown]
    return "\n".join(lines)


def _row(key: tuple[str, str], allowed: frozenset[Role] | None) -> str:
    method, path = key
    if path in PRIVATE:
        return f"| `{method} {path}` | private side |" + " private side |" * len(Role)
    cells = ["yes" if may(allowed, role) else "no" for role in (None, *Role)]
    return f"| `{method} {path}` | {' | '.join(cells)} |"


def _asked(one: Location) -> str:
    if one.internal:
        return "reached from inside alone"
    return {"": "not asked", "identity": "asked first", "ops": "asked first, role ops"}[one.asks]


def written() -> str:
    """What the document holds between the markers."""
    return DOCUMENT.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def main() -> None:
    """Write the tables anew."""
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(f"{before}{BEGIN}\n{document()}\n{END}{after}")


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template with its parameters."""
    return re.sub(r"\{([a-z_]+)(:path)?\}", lambda match: values[match[1]], template)


if __name__ == "__main__":
    main()
