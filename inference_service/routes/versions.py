"""The versions of a disease's model: which there are and which is live, and changing that."""

import asyncio
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Response
from pydantic import Field

from diagnosis.artifacts.state import PersonName, RegistryState
from diagnosis.audit import Action
from diagnosis.contracts import (
    Version,
    VersionChange,
    VersionList,
    VersionUnderReview,
    Wire,
    now,
)
from diagnosis.errors import (
    AlreadyAgreed,
    ArtifactRefused,
    AuditUnavailable,
    InvalidRequest,
    ModelRefused,
    ModelStopped,
    NoEarlierVersion,
    NotUnderReview,
    PromotionRefused,
    ReauthenticationNeeded,
    UnknownDisease,
    UnknownVersion,
)
from inference_service.access import AskingAfresh
from inference_service.audited import Audited
from inference_service.problems import documented
from inference_service.service import Service, ServiceDependency
from inference_service.views import SealedCard

router = APIRouter(prefix="/api/v1/diseases/{disease}", tags=["versions"])

log = structlog.get_logger("inference_service")


class Promotion(Wire):
    """What somebody says who makes a version live."""

    acknowledged_by: Annotated[
        PersonName | None,
        Field(description="Who accepts that the version catches fewer of the ill; kept."),
    ] = None


@router.get(
    "/versions",
    operation_id="listVersions",
    responses=documented(UnknownDisease),
)
async def list_versions(disease: str, service: ServiceDependency) -> VersionList:
    """The versions of a disease's model, and which of them is live."""
    service.models.disease(disease)
    return await asyncio.to_thread(_listed, service, disease)


@router.get(
    "/versions/{version}/card",
    operation_id="getVersionCard",
    response_class=Response,
    responses={
        200: {"model": SealedCard, "description": "The card, whole."},
        **documented(UnknownDisease, UnknownVersion, ModelRefused),
    },
)
async def get_version_card(disease: str, version: str, service: ServiceDependency) -> Response:
    """The card of any version, so that two can be compared. Only of the live one is it certain
    that its files passed their checks, see `GET /api/v1/diseases/{disease}/card`."""

    def content() -> bytes:
        _known(service, disease, version)
        return service.registry.card(disease, version).to_json()

    try:
        return Response(await asyncio.to_thread(content), media_type="application/json")
    except ArtifactRefused as error:
        raise ModelRefused("This version's card did not pass its checks.", cause=error.cause) from (
            error
        )


@router.post(
    "/versions/{version}/promotion",
    operation_id="promoteVersion",
    responses=documented(
        UnknownDisease,
        UnknownVersion,
        PromotionRefused,
        ModelStopped,
        ModelRefused,
        InvalidRequest,
        ReauthenticationNeeded,
        AuditUnavailable,
    ),
)
async def promote_version(
    disease: str,
    version: str,
    asking: AskingAfresh,
    audit: Audited,
    service: ServiceDependency,
    promotion: Promotion | None = None,
) -> VersionList:
    """Make a version live, verified once more. The service takes it in within seconds.

    It is refused where the version would catch fewer of the ill than the live one, unless
    somebody accepts that by name. The password has to be given within two minutes before.
    """
    _known(service, disease, version)
    acknowledged_by = promotion.acknowledged_by if promotion else None

    def promote() -> RegistryState:
        return service.registry.promote(disease, version, acknowledged_by)

    try:
        async with audit.doing(Action.MODEL_CHANGE, f"{disease}@{version}"):
            await asyncio.to_thread(promote)
    except PromotionRefused as error:
        raise PromotionRefused(
            error.detail, remedy="Who accepts that is named in `acknowledged_by`."
        ) from error
    except ArtifactRefused as error:
        raise _refused(error) from error
    log.info("promoted", disease=disease, version=version, by=asking.sub)
    return await asyncio.to_thread(_listed, service, disease)


@router.post(
    "/versions/{version}/lift",
    operation_id="liftStop",
    responses=documented(
        UnknownDisease,
        UnknownVersion,
        NotUnderReview,
        AlreadyAgreed,
        ModelRefused,
        ReauthenticationNeeded,
        AuditUnavailable,
    ),
)
async def lift_stop(
    disease: str, version: str, asking: AskingAfresh, audit: Audited, service: ServiceDependency
) -> VersionList:
    """Agree that a version that was stopped because it drifted answers again.

    It does once two different people have agreed, one as an engineer and one as a clinician,
    within seven days; then a consent lapses, and may be given again. The
    password has to be given within two minutes before. Where another version was promoted
    meanwhile, that one stays live, and this one may be promoted again.
    """
    _known(service, disease, version)

    def lift() -> RegistryState:
        roles = tuple(sorted(asking.granted))
        return service.registry.lift(disease, version, asking.sub, roles)

    try:
        async with audit.doing(Action.MODEL_LIFT, f"{disease}@{version}"):
            state = await asyncio.to_thread(lift)
    except ArtifactRefused as error:
        raise _refused(error) from error
    log.info("lift", disease=disease, version=version, by=asking.sub, live=state.live == version)
    return await asyncio.to_thread(_listed, service, disease)


@router.post(
    "/rollback",
    operation_id="rollBack",
    responses=documented(
        UnknownDisease, NoEarlierVersion, ModelRefused, ReauthenticationNeeded, AuditUnavailable
    ),
)
async def roll_back(
    disease: str, asking: AskingAfresh, audit: Audited, service: ServiceDependency
) -> VersionList:
    """Return to the version that was live before. The password has to be given anew."""
    service.models.disease(disease)
    if not await asyncio.to_thread(service.registry.versions, disease):
        raise NoEarlierVersion(f"There is no version of {disease} yet.")
    try:
        async with audit.doing(Action.MODEL_CHANGE, f"{disease}@previous"):
            version = await asyncio.to_thread(service.registry.rollback, disease)
    except ArtifactRefused as error:
        raise _refused(error) from error
    log.info("rolled back", disease=disease, version=version, by=asking.sub)
    return await asyncio.to_thread(_listed, service, disease)


def _known(service: Service, disease: str, version: str) -> None:
    service.models.disease(disease)
    if version not in service.registry.versions(disease):
        raise UnknownVersion


def _listed(service: Service, disease: str) -> VersionList:
    state = service.registry.state(disease)
    roles: dict[str, Literal["live", "shadow", "retired"]] = dict.fromkeys(state.retired, "retired")
    if state.shadow:
        roles[state.shadow] = "shadow"
    if state.live:
        roles[state.live] = "live"
    return VersionList(
        disease=disease,
        live=state.live,
        history=tuple(
            VersionChange(
                at=one.at,
                action=one.action,
                version=one.version,
                previous=one.previous,
                acknowledged_by=one.acknowledged_by,
                reason=one.reason,
            )
            for one in state.history
        ),
        under_review=tuple(
            VersionUnderReview(
                version=one.version,
                since=one.since,
                past=one.past,
                wanted=one.wanted,
                agreed=len(one.consents),
                agreed_until=one.until,
            )
            for one in (review.at(now()) for review in state.under_review)
        ),
        items=tuple(
            Version(version=one, role=roles.get(one, "published"))
            for one in service.registry.versions(disease)
        ),
    )


def _refused(error: ArtifactRefused) -> ModelRefused:
    return ModelRefused(
        "This version did not pass its checks; the live version stays.", cause=error.cause
    )
