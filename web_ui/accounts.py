"""The gateway as the pages see it: sessions, accounts, API keys and the audit trail.

The pages hold no session. They hand the browser's cookie on, and what the gateway sets, back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from diagnosis.errors import NotSignedIn, ServiceUnavailable, SightlineError
from diagnosis.identity import HEADER, Role
from diagnosis.telemetry import carried
from web_ui.caller import Caller
from web_ui.calls import error_of
from web_ui.settings import Settings

Next = Literal["done", "code", "enrol"]


class Known(BaseModel):
    """What the gateway tells; what a page does not show is left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Session(Known):
    """Whose session this is."""

    sub: str
    name: str
    login: str = ""
    roles: tuple[Role, ...] = ()
    unit: str = "default"
    csrf: str
    totp: bool = False
    password: bool = True
    read_first: bool = False
    next: Next = "done"


class Invited(Known):
    """Whom a one-time link is for."""

    name: str
    display_name: str = ""


class CodeSecret(Known):
    """What a device has to be told to show codes."""

    uri: str
    secret: str


class Link(Known):
    """A one-time link."""

    link: str
    expires_at: datetime | None = None


class User(Known):
    """An account."""

    id: str
    name: str
    display_name: str = ""
    roles: tuple[Role, ...] = ()
    unit: str = "default"
    disabled: bool = False
    service: bool = False
    totp: bool = False
    can_sign_in: bool = True
    signed_in_at: datetime | None = None


class Users(Known):
    items: tuple[User, ...]


class Key(Known):
    """An API key, without its text."""

    id: str
    name: str
    owner: str = ""
    roles: tuple[Role, ...] = ()
    expires_at: datetime | None = None
    used_at: datetime | None = None


class Keys(Known):
    items: tuple[Key, ...]


class MadeKey(Known):
    """A new key; its text is told this once."""

    id: str
    key: str


class AuditRecord(Known):
    """One thing that was done."""

    seq: int | None = None
    at: datetime | None = None
    """None, as the rest, where the record cannot be read; it counts in the chain all the same."""
    action: str | None = None
    actor: str | None = None
    roles: tuple[str, ...] = ()
    unit: str | None = None
    outcome: str | None = None
    object: str | None = None


class AuditPage(Known):
    items: tuple[AuditRecord, ...]
    next_cursor: int | None = None
    names: dict[str, str] = {}
    """What accounts and keys are called now, by their ids."""


class _NextStep(Known):
    next: Next


@dataclass(frozen=True)
class Step:
    """How far somebody has come in signing in, and the cookies for the browser."""

    next: Next
    cookies: tuple[str, ...]


Model = TypeVar("Model", bound=BaseModel)


class GatewayClient:
    """A typed client of the gateway's identity service.

    Args:
        settings: where it is and how long to wait for it.
        transport: how to reach it; by default the settings' socket or address.

    Every method raises `ServiceUnavailable` when the gateway does not answer, and the gateway's
    own error where it refuses.
    """

    def __init__(
        self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        if transport is None and settings.identity_socket is not None:
            transport = httpx.AsyncHTTPTransport(uds=str(settings.identity_socket))
        self._http = httpx.AsyncClient(
            base_url=settings.identity_url or "http://gateway",
            transport=transport,
            timeout=httpx.Timeout(settings.answer_seconds, connect=settings.connect_seconds),
            trust_env=False,
            # The browsers keep their cookies; one kept here would go along with another's request.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def sign_in(self, caller: Caller, **given: str) -> Step:
        """Sign in with `name` and `password`, or go on with a `code`."""
        answer = await self._call(caller, "POST", "/auth/sign-in", given)
        return Step(_read(_NextStep, answer).next, _cookies(answer))

    async def sign_out(self, caller: Caller) -> tuple[str, ...]:
        """End the session; the cookies that say so."""
        return _cookies(await self._call(caller, "POST", "/auth/sign-out"))

    async def session(self, caller: Caller) -> Session | None:
        """Whose session this is, or None where there is none yet."""
        try:
            return _read(Session, await self._call(caller, "GET", "/auth/session"))
        except NotSignedIn:
            return None

    async def reauthenticate(self, caller: Caller, **given: str) -> None:
        """The password once more, and a code where one is asked for."""
        await self._call(caller, "POST", "/auth/reauthenticate", given)

    async def invited(self, caller: Caller, token: str) -> Invited:
        """Whom a one-time link is for."""
        return _read(Invited, await self._call(caller, "GET", f"/auth/welcome/{token}"))

    async def accept(self, caller: Caller, token: str, password: str) -> tuple[str, ...]:
        """Set the password that a link stands for; the cookies of the session that begins."""
        path = f"/auth/welcome/{token}"
        return _cookies(await self._call(caller, "POST", path, {"password": password}))

    async def change_password(self, caller: Caller, **given: str) -> None:
        """Another password, by `old` and `new`, and a `code` where one is asked for."""
        await self._call(caller, "POST", "/auth/password", given)

    async def propose_codes(self, caller: Caller, *, token: str | None = None) -> CodeSecret:
        """A secret for a device. `token` is that of a session that has no identity yet."""
        return _read(CodeSecret, await self._call(caller, "POST", "/auth/totp", {}, token=token))

    async def confirm_codes(
        self, caller: Caller, code: str, *, token: str | None = None
    ) -> tuple[str, ...]:
        """From now on a code is asked for; the cookies that the gateway sets."""
        path = "/auth/totp/confirm"
        return _cookies(await self._call(caller, "POST", path, {"code": code}, token=token))

    async def give_up_codes(self, caller: Caller, **given: str) -> None:
        """No codes any more, by `password` and `code`."""
        await self._call(caller, "DELETE", "/auth/totp", given)

    async def change_preferences(self, caller: Caller, *, read_first: bool) -> None:
        """Whether one's own opinion comes before the model's answer, from the next request on."""
        path = "/api/v1/account/preferences"
        await self._call(caller, "PATCH", path, {"read_first": read_first})

    async def users(self, caller: Caller) -> tuple[User, ...]:
        """Every account, by name."""
        return _read(Users, await self._call(caller, "GET", "/api/v1/users")).items

    async def add_user(self, caller: Caller, account: Mapping[str, Any]) -> User:
        """Make an account."""
        return _read(User, await self._call(caller, "POST", "/api/v1/users", account))

    async def change_user(self, caller: Caller, user: str, changes: Mapping[str, Any]) -> User:
        """Change roles, unit or whether an account is closed."""
        return _read(User, await self._call(caller, "PATCH", f"/api/v1/users/{user}", changes))

    async def invite(self, caller: Caller, user: str) -> Link:
        """A new one-time link for an account."""
        path = f"/api/v1/users/{user}/invitation"
        return _read(Link, await self._call(caller, "POST", path))

    async def keys(self, caller: Caller) -> tuple[Key, ...]:
        """API keys, the newest first: one's own, and for an admin everybody's."""
        return _read(Keys, await self._call(caller, "GET", "/api/v1/keys")).items

    async def make_key(
        self, caller: Caller, name: str, roles: Sequence[str], expires_at: datetime
    ) -> MadeKey:
        """A new key of one's own."""
        asked = {"name": name, "roles": list(roles), "expires_at": expires_at.isoformat()}
        return _read(MadeKey, await self._call(caller, "POST", "/api/v1/keys", asked))

    async def delete_key(self, caller: Caller, key: str) -> None:
        """End a key."""
        await self._call(caller, "DELETE", f"/api/v1/keys/{key}")

    async def audit(self, caller: Caller, params: Mapping[str, str]) -> AuditPage:
        """A page of the audit trail, newest first."""
        answer = await self._call(caller, "GET", "/api/v1/audit", params=params)
        return _read(AuditPage, answer)

    async def audit_export(self, caller: Caller, params: Mapping[str, str]) -> httpx.Response:
        """A part of the audit trail as a file."""
        return await self._call(caller, "GET", "/api/v1/audit/export", params=params)

    async def _call(
        self,
        caller: Caller,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> httpx.Response:
        told = caller.browser | {
            "x-request-id": caller.request_id,
            HEADER: caller.signed,
            "x-csrf-token": token or caller.csrf,
        }
        headers = {name: value for name, value in told.items() if value} | carried()
        try:
            answer = await self._http.request(
                method, path, headers=headers, json=body, params=params
            )
        except httpx.TransportError as error:
            raise ServiceUnavailable(
                "The service that knows accounts does not answer at the moment.",
                cause=type(error).__name__,
            ) from error
        if answer.status_code >= 400:
            after = answer.headers.get("retry-after", "")
            raise error_of(answer.status_code, answer.content, after)
        return answer


def _read(model: type[Model], answer: httpx.Response) -> Model:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        fields = ", ".join(str(part["loc"]) for part in error.errors(include_input=False))
        raise SightlineError(cause=f"an answer breaks the contract at {fields}") from None


def _cookies(answer: httpx.Response) -> tuple[str, ...]:
    return tuple(answer.headers.get_list("set-cookie"))
