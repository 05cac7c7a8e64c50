"""The list of readings, their thumbnails, and the news that there are more."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from diagnosis.audit import Action
from diagnosis.contracts import (
    ListedBand,
    ListedPrediction,
    PredictionPage,
    ReviewState,
    Slug,
    Sort,
)
from diagnosis.errors import (
    AuditUnavailable,
    InvalidRequest,
    NoSuchResource,
    Overloaded,
    StoreUnavailable,
    UnknownPrediction,
)
from diagnosis.results import LONGEST_TEXT, MAX_PAGE
from inference_service.access import Asking
from inference_service.audited import Audited
from inference_service.problems import documented
from inference_service.routes.predictions import get_prediction, no_longer_kept
from inference_service.service import ServiceDependency
from inference_service.thumbnails import tag
from inference_service.views import as_it_stands

router = APIRouter(prefix="/api/v1/predictions", tags=["predictions"])


@router.get(
    "",
    operation_id="listPredictions",
    responses=documented(UnknownPrediction, InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def list_predictions(
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
    disease: Annotated[Slug | None, Query(description="Only of this disease.")] = None,
    class_id: Annotated[
        Slug | None, Query(description="Only where this class is the most probable one.")
    ] = None,
    band: Annotated[ListedBand | None, Query(description="Only of this band.")] = None,
    review: Annotated[
        ReviewState | None, Query(description="Only where the newest review came to this.")
    ] = None,
    same_patient_as: Annotated[
        UUID | None,
        Query(description="Only of the patient of this reading; none where it has no reference."),
    ] = None,
    batch: Annotated[UUID | None, Query(description="Only of this batch.")] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=LONGEST_TEXT,
            description="Only with all these words in the name of the disease or of the most"
            " probable class, the model's version, or the id.",
        ),
    ] = None,
    sort: Annotated[
        Sort,
        Query(
            description="`urgent`: likely positive, uncertain, not judged, without a band, likely"
            " negative, and in each the newest first."
        ),
    ] = "newest",
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before, asked for in the same way.",
            pattern=r"^([0-4]-)?[0-9a-f]{32}$",
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 20,
) -> PredictionPage:
    """The readings of the own unit that are kept, newest or most urgent first."""
    patient = None
    if same_patient_as is not None:
        one = await service.results.get(asking.unit, same_patient_as)
        if one is None:
            await audit.refused(Action.EXPORT)
            raise UnknownPrediction
        patient = one.patient_reference
        if patient is None:
            await audit.allowed(Action.EXPORT)
            return PredictionPage(items=())
    found, next_cursor = await service.results.list(
        asking.unit,
        disease=disease,
        class_id=class_id,
        band=band,
        review=review,
        patient_reference=patient,
        batch=batch,
        text=q,
        sort=sort,
        cursor=cursor,
        limit=limit,
    )
    beside = await service.results.standings(found)
    await audit.allowed(Action.EXPORT)
    items = tuple(
        ListedPrediction(
            **dict(as_it_stands(service.models, one)),
            review=standing.review,
            patient_readings=standing.patient_readings,
        )
        for one, standing in zip(found, beside, strict=True)
    )
    return PredictionPage(items=items, next_cursor=next_cursor)


@router.get(
    "/events",
    operation_id="watchPredictions",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `prediction` with the id and the disease of each"
            " new reading of the own unit. It ends by itself after some minutes; a browser comes"
            " again, and is told what it missed.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **documented(InvalidRequest, StoreUnavailable, AuditUnavailable, Overloaded),
    },
)
async def watch_predictions(
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
    last_event_id: Annotated[
        str | None,
        Header(
            description="The id of the last event that was received. Anything else counts as none."
        ),
    ] = None,
) -> StreamingResponse:
    """New readings of the own unit, as they come."""
    service.events.check()
    await service.results.ping()
    await audit.allowed(Action.EXPORT)
    return StreamingResponse(
        service.events.stream(asking.unit, _id_in(last_event_id)),
        # The proxy passes on each event as it comes.
        headers={"x-accel-buffering": "no"},
        media_type="text/event-stream",
    )


@router.get(
    "/{prediction_id}/thumbnail",
    operation_id="getPredictionThumbnail",
    response_class=Response,
    responses={
        200: {
            "description": "The kept image with at most 160 pixels a side.",
            "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                "ETag": {
                    "description": "The same as long as the image is.",
                    "schema": {"type": "string"},
                }
            },
        },
        304: {"description": "The thumbnail that `If-None-Match` names is still the right one."},
        **documented(
            UnknownPrediction,
            NoSuchResource,
            InvalidRequest,
            StoreUnavailable,
            AuditUnavailable,
            Overloaded,
        ),
    },
)
async def get_prediction_thumbnail(
    prediction_id: UUID,
    request: Request,
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
) -> Response:
    """A small picture of a reading's image, as long as the image is kept."""
    prediction = await get_prediction(prediction_id, asking, audit, service)
    headers = {"ETag": tag(prediction), "Cache-Control": "private, no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    small = await service.thumbnails.of(prediction)
    if small is None:
        raise no_longer_kept(service)
    return Response(small, headers=headers, media_type="image/jpeg")


def _id_in(text: str | None) -> UUID | None:
    """An id that a browser repeats; None where it is none, so that it begins anew."""
    try:
        return UUID(text or "")
    except ValueError:
        return None
