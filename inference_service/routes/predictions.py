"""Predictions, which a page calls readings: made, shown and deleted."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Annotated, Literal, get_args
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from diagnosis.audit import Action
from diagnosis.contracts import OperatingPointName, Prediction, Slug
from diagnosis.errors import (
    AuditUnavailable,
    ImageRefused,
    InvalidRequest,
    MissingImage,
    ModelRefused,
    ModelUnavailable,
    ModelUnderReview,
    NoHeatmap,
    NoSuchResource,
    Overloaded,
    ReadingUnderWay,
    ServiceUnavailable,
    StoreUnavailable,
    UnknownDisease,
    UnknownPrediction,
    VersionGone,
)
from diagnosis.identity import Identity
from diagnosis.image_store import kept_as
from inference_service.access import Asking
from inference_service.audited import Audited
from inference_service.explaining import chosen_class, tag
from inference_service.problems import FieldRefused, documented
from inference_service.service import Service, ServiceDependency
from inference_service.uploads import REQUEST_BODY, Upload, read_upload, text_field
from inference_service.views import as_it_stands

LONGEST_REFERENCE = 200

router = APIRouter(prefix="/api/v1", tags=["predictions"])


@router.post(
    "/diseases/{disease}/predictions",
    status_code=201,
    operation_id="createPrediction",
    openapi_extra={"requestBody": REQUEST_BODY},
    responses={
        201: {
            "headers": {
                "Location": {
                    "description": "The address of the prediction.",
                    "schema": {"type": "string"},
                },
                "Idempotent-Replay": {
                    "description": "`true` where an earlier request with the same"
                    " `Idempotency-Key` made the reading.",
                    "schema": {"type": "string"},
                },
            }
        },
        **documented(
            UnknownDisease,
            ModelUnavailable,
            ModelRefused,
            ModelUnderReview,
            *ImageRefused.__subclasses__(),
            InvalidRequest,
            MissingImage,
            StoreUnavailable,
            AuditUnavailable,
            Overloaded,
            ServiceUnavailable,
            ReadingUnderWay,
            UnknownPrediction,
        ),
    },
)
async def create_prediction(
    disease: str,
    request: Request,
    response: Response,
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
    idempotency_key: Annotated[
        UUID | None,
        Header(
            description="An id that the sender made up for this image. Sent again with the same"
            " id, by the same person, within 30 days, the image is not read a second time: the"
            " answer is the first reading."
        ),
    ] = None,
) -> Prediction:
    """Read one image. When this answers, the reading and its image are stored.

    The image is kept without anything about the patient or the device, for a limited time.
    Fields of the form other than those described are ignored.
    """
    # What can be refused without the image is refused before it is taken in.
    service.models.check(disease)
    with service.places.take() as place:
        await service.results.ping()
        upload = await read_upload(request, seconds=service.settings.upload_seconds)
        reference = text_field(upload, "patient_reference", longest=LONGEST_REFERENCE)
        once = None if idempotency_key is None else _once(asking, idempotency_key)
        earlier = None if once is None else await _claimed(service, asking.unit, once)
        if earlier is not None:
            prediction = await get_prediction(earlier, asking, audit, service)
            response.headers["Idempotent-Replay"] = "true"
        else:
            async with _released_if_refused(service, asking.unit, once):
                prediction = await service.pipeline.read(
                    place,
                    disease,
                    upload.image,
                    operating_point=_operating_point(upload),
                    unit=asking.unit,
                    created_by=asking.sub,
                    patient_reference=None
                    if reference is None
                    else service.references.hashed(reference, asking.unit),
                    written=lambda prediction_id: audit.doing(Action.UPLOAD, prediction_id),
                    once=once,
                )
            service.events.announce()
    response.headers["Location"] = f"/api/v1/predictions/{prediction.id}"
    return prediction


@router.get(
    "/predictions/{prediction_id}",
    operation_id="getPrediction",
    responses=documented(UnknownPrediction, InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def get_prediction(
    prediction_id: UUID,
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
    purpose: Annotated[
        Literal["view", "export"],
        Query(description="What for; the audit trail says so: to look at it, or to carry it away."),
    ] = "view",
) -> Prediction:
    """One reading of the own unit."""
    action = Action.EXPORT if purpose == "export" else Action.VIEW
    prediction = await service.results.get(asking.unit, prediction_id)
    if prediction is None:
        await audit.refused(action)
        raise UnknownPrediction
    await audit.allowed(action, prediction.id)
    return as_it_stands(service.models, prediction)


@router.get(
    "/predictions/{prediction_id}/image",
    operation_id="getPredictionImage",
    response_class=Response,
    responses={
        200: {
            "description": "The checked image, without anything about the patient or the device.",
            "content": {
                kind: {"schema": {"type": "string", "format": "binary"}}
                for kind in ("image/jpeg", "image/png")
            },
        },
        **documented(
            UnknownPrediction, NoSuchResource, InvalidRequest, StoreUnavailable, AuditUnavailable
        ),
    },
)
async def get_prediction_image(
    prediction_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> Response:
    """The image of a reading, as long as it is kept."""
    prediction = await get_prediction(prediction_id, asking, audit, service)
    return Response(await kept_image(prediction, service), media_type=prediction.image.media_type)


@router.get(
    "/predictions/{prediction_id}/heatmap",
    operation_id="getPredictionHeatmap",
    response_class=Response,
    responses={
        200: {
            "description": "A PNG with transparency to lay over the image: it has the image's ratio"
            " and colours only the part that the model saw. It shows what speaks for the class, as"
            " a share of the strongest location; a heatmap is no finding.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
            "headers": {
                "ETag": {
                    "description": "The same as long as model, image and class are.",
                    "schema": {"type": "string"},
                },
                "Sightline-Heatmap-Class": {
                    "description": "The class that it explains.",
                    "schema": {"type": "string"},
                },
                "Sightline-Heatmap-Maximum": {
                    "description": "Logits that the strongest location adds to the class, above the"
                    " mean of all classes: what the last colour stands for. 0 where nothing speaks"
                    " for the class; then the picture is empty.",
                    "schema": {"type": "number", "minimum": 0},
                },
            },
        },
        304: {"description": "The heatmap that `If-None-Match` names is still the right one."},
        **documented(
            UnknownPrediction,
            NoSuchResource,
            NoHeatmap,
            VersionGone,
            InvalidRequest,
            StoreUnavailable,
            AuditUnavailable,
            Overloaded,
        ),
    },
)
async def get_prediction_heatmap(
    prediction_id: UUID,
    request: Request,
    asking: Asking,
    audit: Audited,
    service: ServiceDependency,
    class_id: Annotated[
        Slug | None,
        Query(
            alias="class",
            description="One of the reading's `heatmap_classes`. By default the class that the"
            " answer is about: the finding where it counts as positive, else the most probable.",
        ),
    ] = None,
) -> Response:
    """Where the model looked, made again from the kept image by the model that read it."""
    prediction = await get_prediction(prediction_id, asking, audit, service)
    name = chosen_class(prediction, class_id)
    image = await kept_image(prediction, service)
    # Kept by the browser that asked, and asked for again each time: a deleted reading has none.
    headers = {"ETag": tag(prediction, name), "Cache-Control": "private, no-cache"}
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    made = await service.explainer.heatmap(prediction, name, image)
    headers["Sightline-Heatmap-Class"] = name
    headers["Sightline-Heatmap-Maximum"] = f"{made.maximum:.4g}"
    return Response(made.png, headers=headers, media_type="image/png")


@router.get(
    "/predictions/{prediction_id}/dicom",
    operation_id="getPredictionDicom",
    response_class=Response,
    responses={
        200: {
            "description": "The picture in full depth as a DICOM Secondary Capture, de-identified"
            " by the Basic Application Level Confidentiality Profile.",
            "content": {"application/dicom": {"schema": {"type": "string", "format": "binary"}}},
        },
        **documented(
            UnknownPrediction, NoSuchResource, InvalidRequest, StoreUnavailable, AuditUnavailable
        ),
    },
)
async def get_prediction_dicom(
    prediction_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> Response:
    """The DICOM file of a reading, where the service was set to keep them and one came."""
    prediction = await get_prediction(prediction_id, asking, audit, service)
    digest = prediction.image.dicom_digest
    if digest is None:
        raise NoSuchResource(
            "No DICOM file is kept of this reading.",
            remedy="It came as another kind of image, or this service keeps none.",
        )
    content = await _kept(prediction.unit, digest, service)
    return Response(content, media_type="application/dicom")


async def kept_image(prediction: Prediction, service: Service) -> bytes:
    """The kept image of a reading.

    Raises:
        NoSuchResource: it is not kept any more.
    """
    return await _kept(prediction.unit, prediction.image.digest, service)


async def _kept(unit: str, digest: str, service: Service) -> bytes:
    data = await asyncio.to_thread(service.images.get, kept_as(unit, digest))
    if data is None:
        raise no_longer_kept(service)
    return data


def no_longer_kept(service: Service) -> NoSuchResource:
    """What is said of an image whose time is over."""
    return NoSuchResource(
        "The image of this reading is not kept any more;"
        f" images are kept for {service.settings.image_retention_days:g} days.",
        remedy="The reading itself stays. To read the image again, send it again.",
    )


@router.delete(
    "/predictions/{prediction_id}",
    status_code=204,
    operation_id="deletePrediction",
    responses=documented(UnknownPrediction, InvalidRequest, StoreUnavailable, AuditUnavailable),
)
async def delete_prediction(
    prediction_id: UUID, asking: Asking, audit: Audited, service: ServiceDependency
) -> None:
    """Delete a reading, and its image unless another reading is of the same image."""

    def written(found: UUID) -> AbstractAsyncContextManager[None]:
        return audit.doing(Action.DELETE, found)

    if not await service.pipeline.delete(asking.unit, prediction_id, written):
        await audit.refused(Action.DELETE)
        raise UnknownPrediction


def _once(asking: Identity, key: UUID) -> str:
    """What a person's key is kept under: another person's same key is another one."""
    return hashlib.sha256(f"{asking.sub} {key}".encode()).hexdigest()[:32]


async def _claimed(service: Service, unit: str, once: str) -> UUID | None:
    """The reading that a key answers with; None where it is ours now.

    Raises:
        ReadingUnderWay: the first request with it has not been answered yet.
    """
    claim = await service.results.claim(unit, once)
    if claim == "taken":
        raise ReadingUnderWay
    return None if claim == "ours" else claim


@asynccontextmanager
async def _released_if_refused(
    service: Service, unit: str, once: str | None
) -> AsyncIterator[None]:
    """Give a claimed key back where no reading came of it.

    Not where the store did not answer: the reading may be there, and then so is the key's answer;
    and not where somebody else's reading is.
    """
    try:
        yield
    except (StoreUnavailable, ReadingUnderWay):
        raise
    except BaseException:
        if once is not None:
            with suppress(StoreUnavailable):
                await service.results.release(unit, once)
        raise


def _operating_point(upload: Upload) -> OperatingPointName | None:
    value = text_field(upload, "operating_point", longest=32)
    known: tuple[OperatingPointName, ...] = get_args(OperatingPointName)
    for name in known:
        if value == name:
            return name
    if value is None:
        return None
    raise FieldRefused(operating_point=f"One of {', '.join(known)}.")
