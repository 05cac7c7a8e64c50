"""Who is asking: the identity that the door signs for every request, and what each role is.

Nginx asks the gateway who sent a request. The answer is one header, a compact JWS signed with the
gateway's Ed25519 key, good for a minute. A service verifies it with the public key and trusts no
other word about who is asking.
"""

import time
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from diagnosis.contracts import Slug
from diagnosis.errors import Forbidden, NotSignedIn, ReauthenticationNeeded

HEADER: Final = "X-Sightline-Identity"
ISSUER: Final = "sightline-gateway"
AUDIENCE: Final = "sightline"
#: EdDSA on Ed25519 by its own name (RFC 9864); no other algorithm is read.
ALGORITHM: Final = "Ed25519"
#: How long a signed identity is good for: one request, and the requests that it causes.
LIFETIME_SECONDS: Final = 60
#: How far the clocks of two machines may be apart.
LEEWAY_SECONDS: Final = 5
#: How old a password may be where something is changed that others rely on.
FRESH_SECONDS: Final = 120
#: Longer than any identity; more is not looked at.
MAX_CHARACTERS: Final = 4096

_CLAIMS = jwt.JWTClaimsRegistry(
    leeway=LEEWAY_SECONDS,
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    iat={"essential": True},
    exp={"essential": True},
)


class Role(StrEnum):
    """What somebody may do; a person may hold several."""

    CLINICIAN = "clinician"
    """Makes, sees and deletes the readings of the own unit."""
    ENGINEER = "engineer"
    """Trains and promotes models; sees no reading."""
    OPS = "ops"
    """Watches the system; sees no reading."""
    AUDITOR = "auditor"
    """Reads the audit trail and nothing else."""
    ADMIN = "admin"
    """Keeps accounts, keys and units; sees no reading."""


class Identity(BaseModel):
    """Who sent a request, as the gateway found out."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    sub: Annotated[str, StringConstraints(pattern=r"^[uk]_[A-Za-z0-9_-]{1,64}$")]
    """Id of the account (`u_…`) or of the API key (`k_…`)."""
    name: Annotated[str, StringConstraints(max_length=200)] = ""
    """The name that pages show; never a key of anything."""
    roles: tuple[Role, ...]
    """Roles that the account holds, or that the key was made with."""
    unit: Slug = "default"
    """The group of people whose readings may be seen."""
    via: Literal["session", "key"]
    """Whether a browser's session sent it, or a program with an API key."""
    scopes: tuple[Role, ...] = ()
    """Of a key only: the roles that it was narrowed to."""
    csrf: Annotated[str, StringConstraints(max_length=200)] | None = None
    """Of a session only: the token that its state-changing requests must carry."""
    auth_time: Annotated[int, Field(ge=0)] | None = None
    """When the password was last given, in seconds since 1970; None for keys."""
    read_first: bool = False
    """Whether they prefer to give an opinion of an image before they see the model's answer."""

    @property
    def granted(self) -> frozenset[Role]:
        """The roles that count for this request."""
        held = frozenset(self.roles)
        return held & frozenset(self.scopes) if self.via == "key" else held

    def require(self, allowed: frozenset[Role]) -> Self:
        """This identity, if it holds one of the roles.

        Raises:
            Forbidden: it holds none; the sentence names those that would do.
        """
        if not self.granted & allowed:
            raise Forbidden(_needs(allowed))
        return self

    def require_fresh(self) -> Self:
        """This identity, if its password was given within the last two minutes.

        Raises:
            ReauthenticationNeeded: it was not, or a key is asking, which has no password.
        """
        if self.auth_time is None or time.time() - self.auth_time > FRESH_SECONDS:
            raise ReauthenticationNeeded
        return self


def sign_identity(identity: Identity, private_key: Ed25519PrivateKey) -> str:
    """The value of the header for this identity, good for `LIFETIME_SECONDS` from now."""
    at = int(time.time())
    claims: dict[str, Any] = identity.model_dump(mode="json", exclude_none=True) | {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": at,
        "exp": at + LIFETIME_SECONDS,
    }
    key = OKPKey(private_key, private_key)
    return jwt.encode({"alg": ALGORITHM}, claims, key, algorithms=[ALGORITHM])


def verify_identity(text: str | None, public_key: Ed25519PublicKey) -> Identity:
    """The identity that a header's value stands for.

    Args:
        text: the value as it came, or None where there was no such header.
        public_key: the gateway's.

    Raises:
        NotSignedIn: there is none, it is not signed by the gateway for us, it is too old or from
            the future, or it is malformed.
    """
    if not text or len(text) > MAX_CHARACTERS:
        raise NotSignedIn
    try:
        token = jwt.decode(text, OKPKey(public_key, public_key), algorithms=[ALGORITHM])
        _CLAIMS.validate(token.claims)
        return Identity.model_validate(token.claims)
    except (JoseError, ValidationError, ValueError, TypeError) as error:
        # Of the message only its kind: the rest is what somebody sent.
        raise NotSignedIn(cause=f"identity: {type(error).__name__}") from None


def _needs(allowed: frozenset[Role]) -> str:
    names = sorted(role.value for role in allowed)
    if not names:
        return "Nobody may do this."
    if len(names) == 1:
        return f"This needs the role {names[0]}."
    return f"This needs one of the roles {', '.join(names[:-1])} or {names[-1]}."
