"""The identity service: `uvicorn --factory gateway.identity.app:create_app`."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from argon2 import PasswordHasher
from fastapi import FastAPI

from diagnosis.asgi import HeadAsGet
from diagnosis.telemetry import RequestTelemetry, configure_logging
from gateway.identity.events import Trail
from gateway.identity.problems import install_handlers
from gateway.identity.routes import check, codes, health, keys, oidc, sign_in, users
from gateway.identity.service import Clock, make_service
from gateway.identity.signing import ensure_key
from gateway.settings import IdentitySettings


def create_app(
    settings: IdentitySettings | None = None,
    *,
    clock: Clock = time.time,
    hasher: PasswordHasher | None = None,
    trail: Trail | None = None,
) -> FastAPI:
    """The application of one service process.

    Args:
        settings: by default those of the environment, and the process logs as they say.
        clock: seconds since 1970.
        hasher: another cost of passwords than the recommended one.
        trail: where events are written down, in place of the log.

    Raises:
        KeyRefused: the key to sign with is there and cannot be used.
    """
    if settings is None:
        settings = IdentitySettings()  # the environment has what has no default
        configure_logging(settings.log_level)
    key = ensure_key(settings.key_file, settings.key_file.with_suffix(".pub"))
    service = make_service(settings, key, clock=clock, hasher=hasher, trail=trail)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
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
    )
    app.state.service = service
    for room in (sign_in, codes, oidc, users, keys, check, health):
        app.include_router(room.router)
    install_handlers(app, service.metrics)
    app.add_middleware(RequestTelemetry, metrics=service.metrics)
    app.add_middleware(HeadAsGet)
    return app
