"""What comes in and goes out as JSON."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from diagnosis.contracts import Slug
from diagnosis.identity import Role
from gateway.identity.passwords import MAX_CHARACTERS
from gateway.identity.records import Account, ApiKey, Label, Name, Roles, Subject

#: As somebody typed it; whether it may be used as a new password is decided elsewhere.
Password = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHARACTERS)]
Code = Annotated[str, StringConstraints(min_length=1, max_length=20)]


class Body(BaseModel):
    """What a request carries; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SignIn(Body):
    """Name and password, or, for the second step, the code alone."""

    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    password: Password | None = None
    code: Code | None = None


class Confirmation(Body):
    """The password once more; with a code where the account has codes."""

    password: Password
    code: Code | None = None


class NewPassword(Body):
    """For a one-time link."""

    password: Annotated[str, StringConstraints(max_length=MAX_CHARACTERS + 1)]


class PasswordChange(Body):
    """The password that counts and the one that shall; with a code where the account has codes."""

    old: Password
    code: Code | None = None
    new: Annotated[str, StringConstraints(max_length=MAX_CHARACTERS + 1)]


class CodesWanted(Body):
    """Codes of another device; with one of the device that has been asked for until now."""

    code: Code | None = None


class OnlyCode(Body):
    """A code of a device."""

    code: Code


class NewUser(Body):
    """An account to be made."""

    name: Name
    display_name: Label | None = None
    roles: Roles = ()
    unit: Slug = "default"
    subject: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        default=None, description="Who this is at the OIDC provider, where one is set."
    )


class UserChange(Body):
    """What is to be different; what is left out stays."""

    display_name: Label | None = None
    roles: Roles | None = None
    unit: Slug | None = None
    disabled: bool | None = None


class PreferenceChange(Body):
    """What somebody prefers from now on; what is left out stays."""

    read_first: bool | None = None


class NewKey(Body):
    """An API key to be made."""

    name: Label
    roles: Annotated[Roles, Field(min_length=1)]
    expires_at: AwareDatetime


class Answer(BaseModel):
    """What is sent."""

    model_config = ConfigDict(frozen=True)


class NextStep(Answer):
    """What comes after this step of signing in."""

    next: Literal["done", "code", "enrol"]


class SessionView(Answer):
    """Whose session this is. Until codes are set up (`next` is `enrol`) it has no roles."""

    sub: str
    login: str
    name: str
    roles: tuple[Role, ...]
    unit: str
    csrf: str
    auth_time: int
    totp: bool
    password: bool
    read_first: bool
    next: Literal["done", "enrol"] = "done"


class Preferences(Answer):
    """What somebody prefers."""

    read_first: bool


class Invited(Answer):
    """Whom a one-time link is for."""

    name: str
    display_name: str


class CodeSecret(Answer):
    """What a device has to be told."""

    uri: str
    secret: str


class LinkView(Answer):
    """A one-time link; it is shown once."""

    link: str
    expires_at: AwareDatetime


class User(Answer):
    """An account as admins see it."""

    id: str
    name: str
    display_name: str
    roles: tuple[Role, ...]
    unit: str
    disabled: bool
    service: bool
    totp: bool
    can_sign_in: bool
    subject: str | None
    made_at: AwareDatetime
    signed_in_at: AwareDatetime | None

    @classmethod
    def of(cls, one: Account) -> "User":
        return cls(
            id=one.id,
            name=one.name,
            display_name=one.display_name,
            roles=one.roles,
            unit=one.unit,
            disabled=one.disabled,
            service=one.service,
            totp=one.totp is not None,
            can_sign_in=one.can_sign_in,
            subject=None if one.subject is None else one.subject.subject,
            made_at=when(one.made_at),
            signed_in_at=None if one.signed_in_at is None else when(one.signed_in_at),
        )


class Users(Answer):
    """All accounts, by name."""

    items: tuple[User, ...]


class Key(Answer):
    """An API key, without its text."""

    id: str
    name: str
    owner: str
    roles: tuple[Role, ...]
    made_at: AwareDatetime
    expires_at: AwareDatetime
    used_at: AwareDatetime | None

    @classmethod
    def of(cls, one: ApiKey) -> "Key":
        return cls(
            id=one.id,
            name=one.name,
            owner=one.owner,
            roles=one.roles,
            made_at=when(one.made_at),
            expires_at=when(one.expires_at),
            used_at=None if one.used_at is None else when(one.used_at),
        )


class KeyList(Answer):
    """API keys, the newest first."""

    items: tuple[Key, ...]


class MadeKey(Answer):
    """A new API key; `key` is shown this once."""

    id: str
    key: str
    expires_at: AwareDatetime


def when(seconds: float) -> datetime:
    """The time of so many seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def subject_at(issuer: str | None, subject: str | None) -> Subject | None:
    """Somebody at the provider, where there is one."""
    if issuer is None or subject is None:
        return None
    return Subject(issuer=issuer, subject=subject)
