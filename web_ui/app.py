"""The pages as an app: `uvicorn web_ui.app:create_app --factory`."""

import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import httpx
import structlog
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from diagnosis.access import Access
from diagnosis.asgi import HeadAsGet
from diagnosis.errors import InvalidRequest, MethodNotAllowed, NoSuchResource, SightlineError
from diagnosis.keys import read_public_key
from diagnosis.process import keep_memory, settle
from diagnosis.telemetry import (
    AsgiApp,
    Message,
    Metrics,
    Receive,
    RequestTelemetry,
    Scope,
    Send,
    configure_logging,
    traced,
)
from web_ui import (
    account,
    audit_trail,
    batch_exports,
    batches,
    choosing_language,
    examinations,
    exports,
    model_pages,
    offline,
    operations,
    pages,
    people,
    readings,
    reports,
    reviews,
    signing_in,
    worklist,
)
from web_ui.access import TABLE
from web_ui.accounts import GatewayClient
from web_ui.api_client import ApiClient
from web_ui.batch_client import BatchClient
from web_ui.bundle import Bundle
from web_ui.context import Context
from web_ui.forms import refuse_foreign_posts
from web_ui.languages import InLanguage
from web_ui.printing import Printer
from web_ui.rendering import Renderer
from web_ui.security import HEADERS
from web_ui.settings import Settings

_log = structlog.get_logger("web_ui")


class SecurityHeaders:
    """ASGI middleware: every answer carries the headers of `web_ui.security`."""

    def __init__(self, app: AsgiApp) -> None:
        self.app = app
        self._headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", ()))
                # A page that needs more of the policy brings one of its own.
                named = {name for name, _ in own}
                message["headers"] = [*own, *(one for one in self._headers if one[0] not in named)]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


def create_app(
    settings: Settings | None = None,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    gateway: httpx.AsyncBaseTransport | None = None,
) -> FastAPI:
    """The app.

    Args:
        settings: by default those of the environment.
        transport: another way to reach inference_service, see `ApiClient`.
        gateway: another way to reach the identity service, see `GatewayClient`.

    Raises AssetsMissing when the page assets were not built.
    """
    own_process = settings is None
    if settings is None:
        settings = Settings()
        configure_logging(settings.log_level)
        keep_memory()
    bundle = Bundle(settings.static_dir)
    metrics = Metrics("web_ui")
    key = read_public_key(settings.identity_key_file)
    context = Context(
        settings,
        ApiClient(settings, transport),
        BatchClient(settings, transport),
        GatewayClient(settings, gateway),
        Renderer(bundle),
        Printer(settings.report_seconds),
        metrics,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if own_process:
            settle()
        with traced(settings.traces_url, metrics.service):
            yield
            await context.api.close()
            await context.batches.close()
            await context.gateway.close()

    app = FastAPI(
        title="Sightline pages",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=lifespan,
        dependencies=[Depends(refuse_foreign_posts)],
    )
    app.state.context = context
    routers = (
        operations.router,
        operations.static_router(settings.static_dir),
        choosing_language.router,
        signing_in.router,
        pages.router,
        worklist.router,
        # Before the pages of readings: an address with an ending is not taken for an id.
        exports.router,
        reports.router,
        readings.router,
        batch_exports.router,
        batches.router,
        reviews.router,
        model_pages.router,
        examinations.router,
        offline.router,
        account.router,
        people.router,
        audit_trail.router,
    )
    for router in routers:
        app.include_router(router)
    routes = [one for router in routers for one in router.routes if isinstance(one, Route)]
    _handle_errors(app, context)

    def refuse(scope: Scope, error: SightlineError) -> AsgiApp:
        context.note_refusal(error)
        return context.render.problem(Request(scope), error)

    app.add_middleware(
        Access, table=TABLE, routes=routes, key=key, refuse=refuse, token_in_header=False
    )
    app.add_middleware(RequestTelemetry, metrics=metrics)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(InLanguage)
    app.add_middleware(HeadAsGet)
    return app


def _handle_errors(app: FastAPI, context: Context) -> None:
    """Every error, ours or not, ends on the error view and in the count of refusals."""

    def show(request: Request, error: SightlineError) -> Response:
        context.note_refusal(error)
        return context.render.problem(request, error)

    @app.exception_handler(SightlineError)
    async def ours(request: Request, error: SightlineError) -> Response:
        return show(request, error)

    @app.exception_handler(HTTPException)
    async def of_the_framework(request: Request, error: HTTPException) -> Response:
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            answer = show(request, MethodNotAllowed())
            answer.headers.update(error.headers or {})
            return answer
        if error.status_code == HTTPStatus.NOT_FOUND:
            return show(request, NoSuchResource())
        return show(request, InvalidRequest())

    @app.exception_handler(RequestValidationError)
    async def of_validation(request: Request, _: Exception) -> Response:
        return show(
            request,
            InvalidRequest(
                "The address holds a value that is not allowed.",
                remedy="Begin again at the start page.",
            ),
        )

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> Response:
        # The places and no values: a value may be somebody's.
        places = [f"{at.filename}:{at.lineno}" for at in traceback.extract_tb(error.__traceback__)]
        _log.error("unforeseen", error=type(error).__name__, places=places[-8:])
        answer = show(request, SightlineError())
        # This handler runs outside of every middleware, so the headers are set here as well.
        answer.headers.update(HEADERS)
        return answer
