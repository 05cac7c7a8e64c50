"""The catalogue, and what can be answered at the moment."""

import json
from typing import Annotated

from fastapi import APIRouter, Header, Response

from diagnosis.artifacts.card import SEAL
from diagnosis.contracts import DiseaseList, DiseaseView
from diagnosis.errors import (
    ModelRefused,
    ModelUnavailable,
    NoSuchResource,
    ServiceUnavailable,
    UnknownDisease,
)
from inference_service.problems import documented
from inference_service.service import ServiceDependency
from inference_service.views import SealedCard, disease_view

router = APIRouter(prefix="/api/v1/diseases", tags=["diseases"])

_ETAG = {"description": "The seal of the card, in quotes.", "schema": {"type": "string"}}


@router.get("", responses=documented(), operation_id="listDiseases")
async def list_diseases(service: ServiceDependency) -> DiseaseList:
    """Every disease of the catalogue, in its order, with its live model if there is one."""
    models = service.models
    return DiseaseList(items=tuple(disease_view(models, one) for one in models.diseases.values()))


@router.get("/{disease}", responses=documented(UnknownDisease), operation_id="getDisease")
async def get_disease(disease: str, service: ServiceDependency) -> DiseaseView:
    """One disease of the catalogue."""
    return disease_view(service.models, service.models.disease(disease))


@router.get(
    "/{disease}/card",
    operation_id="getCard",
    responses={
        200: {
            "model": SealedCard,
            "description": "The card, whole.",
            "headers": {"ETag": _ETAG},
        },
        304: {"description": "The card is the one that was named.", "headers": {"ETag": _ETAG}},
        **documented(UnknownDisease, ModelUnavailable, ModelRefused, ServiceUnavailable),
    },
)
async def get_card(
    disease: str,
    service: ServiceDependency,
    if_none_match: Annotated[
        str | None, Header(description="The `ETag` of a card that is known already.")
    ] = None,
) -> Response:
    """The card of the disease's live model: what it is, may be used for, and was measured to do."""
    content = service.models.check(disease).card.to_json()
    etag = f'"{json.loads(content)[SEAL]}"'
    known = {one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")}
    if etag in known or "*" in known:
        return Response(status_code=304, headers={"etag": etag})
    return Response(content, headers={"etag": etag}, media_type="application/json")


@router.get(
    "/{disease}/demo-images/{name}",
    operation_id="getDemoImage",
    response_class=Response,
    responses={
        200: {
            "description": "A synthetic image, which shows no patient.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/jpeg", "image/png")
            },
        },
        **documented(
            UnknownDisease, NoSuchResource, ModelUnavailable, ModelRefused, ServiceUnavailable
        ),
    },
)
async def get_demo_image(disease: str, name: str, service: ServiceDependency) -> Response:
    """A demo image of the disease's live model, to try it with."""
    demo = service.models.check(disease).demos.get(name)
    if demo is None:
        raise NoSuchResource("The live model of this disease has no such demo image.")
    return Response(demo.data, media_type=demo.media_type)
