"""Who sends a request, by its cookie or its API key, and what is asked of them.

The identity service trusts nobody's word, its own included: it looks at the cookie or the key, on
the public side and on its socket alike.
"""

import hmac
import re
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Request

from diagnosis.access import (
    CSRF_HEADER,
    EVERYBODY,
    OPEN,
    SAFE_METHODS,
    header_values,
    refuse_foreign,
)
from diagnosis.audit import Action, AuditEvent, AuditOutcome
from diagnosis.errors import Forbidden, ForgedRequest, NotSignedIn, ReauthenticationNeeded
from diagnosis.identity import FRESH_SECONDS, Identity
from gateway.identity.access import TABLE
from gateway.identity.records import Account, ApiKey, Session
from gateway.identity.service import Service, ServiceDependency

#: As in gateway/nginx/nginx.conf.j2.
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9_.~+/=-]{1,200})")
_COOKIE: Final = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class Caller:
    """Somebody who is signed in, or a program with a key."""

    service: Service
    account: Account
    """Whose session or whose key it is."""
    session: Session | None
    key: ApiKey | None

    @property
    def identity(self) -> Identity:
        """What the services behind the door are told."""
        account, session, key = self.account, self.session, self.key
        if key is not None:
            return Identity(
                sub=key.id,
                name=key.name,
                roles=account.roles,
                unit=account.unit,
                via="key",
                scopes=key.roles,
            )
        assert session is not None
        return Identity(
            sub=account.id,
            name=account.display_name,
            roles=account.roles,
            unit=account.unit,
            via="session",
            csrf=session.csrf,
            auth_time=int(session.auth_time),
            read_first=account.read_first,
        )

    def own_session(self) -> Session:
        """The caller's session.

        Raises:
            ReauthenticationNeeded: a key is asking, which changes no account and makes no key.
        """
        if self.session is None:
            raise ReauthenticationNeeded
        return self.session

    def require_fresh(self) -> Session:
        """The caller's session, if its password was given within the last two minutes.

        Raises:
            ReauthenticationNeeded: it was not, or a key is asking.
        """
        session = self.own_session()
        if self.service.clock() - session.auth_time > FRESH_SECONDS:
            raise ReauthenticationNeeded
        return session


def cookie_of(request: Request, service: Service) -> str | None:
    """The value of our cookie, or None.

    Read by the rule that the proxy's configuration finds it by to count its requests, and by no
    other: a cookie in quotes, after a tab or before another of the same name is nobody's. Where a
    framework is more lenient, somebody could show a session that is not counted as that session.
    """
    text = "; ".join(request.headers.getlist("cookie"))
    found = re.match(rf"(?:.*; *)?{service.settings.cookie_name}=([^;]*)", text)
    return found[1] if found is not None and _COOKIE.fullmatch(found[1]) else None


def key_of(request: Request) -> str | None:
    """The API key that is shown, or None where something else is; by the proxy's rule, as above."""
    shown = request.headers.getlist("authorization")
    found = _BEARER.fullmatch(shown[0]) if len(shown) == 1 else None
    return None if found is None else found[1]


def address_of(request: Request) -> str:
    """The client's address as Nginx saw it; all without one count as one."""
    return request.client.host if request.client is not None else ""


def refuse_other_sites(request: Request) -> None:
    """Raise ForgedRequest where a browser says that another site sent this.

    For what needs no session yet: who says nothing about it is no browser.
    """
    headers = header_values(request.scope)
    if "origin" in headers or "sec-fetch-site" in headers:
        refuse_foreign(headers)


def refuse_forged(request: Request, session: Session) -> None:
    """Raise ForgedRequest unless a page of ours sent this: it says so, and carries the token."""
    if request.method in SAFE_METHODS:
        return
    refuse_foreign(header_values(request.scope))
    sent = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), session.csrf.encode()):
        raise ForgedRequest(cause="no token of this session")


async def find_caller(request: Request, service: Service) -> Caller | None:
    """Who sends this, or None. A key goes before a cookie, and a wrong key is nobody's."""
    if "authorization" in request.headers:
        text = key_of(request)
        found = None if text is None else await service.keys.find(text)
        return None if found is None else Caller(service, found[1], None, found[0])
    signed_in = await service.sessions.find(cookie_of(request, service))
    if signed_in is None or signed_in[0].awaits is not None:
        return None
    return Caller(service, signed_in[1], signed_in[0], None)


async def admit(request: Request, service: ServiceDependency) -> Caller | None:
    """Refuse whoever may not use this address, by the table; who it is, None where it is open.

    Raises:
        NotSignedIn: it needs somebody, and nobody is asking.
        Forbidden: another role is needed, or there is no row for this address.
        ForgedRequest: a browser's request that none of our pages sent.
    """
    row = request.method, str(getattr(request.scope.get("route"), "path", ""))
    if row not in TABLE:
        raise Forbidden(cause=f"no row in the table: {row[0]} {row[1]}")
    allowed = TABLE[row]
    if allowed is OPEN:
        return None
    caller = await find_caller(request, service)
    if caller is None:
        raise NotSignedIn
    try:
        if allowed != EVERYBODY:
            caller.identity.require(allowed)
        if caller.session is not None:
            refuse_forged(request, caller.session)
    except (Forbidden, ForgedRequest):
        denied = AuditEvent.of(caller.identity, Action.DENIED, AuditOutcome.REFUSED)
        await service.audit.add(denied)
        raise
    return caller


async def _somebody(caller: Annotated[Caller | None, Depends(admit)]) -> Caller:
    assert caller is not None, "this address is open in the table"
    return caller


#: A parameter of a route that the table does not leave open.
CallerDependency = Annotated[Caller, Depends(_somebody)]
