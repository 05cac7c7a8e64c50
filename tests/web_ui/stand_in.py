"""A peer of inference_service for the pages' tests: the same API, the same wire models, in memory.

It judges by brightness: a bright image is likely positive, a dark one likely negative, one in
between uncertain, and a coloured one is not judged. What is no image is refused.
"""

import hashlib
import io
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, File, Form, Query, Request, Response, UploadFile
from PIL import Image, ImageStat, UnidentifiedImageError

from diagnosis.contracts import (
    ArtifactReference,
    ClassProbability,
    DiseaseList,
    DiseaseView,
    GateReading,
    ImageReference,
    Notice,
    OperatingPointReading,
    Prediction,
    Problem,
    Review,
    Suggestion,
    SuggestionList,
    VersionList,
    new_prediction_id,
    now,
)
from diagnosis.errors import (
    EmptyFile,
    ModelUnavailable,
    NoSuchResource,
    NotAnImage,
    NotPortable,
    ReadingUnderWay,
    SightlineError,
    StoreUnavailable,
    UnknownDisease,
    UnknownPrediction,
)
from inference_service.views import OF_A_STOPPED_MODEL
from tests.web_ui.stand_in_batches import StandInBatches, add_batch_routes
from tests.web_ui.stand_in_catalogue import CATALOGUE, DEMOS, DIGEST, card
from tests.web_ui.stand_in_reviews import add_review_routes
from tests.web_ui.stand_in_worklist import add_worklist_routes, observed


class StandIn:
    """The service's state, and what a test may look at or break."""

    def __init__(self) -> None:
        self.readings: dict[UUID, Prediction] = {}
        self.images: dict[str, bytes] = {}
        self.dicoms: dict[UUID, bytes] = {}
        """The DICOM files that are kept, by their readings."""
        self.store_down = False
        self.cards: dict[str, dict[str, Any]] = {}
        """Cards that a test puts in place of those of the catalogue."""
        self.received: list[tuple[str | None, dict[str, str]]] = []
        """For each image: the file name that came with it, and the request's headers."""
        self.reviews: dict[UUID, list[Review]] = {}
        """What was said of each reading, oldest first."""
        self.keys: dict[str, UUID] = {}
        """Which reading each `Idempotency-Key` answers."""
        self.under_way: set[str] = set()
        """Keys whose first request is told to be at work still."""
        self.dicoms: dict[UUID, bytes] = {}
        """DICOM files of readings, which a test may put here."""
        self.retry_ms = 200
        """How soon a browser asks for events again; the stand-in ends each stream at once."""
        self.stopped: dict[str, VersionList] = {}
        """Diseases whose version is under review, which a test may put here."""
        self.lifting: SightlineError | None = None
        """What the next person who agrees is told; None where they bring the version back."""
        self.purposes: list[str] = []
        """What readings were asked for, where that was not to look at them."""
        self.batches = StandInBatches(self)
        self.app = _app(self)

    def disease(self, name: str) -> DiseaseView:
        """A disease of the catalogue. Raises UnknownDisease."""
        for item in CATALOGUE.items:
            if item.id == name:
                return item
        raise UnknownDisease

    def reading(self, prediction: UUID) -> Prediction:
        """A stored reading. Raises UnknownPrediction."""
        if self.store_down:
            raise StoreUnavailable
        if prediction not in self.readings:
            raise UnknownPrediction
        return self.readings[prediction]

    def under_review(self, reading: Prediction) -> None:
        """Have the model that made a reading be under review."""
        notices = (OF_A_STOPPED_MODEL, *reading.notices)
        self.readings[reading.id] = reading.model_copy(update={"notices": notices})

    def opened(self, data: bytes) -> Image.Image:
        """The picture of an upload. Raises EmptyFile, NotAnImage."""
        if not data:
            raise EmptyFile
        try:
            image = Image.open(io.BytesIO(data))
            image.load()
        except (UnidentifiedImageError, OSError) as error:
            raise NotAnImage from error
        return image

    def read(
        self, disease: DiseaseView, data: bytes, patient_reference: str | None = None
    ) -> Prediction:
        """Read an image and store the reading."""
        if self.store_down:
            raise StoreUnavailable
        if disease.model is None:
            raise ModelUnavailable(disease.status_detail)
        image = self.opened(data)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.images[digest] = data
        level = ImageStat.Stat(image.convert("L")).mean[0] / 255
        judged = image.mode == "L"
        reference = patient_reference and hashlib.sha256(patient_reference.encode()).hexdigest()
        prediction = Prediction.model_validate(
            {
                "id": new_prediction_id(),
                "created_at": now(),
                "disease": disease.id,
                "disease_name": disease.name,
                "artifact": ArtifactReference(
                    disease=disease.id, version=disease.model.version, digest=DIGEST
                ),
                "image": ImageReference(
                    digest=digest,
                    media_type="image/png",
                    source_format="png",
                    width=image.width,
                    height=image.height,
                    demo=data in DEMOS.values(),
                ),
                "outcome": "judged" if judged else "not_judged",
                "gate": stand_in_gate(disease),
                "heatmap_classes": heatmap_classes(disease) if judged else (),
                "observed": observed(disease, level) if judged else None,
                "patient_reference": reference,
                "timings_ms": {"queue": 0.1, "decode": 4.2, "preprocess": 0.9, "infer": 15.7},
            }
            | (_judgement(disease, level) if judged else _refusal())
        )
        self.readings[prediction.id] = prediction
        return prediction


def stand_in_gate(disease: DiseaseView) -> GateReading | None:
    """Demonstrations have no gate here, as artifacts of an older trainer have none."""
    if disease.maturity == "demonstration":
        return None
    return GateReading(passed=True, score=0.94, threshold=0.62)


def heatmap_classes(disease: DiseaseView) -> tuple[str, ...]:
    """All classes but the first; none of a disease without a finding."""
    return tuple(item.id for item in disease.classes[1:]) if disease.finding else ()


def _refusal() -> dict[str, object]:
    return {
        "gate": GateReading(passed=False, score=0.31, threshold=0.62),
        "reason": Notice(
            code="image-gate",
            detail="The image does not look like one this model was made for.",
            remedy="Send the original greyscale image.",
        ),
    }


def heatmap(width: int, height: int) -> bytes:
    """A blot with transparency, of the image's ratio."""
    size = (width // 2, height // 2)
    alpha = Image.radial_gradient("L").resize(size).point(lambda level: max(0, 190 - level))
    picture = Image.new("RGBA", size, (240, 216, 70, 0))
    picture.putalpha(alpha)
    held = io.BytesIO()
    picture.save(held, "PNG")
    return held.getvalue()


def _judgement(disease: DiseaseView, level: float) -> dict[str, object]:
    others = [item for item in disease.classes if item.id != disease.finding]
    rest = level if disease.finding is None else 1 - level
    shares = [rest * 2.0 ** -min(place + 1, len(others) - 1) for place in range(len(others))]
    if disease.finding is None:
        shares[-1] += 1 - level
    by_id = {item.id: share for item, share in zip(others, shares, strict=True)}
    if disease.finding is not None:
        by_id[disease.finding] = level
    probabilities = tuple(
        ClassProbability(id=item.id, name=item.name, probability=by_id[item.id])
        for item in disease.classes
    )
    top = tuple(sorted(probabilities, key=lambda item: -item.probability)[:3])
    if disease.finding is None:
        return {"probabilities": probabilities, "top": top, "conformal_set": (top[0].id,)}
    assert disease.model is not None
    name = next(item.name for item in disease.classes if item.id == disease.finding)
    points = tuple(
        OperatingPointReading(
            **point.model_dump(),
            class_id=disease.finding,
            positive=level >= point.threshold,
            says=f"At the {point.name.replace('_', '-')} operating point this image"
            f" {'counts' if level >= point.threshold else 'does not count'} as {name.lower()}.",
        )
        for point in disease.model.operating_points
    )
    band = "likely_positive" if level > 0.7 else "likely_negative" if level < 0.3 else "uncertain"
    kept = tuple(item.id for item in disease.classes) if band == "uncertain" else (top[0].id,)
    return {
        "probabilities": probabilities,
        "top": top,
        "conformal_set": kept,
        "band": band,
        "operating_point": next(one for one in points if one.name == "balanced"),
        "operating_points": points,
        "notices": (
            Notice(
                code="age-outside-population",
                detail="The patient is older than those the model was trained on.",
                remedy="Give the figures less weight.",
            ),
        )
        if band == "uncertain"
        else (),
    }


def _app(stand_in: StandIn) -> FastAPI:
    app = FastAPI(title="Sightline API", openapi_url="/api/v1/openapi.json", docs_url=None)

    @app.exception_handler(SightlineError)
    async def refuse(request: Request, error: SightlineError) -> Response:
        problem = Problem.of(error)
        after = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
        return Response(problem.model_dump_json(), error.status, after, "application/problem+json")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/api/v1/diseases")
    async def diseases() -> DiseaseList:
        return CATALOGUE

    @app.get("/api/v1/diseases/{disease}")
    async def one_disease(disease: str) -> DiseaseView:
        """A disease and its model."""
        return stand_in.disease(disease)

    @app.get("/api/v1/diseases/{disease}/card")
    async def one_card(disease: str) -> dict[str, Any]:
        if stand_in.disease(disease).model is None:
            raise ModelUnavailable
        return stand_in.cards.get(disease) or card(disease)

    @app.get("/api/v1/diseases/{disease}/portable")
    @app.get("/api/v1/diseases/{disease}/portable/{version}/{name}")
    async def portable(disease: str) -> None:
        stand_in.disease(disease)
        raise NotPortable

    @app.post("/api/v1/examinations/suggestions")
    async def suggestions(image: Annotated[UploadFile, File()]) -> SuggestionList:
        stand_in.received.append((image.filename, {}))
        picture = stand_in.opened(await image.read())
        fitting = [
            item
            for item in CATALOGUE.items
            if item.status == "live" and item.maturity == "clinical_candidate"
        ]
        if picture.mode != "L":
            return SuggestionList(items=(), detail="No live model takes an image like this one.")
        return SuggestionList(
            items=tuple(
                Suggestion(disease=one.id, name=one.name, modality=one.modality, score=score)
                for one, score in zip(fitting[:2], (0.31, 0.12), strict=True)
            ),
            detail="The image passed the checks of these models.",
        )

    @app.get("/api/v1/diseases/{disease}/demo-images/{name}")
    async def demo_image(disease: str, name: str) -> Response:
        if name not in DEMOS:
            raise NoSuchResource
        return Response(DEMOS[name], media_type="image/png")

    @app.post("/api/v1/diseases/{disease}/predictions", status_code=201)
    async def read(
        request: Request,
        disease: str,
        image: Annotated[UploadFile, File(description="The image.")],
        response: Response,
        operating_point: Annotated[str, Form()] = "balanced",
        patient_reference: Annotated[str | None, Form()] = None,
    ) -> Prediction:
        stand_in.received.append((image.filename, dict(request.headers)))
        key = request.headers.get("idempotency-key", "")
        if key in stand_in.under_way:
            raise ReadingUnderWay
        if key in stand_in.keys:
            response.headers["idempotent-replay"] = "true"
            return stand_in.reading(stand_in.keys[key])
        made = stand_in.read(stand_in.disease(disease), await image.read(), patient_reference)
        if key:
            stand_in.keys[key] = made.id
        return made

    # Before the routes with an id, which would take these addresses for one.
    add_worklist_routes(app, stand_in)
    add_review_routes(app, stand_in)
    add_batch_routes(app, stand_in)

    @app.get("/api/v1/predictions/{prediction}")
    async def reading(prediction: UUID, purpose: str = "view") -> Prediction:
        if purpose != "view":
            stand_in.purposes.append(purpose)
        return stand_in.reading(prediction)

    @app.delete("/api/v1/predictions/{prediction}", status_code=204)
    async def delete(prediction: UUID) -> None:
        del stand_in.readings[stand_in.reading(prediction).id]
        stand_in.reviews.pop(prediction, None)

    @app.get("/api/v1/predictions/{prediction}/image")
    async def image(prediction: UUID) -> Response:
        reference = stand_in.reading(prediction).image
        if reference.digest not in stand_in.images:
            raise NoSuchResource(
                "The image of this reading is not kept any more.",
                remedy="The reading itself stays. To read the image again, send it again.",
            )
        headers = {"cache-control": "no-store"}
        return Response(stand_in.images[reference.digest], 200, headers, reference.media_type)

    @app.get("/api/v1/predictions/{prediction}/dicom")
    async def dicom(prediction: UUID) -> Response:
        if stand_in.reading(prediction).image.dicom_digest is None:
            raise NoSuchResource("No DICOM file is kept of this reading.")
        if prediction not in stand_in.dicoms:
            raise NoSuchResource
        return Response(stand_in.dicoms[prediction], media_type="application/dicom")

    @app.get("/api/v1/predictions/{prediction}/heatmap")
    async def one_heatmap(
        prediction: UUID, class_id: Annotated[str, Query(alias="class")]
    ) -> Response:
        found = stand_in.reading(prediction)
        if class_id not in found.heatmap_classes or found.image.digest not in stand_in.images:
            raise NoSuchResource("There is no heatmap of this class for this reading.")
        maximum = "0" if class_id == "vascular_lesion" else "4.2"
        headers = {"cache-control": "private, no-cache", "sightline-heatmap-maximum": maximum}
        picture = heatmap(found.image.width, found.image.height)
        return Response(picture, 200, headers, "image/png")

    return app
