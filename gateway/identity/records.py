"""What is remembered: accounts, sessions, API keys and one-time links.

Every secret is random, and only its digest is kept: whoever reads the store can use none of them.
Times are seconds since 1970.
"""

import hashlib
import re
import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from diagnosis.contracts import Slug
from diagnosis.identity import Role


def plain_name(typed: str) -> str:
    """A name as it is kept, whatever case it was typed in."""
    return typed.strip().lower()


#: A name to sign in with; an address of e-mail is one.
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._@+\-]{1,63}$"),
    BeforeValidator(lambda typed: plain_name(typed) if isinstance(typed, str) else typed),
]
#: What pages show of somebody, and what a key is called.
Label = Annotated[
    str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Roles = Annotated[tuple[Role, ...], Field(max_length=len(Role))]


def new_secret() -> str:
    """256 random bits, in letters that fit into a URL and a cookie."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is kept of a secret of `new_secret`. Fast, because nobody can guess such a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_id(prefix: Literal["u", "k"]) -> str:
    """A new id of an account (`u_…`) or of a key (`k_…`)."""
    return f"{prefix}_{secrets.token_hex(8)}"


def is_id(text: str, prefix: Literal["u", "k"]) -> bool:
    """Whether a text has the form of an id; one that has not is looked for nowhere."""
    return re.fullmatch(rf"{prefix}_[A-Za-z0-9_-]{{1,64}}", text) is not None


class Record(BaseModel):
    """A row of the store."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Subject(Record):
    """Somebody as an OIDC provider knows them."""

    issuer: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    subject: Annotated[str, StringConstraints(min_length=1, max_length=255)]

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.issuer}\n{self.subject}".encode()).hexdigest()


class Account(Record):
    """Somebody who may sign in; or, as a `service`, whom keys belong to and nobody signs in as."""

    id: str
    name: Name
    display_name: Label
    roles: Roles
    unit: Slug = "default"
    disabled: bool = False
    service: bool = False
    password: str | None = None
    """The argon2id hash; None until one was set."""
    totp: str | None = None
    """The secret of the codes, in base 32; None where none are asked for."""
    totp_step: int = 0
    """The last 30 seconds whose code was used: no code is taken twice."""
    totp_proposed: str | None = None
    """A secret that was shown and is not confirmed yet."""
    subject: Subject | None = None
    """Who this is at the OIDC provider."""
    made_at: float
    signed_in_at: float | None = None
    read_first: bool = False
    """Whether they give an opinion of an image before they see the model's answer."""

    @property
    def can_sign_in(self) -> bool:
        """Whether there is a way in; an invited account has none yet."""
        return not self.disabled and not self.service and bool(self.password or self.subject)

    @property
    def administers(self) -> bool:
        """Whether they can sign in and keep accounts."""
        return self.can_sign_in and Role.ADMIN in self.roles


class Session(Record):
    """A browser that has signed in, or is about to."""

    digest: str
    """Of the cookie's value."""
    account: str
    csrf: str
    made_at: float
    seen_at: float
    auth_time: float
    """When the password was last given."""
    awaits: Literal["code", "enrolment"] | None = None
    """What is missing before anybody is signed in; None: nothing."""


class ApiKey(Record):
    """A key for programs, narrowed to some of its owner's roles."""

    id: str
    owner: str
    name: Label
    roles: Roles
    digest: str
    made_at: float
    expires_at: float
    used_at: float | None = None


class Link(Record):
    """A one-time link, which sets the password of an account."""

    digest: str
    account: str
    expires_at: float
