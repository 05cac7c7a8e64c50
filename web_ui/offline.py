"""Work without a network: the page that a device keeps, what it is made of, and deliveries.

The page, the worker that keeps it and the application's manifest are about nobody, so they are
open; a service worker stores them. Who is signed in, models and readings are asked for apart, and
nothing of these answers is stored but the models that a person chose to keep.
"""

import hashlib
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import JSONResponse

from diagnosis.contracts import Prediction, Problem
from diagnosis.errors import InvalidRequest, NoSuchResource, SightlineError
from web_ui import read_first
from web_ui.caller import Caller
from web_ui.context import Asking, DiseaseId, In
from web_ui.forms import check_token
from web_ui.languages import _, language
from web_ui.rendering import retry
from web_ui.security import policy
from web_ui.uploads import receive_form

router = APIRouter()

PAGE = "/offline"
#: WebAssembly is compiled on this page alone; `'unsafe-eval'` it needs not.
_WITH_WASM = {"content-security-policy": policy(script="'self' 'wasm-unsafe-eval'")}
#: Asked for each time, so that a new release is seen at once; it is small.
_ALWAYS_FRESH = {"cache-control": "no-cache"}
_NOT_KEPT = {"cache-control": "no-store"}
_FILES = {"model.onnx", "gate.bin"}


@router.get(PAGE)
async def offline_page(context: In) -> Response:
    """The page: the same for everybody, because a device keeps it."""
    return context.render.page(
        "offline.html",
        headers=_WITH_WASM | _ALWAYS_FRESH,
        page="offline",
        max_upload_bytes=context.settings.max_upload_bytes,
    )


@router.get("/service-worker.js")
async def service_worker(context: In) -> Response:
    """The script that keeps the page, with the list of what it keeps."""
    return Response(
        context.render.bundle.worker(PAGE), headers=_ALWAYS_FRESH, media_type="text/javascript"
    )


@router.get("/manifest.webmanifest")
async def manifest() -> Response:
    """What a device needs to install the pages as an application."""
    icons = [
        {"src": f"/static/dist/icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"}
        for side in (192, 512)
    ]
    masked = icons[1] | {"src": "/static/dist/icon-maskable-512.png", "purpose": "maskable"}
    return JSONResponse(
        {
            "id": "/",
            "name": "Sightline",
            "short_name": "Sightline",
            "description": _("A second reader for medical images."),
            "lang": language(),
            "start_url": "/",
            "scope": "/",
            "display": "standalone",
            "background_color": "#f6f8fa",
            "theme_color": "#0b5566",
            "icons": [*icons, masked],
            "shortcuts": [{"name": _("Without a network"), "url": PAGE}],
        },
        headers=_ALWAYS_FRESH,
        media_type="application/manifest+json",
    )


@router.get("/offline/state")
async def state(context: In, caller: Asking) -> Response:
    """Who is signed in, as a device tells people apart, and which models are live."""
    listed = await context.api.diseases(caller)
    return JSONResponse(
        {
            "person": _person(caller),
            "token": caller.csrf,
            "readFirst": read_first.wanted(context.settings, caller),
            "diseases": [
                {
                    "id": one.id,
                    "name": _(one.name),
                    "version": one.model.version if one.model else None,
                }
                for one in listed.items
                if one.status == "live"
            ],
        },
        headers=_NOT_KEPT,
    )


@router.get("/offline/models/{disease}")
async def model(context: In, caller: Asking, disease: DiseaseId) -> Response:
    """The live model of a disease as a device keeps it: its description."""
    return JSONResponse(await context.api.portable(caller, disease), headers=_NOT_KEPT)


@router.get("/offline/models/{disease}/{version}/{file}")
async def model_file(
    context: In,
    caller: Asking,
    disease: DiseaseId,
    version: Annotated[str, Path(pattern=r"^[1-9][0-9]{0,8}$")],
    file: str,
) -> Response:
    """A file of the live model: its graph, or the numbers of its gate."""
    if file not in _FILES:
        raise NoSuchResource
    found = await context.api.portable_file(caller, disease, version, file)
    return Response(found, headers=_NOT_KEPT, media_type="application/octet-stream")


@router.post("/offline/readings/{disease}")
async def deliver(
    request: Request,
    context: In,
    caller: Asking,
    disease: DiseaseId,
    idempotency_key: Annotated[str, Header()] = "",
) -> Response:
    """Take an image in that waited on a device; under the same key it is read once.

    The answer is JSON, refusals too, because a script asks.
    """
    try:
        try:
            key = UUID(idempotency_key)
        except ValueError:
            raise InvalidRequest("The image came without a key of its own.") from None
        form = await receive_form(request, context.settings.max_upload_bytes, demos=False)
        check_token(request, form.token)
        reading = await context.api.read(caller, disease, form.image or b"", key=key)
    except SightlineError as error:
        context.note_refusal(error)
        problem = Problem.of(error)
        return Response(
            problem.model_dump_json(),
            error.status,
            _NOT_KEPT | retry(error),
            "application/problem+json",
        )
    return JSONResponse(
        _sent(reading, hidden=read_first.wanted(context.settings, caller)), 201, _NOT_KEPT
    )


def _sent(reading: Prediction, *, hidden: bool) -> dict[str, Any]:
    """A reading as the device shows it beside its own; without an answer for who reads first."""
    said: dict[str, Any] = {
        "address": f"/readings/{reading.id}",
        "version": reading.artifact.version,
        "outcome": reading.outcome,
        "band": None,
        "probabilities": [],
        "reason": None,
    }
    if hidden:
        return said
    return said | {
        "band": reading.band,
        "probabilities": [one.model_dump(mode="json") for one in reading.probabilities],
        "reason": reading.reason.detail if reading.reason else None,
    }


def _person(caller: Caller) -> str:
    """Tells the people of one device apart, and says nothing else about them."""
    who = caller.identity.sub if caller.identity else ""
    return hashlib.sha256(f"sightline offline {who}".encode()).hexdigest()[:16]
