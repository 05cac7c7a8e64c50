"""The stand-in's reviews and first opinions."""

from typing import TYPE_CHECKING
from uuid import UUID

from fastapi import FastAPI, Request

from diagnosis.contracts import (
    NewReview,
    OpinionSummary,
    Review,
    ReviewList,
    answer_class,
    new_prediction_id,
    now,
)
from diagnosis.errors import AlreadyReviewed, InvalidRequest, NotSignedIn
from diagnosis.identity import HEADER, verify_identity
from diagnosis.opinions import Opined, summary
from tests.fixtures.identity import PRIVATE_KEY, somebody

if TYPE_CHECKING:
    from tests.web_ui.stand_in import StandIn


def add_review_routes(app: FastAPI, stand_in: "StandIn") -> None:
    """The routes of reviews and of what first opinions became."""

    @app.post("/api/v1/predictions/{prediction}/reviews", status_code=201)
    async def add(prediction: UUID, said: NewReview, request: Request) -> Review:
        found = stand_in.reading(prediction)
        known = {item.id for item in stand_in.disease(found.disease).classes}
        if said.class_id is not None and said.class_id not in known:
            raise InvalidRequest("The class is none of this disease.")
        try:
            asking = verify_identity(request.headers.get(HEADER), PRIVATE_KEY.public_key())
        except NotSignedIn:
            asking = somebody("clinician")
        kept = stand_in.reviews.setdefault(found.id, [])
        if said.kind == "first_opinion" and asking.sub in {one.created_by for one in kept}:
            raise AlreadyReviewed
        made = Review(
            **dict(said),
            id=new_prediction_id(),
            prediction_id=found.id,
            created_at=now(),
            created_by=asking.sub,
            author=asking.name,
            answer_class=answer_class(found),
        )
        kept.append(made)
        return made

    @app.get("/api/v1/predictions/{prediction}/reviews")
    async def reviews(prediction: UUID) -> ReviewList:
        found = stand_in.reading(prediction)
        return ReviewList(items=tuple(stand_in.reviews.get(found.id, ())))

    @app.get("/api/v1/opinions")
    async def opinions() -> OpinionSummary:
        return summary(
            Opined(stand_in.readings[key], said)
            for key, said in stand_in.reviews.items()
            if key in stand_in.readings
        )
