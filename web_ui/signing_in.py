"""The way in and out: name and password, a code, a one-time link, the password once more."""

import io
import re
from collections.abc import Iterable
from typing import Annotated, Any
from urllib.parse import urlencode

import segno
from fastapi import APIRouter, Query, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders

from diagnosis.errors import InputRefused, InvalidRequest, NoSuchResource, SightlineError
from web_ui.accounts import CodeSecret
from web_ui.caller import Caller
from web_ui.context import Asking, Context, In
from web_ui.forms import Fields, Posted
from web_ui.rendering import retry
from web_ui.views import ProblemView

router = APIRouter()

#: A place of ours to go to: one slash, then nothing that a browser could read as another host.
_PLACE = re.compile(r"/(?![/\\])[A-Za-z0-9._~/?=&%#-]{0,500}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
_CODE_ADDRESS = re.compile(r"otpauth://totp/[ -~]{1,500}")
_BASE_32 = re.compile(r"[A-Z2-7]{16,128}=*")


NextPlace = Annotated[str, Query(alias="next", max_length=600)]


#: Title, sentence and remedy of what can go wrong at an organisation's provider.
_AT_THE_PROVIDER = {
    "provider-unavailable": (
        "Your organisation's sign-in does not answer",
        "The service that knows your organisation's accounts does not answer.",
        "Try again in a few seconds, or sign in with your password.",
    ),
    "last-admin": (
        "Somebody has to be admin",
        "Your organisation says that you administer this no more, and nobody else here does.",
        "Whoever runs Sightline makes another admin first.",
    ),
    "no-provider": (
        "There is no other way to sign in",
        "Signing in with an account of your organisation is not set up here.",
        "Sign in with your name and your password.",
    ),
}
_NOT_KNOWN_THERE = (
    "You could not be signed in",
    "Your organisation did not confirm that it is you, or you have no account here.",
    "Try again; an admin of Sightline can make an account for you.",
)


def safe_place(text: str, default: str = "/") -> str:
    """Where to go next, if that is a place of ours; else the default."""
    return text if _PLACE.fullmatch(text) else default


def with_cookies(answer: Response, cookies: Iterable[str]) -> Response:
    """The answer with what the gateway sets in the browser."""
    headers = MutableHeaders(raw=answer.raw_headers)
    for cookie in cookies:
        headers.append("set-cookie", cookie)
    return answer


def go(place: str, cookies: Iterable[str] = ()) -> Response:
    """Lead on after a form."""
    return with_cookies(RedirectResponse(place, 303), cookies)


def qr_code(address: str) -> str:
    """A QR code as SVG to stand in a page: no style and no script, black on white."""
    drawn = io.BytesIO()
    segno.make(address, micro=False).save(
        drawn, kind="svg", xmldecl=False, svgns=False, scale=5, border=4, light="#fff", nl=False
    )
    return drawn.getvalue().decode()


def secret_of(fields: Fields) -> CodeSecret:
    """The secret that a page showed and whose form sends it back.

    Raises:
        InvalidRequest: it is none.
    """
    uri, secret = fields["uri"], fields["secret"]
    if not _CODE_ADDRESS.fullmatch(uri) or not _BASE_32.fullmatch(secret):
        raise InvalidRequest("The form arrived incomplete.", remedy="Begin again.")
    return CodeSecret(uri=uri, secret=secret)


def refused(
    context: Context, caller: Caller, template: str, error: SightlineError, **values: Any
) -> Response:
    """The form's page once more, with the refusal above the form and under its own status."""
    context.note_refusal(error)
    return context.page(
        caller,
        template,
        status=error.status,
        headers=retry(error),
        problem=ProblemView.of(error),
        **values,
    )


@router.get("/sign-in")
async def sign_in_page(
    context: In,
    caller: Asking,
    after: NextPlace = "/",
    signed_out: bool = False,
    problem: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Name and password; after a failure at an organisation's provider, with the reason."""
    place = safe_place(after)
    if problem:
        view = ProblemView(401, *_AT_THE_PROVIDER.get(problem, _NOT_KNOWN_THERE))
        values = _sign_in(context, place)
        return context.page(caller, "sign_in.html", problem=view, **values)
    return context.page(caller, "sign_in.html", **_sign_in(context, place), signed_out=signed_out)


@router.post("/sign-in")
async def sign_in(context: In, caller: Asking, fields: Posted) -> Response:
    """Sign in; where a code is asked for, lead to its page."""
    place = safe_place(fields["next"])
    try:
        step = await context.gateway.sign_in(
            caller, name=fields["name"].strip(), password=fields["password"]
        )
    except InputRefused as error:
        values = _sign_in(context, place, fields["name"])
        return refused(context, caller, "sign_in.html", error, **values)
    if step.next == "done":
        return go(place, step.cookies)
    return go(f"/sign-in/code?{urlencode({'next': place})}", step.cookies)


def _sign_in(context: Context, place: str, name: str = "") -> dict[str, Any]:
    return {
        "page": "sign-in",
        "place": place,
        "name": name,
        "organisation": context.settings.organisation_sign_in,
    }


@router.get("/sign-in/code")
async def code_page(context: In, caller: Asking, after: NextPlace = "/") -> Response:
    """The code of a device, or the secret for one where codes have to be set up first."""
    place = safe_place(after)
    session = await context.gateway.session(caller)
    if session is None:
        return context.page(caller, "sign_in_code.html", page="sign-in", place=place)
    if session.next != "enrol":
        return go(place)
    secret = await context.gateway.propose_codes(caller, token=session.csrf)
    return context.page(caller, "sign_in_codes.html", **_enrol(place, secret, session.csrf))


@router.post("/sign-in/code")
async def send_code(context: In, caller: Asking, fields: Posted) -> Response:
    """Take the code."""
    place = safe_place(fields["next"])
    code = fields["code"].replace(" ", "")
    if fields["secret"]:
        secret, token = secret_of(fields), fields["csrf_token"]
        try:
            cookies = await context.gateway.confirm_codes(caller, code, token=token)
        except InputRefused as error:
            values = _enrol(place, secret, token)
            return refused(context, caller, "sign_in_codes.html", error, **values)
        return go(place, cookies)
    try:
        step = await context.gateway.sign_in(caller, code=code)
    except InputRefused as error:
        values = {"page": "sign-in", "place": place}
        return refused(context, caller, "sign_in_code.html", error, **values)
    if step.next == "done":
        return go(place, step.cookies)
    return go(f"/sign-in/code?{urlencode({'next': place})}", step.cookies)


def _enrol(place: str, secret: CodeSecret, token: str) -> dict[str, Any]:
    return {
        "page": "sign-in",
        "place": place,
        "token": token,
        "secret": secret,
        "qr": qr_code(secret.uri),
    }


@router.get("/welcome/{token}")
async def welcome_page(context: In, caller: Asking, token: str) -> Response:
    """Choose a password, whom a one-time link was made for."""
    invited = await context.gateway.invited(caller, _token(token))
    return context.page(caller, "welcome.html", page="sign-in", invited=invited, token=token)


@router.post("/welcome/{token}")
async def welcome(context: In, caller: Asking, token: str, fields: Posted) -> Response:
    """Set the password and sign in."""
    invited = await context.gateway.invited(caller, _token(token))
    try:
        check_twice(fields)
        cookies = await context.gateway.accept(caller, token, fields["new"])
    except InputRefused as error:
        values = {"page": "sign-in", "invited": invited, "token": token}
        return refused(context, caller, "welcome.html", error, **values)
    # Leads on to the start page, or first to setting up codes where the role asks for them.
    return go("/sign-in/code", cookies)


def check_twice(fields: Fields) -> None:
    """Check that a new password was typed alike twice.

    Raises:
        InvalidRequest: it was not.
    """
    if fields["new"] != fields["again"]:
        raise InvalidRequest(
            "The two new passwords are not alike.", remedy="Type or paste the same one twice."
        )


def code_of(fields: Fields) -> dict[str, str]:
    """The code that was typed, without its spaces; nothing where none was."""
    code = fields["code"].replace(" ", "")
    return {"code": code} if code else {}


def _token(text: str) -> str:
    if not _TOKEN.fullmatch(text):
        raise NoSuchResource
    return text


@router.post("/sign-out")
async def sign_out(context: In, caller: Asking, _: Posted) -> Response:
    """End the session."""
    return go("/sign-in?signed_out=true", await context.gateway.sign_out(caller))


@router.get("/confirm")
async def confirm_page(context: In, caller: Asking, after: NextPlace = "/account") -> Response:
    """Ask for the password once more, before something that others rely on is changed."""
    session = await context.gateway.session(caller)
    values = {"page": "account", "place": safe_place(after, "/account"), "session": session}
    return context.page(caller, "confirm.html", **values)


@router.post("/confirm")
async def confirm(context: In, caller: Asking, fields: Posted) -> Response:
    """Take the password once more."""
    place = safe_place(fields["next"], "/account")
    try:
        given = {"password": fields["password"]} | code_of(fields)
        await context.gateway.reauthenticate(caller, **given)
    except InputRefused as error:
        session = await context.gateway.session(caller)
        values = {"page": "account", "place": place, "session": session}
        return refused(context, caller, "confirm.html", error, **values)
    return go(place)
