"""A process that reads files of batches: `uvicorn --factory inference_service.worker:create_app`.

Any number of them, on any number of machines, with the settings of the service. It is run as the
services are, with a port or a socket for `/healthz`, `/readyz` and `/metrics`.
"""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import uuid4

import structlog
from fastapi import FastAPI

from diagnosis.process import before_stopping, keep_memory
from diagnosis.queue import Work, connect_work
from diagnosis.telemetry import configure_logging, traced
from inference_service.routes import health
from inference_service.service import Service, end_tasks
from inference_service.settings import Settings
from inference_service.working import Worker

log = structlog.get_logger("inference_service")

#: Least of all that run here: an image that somebody waits for comes first.
NICENESS = 19


@asynccontextmanager
async def working(
    service: Service, work: Work, ended: Callable[[], None] | None = None
) -> AsyncIterator[Worker]:
    """A worker at work; it stops with this.

    Args:
        service: everything that makes a reading; it is started and stopped here.
        work: the workers' end of the queue; it is closed here.
        ended: called where it ends by itself, which it does by a fault alone.
    """
    name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
    worker = Worker(service, work, name)
    await service.start()
    task = asyncio.create_task(worker.run())
    if ended is not None:
        task.add_done_callback(lambda _: ended())
    try:
        yield worker
    finally:
        worker.stop()
        # What is at work ends, and is kept; the services that it needs are stopped after it.
        await asyncio.wait([task], timeout=10)
        await end_tasks([task])
        await service.stop()
        await work.close()
        if not task.cancelled() and (fault := task.exception()) is not None:
            log.error("worker", kinds=_kinds(fault))


def _kinds(fault: BaseException) -> list[str]:
    """What a fault is; of a group of them, what each is."""
    if isinstance(fault, BaseExceptionGroup):
        return [kind for one in fault.exceptions for kind in _kinds(one)]
    return [type(fault).__qualname__]


def _told() -> None:
    """Stop the server: whoever watches over it starts another."""
    signal.raise_signal(signal.SIGTERM)


def create_app() -> FastAPI:
    """The application of one worker process: it works, and says how it is."""
    settings = Settings()  # the environment has what has no default
    configure_logging(settings.log_level)
    keep_memory()
    # Before the processes that read images are started: they inherit it.
    os.nice(NICENESS)
    work = connect_work(settings.redis_url.get_secret_value(), settings.redis_ca_file)
    # Some wait for the process that reads their image while the others keep the cores busy.
    service = Service(settings, name="inference_worker", spare_threads=2)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with traced(settings.traces_url, service.metrics.service):
            async with working(service, work, _told) as worker:
                before_stopping(worker.stop)
                yield

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None)
    app.state.service = service
    app.include_router(health.router)
    return app
