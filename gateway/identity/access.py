"""Who may use which address of the identity service; what is not here is open to nobody.

OPEN addresses find out by themselves whose session or link it is: they are the way in and out.
"""

from diagnosis.access import EVERYBODY, OPEN, AccessTable
from diagnosis.identity import Role

_ADMINS = frozenset({Role.ADMIN})
_OPS = frozenset({Role.OPS})
_AUDITORS = frozenset({Role.AUDITOR})

TABLE: AccessTable = {
    # The private side, and what Nginx asks; the proxy answers 404 for these.
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): OPEN,
    ("GET", "/internal/check"): OPEN,
    ("GET", "/internal/check/ops"): _OPS,
    # The way in and out.
    ("POST", "/auth/sign-in"): OPEN,
    ("POST", "/auth/sign-out"): OPEN,
    ("GET", "/auth/session"): OPEN,
    ("GET", "/auth/welcome/{token}"): OPEN,
    ("POST", "/auth/welcome/{token}"): OPEN,
    ("GET", "/auth/oidc"): OPEN,
    ("GET", "/auth/oidc/callback"): OPEN,
    # Codes are set up by who is signed in, or on the way in where a role asks for them.
    ("POST", "/auth/totp"): OPEN,
    ("POST", "/auth/totp/confirm"): OPEN,
    # One's own account.
    ("DELETE", "/auth/totp"): EVERYBODY,
    ("POST", "/auth/password"): EVERYBODY,
    ("POST", "/auth/reauthenticate"): EVERYBODY,
    ("PATCH", "/api/v1/account/preferences"): EVERYBODY,
    ("GET", "/api/v1/keys"): EVERYBODY,
    ("POST", "/api/v1/keys"): EVERYBODY,
    ("DELETE", "/api/v1/keys/{key_id}"): EVERYBODY,
    # Everybody's accounts, and what everybody did.
    ("GET", "/api/v1/users"): _ADMINS,
    ("POST", "/api/v1/users"): _ADMINS,
    ("PATCH", "/api/v1/users/{user_id}"): _ADMINS,
    ("POST", "/api/v1/users/{user_id}/invitation"): _ADMINS,
    ("GET", "/api/v1/audit"): _AUDITORS,
    ("GET", "/api/v1/audit/export"): _AUDITORS,
}
