"""What an image may be read for, before anybody has chosen a disease."""

import copy
from typing import Any

from fastapi import APIRouter, Request

from diagnosis.contracts import SuggestionList
from diagnosis.errors import (
    ImageRefused,
    InvalidRequest,
    MissingImage,
    Overloaded,
    ServiceUnavailable,
)
from inference_service.problems import documented
from inference_service.service import ServiceDependency
from inference_service.uploads import REQUEST_BODY, read_upload

router = APIRouter(prefix="/api/v1/examinations", tags=["examinations"])


def _image_alone() -> dict[str, Any]:
    """The form of a reading, with the image and nothing else."""
    body = copy.deepcopy(REQUEST_BODY)
    properties = body["content"]["multipart/form-data"]["schema"]["properties"]
    for name in set(properties) - {"image"}:
        del properties[name]
    return body


@router.post(
    "/suggestions",
    operation_id="suggestExaminations",
    openapi_extra={"requestBody": _image_alone()},
    responses=documented(
        *ImageRefused.__subclasses__(),
        InvalidRequest,
        MissingImage,
        Overloaded,
        ServiceUnavailable,
    ),
)
async def suggest_examinations(request: Request, service: ServiceDependency) -> SuggestionList:
    """Propose diseases whose live model was made for images like this one.

    The gates of the live models are asked, those of demonstrations excepted. No disease is
    judged, and nothing of the image is kept.
    """
    if not service.models.loaded:
        raise ServiceUnavailable("The models are still being loaded.")
    with service.places.take() as place:
        upload = await read_upload(request, seconds=service.settings.upload_seconds)
        return await service.pipeline.suggest(place, upload.image)
