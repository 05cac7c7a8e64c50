"""Whether the service lives, whether it can answer, and its figures; never through the proxy."""

from fastapi import APIRouter, Response

from diagnosis.contracts import Wire
from diagnosis.telemetry import METRICS_CONTENT_TYPE
from gateway.identity.refusals import AccountsUnavailable
from gateway.identity.service import Service, ServiceDependency

router = APIRouter(include_in_schema=False)


class Readiness(Wire):
    """Whether people can be told apart, and what keeps the service from it."""

    ready: bool
    reasons: tuple[str, ...] = ()


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """200 as long as the process answers at all."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(service: ServiceDependency, response: Response) -> Readiness:
    """200 while the store answers; else 503 and why."""
    if await _store_answers(service):
        return Readiness(ready=True)
    response.status_code = 503
    return Readiness(ready=False, reasons=("The store of accounts (Redis) does not answer.",))


@router.get("/metrics")
async def metrics(service: ServiceDependency) -> Response:
    """Prometheus' exposition text."""
    await _store_answers(service)
    return Response(service.metrics.render(), media_type=METRICS_CONTENT_TYPE)


async def _store_answers(service: Service) -> bool:
    try:
        await service.store.ping()
    except AccountsUnavailable:
        service.metrics.store_is(up=False)
        return False
    service.metrics.store_is(up=True)
    return True
