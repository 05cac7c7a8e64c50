"""What every route needs from the app and from the request, as typed dependencies."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import structlog
from fastapi import Depends, Path, Request
from fastapi.responses import HTMLResponse

from diagnosis.errors import (
    NoSuchResource,
    SightlineError,
    UnknownBatch,
    UnknownDisease,
    UnknownPrediction,
)
from diagnosis.telemetry import Metrics
from web_ui.accounts import GatewayClient
from web_ui.api_client import ApiClient
from web_ui.batch_client import BatchClient
from web_ui.caller import Caller
from web_ui.printing import Printer
from web_ui.rendering import Renderer
from web_ui.settings import Settings

_log = structlog.get_logger("web_ui")

_SLUG_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
_NAME_LETTERS = _SLUG_LETTERS | frozenset("-.")


@dataclass(frozen=True)
class Context:
    """The parts of one running app."""

    settings: Settings
    api: ApiClient
    batches: BatchClient
    gateway: GatewayClient
    render: Renderer
    printer: Printer
    metrics: Metrics

    def page(self, caller: Caller, template: str, **values: Any) -> HTMLResponse:
        """A page for somebody; see `Renderer.page`."""
        return self.render.page(template, who=caller, **values)

    def note_refusal(self, error: SightlineError) -> None:
        """Count an error that is shown, and log it where it is not the reader's own."""
        self.metrics.refusals.labels(error.code).inc()
        if error.status >= 500:
            _log.warning("refused", code=error.code, cause=error.cause)


# Coroutines all, because the framework calls a plain function in a thread of its own.


async def _context(request: Request) -> Context:
    context = request.app.state.context
    assert isinstance(context, Context)
    return context


async def _caller(request: Request) -> Caller:
    return Caller.of(request)


# Only names that cannot change the address that the API is asked for are passed on.


async def _disease(disease: Annotated[str, Path()]) -> str:
    if not 0 < len(disease) <= 64 or not _SLUG_LETTERS.issuperset(disease):
        raise UnknownDisease
    return disease


async def _prediction(prediction: Annotated[str, Path()]) -> UUID:
    try:
        return UUID(prediction)
    except ValueError:
        raise UnknownPrediction from None


async def _batch(batch: Annotated[str, Path()]) -> UUID:
    try:
        return UUID(batch)
    except ValueError:
        raise UnknownBatch from None


async def _demo_name(name: Annotated[str, Path()]) -> str:
    return demo_name(name)


def demo_name(name: str) -> str:
    """The name of a demo image, if it is one. Raises NoSuchResource."""
    if not 0 < len(name) <= 80 or not _NAME_LETTERS.issuperset(name) or name.startswith("."):
        raise NoSuchResource
    return name


In = Annotated[Context, Depends(_context)]
Asking = Annotated[Caller, Depends(_caller)]
DiseaseId = Annotated[str, Depends(_disease)]
BatchId = Annotated[UUID, Depends(_batch)]
ReadingId = Annotated[UUID, Depends(_prediction)]
DemoName = Annotated[str, Depends(_demo_name)]
