"""What of accounts is written down: who signed in or failed to, and who changed what.

The words are those of the audit trail. An event carries ids and nothing else of anybody.
"""

from enum import StrEnum
from typing import Protocol

import structlog

from diagnosis.identity import Identity
from gateway.identity.records import Account, Record

_log = structlog.get_logger("gateway")


class Action(StrEnum):
    """What was done, or tried."""

    SIGN_IN = "sign-in"
    SIGN_OUT = "sign-out"
    SIGN_IN_FAILED = "sign-in-failed"
    DENIED = "denied"
    USER_CHANGE = "user-change"
    KEY_CHANGE = "key-change"


class Event(Record):
    """One thing that somebody did or tried."""

    action: Action
    actor: str
    """Id of the account or the key; `anonymous` where nobody is known, `system` for a command."""
    roles: tuple[str, ...] = ()
    unit: str = "default"
    outcome: str = "allowed"
    """`allowed`, or `refused`."""
    object: str | None = None
    """Id of the account or the key that it was done to."""


class Trail(Protocol):
    """Where events are written down."""

    async def add(self, event: Event) -> None:
        """Write an event down; what raises here must not be done."""


class LoggedTrail:
    """Events as lines of the service's log."""

    async def add(self, event: Event) -> None:
        _log.info("audit", **event.model_dump(mode="json"))


def by_account(account: Account | None, action: Action, outcome: str = "allowed") -> Event:
    """What somebody does to their own account; None: nobody that is known."""
    if account is None:
        return Event(action=action, actor="anonymous", outcome=outcome)
    return Event(
        action=action,
        actor=account.id,
        roles=tuple(sorted(account.roles)),
        unit=account.unit,
        outcome=outcome,
        object=account.id,
    )


def by_identity(
    identity: Identity, action: Action, about: str | None = None, outcome: str = "allowed"
) -> Event:
    """What the sender of a request does."""
    return Event(
        action=action,
        actor=identity.sub,
        roles=tuple(sorted(identity.granted)),
        unit=identity.unit,
        outcome=outcome,
        object=about,
    )


def by_command(action: Action, about: str) -> Event:
    """What a command line does, for whoever may use the run folder."""
    return Event(action=action, actor="system", object=about)
