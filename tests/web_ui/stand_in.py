"""A peer of inference_service for the pages' tests: the same API, the same wire models, in memory.

It judges by brightness: a bright image is likely positive, a dark one likely negative, one in
between uncertain, and a coloured one is not judged. What is no image is refused.
"""

import hashlib
import io
import re
from typing import Annotated
from uuid import UUID

from fastapi import FastAPI, File, Form, Request, Response, UploadFile
from PIL import Image, ImageStat, UnidentifiedImageError

from diagnosis.contracts import (
    ArtifactReference,
    ClassProbability,
    ClassView,
    DemoImageView,
    DiseaseList,
    DiseaseView,
    ImageReference,
    Interval,
    ModelView,
    Notice,
    OperatingPointReading,
    OperatingPointView,
    Prediction,
    PredictionPage,
    Problem,
    new_prediction_id,
    now,
)
from diagnosis.errors import (
    EmptyFile,
    InvalidRequest,
    ModelUnavailable,
    NoSuchResource,
    NotAnImage,
    SightlineError,
    StoreUnavailable,
    UnknownDisease,
    UnknownPrediction,
)

_SENSITIVITY = Interval(value=0.953, low=0.931, high=0.970)
_SPECIFICITY = Interval(value=0.928, low=0.889, high=0.957)
_DIGEST = f"sha256:{'5e' * 32}"


def picture(brightness: int, size: tuple[int, int] = (320, 260)) -> bytes:
    """A grey PNG, darker at its edge as a film is."""
    shade = Image.radial_gradient("L").resize(size).point(lambda level: max(0, 40 - level // 6))
    base = Image.new("L", size, brightness)
    base.paste(Image.eval(shade, lambda level: min(255, level + brightness)), (0, 0))
    held = io.BytesIO()
    base.save(held, "PNG")
    return held.getvalue()


def coloured_picture() -> bytes:
    """A PNG that is no film."""
    held = io.BytesIO()
    Image.new("RGB", (320, 260), (200, 40, 40)).save(held, "PNG")
    return held.getvalue()


BRIGHT, MIDDLE, DARK = picture(210), picture(128), picture(30)


def _classes(*names: str) -> tuple[ClassView, ...]:
    return tuple(
        ClassView(
            id=name.lower().replace(" ", "_"),
            name=name,
            sentence=f"What {name.lower()} looks like.",
        )
        for name in names
    )


def _model(disease: str, threshold: float | None, demos: tuple[tuple[str, str], ...]) -> ModelView:
    points = (
        OperatingPointView(
            name=name, threshold=at, sensitivity=_SENSITIVITY, specificity=_SPECIFICITY
        )
        for name, at in (("rule_out", 0.18), ("balanced", threshold), ("rule_in", 0.83))
        if threshold is not None
    )
    return ModelView.model_validate(
        {
            "version": "1",
            "digest": _DIGEST,
            "trained_on": "Children of 1 to 5 years, one centre.",
            "operating_points": tuple(points),
            "figures": {
                "auc": Interval(value=0.983, low=0.974, high=0.990),
                "balanced_accuracy": Interval(value=0.941, low=0.921, high=0.958),
                "ece": Interval(value=0.021, low=0.014, high=0.034),
            },
            "evaluated_on": "640 films of 410 patients who were held out.",
            "demo_images": tuple(
                DemoImageView(
                    name=name,
                    class_id=class_id,
                    url=f"/api/v1/diseases/{disease}/demo-images/{name}",
                )
                for name, class_id in demos
            ),
            "licence": "Apache-2.0",
        }
    )


def _disease(
    slug: str, name: str, modality: str, classes: tuple[str, ...], **more: object
) -> object:
    return {
        "id": slug,
        "name": name,
        "modality": modality,
        "summary": f"Looks at one image for {name.lower()} and says how probable each class is.",
        "intended_use": "A second look beside a clinician who has read the image already.",
        "suitable_image": "One upright image that fills the frame, without arrows or text on it.",
        "maturity": "demonstration",
        "classes": _classes(*classes),
        "finding": None,
        "status": "no_model",
        "status_detail": "There is no model for this disease yet.",
    } | more


CATALOGUE = DiseaseList.model_validate(
    {
        "items": (
            _disease(
                "chest_xray_pneumonia",
                "Pneumonia",
                "chest X-ray",
                ("Normal", "Pneumonia"),
                maturity="clinical_candidate",
                finding="pneumonia",
                status="live",
                status_detail="Ready.",
                model=_model(
                    "chest_xray_pneumonia",
                    0.41,
                    (("pneumonia-1.png", "pneumonia"), ("normal-1.png", "normal")),
                ),
            ),
            _disease(
                "brain_mri_tumour",
                "Brain tumour",
                "brain MRI",
                ("Glioma", "Meningioma", "None", "Pituitary", "Metastasis", "Cyst", "Abscess"),
                status="live",
                status_detail="Ready.",
                model=_model("brain_mri_tumour", None, ()),
            ),
            _disease("skin_lesion", "Skin lesion", "skin photograph", ("Naevus", "Melanoma")),
            _disease(
                "malaria_cell",
                "Malaria",
                "blood smear microscopy",
                ("Parasitized", "Uninfected"),
                finding="parasitized",
                status="unavailable",
                status_detail="The model of this disease did not pass its checks and is not used.",
            ),
            _disease("retinal_oct", "Retinal OCT", "retinal OCT", ("CNV", "DME", "Drusen")),
        )
    }
)

DEMOS = {"pneumonia-1.png": BRIGHT, "normal-1.png": DARK}


class StandIn:
    """The service's state, and what a test may look at or break."""

    def __init__(self) -> None:
        self.readings: dict[UUID, Prediction] = {}
        self.images: dict[str, bytes] = {}
        self.store_down = False
        self.received: list[tuple[str | None, dict[str, str]]] = []
        """For each image: the file name that came with it, and the request's headers."""
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

    def read(self, disease: DiseaseView, data: bytes) -> Prediction:
        """Read an image and store the reading."""
        if self.store_down:
            raise StoreUnavailable
        if disease.model is None:
            raise ModelUnavailable(disease.status_detail)
        if not data:
            raise EmptyFile
        try:
            image = Image.open(io.BytesIO(data))
            image.load()
        except (UnidentifiedImageError, OSError) as error:
            raise NotAnImage from error
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.images[digest] = data
        level = ImageStat.Stat(image.convert("L")).mean[0] / 255
        judged = image.mode == "L"
        prediction = Prediction.model_validate(
            {
                "id": new_prediction_id(),
                "created_at": now(),
                "disease": disease.id,
                "disease_name": disease.name,
                "artifact": ArtifactReference(
                    disease=disease.id, version=disease.model.version, digest=_DIGEST
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
                "timings_ms": {"queue": 0.1, "decode": 4.2, "preprocess": 0.9, "infer": 15.7},
            }
            | (_judgement(disease, level) if judged else _refusal())
        )
        self.readings[prediction.id] = prediction
        return prediction


def _refusal() -> dict[str, object]:
    return {
        "reason": Notice(
            code="image-gate",
            detail="The image does not look like one this model was made for.",
            remedy="Send the original greyscale image.",
        )
    }


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
    band = "likely_positive" if level > 0.7 else "likely_negative" if level < 0.3 else "uncertain"
    kept = tuple(item.id for item in disease.classes) if band == "uncertain" else (top[0].id,)
    return {
        "probabilities": probabilities,
        "top": top,
        "conformal_set": kept,
        "band": band,
        "operating_point": OperatingPointReading(
            name="balanced",
            class_id=disease.finding,
            threshold=0.41,
            positive=level >= 0.41,
            sensitivity=_SENSITIVITY,
            specificity=_SPECIFICITY,
            says="At the balanced operating point this image counts as pneumonia."
            if level >= 0.41
            else "At the balanced operating point this image does not count as pneumonia.",
        ),
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
        return Response(problem.model_dump_json(), error.status, None, "application/problem+json")

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
        operating_point: Annotated[str, Form()] = "balanced",
    ) -> Prediction:
        stand_in.received.append((image.filename, dict(request.headers)))
        return stand_in.read(stand_in.disease(disease), await image.read())

    @app.get("/api/v1/predictions")
    async def readings(
        disease: str | None = None,
        class_id: str | None = None,
        cursor: str | None = None,
        limit: int = 20,
    ) -> PredictionPage:
        if stand_in.store_down:
            raise StoreUnavailable
        if cursor is not None and not re.fullmatch("[0-9a-f]{32}", cursor):
            raise InvalidRequest
        found = [
            item
            for key, item in sorted(stand_in.readings.items(), reverse=True)
            if disease in (None, item.disease)
            and (class_id is None or (item.top and item.top[0].id == class_id))
            and (cursor is None or key < UUID(cursor))
        ]
        more = found[limit - 1].id.hex if len(found) > limit else None
        return PredictionPage(items=tuple(found[:limit]), next_cursor=more)

    @app.get("/api/v1/predictions/{prediction}")
    async def reading(prediction: UUID) -> Prediction:
        return stand_in.reading(prediction)

    @app.delete("/api/v1/predictions/{prediction}", status_code=204)
    async def delete(prediction: UUID) -> None:
        del stand_in.readings[stand_in.reading(prediction).id]

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

    return app
