"""What machines ask a service for: its health, its metrics, its files, what robots may read."""

from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from diagnosis.errors import SightlineError
from diagnosis.telemetry import METRICS_CONTENT_TYPE
from web_ui.bundle import STATIC_URL
from web_ui.context import In

router = APIRouter()

#: Built files carry a hash of their content in their name, so a name never changes its content.
_FOR_EVER = {"cache-control": "public, max-age=31536000, immutable"}


@router.get("/healthz")
async def healthz() -> Response:
    """The process answers."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz")
async def readyz(context: In) -> Response:
    """The service that reads images answers, so pages can be shown; 503 and why, if not."""
    try:
        await context.api.ping()
    except SightlineError as error:
        return JSONResponse({"status": "unavailable", "reasons": [error.detail]}, 503)
    return JSONResponse({"status": "ok"})


@router.get("/metrics")
async def metrics(context: In) -> Response:
    """Prometheus exposition."""
    return Response(context.metrics.render(), media_type=METRICS_CONTENT_TYPE)


@router.get("/robots.txt")
async def robots() -> Response:
    """No page is for a search engine."""
    return PlainTextResponse("User-agent: *\nDisallow: /\n")


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Browsers that ask for the old name are led to the drawing."""
    return RedirectResponse(f"{STATIC_URL}favicon.svg", 308)


def static_router(folder: Path) -> APIRouter:
    """The built assets under a route of their own, so that they are counted under one name."""
    files = StaticFiles(directory=folder)
    static = APIRouter()

    @static.get(STATIC_URL + "{path:path}")
    async def asset(request: Request, path: str) -> Response:
        answer = await files.get_response(path, request.scope)
        if path.startswith("assets/"):
            answer.headers.update(_FOR_EVER)
        return answer

    return static
