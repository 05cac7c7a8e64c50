"""Accounts, for admins: who there is, with which roles, of which unit."""

import re
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


async def _values(
    context: Context, caller: Caller, link: Link | None = None, invited: User | None = None
) -> dict[str, Any]:
    return {
        "page": "users",
        "users": await context.gateway.users(caller),
        "link": link,
        "invited": invited,
        "done": "",
    }


async def _again(context: Context, caller: Caller, error: SightlineError) -> Response:
    if isinstance(error, ReauthenticationNeeded):
        context.note_refusal(error)
        return go("/confirm?next=/users")
    return refused(context, caller, "users.html", error, **await _values(context, caller))


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
        return await _again(context, caller, error)
    return context.page(caller, "users.html", **await _values(context, caller, link, made))


@router.post("/{user}")
async def change_user(context: In, caller: Asking, user: str, fields: Posted) -> Response:
    """Roles, unit, and whether the account is closed."""
    try:
        changes = {
            "roles": list(fields.all("roles")),
            "unit": _unit(fields),
            "disabled": fields["disabled"] == "true",
        }
        await context.gateway.change_user(caller, _known(user), changes)
    except InputRefused as error:
        return await _again(context, caller, error)
    return go("/users?done=changed")


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
