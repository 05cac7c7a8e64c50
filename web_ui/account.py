"""One's own account: who one is, password, codes, API keys."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import APIRouter, Response

from diagnosis.errors import (
    InputRefused,
    InvalidRequest,
    NoSuchResource,
    ReauthenticationNeeded,
    SightlineError,
)
from web_ui.accounts import MadeKey
from web_ui.caller import Caller
from web_ui.context import Asking, Context, In
from web_ui.forms import Posted
from web_ui.signing_in import check_twice, code_of, go, qr_code, refused, secret_of

router = APIRouter(prefix="/account")

_KEY = re.compile(r"k_[A-Za-z0-9_-]{1,64}")
#: How long a key lasts, as the form offers it, in days.
KEY_DAYS = (7, 30, 90, 365)


@router.get("")
async def account_page(context: In, caller: Asking, done: str = "") -> Response:
    """Who I am and what I may do."""
    return context.page(caller, "account.html", **(await _values(context, caller) | {"done": done}))


async def _values(context: Context, caller: Caller, made: MadeKey | None = None) -> dict[str, Any]:
    """What the page shows; a program's key has no session and no keys of its own."""
    session = await context.gateway.session(caller)
    keys = await context.gateway.keys(caller) if session else ()
    return {
        "page": "account",
        "session": session,
        "keys": [one for one in keys if session is None or one.owner in ("", session.sub)],
        "made": made,
        "key_days": KEY_DAYS,
        "read_first": context.settings.read_first,
        "done": "",
    }


async def _again(context: Context, caller: Caller, error: SightlineError) -> Response:
    """The account's page with a refusal; or the password first, where that is what is missing."""
    if isinstance(error, ReauthenticationNeeded):
        context.note_refusal(error)
        return go("/confirm?next=/account")
    return refused(context, caller, "account.html", error, **await _values(context, caller))


@router.post("/password")
async def change_password(context: In, caller: Asking, fields: Posted) -> Response:
    """Another password; every other session ends."""
    try:
        check_twice(fields)
        given = {"old": fields["old"], "new": fields["new"]} | code_of(fields)
        await context.gateway.change_password(caller, **given)
    except InputRefused as error:
        return await _again(context, caller, error)
    return go("/account?done=password")


@router.post("/read-first")
async def choose_read_first(context: In, caller: Asking, fields: Posted) -> Response:
    """Whether one's own opinion comes before the model's answer, from the next page on."""
    try:
        await context.gateway.change_preferences(caller, read_first=fields["read_first"] == "on")
    except InputRefused as error:
        return await _again(context, caller, error)
    return go("/account?done=read-first")


@router.post("/codes")
async def propose_codes(context: In, caller: Asking, _: Posted) -> Response:
    """Show a secret for a device, as a QR code and in letters."""
    try:
        secret = await context.gateway.propose_codes(caller)
    except InputRefused as error:
        return await _again(context, caller, error)
    values = {"page": "account", "secret": secret, "qr": qr_code(secret.uri)}
    return context.page(caller, "codes.html", **values)


@router.post("/codes/confirm")
async def confirm_codes(context: In, caller: Asking, fields: Posted) -> Response:
    """Take the first code of the device: from now on one is asked for."""
    secret = secret_of(fields)
    try:
        cookies = await context.gateway.confirm_codes(caller, fields["code"].replace(" ", ""))
    except ReauthenticationNeeded as error:
        return await _again(context, caller, error)
    except InputRefused as error:
        values = {"page": "account", "secret": secret, "qr": qr_code(secret.uri)}
        return refused(context, caller, "codes.html", error, **values)
    return go("/account?done=codes-on", cookies)


@router.post("/codes/off")
async def give_up_codes(context: In, caller: Asking, fields: Posted) -> Response:
    """Sign in without a code from now on."""
    try:
        given = {"password": fields["password"]} | code_of(fields)
        await context.gateway.give_up_codes(caller, **given)
    except InputRefused as error:
        return await _again(context, caller, error)
    return go("/account?done=codes-off")


@router.post("/keys")
async def make_key(context: In, caller: Asking, fields: Posted) -> Response:
    """A new key, shown on this page and never again."""
    days = fields["days"]
    try:
        if days not in {str(one) for one in KEY_DAYS}:
            raise InvalidRequest("Choose how long the key lasts.")
        if not fields.all("roles"):
            raise InvalidRequest("Choose at least one role for the key.")
        ends = datetime.now(UTC) + timedelta(days=int(days))
        made = await context.gateway.make_key(
            caller, fields["name"].strip(), fields.all("roles"), ends
        )
    except InputRefused as error:
        return await _again(context, caller, error)
    return context.page(caller, "account.html", **await _values(context, caller, made))


@router.post("/keys/{key}/revoke")
async def revoke_key(context: In, caller: Asking, key: str, _: Posted) -> Response:
    """End a key at once."""
    if not _KEY.fullmatch(key):
        raise NoSuchResource
    try:
        await context.gateway.delete_key(caller, key)
    except InputRefused as error:
        return await _again(context, caller, error)
    return go("/account?done=revoked")
