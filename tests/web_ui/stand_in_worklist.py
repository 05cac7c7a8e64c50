"""The stand-in's list of readings, its thumbnails, its events, and the versions of its models."""

import io
import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import StreamingResponse
from PIL import Image

from diagnosis.contracts import (
    URGENCY,
    DiseaseView,
    Interval,
    ListedBand,
    ListedPrediction,
    ObservedShare,
    Prediction,
    PredictionPage,
    ReviewState,
    Sort,
    VersionList,
    listed_band,
)
from diagnosis.errors import (
    InvalidRequest,
    NoSuchResource,
    NotUnderReview,
    StoreUnavailable,
    UnknownVersion,
)
from tests.web_ui.stand_in_catalogue import card

if TYPE_CHECKING:
    from tests.web_ui.stand_in import StandIn

#: Versions of each disease that has a model; the first is live.
VERSIONS = ("1", "2")


def observed(disease: DiseaseView, level: float) -> ObservedShare | None:
    """What became of images of about this brightness; nothing where there is no finding."""
    if disease.finding is None:
        return None
    low = min(int(level * 10), 9) / 10
    share = Interval(value=low + 0.05, low=low, high=low + 0.1)
    return ObservedShare(class_id=disease.finding, low=low, high=low + 0.1, images=64, share=share)


def review_state(stand_in: "StandIn", prediction: Prediction) -> ReviewState:
    """What the newest review came to."""
    states = [one.state for one in stand_in.reviews.get(prediction.id, ()) if one.state]
    return states[-1] if states else "open"


def listed(stand_in: "StandIn", prediction: Prediction) -> ListedPrediction:
    """A reading as it stands in the list."""
    reference = prediction.patient_reference
    same = [one for one in stand_in.readings.values() if one.patient_reference == reference]
    return ListedPrediction(
        **dict(prediction),
        review=review_state(stand_in, prediction),
        patient_readings=0 if reference is None else len(same),
    )


def thumbnail(data: bytes) -> bytes:
    """A JPEG of at most 160 pixels a side."""
    image = Image.open(io.BytesIO(data))
    image.thumbnail((160, 160))
    held = io.BytesIO()
    image.convert("RGB").save(held, "JPEG")
    return held.getvalue()


def _says(one: Prediction, text: str) -> bool:
    top = one.top[0].name if one.top else ""
    words = f"{one.disease_name} {top} {one.artifact.version} {one.id}".lower()
    return all(word in words for word in text.lower().split())


def add_worklist_routes(app: FastAPI, stand_in: "StandIn") -> None:
    """The routes of lists, thumbnails, events and versions."""

    @app.get("/api/v1/predictions")
    async def readings(
        disease: str | None = None,
        class_id: str | None = None,
        band: ListedBand | None = None,
        review: ReviewState | None = None,
        same_patient_as: UUID | None = None,
        batch: UUID | None = None,
        q: str | None = None,
        sort: Sort = "newest",
        cursor: str | None = None,
        limit: int = 20,
    ) -> PredictionPage:
        if stand_in.store_down:
            raise StoreUnavailable
        if cursor is not None and not re.fullmatch("([0-4]-)?[0-9a-f]{32}", cursor):
            raise InvalidRequest
        patient = same_patient_as and stand_in.reading(same_patient_as).patient_reference
        found = [
            item
            for _, item in sorted(stand_in.readings.items(), reverse=True)
            if disease in (None, item.disease)
            and (class_id is None or (item.top and item.top[0].id == class_id))
            and band in (None, listed_band(item))
            and batch in (None, item.batch)
            and review in (None, review_state(stand_in, item))
            and (
                same_patient_as is None
                or (patient is not None and item.patient_reference == patient)
            )
            and (q is None or _says(item, q))
        ]
        if sort == "urgent":
            found.sort(key=lambda item: URGENCY.index(listed_band(item)))
        if cursor is not None:
            last = UUID(cursor.rpartition("-")[2])
            places = [place for place, item in enumerate(found) if item.id == last]
            found = found[places[0] + 1 :] if places else [one for one in found if one.id < last]
        more = found[limit - 1].id.hex if len(found) > limit else None
        if more is not None and sort == "urgent":
            more = f"{URGENCY.index(listed_band(found[limit - 1]))}-{more}"
        items = tuple(listed(stand_in, item) for item in found[:limit])
        return PredictionPage(items=items, next_cursor=more)

    @app.get("/api/v1/predictions/events")
    async def events(
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> StreamingResponse:
        """Readings since the last event, and the end; a browser comes again after `retry_ms`."""
        newest = sorted(stand_in.readings)
        after = UUID(last_event_id) if last_event_id else None

        async def stream() -> AsyncIterator[str]:
            yield f"retry: {stand_in.retry_ms}\n\n"
            if after is None:
                # An id alone is no event; the browser sends it when it comes again.
                yield f"id: {newest[-1] if newest else UUID(int=0)}\n\n"
                return
            for key in newest:
                if key > after:
                    disease = stand_in.readings[key].disease
                    data = f'{{"id": "{key}", "disease": "{disease}"}}'
                    yield f"id: {key}\nevent: prediction\ndata: {data}\n\n"

        return StreamingResponse(stream(), media_type="text/event-stream")

    @app.get("/api/v1/predictions/{prediction}/thumbnail")
    async def one_thumbnail(prediction: UUID, request: Request) -> Response:
        digest = stand_in.reading(prediction).image.digest
        if digest not in stand_in.images:
            raise NoSuchResource("The image of this reading is not kept any more.")
        headers = {"etag": f'"{digest[-16:]}"', "cache-control": "private, no-cache"}
        if headers["etag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(thumbnail(stand_in.images[digest]), 200, headers, "image/jpeg")

    @app.get("/api/v1/predictions/{prediction}/dicom")
    async def one_dicom(prediction: UUID) -> Response:
        if stand_in.reading(prediction).id not in stand_in.dicoms:
            raise NoSuchResource("No DICOM file is kept of this reading.")
        return Response(stand_in.dicoms[prediction], media_type="application/dicom")

    @app.get("/api/v1/diseases/{disease}/versions")
    async def versions(disease: str) -> VersionList:
        found = version_list(disease, live=stand_in.disease(disease).model is not None)
        return stand_in.stopped.get(disease, found)

    @app.post("/api/v1/diseases/{disease}/versions/{version}/lift")
    async def lift(disease: str, version: str) -> VersionList:
        if stand_in.lifting is not None:
            raise stand_in.lifting
        if disease not in stand_in.stopped:
            raise NotUnderReview
        return stand_in.stopped.pop(disease)

    @app.get("/api/v1/diseases/{disease}/versions/{version}/card")
    async def version_card(disease: str, version: str) -> dict[str, Any]:
        if stand_in.disease(disease).model is None or version not in VERSIONS:
            raise UnknownVersion
        if version == VERSIONS[0]:
            return stand_in.cards.get(disease) or card(disease)
        return another_card(disease, version)


def version_list(disease: str, *, live: bool) -> VersionList:
    """The versions of a disease: one live, one published; none where there is no model."""
    if not live:
        return VersionList(disease=disease, live=None, items=())
    change = {
        "at": "2026-11-21T09:30:00Z",
        "action": "promote",
        "version": VERSIONS[0],
        "previous": None,
        "acknowledged_by": "Grace Hopper",
    }
    return VersionList.model_validate(
        {
            "disease": disease,
            "live": VERSIONS[0],
            "items": [
                {"version": one, "role": "published" if place else "live"}
                for place, one in enumerate(VERSIONS)
            ],
            "history": [change],
        }
    )


def another_card(disease: str, version: str) -> dict[str, Any]:
    """The card of another version: more images, another recipe, other figures."""
    first = card(disease)
    figures = first["evaluation"]["figures"] | {
        "auc": {"value": 0.988, "low": 0.981, "high": 0.993}
    }
    return first | {
        "version": version,
        "created_at": "2026-11-24T08:00:00Z",
        "training": first["training"] | {"recipe": "resnet50", "images": 5216},
        "evaluation": first["evaluation"] | {"figures": figures},
    }
