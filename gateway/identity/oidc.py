"""Signing in at an OpenID Connect provider: authorization code with PKCE, state and nonce.

What is easily got wrong is Authlib's (PKCE, the rules of an ID token) and joserfc's (signatures).
The provider is asked anew at each sign-in, so that its keys may change at any time.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import get_well_known_url
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import ValidationError

from diagnosis.identity import Role
from gateway.identity.records import Record, Subject, new_secret
from gateway.identity.refusals import NoProvider, ProviderUnavailable, SignInFailed
from gateway.settings import IdentitySettings

#: Signatures that are taken: none that a shared secret makes, and not "none".
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
CALLBACK: Final = "/auth/oidc/callback"

_SECONDS: Final = 5.0
_LEEWAY: Final = 30
_PATH: Final = re.compile(r"/(?![/\\])[A-Za-z0-9._~/?=&%-]{0,500}")


class Flow(Record):
    """A sign-in that is under way; kept by the digest of its state."""

    state: str
    nonce: str
    verifier: str
    next: str
    fresh: bool
    """Whether it is the provider's word once more, for somebody who is signed in."""


@dataclass(frozen=True)
class Person:
    """Whom the provider says it is."""

    subject: Subject
    login: str | None
    name: str | None
    roles: tuple[Role, ...] | None
    """By their groups; None where no claim is set that lists them."""
    auth_time: float | None
    """When the provider last asked who sits there, by its own word; None where it says nothing."""


class Provider:
    """The provider that the settings name.

    Raises:
        NoProvider: they name none.
    """

    def __init__(self, settings: IdentitySettings) -> None:
        if settings.oidc_issuer is None or settings.oidc_client_secret is None:
            raise NoProvider
        self._settings = settings
        self.issuer = settings.oidc_issuer
        self._client_id = settings.oidc_client_id or ""
        self._secret = settings.oidc_client_secret.get_secret_value()
        self._redirect = settings.public_url + CALLBACK

    async def begin(self, going_to: str | None, *, fresh: bool) -> tuple[str, Flow]:
        """The address at the provider to send a browser to, and what to remember of it.

        Raises:
            ProviderUnavailable: the provider does not answer.
        """
        metadata = await self._metadata()
        flow = Flow(
            state=new_secret(),
            nonce=new_secret(),
            verifier=new_secret(),
            next=safe_path(going_to),
            fresh=fresh,
        )
        again: dict[str, Any] = {"prompt": "login", "max_age": 0} if fresh else {}
        address = prepare_grant_uri(
            _text(metadata, "authorization_endpoint"),
            client_id=self._client_id,
            response_type="code",
            redirect_uri=self._redirect,
            scope=self._settings.oidc_scope,
            state=flow.state,
            nonce=flow.nonce,
            code_challenge=create_s256_code_challenge(flow.verifier),
            code_challenge_method="S256",
            **again,
        )
        return str(address), flow

    async def finish(self, flow: Flow, code: str, issuer: str | None, now: float) -> Person:
        """Who came back from the provider with this code.

        Args:
            flow: what was remembered.
            code: of the address that the browser came back to.
            issuer: the `iss` of that address, where there is one (RFC 9207).
            now: in seconds since 1970.

        Raises:
            SignInFailed: the provider refuses the code, or its answer is not for us.
            ProviderUnavailable: it does not answer.
        """
        if issuer is not None and issuer != self.issuer:
            raise SignInFailed(cause="oidc: another issuer")
        metadata = await self._metadata()
        answer = await self._tokens(metadata, flow, code)
        keys = await self._get(_text(metadata, "jwks_uri"))
        claims = self._claims(answer, keys, flow, now)
        access = answer.get("access_token")
        if isinstance(access, str) and "userinfo_endpoint" in metadata:
            more = await self._get(_text(metadata, "userinfo_endpoint"), access)
            if more.get("sub") != claims["sub"]:
                raise SignInFailed(cause="oidc: the user info is of somebody else")
            claims = more | claims
        return self._person(claims)

    async def _tokens(self, metadata: dict[str, Any], flow: Flow, code: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect,
            "code_verifier": flow.verifier,
        }
        methods = metadata.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        in_header = "client_secret_basic" in methods
        if not in_header:
            form |= {"client_id": self._client_id, "client_secret": self._secret}
        request = httpx.Request("POST", _text(metadata, "token_endpoint"), data=form)
        if in_header:
            login = httpx.BasicAuth(quote(self._client_id, ""), quote(self._secret, ""))
            request = next(login.auth_flow(request))
        answer = await _send(request)
        if answer.status_code == httpx.codes.BAD_REQUEST:
            raise SignInFailed(cause="oidc: the provider refuses the code")
        return _object(answer)

    def _claims(
        self, answer: dict[str, Any], keys: dict[str, Any], flow: Flow, now: float
    ) -> dict[str, Any]:
        try:
            token = jwt.decode(
                _text(answer, "id_token"),
                KeySet.import_key_set(keys),  # type: ignore[arg-type]
                algorithms=list(ALGORITHMS),
            )
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": self.issuer},
                    "aud": {"essential": True, "value": self._client_id},
                },
                params={
                    "nonce": flow.nonce,
                    "client_id": self._client_id,
                    "access_token": answer.get("access_token"),
                },
            )
            claims.validate(int(now), _LEEWAY)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            # Of the message only its kind: the rest is of somebody.
            raise SignInFailed(cause=f"oidc: {type(error).__name__}") from None
        return dict(claims)

    def _person(self, claims: dict[str, Any]) -> Person:
        roles: tuple[Role, ...] | None = None
        if self._settings.oidc_roles_claim is not None:
            found = claims.get(self._settings.oidc_roles_claim, [])
            groups = [found] if isinstance(found, str) else found
            known = self._settings.oidc_roles
            held = groups if isinstance(groups, list) else []
            roles = tuple(sorted({known[one] for one in held if one in known}))
        try:
            subject = Subject(issuer=self.issuer, subject=claims["sub"])
        except ValidationError:
            raise SignInFailed(cause="oidc: the subject is malformed") from None
        return Person(
            subject=subject,
            login=_said(claims, "preferred_username") or _said(claims, "email"),
            name=_said(claims, "name") or _said(claims, "preferred_username"),
            roles=roles,
            auth_time=_time(claims.get("auth_time")),
        )

    async def _metadata(self) -> dict[str, Any]:
        metadata = await self._get(get_well_known_url(self.issuer, external=True))
        if metadata.get("issuer") != self.issuer:
            raise ProviderUnavailable(cause="oidc: the provider calls itself something else")
        return metadata

    async def _get(self, address: str, token: str | None = None) -> dict[str, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return _object(await _send(httpx.Request("GET", address, headers=headers)))


def safe_path(text: str | None) -> str:
    """A path of ours to go to, or the start page where this is none."""
    return text if text is not None and _PATH.fullmatch(text) else "/"


async def _send(request: httpx.Request) -> httpx.Response:
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as client:
            return await client.send(request)
    except httpx.HTTPError as error:
        raise ProviderUnavailable(cause=f"oidc: {type(error).__name__}") from None


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json() if answer.is_success else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProviderUnavailable(cause=f"oidc: status {answer.status_code}")
    return found


def _text(values: dict[str, Any], name: str) -> str:
    found = values.get(name)
    if not isinstance(found, str):
        raise ProviderUnavailable(cause=f"oidc: no {name}")
    return found


def _time(found: Any) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return max(0.0, float(found))


def _said(claims: dict[str, Any], name: str) -> str | None:
    found = claims.get(name)
    return found if isinstance(found, str) and found else None
