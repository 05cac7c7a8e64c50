"""The web application: `uvicorn --factory inference_service.app:create_app`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from diagnosis.asgi import HeadAsGet
from diagnosis.results import ResultStore
from diagnosis.telemetry import RequestTelemetry, configure_logging
from inference_service.decoding import Nursery
from inference_service.openapi import describe
from inference_service.problems import Guard, install_handlers
from inference_service.routes import diseases, examinations, health, patients, predictions
from inference_service.service import Service
from inference_service.settings import Settings


def create_app(
    settings: Settings | None = None,
    *,
    results: ResultStore | None = None,
    nursery: Nursery | None = None,
) -> FastAPI:
    """The application of one service process.

    Args:
        settings: by default those of the environment, and the process logs as they say.
        results: another store of readings in place of the settings' Redis.
        nursery: what starts the processes that read images, where services share one.
    """
    if settings is None:
        settings = Settings()  # the environment has what has no default
        configure_logging(settings.log_level)
    service = Service(settings, results, nursery)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await service.start()
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
        examinations.router,
        predictions.router,
        patients.router,
        health.router,
    )
    for router in routers:
        app.include_router(router)
    install_handlers(app, service.metrics, [one for router in routers for one in router.routes])
    describe(app)
    # The last one added is the outermost: it sees the answers of the guard too.
    app.add_middleware(Guard, metrics=service.metrics)
    app.add_middleware(RequestTelemetry, metrics=service.metrics)
    app.add_middleware(HeadAsGet)
    return app
