"""What the API shows with words of the present: a disease with its live model, and readings of a
model that is under review."""

from typing import TypeVar

from diagnosis.artifacts import Card
from diagnosis.catalogue import Disease
from diagnosis.contracts import (
    UNDER_REVIEW,
    ClassView,
    DemoImageView,
    Digest,
    DiseaseView,
    ModelView,
    Notice,
    OperatingPointView,
    Prediction,
)
from diagnosis.errors import ModelRefused, ModelUnavailable, ModelUnderReview
from diagnosis.reading import class_names
from inference_service.loading import LiveModel
from inference_service.models import Models, Stopped

Reading = TypeVar("Reading", bound=Prediction)

#: What a reading says while the version that made it is under review.
OF_A_STOPPED_MODEL = Notice(
    code=UNDER_REVIEW,
    detail=(
        "The model that made this reading is under review: it was stopped, because what it was"
        " sent, or what it answered, was no longer like what it was approved for."
    ),
    remedy="The answer may be wrong: judge the image without it.",
)


class SealedCard(Card):
    """A card as it is sent: as it stands in `card.json`, with its seal."""

    seal: Digest
    """SHA-256 of all the rest; it shows damage, and is no signature."""


def disease_view(models: Models, disease: Disease) -> DiseaseView:
    """What the API says about one disease at the moment."""
    entry = models.entry(disease.id)
    live = entry if isinstance(entry, LiveModel) else None
    if live is not None:
        status, detail = "live", "A model answers for this disease."
    elif isinstance(entry, Stopped):
        status, detail = "unavailable", _sentences(ModelUnderReview())
    elif entry is not None:
        status, detail = "unavailable", _sentences(ModelRefused())
    elif models.loaded:
        status, detail = "no_model", _sentences(ModelUnavailable())
    else:
        status, detail = "unavailable", "The models are still being loaded. Try again in a moment."
    return DiseaseView.model_validate(
        {
            "id": disease.id,
            "name": disease.name,
            "modality": disease.modality,
            "summary": disease.summary,
            "intended_use": disease.intended_use,
            "suitable_image": disease.suitable_image,
            "maturity": disease.maturity,
            "maturity_reason": disease.maturity_reason,
            "classes": _classes(disease, live),
            "finding": disease.finding,
            "status": status,
            "status_detail": detail,
            "model": None if live is None else _model(live),
        }
    )


def as_it_stands(models: Models, reading: Reading) -> Reading:
    """A reading as it is told now: one of a version that is under review says so before all else.

    A reading itself never changes, and says it no more once that is lifted.
    """
    if not models.under_review(reading.disease, reading.artifact.version):
        return reading
    return reading.model_copy(update={"notices": (OF_A_STOPPED_MODEL, *reading.notices)})


def _sentences(error: ModelUnavailable) -> str:
    return f"{error.detail} {error.remedy}"


def _classes(disease: Disease, live: LiveModel | None) -> tuple[ClassView, ...]:
    if disease.classes or live is None:
        return tuple(
            ClassView(id=one.id, name=one.name, sentence=one.sentence) for one in disease.classes
        )
    # The catalogue leaves the classes to the card, which has no sentence about them.
    names = class_names(disease, live.card)
    return tuple(ClassView(id=key, name=name, sentence="") for key, name in names.items())


def _model(live: LiveModel) -> ModelView:
    card = live.card
    return ModelView(
        version=card.version,
        digest=card.files.keras.digest,
        trained_on=card.population.description,
        operating_points=tuple(
            OperatingPointView(
                name=point.name,
                threshold=point.threshold,
                sensitivity=point.sensitivity,
                specificity=point.specificity,
            )
            for point in card.operating_points
        ),
        figures=card.evaluation.figures,
        evaluated_on=f"{card.evaluation.dataset} ({card.evaluation.images} images)",
        demo_images=tuple(
            DemoImageView(
                name=demo.file,
                class_id=demo.class_id,
                url=f"/api/v1/diseases/{card.disease}/demo-images/{demo.file}",
            )
            for demo in card.demo_images
        ),
        licence=card.licence,
    )
