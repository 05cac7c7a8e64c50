"""Live models for devices that read without a network."""

from typing import Literal

from fastapi import APIRouter, Response

from diagnosis.errors import (
    ModelRefused,
    ModelUnavailable,
    NoSuchResource,
    NotPortable,
    ServiceUnavailable,
    UnknownDisease,
    UnknownVersion,
)
from diagnosis.portable import PortableModel
from inference_service.problems import documented
from inference_service.service import ServiceDependency

router = APIRouter(prefix="/api/v1/diseases/{disease}/portable", tags=["diseases"])

_NO_MODEL = (UnknownDisease, ModelUnavailable, ModelRefused, ServiceUnavailable, NotPortable)


@router.get("", operation_id="getPortableModel", responses=documented(*_NO_MODEL))
async def get_portable_model(disease: str, service: ServiceDependency) -> PortableModel:
    """The live model as a device keeps it: how its graph is fed and how its answer is read."""
    return (await service.portables.of(disease)).model


@router.get(
    "/{version}/{name}",
    operation_id="getPortableFile",
    response_class=Response,
    responses={
        200: {
            "description": "The graph as ONNX, or the numbers of the gate.",
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        },
        **documented(UnknownVersion, NoSuchResource, *_NO_MODEL),
    },
)
async def get_portable_file(
    disease: str,
    version: str,
    name: Literal["model.onnx", "gate.bin"],
    service: ServiceDependency,
) -> Response:
    """A file of the live model; the model's description has its digest."""
    made = await service.portables.of(disease, version)
    content = made.onnx if name == "model.onnx" else made.gate
    if content is None:
        raise NoSuchResource("This model has no gate.")
    return Response(content, media_type="application/octet-stream")
