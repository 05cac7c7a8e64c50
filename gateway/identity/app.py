"""The identity service: `uvicorn --factory gateway.identity.app:create_app`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from fastapi import Depends, FastAPI

from diagnosis.asgi import HeadAsGet
from diagnosis.audit import AuditLog
from diagnosis.identity import Identity
from diagnosis.process import keep_memory, settle
from diagnosis.telemetry import RequestTelemetry, configure_logging, traced
from gateway.audit_api import AuditTrail, audit_router
from gateway.identity.callers import CallerDependency, admit
from gateway.identity.problems import install_handlers
from gateway.identity.routes import account, check, codes, health, keys, oidc, sign_in, users
from gateway.identity.service import Clock, make_service
from gateway.identity.signing import ensure_key
from gateway.settings import IdentitySettings


def create_app(
    settings: IdentitySettings | None = None,
    *,
    clock: Clock = time.time,
    hasher: PasswordHasher | None = None,
    audit: AuditLog | None = None,
) -> FastAPI:
    """The application of one service process.

    Args:
        settings: by default those of the environment, and the process logs as they say.
        clock: seconds since 1970.
        hasher: another cost of passwords than the recommended one.
        audit: where it is written down who did what, in place of the settings' Redis.

    Raises:
        KeyRefused: the key to sign with is there and cannot be used.
    """
    own_process = settings is None
    if settings is None:
        settings = IdentitySettings()  # the environment has what has no default
        configure_logging(settings.log_level)
        keep_memory()
    key = ensure_key(settings.key_file, settings.key_file.with_suffix(".pub"))
    service = make_service(settings, key, clock=clock, hasher=hasher, audit=audit)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if own_process:
            settle()
        with traced(settings.traces_url, service.metrics.service):
            try:
                yield
            finally:
                await service.close()

    app = FastAPI(
        title="Sightline accounts",
        version="1",
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(admit)],
    )
    app.state.service = service
    for room in (sign_in, codes, oidc, account, users, keys, check, health):
        app.include_router(room.router)
    trail = AuditTrail(settings.audit_dir, key, service.audit, service.names)
    app.include_router(audit_router(trail, _identity))
    install_handlers(app, service.metrics)
    app.add_middleware(RequestTelemetry, metrics=service.metrics)
    app.add_middleware(HeadAsGet)
    return app


async def _identity(caller: CallerDependency) -> Identity:
    """Who is asking; the table has said already that they may."""
    return caller.identity
