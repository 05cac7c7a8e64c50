"""A reading as a report on paper: everything its page tells, in one PDF to hand on."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter, Request, Response

from diagnosis.contracts import DiseaseView, Prediction, Review, now
from diagnosis.errors import (
    ModelRefused,
    NoHeatmap,
    NoSuchResource,
    UnknownDisease,
    UnknownVersion,
    VersionGone,
)
from web_ui import read_first
from web_ui.api_client import StoredImage
from web_ui.bundle import Bundle
from web_ui.caller import Caller
from web_ui.card_view import CardView
from web_ui.context import Asking, Context, In, ReadingId
from web_ui.printing import BASE, Part
from web_ui.reading_view import ClassName, ReadingView

router = APIRouter()

#: The addresses, within the document, of what it shows.
_IMAGE, _HEATMAP = "image", "heatmap"

#: What is not kept for ever: a report is made without it and says so.
_GONE = (NoSuchResource, NoHeatmap, VersionGone)
_NO_CARD = (UnknownDisease, UnknownVersion, ModelRefused, NoSuchResource)


@dataclass(frozen=True)
class _Material:
    """What a report is made of; None is what is not kept any more."""

    reading: Prediction
    view: ReadingView
    reviews: tuple[Review, ...]
    disease: DiseaseView | None
    card: CardView | None
    image: StoredImage | None
    heatmap: StoredImage | None
    explained: ClassName | None
    """The class of the heatmap."""


@router.get("/readings/{prediction}/report.pdf")
async def report(request: Request, context: In, caller: Asking, prediction: ReadingId) -> Response:
    """The reading as a PDF. Who made it is in the audit trail, as an export.

    It is refused to somebody who reads first and has not: it tells the answer.
    """
    found = await _gather(context, caller, prediction)
    origin = str(request.base_url).rstrip("/")
    document = context.render.html(
        "report.html",
        {
            "reading": found.reading,
            "view": found.view,
            "reviews": found.reviews,
            "disease": found.disease,
            "card": found.card,
            "class_names": _class_names(found),
            "image": _IMAGE if found.image else None,
            "heatmap": _HEATMAP,
            "heatmap_class": found.explained.name if found.heatmap and found.explained else None,
            "address": f"{origin}/readings/{prediction}",
            "made_at": now(),
            "made_by": caller.identity.name if caller.identity else "",
        },
    )
    pdf = await context.printer.pdf(document, _parts(context.render.bundle, found))
    headers = {
        "cache-control": "no-store",
        "content-disposition": f'attachment; filename="reading-{prediction}.pdf"',
    }
    return Response(pdf, 200, headers, "application/pdf")


async def _gather(context: Context, caller: Caller, prediction: UUID) -> _Material:
    api = context.api
    reading = await api.reading(caller, prediction, export=True)
    reviews = await api.reviews(caller, prediction)
    if read_first.kept_back(context.settings, caller, reading, reviews):
        raise read_first.AnswerKeptBack
    view = ReadingView.of(reading)
    explained = next(iter(view.heatmaps), None)
    disease, card, image, heatmap = await asyncio.gather(
        _disease(context, caller, reading.disease),
        _card(context, caller, reading),
        _image(context, caller, prediction),
        _heatmap(context, caller, prediction, explained),
    )
    return _Material(
        reading, view, reviews, disease, card, image, heatmap if image else None, explained
    )


async def _disease(context: Context, caller: Caller, disease: str) -> DiseaseView | None:
    try:
        return await context.api.disease(caller, disease)
    except UnknownDisease:
        return None


async def _card(context: Context, caller: Caller, reading: Prediction) -> CardView | None:
    """The card of the version that read the image, live or not."""
    version = reading.artifact.version
    try:
        return CardView.of(await context.api.version_card(caller, reading.disease, version))
    except _NO_CARD:
        return None


async def _image(context: Context, caller: Caller, prediction: UUID) -> StoredImage | None:
    try:
        return await context.api.reading_image(caller, prediction)
    except NoSuchResource:
        return None


async def _heatmap(
    context: Context, caller: Caller, prediction: UUID, explained: ClassName | None
) -> StoredImage | None:
    if explained is None:
        return None
    try:
        return await context.api.heatmap(caller, prediction, explained.id)
    except _GONE:
        return None


def _class_names(found: _Material) -> Mapping[str, str]:
    """Names by id: the catalogue's, and those that the reading was stored with."""
    names = {one.id: one.name for one in found.disease.classes} if found.disease else {}
    return names | {one.id: one.name for one in found.reading.probabilities}


def _parts(bundle: Bundle, found: _Material) -> Mapping[str, Part]:
    """What the document shows and is set with, by its whole address."""
    parts = {
        BASE + address.lstrip("/"): Part(kind, content)
        for address, (kind, content) in bundle.files("report").items()
    }
    for name, stored in ((_IMAGE, found.image), (_HEATMAP, found.heatmap)):
        if stored is not None:
            kind = stored.headers.get("content-type", "image/png")
            parts[BASE + name] = Part(kind, stored.content)
    return parts
