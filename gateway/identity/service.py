"""Everything that one process of the identity service works with."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import Depends, Request

from diagnosis.audit import AuditLog, connect_audit
from diagnosis.telemetry import Metrics
from gateway.identity.attempts import Attempts
from gateway.identity.keys import Keys
from gateway.identity.passwords import Passwords
from gateway.identity.sessions import Sessions
from gateway.settings import IdentitySettings
from gateway.store import IdentityStore, connect

Clock = Callable[[], float]


@dataclass(frozen=True)
class Service:
    """The parts, wired; `make_service` does it."""

    settings: IdentitySettings
    clock: Clock
    store: IdentityStore
    passwords: Passwords
    attempts: Attempts
    sessions: Sessions
    keys: Keys
    audit: AuditLog
    """Where it is written down who did what, before it is done."""
    private_key: Ed25519PrivateKey
    metrics: Metrics

    async def names(self) -> dict[str, str]:
        """What each account is signed in with, and each key is called, by its id."""
        of_accounts = {one.id: one.name for one in await self.store.accounts()}
        return {one.id: one.name for one in await self.store.keys()} | of_accounts

    async def close(self) -> None:
        """Let go of connections and threads."""
        self.passwords.close()
        await self.store.close()
        await self.audit.close()


def make_service(
    settings: IdentitySettings,
    private_key: Ed25519PrivateKey,
    *,
    clock: Clock = time.time,
    hasher: PasswordHasher | None = None,
    audit: AuditLog | None = None,
) -> Service:
    """Wire the service. Nothing is opened before the first use."""
    address = settings.redis_url.get_secret_value()
    store = connect(address, settings.redis_ca_file)
    return Service(
        settings=settings,
        clock=clock,
        store=store,
        passwords=Passwords(hasher),
        attempts=Attempts(store, clock),
        sessions=Sessions(store, clock),
        keys=Keys(store, clock),
        audit=audit or connect_audit(address, settings.redis_ca_file),
        private_key=private_key,
        metrics=Metrics("gateway"),
    )


def _service(request: Request) -> Service:
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


ServiceDependency = Annotated[Service, Depends(_service)]
