"""The catalogue, and what can be answered at the moment."""

from fastapi import APIRouter, Response

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
from inference_service.views import disease_view

router = APIRouter(prefix="/api/v1/diseases", tags=["diseases"])


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
