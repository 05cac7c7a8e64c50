"""The web application: `uvicorn --factory inference_service.app:create_app`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from diagnosis.access import Access
from diagnosis.asgi import HeadAsGet
from diagnosis.audit import AuditLog
from diagnosis.errors import SightlineError
from diagnosis.identity import Identity
from diagnosis.keys import read_public_key
from diagnosis.process import before_stopping, keep_memory, settle
from diagnosis.queue import Batches
from diagnosis.results import ResultStore
from diagnosis.telemetry import AsgiApp, RequestTelemetry, Scope, configure_logging, traced
from diagnosis.watch import Watch
from inference_service.access import TABLE
from inference_service.audited import Audit
from inference_service.decoding import Nursery
from inference_service.openapi import describe
from inference_service.problems import Guard, install_handlers, refusal
from inference_service.routes import (
    batch_files,
    batch_summary,
    batches,
    diseases,
    examinations,
    health,
    patients,
    portable,
    predictions,
    reviews,
    versions,
    worklist,
)
from inference_service.service import Service
from inference_service.settings import Settings


def create_app(
    settings: Settings | None = None,
    *,
    results: ResultStore | None = None,
    audit: AuditLog | None = None,
    nursery: Nursery | None = None,
    queue: Batches | None = None,
    watch: Watch | None = None,
) -> FastAPI:
    """The application of one service process.

    Args:
        settings: by default those of the environment, and the process logs as they say.
        results: another store of readings in place of the settings' Redis.
        audit: another place for audit events, in place of that Redis.
        nursery: what starts the processes that read images, where services share one.
        queue: another place for batches, in place of that Redis.
        watch: another place for what is to be looked at for drift, in place of that Redis.
    """
    own_process = settings is None
    if settings is None:
        settings = Settings()  # the environment has what has no default
        configure_logging(settings.log_level)
        keep_memory()
    key = read_public_key(settings.identity_key_file)
    service = Service(settings, results, audit, nursery, queue, watch)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with traced(settings.traces_url, service.metrics.service):
            await service.start()
            before_stopping(service.events.close)
            if own_process:
                settle()
            try:
                yield
            finally:
                await service.stop()

    app = FastAPI(
        title="Sightline",
        version="1",
        lifespan=lifespan,
        openapi_url="/api/v1/openapi.json",
        # The pages of the documentation are web_ui's, which serves their assets.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    routers = (
        diseases.router,
        versions.router,
        examinations.router,
        # Before the addresses with an id, which would take its words for one.
        worklist.router,
        predictions.router,
        reviews.router,
        batches.router,
        batch_files.router,
        batch_summary.router,
        patients.router,
        portable.router,
        health.router,
    )
    for router in routers:
        app.include_router(router)
    routes = routes_of(app, routers)
    install_handlers(app, service.metrics, routes)
    describe(app)

    def refuse(scope: Scope, error: SightlineError) -> AsgiApp:
        return refusal(scope, error, service.metrics)

    async def denied(identity: Identity) -> None:
        await Audit(service.audit, identity).denied()

    app.add_middleware(Access, table=TABLE, routes=routes, key=key, refuse=refuse, denied=denied)
    # The last one added is the outermost: it sees the answers of the guard too.
    app.add_middleware(Guard, metrics=service.metrics)
    app.add_middleware(RequestTelemetry, metrics=service.metrics)
    app.add_middleware(HeadAsGet)
    return app


def routes_of(app: FastAPI, routers: Sequence[APIRouter]) -> list[Route]:
    """Every route: the application's own, and those of the routers that it includes."""
    found = [*app.routes, *(one for router in routers for one in router.routes)]
    return [one for one in found if isinstance(one, Route)]
