"""What the identity service refuses, beyond what every service does.

SightlineError
├── InputRefused
│   ├── SignInFailed          sign-in-failed (401: name, password or code, never which)
│   ├── LockedOut             locked-out (429 with Retry-After)
│   ├── PasswordRefused       password-refused
│   ├── CodeRefused           code-refused (while codes are being set up)
│   ├── LinkUsed              link-used (404: used, too old, or never made)
│   ├── NameTaken             name-taken
│   ├── LastAdmin             last-admin
│   ├── UnknownAccount        unknown-account
│   ├── UnknownKey            unknown-key
│   └── NoProvider            no-provider (no OIDC provider is set)
└── TemporarilyUnavailable
    ├── AccountsUnavailable   accounts-unavailable
    ├── TooManySignIns        too-many-sign-ins
    └── ProviderUnavailable   provider-unavailable
"""

import math

from diagnosis.errors import InputRefused, TemporarilyUnavailable


class SignInFailed(InputRefused):
    """Whatever was wrong, the answer is the same: it must not tell which names exist."""

    code = "sign-in-failed"
    status = 401
    title = "You could not be signed in"
    default_detail = "The name, the password or the code is not right."
    default_remedy = (
        "Try again; if you have forgotten your password, an admin can send you a new link."
    )


class LockedOut(InputRefused):
    """Too many failed tries, for this name or from this address.

    Args:
        seconds: until the next try is taken.
    """

    code = "locked-out"
    status = 429
    title = "Too many failed tries"
    default_detail = "Signing in failed too often, so it is closed for a while."
    default_remedy = "Wait, then try again; an admin can open it at once with a new link."

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = max(1, math.ceil(seconds))


class PasswordRefused(InputRefused):
    """Too short, too long, too common, or the name."""

    code = "password-refused"
    title = "This password cannot be used"
    default_detail = "This password is too easily guessed."
    default_remedy = "Choose one of at least 12 characters; several words of your own do well."


class CodeRefused(InputRefused):
    """A code that does not belong to the secret that was shown."""

    code = "code-refused"
    title = "This code is not right"
    default_detail = "The code is not the one that your device shows now."
    default_remedy = "Wait for the next code and type that; check the device's clock."


class LinkUsed(InputRefused):
    """Used, too old, replaced by a newer one, or never made: which, nobody is told."""

    code = "link-used"
    status = 404
    title = "This link is no longer valid"
    default_detail = "The link was used already, or is too old."
    default_remedy = "Ask an admin for a new one."


class NameTaken(InputRefused):
    """There is an account of this name."""

    code = "name-taken"
    status = 409
    title = "This name is taken"
    default_detail = "There is an account of this name, or of this person, already."
    default_remedy = "Choose another name."


class LastAdmin(InputRefused):
    """After this change nobody could administer the system."""

    code = "last-admin"
    status = 409
    title = "Somebody has to be admin"
    default_detail = "This is the only admin who can sign in."
    default_remedy = "Make another account admin first."


class UnknownAccount(InputRefused):
    """No account of this id."""

    code = "unknown-account"
    status = 404
    title = "There is no such account"
    default_detail = "There is no account under this address."
    default_remedy = "GET /api/v1/users lists the accounts."


class UnknownKey(InputRefused):
    """No key of this id, or another's."""

    code = "unknown-key"
    status = 404
    title = "There is no such API key"
    default_detail = "There is no API key of yours under this address."
    default_remedy = "GET /api/v1/keys lists your keys."


class NoProvider(InputRefused):
    """No OIDC provider is set."""

    code = "no-provider"
    status = 404
    title = "There is no other way to sign in"
    default_detail = "Signing in with an account of your organisation is not set up here."
    default_remedy = "Sign in with your name and your password."


class AccountsUnavailable(TemporarilyUnavailable):
    """Redis does not answer, so nobody can be told who they are."""

    code = "accounts-unavailable"
    title = "Nobody can be told who they are at the moment"
    default_detail = "The store of accounts does not answer, so nobody can come in."


class TooManySignIns(TemporarilyUnavailable):
    """More passwords wait to be compared than can be in good time."""

    code = "too-many-sign-ins"
    title = "Too many people are signing in"
    default_detail = "More people are signing in than can be let in at once."


class ProviderUnavailable(TemporarilyUnavailable):
    """The OIDC provider does not answer, or not as one should."""

    code = "provider-unavailable"
    title = "Your organisation's sign-in does not answer"
    default_detail = "The service that knows your organisation's accounts does not answer."
    default_remedy = "Try again in a few seconds, or sign in with your password."
