"""What is kept of a patient, by the reference that was sent with the images: deleted for good."""

from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from pydantic import ValidationError

from diagnosis.audit import Action
from diagnosis.contracts import PatientDeleted, PatientDeletion
from diagnosis.errors import AuditUnavailable, InvalidRequest, StoreUnavailable
from inference_service.access import Asking
from inference_service.audited import Audited
from inference_service.problems import FieldRefused, documented
from inference_service.service import ServiceDependency
from inference_service.uploads import read_short

router = APIRouter(prefix="/api/v1/patients", tags=["patients"])

log = structlog.get_logger("inference_service")

_BODY: dict[str, Any] = {
    "required": True,
    "content": {"application/json": {"schema": PatientDeletion.model_json_schema()}},
}


@router.post(
    "/deletion",
    operation_id="deletePatient",
    openapi_extra={"requestBody": _BODY},
    responses=documented(InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def delete_patient(
    request: Request, asking: Asking, audit: Audited, service: ServiceDependency
) -> PatientDeleted:
    """Delete every reading that was sent with this reference, and their images.

    The reference stands in the body, because addresses are written down on the way. Asked again,
    the answer is that nothing was there.
    """
    body = await read_short(request, seconds=service.settings.upload_seconds)
    try:
        asked = PatientDeletion.model_validate_json(body)
    except ValidationError:
        # Not chained: its message quotes what was sent.
        raise FieldRefused(
            patient_reference="Send a JSON object with this field alone: the reference that was"
            " sent with the images, 1 to 200 characters."
        ) from None
    reference = service.references.hashed(asked.patient_reference, asking.unit)

    def written(reading: UUID) -> AbstractAsyncContextManager[None]:
        return audit.doing(Action.PATIENT_DELETE, reading)

    # The one trace that stays: that somebody asked for it, and the id of each reading.
    await audit.allowed(Action.PATIENT_DELETE)
    deleted = await service.pipeline.delete_patient(asking.unit, reference, written)
    log.info("patient-deleted", readings=deleted.readings, images=deleted.images)
    return deleted
