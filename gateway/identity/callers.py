"""Who sends a request, by its cookie or its API key, and what is asked of them.

The identity service trusts nobody's word, its own included: it looks at the cookie or the key, on
the public side and on its socket alike.
"""

import hmac
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request

from diagnosis.errors import Forbidden, ForgedRequest, NotSignedIn, ReauthenticationNeeded
from diagnosis.identity import FRESH_SECONDS, Identity, Role
from gateway.identity.events import Action, by_identity
from gateway.identity.records import Account, ApiKey, Session
from gateway.identity.service import Service, ServiceDependency

CSRF_HEADER: Final = "X-CSRF-Token"
_SAFE_METHODS: Final = {"GET", "HEAD", "OPTIONS"}


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
        )

    async def require(self, role: Role) -> None:
        """Raise Forbidden, and write it down, where the caller does not hold this role."""
        try:
            self.identity.require(frozenset({role}))
        except Forbidden:
            await self.service.trail.add(
                by_identity(self.identity, Action.DENIED, outcome="refused")
            )
            raise

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
    """The value of our cookie, or None."""
    return request.cookies.get(service.settings.cookie_name)


def address_of(request: Request) -> str:
    """The client's address as Nginx saw it; all without one count as one."""
    return request.client.host if request.client is not None else ""


def refuse_other_sites(request: Request) -> None:
    """Raise ForgedRequest where a browser says that another site sent this.

    A client that says nothing about it is no browser.
    """
    if request.method in _SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        raise ForgedRequest(cause="another site")
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise ForgedRequest(cause="another origin")


def refuse_forged(request: Request, session: Session) -> None:
    """Raise ForgedRequest where a request that changes something lacks the session's token."""
    if request.method in _SAFE_METHODS:
        return
    sent = request.headers.get(CSRF_HEADER, "")
    if not hmac.compare_digest(sent.encode(), session.csrf.encode()):
        raise ForgedRequest(cause="no token of this session")


async def find_caller(request: Request, service: Service) -> Caller | None:
    """Who sends this, or None. A key goes before a cookie, and a wrong key is nobody's."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, text = authorization.partition(" ")
        found = await service.keys.find(text.strip()) if scheme.lower() == "bearer" else None
        return None if found is None else Caller(service, found[1], None, found[0])
    signed_in = await service.sessions.find(cookie_of(request, service))
    if signed_in is None or signed_in[0].awaits is not None:
        return None
    return Caller(service, signed_in[1], signed_in[0], None)


async def _caller(request: Request, service: ServiceDependency) -> Caller:
    caller = await find_caller(request, service)
    if caller is None:
        raise NotSignedIn
    if caller.session is not None:
        refuse_other_sites(request)
        refuse_forged(request, caller.session)
    return caller


#: A parameter of a route that needs somebody; forged requests never reach it.
CallerDependency = Annotated[Caller, Depends(_caller)]
