"""The small forms of the pages: read within a limit, and only where the page is ours."""

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request

from diagnosis.access import SAFE_METHODS, carries_token, header_values, refuse_foreign
from diagnosis.errors import ForgedRequest, InvalidRequest
from diagnosis.identity import Identity

#: The hidden field that carries the session's token.
TOKEN_FIELD = "csrf_token"  # noqa: S105 - the name of the field
# A note of 2000 characters, each of which may take twelve in a form.
_LARGEST_BYTES = 32 * 1024
_MOST_FIELDS = 50


class Fields:
    """The fields of a form, by name."""

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        """The text of a field; empty where it was not sent."""
        return self._values.get(name, [""])[0]

    def all(self, name: str) -> tuple[str, ...]:
        """What was chosen of several with one name."""
        return tuple(self._values.get(name, ()))


async def refuse_foreign_posts(request: Request) -> None:
    """A dependency of every route: what changes something must come from one of our own pages.

    A program with an API key sends no cookie that another site could ride on.

    Raises:
        ForgedRequest: it does not.
    """
    identity = _identity(request)
    if request.method not in SAFE_METHODS and (identity is None or identity.via == "session"):
        refuse_foreign(header_values(request.scope))


def check_token(request: Request, field: str | None) -> None:
    """Check that a form came with the token of the session, in its field or in the header.

    Where nobody has signed in there is no token yet.

    Raises:
        ForgedRequest: it did not.
    """
    identity = _identity(request)
    if identity is None or identity.via == "key":
        return
    if not carries_token(header_values(request.scope), identity, field):
        raise ForgedRequest(cause="no token")


async def posted(request: Request) -> Fields:
    """The fields of a small form. Raises InvalidRequest, ForgedRequest."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = b""
    if kind == "application/x-www-form-urlencoded":
        async for part in request.stream():
            body += part
            if len(body) > _LARGEST_BYTES:
                raise InvalidRequest("The form is larger than any of ours.")
    try:
        values = parse_qs(
            body.decode(), keep_blank_values=True, strict_parsing=False, max_num_fields=_MOST_FIELDS
        )
    except ValueError as error:
        raise InvalidRequest("The form arrived malformed.") from error
    fields = Fields(values)
    check_token(request, fields[TOKEN_FIELD] or None)
    return fields


def _identity(request: Request) -> Identity | None:
    identity = request.scope.get("state", {}).get("identity")
    assert identity is None or isinstance(identity, Identity)
    return identity


#: The fields of a small form, which came from a page of ours.
Posted = Annotated[Fields, Depends(posted)]
