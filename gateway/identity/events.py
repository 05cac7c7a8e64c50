"""What of accounts is written down: who signed in or failed to, and who changed what."""

from diagnosis.audit import Action, AuditEvent, AuditOutcome
from diagnosis.contracts import now
from gateway.identity.records import Account


def by_account(
    account: Account | None,
    action: Action,
    outcome: AuditOutcome = AuditOutcome.ALLOWED,
    *,
    about: str | None = None,
) -> AuditEvent:
    """What somebody does to their own account, or to `about`; None: nobody that is known."""
    if account is None:
        return AuditEvent(
            at=now(), action=action, actor="anonymous", unit="default", outcome=outcome
        )
    return AuditEvent(
        at=now(),
        action=action,
        actor=account.id,
        roles=tuple(sorted(account.roles)),
        unit=account.unit,
        outcome=outcome,
        object=about or account.id,
    )


def by_command(action: Action, about: str) -> AuditEvent:
    """What a command line does to an account or a key, for whoever may use the run folder."""
    return AuditEvent(
        at=now(),
        action=action,
        actor="system",
        unit="default",
        outcome=AuditOutcome.ALLOWED,
        object=about,
    )
