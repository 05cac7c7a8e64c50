"""Who may use which address: one table a service, looked up before anything of a request is read.

What stands in no table is open to nobody. A test calls every route as every role and compares the
answers with the tables.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from diagnosis.errors import Forbidden, ForgedRequest, NotSignedIn, SightlineError
from diagnosis.identity import HEADER, Identity, Role, verify_identity
from diagnosis.telemetry import AsgiApp, Receive, Scope, Send

#: Open to whoever is signed in, whatever the roles.
EVERYBODY: Final = frozenset(Role)
#: Open without an identity: what a machine of the private side asks, and the way to sign in.
OPEN: Final = None

Allowed = frozenset[Role] | None
#: Method and template of a route, and who may use it.
AccessTable = Mapping[tuple[str, str], Allowed]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
#: Carries the session's token with a state-changing request.
CSRF_HEADER: Final = "X-CSRF-Token"


class RouteLike(Protocol):
    """What is asked of a framework's route."""

    path: str
    path_regex: re.Pattern[str]
    methods: set[str] | None


class Access:
    """ASGI middleware: finds out who is asking and refuses whoever may not.

    The identity is left in `scope["state"]["identity"]`, None where the address is open.

    Args:
        app: what it guards.
        table: who may use which route.
        routes: every route of the application, in the order in which they are tried.
        key: the gateway's, which signs identities.
        refuse: makes the answer to a refused request.
        denied: told of whoever was identified and refused.
        token_in_header: whether a state-changing request of a session has to carry the session's
            token in its header; a service with forms looks for it there too and checks by itself.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        table: AccessTable,
        routes: Sequence[RouteLike],
        key: Ed25519PublicKey,
        refuse: Callable[[Scope, SightlineError], AsgiApp],
        token_in_header: bool = True,
        denied: Callable[[Identity], Awaitable[None]] | None = None,
    ) -> None:
        self.app = app
        self._table = table
        self._routes = routes
        self._key = key
        self._refuse = refuse
        self._token_in_header = token_in_header
        self._denied = denied

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["identity"] = None
        route = self._route(scope["method"], scope["path"])
        try:
            self._admit(scope, route)
        except SightlineError as refused:
            error = refused
            if state["identity"] is not None and self._denied is not None:
                try:
                    await self._denied(state["identity"])
                except SightlineError as unwritten:
                    error = unwritten
            if route is not None:
                # Refusals are counted under their route too.
                scope["route"] = route
            await self._refuse(scope, error)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope, route: RouteLike | None) -> None:
        """Find out who is asking, and raise unless they may. An address that does not exist is
        told to the signed in."""
        allowed = EVERYBODY if route is None else self._allowed(scope["method"], route)
        headers = header_values(scope)
        if allowed is OPEN:
            return
        signed = headers.get(HEADER.lower(), [])
        if len(signed) != 1:
            raise NotSignedIn
        identity = verify_identity(signed[0], self._key)
        # Known from here on, so that a refusal can say to whom it is.
        scope["state"]["identity"] = identity
        if allowed != EVERYBODY:
            identity.require(allowed)
        if identity.via == "session" and scope["method"] not in SAFE_METHODS:
            refuse_foreign(headers)
            if self._token_in_header and not carries_token(headers, identity):
                raise ForgedRequest(cause="no token in the header")

    def _allowed(self, method: str, route: RouteLike) -> Allowed:
        try:
            return self._table[method, route.path]
        except KeyError:
            raise Forbidden(cause=f"no row in the table: {method} {route.path}") from None

    def _route(self, method: str, path: str) -> RouteLike | None:
        for route in self._routes:
            if method in (route.methods or ()) and route.path_regex.match(path):
                return route
        return None


def header_values(scope: Scope) -> dict[str, list[str]]:
    """The headers of a request by lower-case name."""
    found: dict[str, list[str]] = {}
    for name, value in scope.get("headers", ()):
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def refuse_foreign(headers: Mapping[str, Sequence[str]]) -> None:
    """Refuse a state-changing request unless the browser says that a page of ours sent it.

    It says so in `Sec-Fetch-Site`, or on plain HTTP in `Origin`; every browser sends one of them.

    Raises:
        ForgedRequest: neither is there, or one of them names another place.
    """
    sites = headers.get("sec-fetch-site", ())
    origins = headers.get("origin", ())
    if not sites and not origins:
        raise ForgedRequest(cause="neither Origin nor Sec-Fetch-Site")
    if any(site not in {"same-origin", "none"} for site in sites):
        raise ForgedRequest(cause="sec-fetch-site")
    if any(_host(origin) not in headers.get("host", ()) for origin in origins):
        raise ForgedRequest(cause="origin")


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def carries_token(
    headers: Mapping[str, Sequence[str]], identity: Identity, form: str | None = None
) -> bool:
    """Whether the header, or the form's field where there is one, holds the session's token."""
    if not identity.csrf:
        return False
    given = [*headers.get(CSRF_HEADER.lower(), ()), *([] if form is None else [form])]
    return any(hmac.compare_digest(one.encode(), identity.csrf.encode()) for one in given)
