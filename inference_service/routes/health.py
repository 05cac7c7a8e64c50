"""Whether the service lives, whether it can answer, and its figures; never through the proxy."""

from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field

from diagnosis.contracts import Wire
from diagnosis.telemetry import METRICS_CONTENT_TYPE
from inference_service.service import ServiceDependency

router = APIRouter(include_in_schema=False)


class Readiness(Wire):
    """Whether readings can be made and stored, and what keeps them from it."""

    ready: bool
    reasons: Annotated[tuple[str, ...], Field(description="Empty when ready.")] = ()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """200 as long as the process answers at all."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(service: ServiceDependency, response: Response) -> Readiness:
    """200 once the models were tried and while the store answers; else 503 and why."""
    reasons = []
    if not service.models.loaded:
        reasons.append("The models are still being loaded.")
    if not await service.store_answers():
        reasons.append("The store of readings (Redis) does not answer.")
    response.status_code = 503 if reasons else 200
    return Readiness(ready=not reasons, reasons=tuple(reasons))


@router.get("/metrics")
async def metrics(service: ServiceDependency) -> Response:
    """Prometheus' exposition text."""
    return Response(service.metrics.render(), media_type=METRICS_CONTENT_TYPE)
