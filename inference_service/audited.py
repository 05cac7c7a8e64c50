"""What the sender of a request does, written down before it is done."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import structlog
from fastapi import Depends

from diagnosis.audit import Action, AuditEvent, AuditLog, AuditOutcome
from diagnosis.errors import AuditUnavailable
from diagnosis.identity import Identity
from inference_service.access import Asking
from inference_service.service import ServiceDependency

log = structlog.get_logger("inference_service")


class Audit:
    """Writes down what one request does.

    Args:
        events: where to.
        identity: who is asking; all that is known of the actor comes from here.
    """

    def __init__(self, events: AuditLog, identity: Identity) -> None:
        self._events = events
        self._identity = identity

    async def allowed(self, action: Action, object_id: UUID | str | None = None) -> None:
        """It is let through; called before anything is done or shown.

        Raises:
            AuditUnavailable: so it must not be.
        """
        await self._add(action, AuditOutcome.ALLOWED, object_id)

    async def refused(self, action: Action) -> None:
        """There was nothing of that name. What was asked for is not written down: it is whatever
        somebody sent.

        Raises:
            AuditUnavailable: it could not be written.
        """
        await self._add(action, AuditOutcome.REFUSED, None)

    async def denied(self) -> None:
        """None of the roles may do it. It is refused in any case, so nothing is raised."""
        try:
            await self._add(Action.DENIED, AuditOutcome.REFUSED, None)
        except AuditUnavailable as error:
            log.warning("audit", cause=error.cause)

    @asynccontextmanager
    async def doing(self, action: Action, object_id: UUID | str) -> AsyncIterator[None]:
        """A change is made inside: let through before, and written down again if it fails.

        Raises:
            AuditUnavailable: nothing of the inside was done.
        """
        await self.allowed(action, object_id)
        try:
            yield
        except BaseException:
            try:
                await self._add(action, AuditOutcome.FAILED, object_id)
            except AuditUnavailable as error:
                log.warning("audit", cause=error.cause)
            raise

    async def _add(
        self, action: Action, outcome: AuditOutcome, object_id: UUID | str | None
    ) -> None:
        await self._events.add(AuditEvent.of(self._identity, action, outcome, object_id))


async def _audit(asking: Asking, service: ServiceDependency) -> Audit:
    return Audit(service.audit, asking)


#: Writes down what the sender of the request does.
Audited = Annotated[Audit, Depends(_audit)]
