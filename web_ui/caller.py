"""Who a page is for: the identity that the door signed, and what a browser said of itself."""

import time
from dataclasses import dataclass

from fastapi import Request

from diagnosis.identity import FRESH_SECONDS, HEADER, Identity, Role
from diagnosis.telemetry import carried

#: What the gateway needs of a browser's request to tell whose session it is and where it is from.
_OF_THE_BROWSER = ("cookie", "host", "origin", "sec-fetch-site", "authorization")


@dataclass(frozen=True)
class Caller:
    """Who sent a request; `identity` is None where nobody has signed in yet."""

    request_id: str
    identity: Identity | None
    signed: str
    """The identity as it was signed, for the services that are asked on behalf of it."""
    browser: dict[str, str]
    """Headers for the gateway alone."""

    @classmethod
    def of(cls, request: Request) -> "Caller":
        """The caller of a request that `diagnosis.access` let through."""
        state = request.scope.get("state", {})
        headers = request.headers
        browser = {name: headers[name] for name in _OF_THE_BROWSER if name in headers}
        browser["x-forwarded-proto"] = request.url.scheme
        if request.client is not None:
            browser["x-forwarded-for"] = request.client.host
        identity = state.get("identity")
        return cls(
            request_id=str(state.get("request_id", "")),
            identity=identity,
            signed=headers.get(HEADER, "") if identity is not None else "",
            browser=browser,
        )

    @property
    def csrf(self) -> str:
        """The session's token, empty where there is no session."""
        return (self.identity.csrf if self.identity else None) or ""

    @property
    def fresh(self) -> bool:
        """Whether the password was given within the last two minutes, a moment to act included."""
        at = self.identity.auth_time if self.identity else None
        return at is not None and time.time() - at < FRESH_SECONDS - 5

    def may(self, *roles: str) -> bool:
        """Whether somebody holds one of the roles."""
        return self.identity is not None and bool(
            self.identity.granted & {Role(role) for role in roles}
        )

    def headers(self) -> dict[str, str]:
        """What inference_service is told with a request on behalf of this caller.

        The page has checked the request already, so it vouches for where it comes from.
        """
        told = {"x-request-id": self.request_id, HEADER: self.signed, "x-csrf-token": self.csrf}
        if self.csrf:
            told["sec-fetch-site"] = "same-origin"
        return {name: value for name, value in told.items() if value} | carried()
