"""Accounts, for admins: who there is, with which roles, of which unit."""

import re
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response

from diagnosis.errors import (
    InputRefused,
    InvalidRequest,
    NoSuchResource,
    ReauthenticationNeeded,
    SightlineError,
)
from web_ui.accounts import Link, User
from web_ui.caller import Caller
from web_ui.context import Asking, Context, In
from web_ui.forms import Fields, Posted
from web_ui.signing_in import go, refused

router = APIRouter(prefix="/users")

_ACCOUNT = re.compile(r"u_[A-Za-z0-9_-]{1,64}")
_UNIT = re.compile(r"[a-z][a-z0-9_]{0,63}")


@router.get("")
async def users_page(context: In, caller: Asking, done: str = "") -> Response:
    """Every account."""
    return context.page(caller, "users.html", **(await _values(context, caller) | {"done": done}))


@dataclass(frozen=True)
class Typed:
    """What somebody typed into a form that was refused; it is shown again."""

    user: str
    """Whose form it is; empty for a new account's."""
    name: str
    display_name: str
    roles: tuple[str, ...]
    unit: str
    disabled: bool

    @classmethod
    def of(cls, fields: Fields, user: str = "") -> "Typed":
        return cls(
            user=user,
            name=fields["name"].strip(),
            display_name=fields["display_name"].strip(),
            roles=fields.all("roles"),
            unit=fields["unit"].strip(),
            disabled=fields["disabled"] == "true",
        )


async def _values(
    context: Context, caller: Caller, link: Link | None = None, invited: User | None = None
) -> dict[str, Any]:
    return {
        "typed": None,
        "page": "users",
        "users": await context.gateway.users(caller),
        "link": link,
        "invited": invited,
        "done": "",
    }


async def _again(
    context: Context, caller: Caller, error: SightlineError, typed: Typed | None = None
) -> Response:
    if isinstance(error, ReauthenticationNeeded):
        context.note_refusal(error)
        return go("/confirm?next=/users")
    values = await _values(context, caller) | {"typed": typed}
    return refused(context, caller, "users.html", error, **values)


@router.post("")
async def add_user(context: In, caller: Asking, fields: Posted) -> Response:
    """Make an account, and a link with which its owner chooses a password."""
    account = {
        "name": fields["name"].strip(),
        "roles": list(fields.all("roles")),
    }
    if shown := fields["display_name"].strip():
        account["display_name"] = shown
    try:
        account["unit"] = _unit(fields)
        made = await context.gateway.add_user(caller, account)
        link = await context.gateway.invite(caller, made.id)
    except InputRefused as error:
        return await _again(context, caller, error, Typed.of(fields))
    return context.page(caller, "users.html", **await _values(context, caller, link, made))


@router.post("/{user}")
async def change_user(context: In, caller: Asking, user: str, fields: Posted) -> Response:
    """Roles, unit, and whether the account is closed: what was changed on the form, nothing else.

    A form that was opened before somebody else closed the account must not open it again.
    """
    try:
        if changes := _changes(fields):
            await context.gateway.change_user(caller, _known(user), changes)
    except InputRefused as error:
        return await _again(context, caller, error, Typed.of(fields, user))
    return go("/users?done=changed")


def _changes(fields: Fields) -> dict[str, Any]:
    """How what was chosen differs from what the form showed.

    Raises:
        InvalidRequest: the form does not say what it showed, or a unit's name is malformed.
    """
    shown = fields["shown_disabled"]
    if shown not in {"true", "false"} or not fields["shown_unit"]:
        raise InvalidRequest("The form arrived incomplete.", remedy="Open the page again.")
    roles, unit, disabled = list(fields.all("roles")), _unit(fields), fields["disabled"] == "true"
    changes: dict[str, Any] = {}
    if set(roles) != set(fields["shown_roles"].split()):
        changes["roles"] = roles
    if unit != fields["shown_unit"]:
        changes["unit"] = unit
    if disabled != (shown == "true"):
        changes["disabled"] = disabled
    return changes


@router.post("/{user}/invitation")
async def invite(context: In, caller: Asking, user: str, _: Posted) -> Response:
    """A new one-time link, shown on this page and never again."""
    try:
        link = await context.gateway.invite(caller, _known(user))
    except InputRefused as error:
        return await _again(context, caller, error)
    values = await _values(context, caller, link)
    values["invited"] = next((one for one in values["users"] if one.id == user), None)
    return context.page(caller, "users.html", **values)


def _unit(fields: Fields) -> str:
    unit = fields["unit"].strip() or "default"
    if not _UNIT.fullmatch(unit):
        raise InvalidRequest(
            "The name of a unit begins with a small letter and has small letters, digits and _.",
            remedy="Choose another name for the unit.",
        )
    return unit


def _known(user: str) -> str:
    if not _ACCOUNT.fullmatch(user):
        raise NoSuchResource
    return user
