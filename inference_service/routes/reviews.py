"""What clinicians say of readings, and how often an answer changed a mind."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import ValidationError

from diagnosis.audit import Action
from diagnosis.contracts import (
    LONGEST_NOTE,
    NewReview,
    OpinionSummary,
    Prediction,
    Review,
    ReviewList,
    answer_class,
    new_prediction_id,
    now,
)
from diagnosis.errors import (
    AlreadyReviewed,
    AuditUnavailable,
    InvalidRequest,
    SightlineError,
    StoreUnavailable,
    UnknownPrediction,
)
from diagnosis.opinions import Opined, summary
from inference_service.access import Asking
from inference_service.audited import Audited
from inference_service.problems import FieldRefused, documented
from inference_service.routes.predictions import get_prediction
from inference_service.service import Service, ServiceDependency
from inference_service.uploads import read_short

#: Readings with a first opinion that a summary looks through, the newest.
MOST_OPINED = 2000

#: A note of the greatest length, each character written as a pair of escapes.
MAX_REVIEW_BYTES = 12 * LONGEST_NOTE + 1024

router = APIRouter(prefix="/api/v1", tags=["reviews"])

_BODY: dict[str, Any] = {
    "required": True,
    "content": {"application/json": {"schema": NewReview.model_json_schema()}},
}


@router.post(
    "/predictions/{prediction_id}/reviews",
    status_code=201,
    operation_id="createReview",
    openapi_extra={"requestBody": _BODY},
    responses=documented(
        UnknownPrediction, AlreadyReviewed, InvalidRequest, StoreUnavailable, AuditUnavailable
    ),
)
async def create_review(
    prediction_id: UUID,
    request: Request,
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
) -> Review:
    """Say of a reading that its answer is right or wrong, or which class it should be.

    Reviews are added and never changed: whoever thinks better of it adds another one. With
    `first_opinion` a clinician says what they hold before they have seen the answer.
    """
    body = await read_short(
        request, seconds=service.settings.upload_seconds, longest=MAX_REVIEW_BYTES
    )
    try:
        said = NewReview.model_validate_json(body)
    except ValidationError:
        # Not chained: its message quotes what was sent.
        raise FieldRefused(
            body="A review has a `verdict` (agree, disagree or correct), to correct a `class_id`,"
            " and a `note` of at most 2000 characters. A first opinion has the `kind`"
            " first_opinion, no verdict, and a `class_id` or null."
        ) from None
    prediction = await service.results.get(asking.unit, prediction_id)
    if prediction is None:
        await audit.refused(Action.REVIEW)
        raise UnknownPrediction
    if said.class_id is not None and said.class_id not in _classes(service, prediction):
        raise FieldRefused(class_id="This is not a class of the reading's disease.")
    review = Review(
        **dict(said),
        id=new_prediction_id(),
        prediction_id=prediction.id,
        created_at=now(),
        created_by=asking.sub,
        author=asking.name,
        answer_class=answer_class(prediction),
    )
    async with audit.doing(Action.REVIEW, prediction.id):
        await service.results.add_review(asking.unit, review)
    if review.kind == "review":
        service.drift.reviewed(prediction, review)
    service.metrics.reviews.labels(prediction.disease, review.verdict or "first_opinion").inc()
    return review


@router.get(
    "/predictions/{prediction_id}/reviews",
    operation_id="listReviews",
    responses=documented(UnknownPrediction, InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def list_reviews(
    prediction_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> ReviewList:
    """All that was said of a reading, oldest first."""
    prediction = await get_prediction(prediction_id, asking, audit, service)
    return ReviewList(items=await service.results.reviews(asking.unit, prediction.id))


@router.get(
    "/opinions",
    operation_id="getOpinions",
    responses=documented(StoreUnavailable, AuditUnavailable),
)
async def get_opinions(
    asking: Asking, audit: Audited, service: ServiceDependency
) -> OpinionSummary:
    """How often an answer changed a mind in the own unit: of the newest 2000 readings with a
    first opinion, those with a later review by the same person."""
    await audit.allowed(Action.EXPORT)
    found, complete = await service.results.opined(asking.unit, MOST_OPINED)
    return summary(
        (Opined(one.prediction, one.reviews, _known(service, one.prediction)) for one in found),
        complete=complete,
    )


def _classes(service: Service, prediction: Prediction) -> set[str]:
    """The classes that a reading can be corrected to."""
    known = {one.id for one in prediction.probabilities}
    try:
        known |= {one.id for one in service.models.disease(prediction.disease).classes}
        known |= {one.id for one in service.models.check(prediction.disease).card.classes}
    except SightlineError:
        # The disease has no live model any more, or is not in the catalogue.
        pass
    return known


def _known(service: Service, prediction: Prediction) -> str | None:
    """The class that an image is known to show: that of a demo image of the live model."""
    if not prediction.image.demo:
        return None
    try:
        card = service.models.check(prediction.disease).card
    except SightlineError:
        return None
    shown = {one.digest: one.class_id for one in card.demo_images}
    return shown.get(prediction.image.digest)
