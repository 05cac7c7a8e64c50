"""A signed identity stands for one person for one minute, and nothing else does."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from diagnosis import identity as module
from diagnosis.errors import Forbidden, NotSignedIn, ReauthenticationNeeded
from diagnosis.identity import (
    ALGORITHM,
    LEEWAY_SECONDS,
    LIFETIME_SECONDS,
    Identity,
    Role,
    sign_identity,
    verify_identity,
)

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key()
CLINICIAN = Identity(
    sub="u_1",
    name="Ada Müller",
    roles=(Role.CLINICIAN, Role.ENGINEER),
    unit="cardiology",
    via="session",
    csrf="t",
    auth_time=1,
)
PROGRAM = Identity(
    sub="k_1", roles=(Role.CLINICIAN, Role.ADMIN), via="key", scopes=(Role.CLINICIAN,)
)


def signed(header: dict[str, Any] | None = None, key: Any = KEY, **changes: Any) -> str:
    """A token with other claims than the gateway would sign; None leaves a claim out."""
    at = int(time.time())
    claims = CLINICIAN.model_dump(mode="json") | {
        "iss": "sightline-gateway",
        "aud": "sightline",
        "iat": at,
        "exp": at + 60,
    }
    claims = {k: v for k, v in (claims | changes).items() if v is not None}
    return jwt.encode(
        header or {"alg": ALGORITHM},
        claims,
        OKPKey(key, key) if isinstance(key, Ed25519PrivateKey) else key,
        algorithms=[(header or {"alg": ALGORITHM})["alg"]],
    )


@pytest.mark.parametrize("one", [CLINICIAN, PROGRAM], ids=["session", "key"])
def test_what_was_signed_comes_back(one: Identity) -> None:
    text = sign_identity(one, KEY)
    assert verify_identity(text, PUBLIC) == one
    assert text.isascii()


def test_it_is_good_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = time.time()
    text = sign_identity(CLINICIAN, KEY)
    claims = json.loads(base64.urlsafe_b64decode(text.split(".")[1] + "=="))
    assert claims["exp"] - claims["iat"] == LIFETIME_SECONDS == 60
    monkeypatch.setattr(time, "time", lambda: begun + 60 + LEEWAY_SECONDS - 2)
    verify_identity(text, PUBLIC)
    monkeypatch.setattr(time, "time", lambda: begun + 60 + LEEWAY_SECONDS + 2)
    with pytest.raises(NotSignedIn):
        verify_identity(text, PUBLIC)


# Made when a test asks for it: a token made when this file is read has run out long before its
# test does, so it would be refused for its age whatever else is wrong with it.
NOBODY: dict[str, Callable[[], str | None]] = {
    "nothing": lambda: None,
    "an empty header": lambda: "",
    "no token": lambda: "somebody",
    "two parts": lambda: "a.b",
    "another key's": lambda: signed(key=Ed25519PrivateKey.generate()),
    "not signed": lambda: ".".join(
        base64.urlsafe_b64encode(part).decode().rstrip("=")
        for part in (b'{"alg":"none"}', json.dumps({"sub": "u_1"}).encode(), b"")
    ),
    "signed with a shared secret": lambda: signed({"alg": "HS256"}, OctKey.generate_key(256)),
    "another issuer's": lambda: signed(iss="somebody"),
    "for another audience": lambda: signed(aud="grafana"),
    "without an issuer": lambda: signed(iss=None),
    "without an audience": lambda: signed(aud=None),
    "without an end": lambda: signed(exp=None),
    "without a beginning": lambda: signed(iat=None),
    "of the future": lambda: signed(iat=int(time.time()) + 600, exp=int(time.time()) + 660),
    "old": lambda: signed(iat=int(time.time()) - 600, exp=int(time.time()) - 540),
    "without a subject": lambda: signed(sub=None),
    "with a role nobody knows": lambda: signed(roles=["clinician", "owner"]),
    "with a unit that is no name": lambda: signed(unit="../other"),
    "roles that are no list": lambda: signed(roles="clinician"),
    "longer than any": lambda: signed(name="x" * 5000),
}


def test_what_the_cases_change_is_somebodys() -> None:
    assert verify_identity(signed(), PUBLIC).sub == CLINICIAN.sub


@pytest.mark.parametrize("make", NOBODY.values(), ids=NOBODY.keys())
def test_nothing_else_is_anybody(make: Callable[[], str | None]) -> None:
    with pytest.raises(NotSignedIn):
        verify_identity(make(), PUBLIC)


def test_a_changed_token_is_nobodys() -> None:
    head, body, signature = sign_identity(CLINICIAN, KEY).split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["roles"] = ["admin"]
    forged = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    for text in (f"{head}.{forged}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA"):
        with pytest.raises(NotSignedIn):
            verify_identity(text, PUBLIC)


def test_a_role_that_would_do_is_named() -> None:
    assert CLINICIAN.require(frozenset({Role.ENGINEER})) is CLINICIAN
    with pytest.raises(Forbidden, match="needs the role auditor"):
        CLINICIAN.require(frozenset({Role.AUDITOR}))
    with pytest.raises(Forbidden, match="one of the roles admin, auditor or ops"):
        CLINICIAN.require(frozenset({Role.AUDITOR, Role.OPS, Role.ADMIN}))
    with pytest.raises(Forbidden, match="Nobody"):
        CLINICIAN.require(frozenset())


def test_a_key_may_do_no_more_than_it_was_narrowed_to() -> None:
    assert PROGRAM.granted == {Role.CLINICIAN}
    with pytest.raises(Forbidden):
        PROGRAM.require(frozenset({Role.ADMIN}))
    widened = PROGRAM.model_copy(update={"scopes": tuple(Role)})
    assert widened.granted == set(PROGRAM.roles)


def test_a_password_is_fresh_for_two_minutes_and_a_keys_never() -> None:
    now = int(time.time())
    assert module.FRESH_SECONDS == 120
    fresh = CLINICIAN.model_copy(update={"auth_time": now - 110})
    assert fresh.require_fresh() is fresh
    for old in (CLINICIAN.model_copy(update={"auth_time": now - 130}), PROGRAM):
        with pytest.raises(ReauthenticationNeeded):
            old.require_fresh()
