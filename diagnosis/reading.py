"""What is said about an image: from the model's raw outputs to a `Prediction`."""

import math
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from diagnosis import judgement
from diagnosis.artifacts import Card
from diagnosis.artifacts.card import OperatingPoint
from diagnosis.catalogue import DICOM_MODALITIES, NEUTRAL_MODALITIES, Disease
from diagnosis.contracts import (
    ArtifactReference,
    ClassProbability,
    ImageReference,
    Interval,
    Notice,
    ObservedShare,
    OperatingPointReading,
    Prediction,
    new_prediction_id,
    now,
)
from diagnosis.gate import Verdict
from diagnosis.images import BurnedIn, ImageFacts, digest_of
from diagnosis.preprocess import Resize

#: A model that sees no more pixels than this on its shorter side gets a notice where the image has
#: at least `CLEARLY_LARGER` times as many.
LOW_RESOLUTION_SIDE = 64
CLEARLY_LARGER = 2
_MAY_NAME = (
    "Look at the image: what is written in it is kept and shown with it. Delete the reading if it"
    " names the patient, and send the image without the text."
)
_BURNED_IN: Mapping[BurnedIn, Notice] = {
    "stated": Notice(
        code="burned-in-text",
        detail="The file says that text is burned into its image.",
        remedy=_MAY_NAME,
    ),
    "possible": Notice(
        code="burned-in-text",
        detail="The file does not say whether text is burned into its image, and images of its"
        " kind often have some.",
        remedy=_MAY_NAME,
    ),
}
#: A model with more classes than this has only its most probable ones stored.
MOST_CLASSES = 20
STORED_CLASSES = 10


def compose(
    disease: Disease,
    card: Card,
    image: ImageFacts,
    outputs: NDArray[np.float32] | None,
    *,
    demo_digests: Collection[str] = (),
    explains: bool = False,
    prediction_id: UUID | None = None,
    batch: UUID | None = None,
    dicom: bytes | None = None,
    point: OperatingPoint | None,
    timings_ms: Mapping[str, float],
    unit: str,
    created_by: str,
    patient_reference: str | None,
    verdict: Verdict | None = None,
    statistics: tuple[int, ...] = (),
) -> Prediction:
    """The reading of an image.

    Args:
        disease: what it was read for.
        card: of the model that answered.
        image: the checked image.
        outputs: raw outputs of the model for it, shape (classes,); None where the gate refused.
        demo_digests: of the model's checked demo images, so that a reading of one says so.
        explains: whether what serves the model can show where it looked.
        prediction_id: of the reading, where it was fixed before; None for a new one.
        batch: that it is a reading of, if it is one's.
        dicom: the de-identified DICOM file that is kept beside it, if one is.
        point: the operating point to apply; None where the disease has no finding.
        timings_ms: milliseconds by step, so far.
        unit: the group of people who may see it.
        created_by: who asked.
        patient_reference: already hashed.
        verdict: what the gate said; None where the artifact has none.
        statistics: what is kept of the image to see drift by.
    """
    reason = None if verdict is None else verdict.reason
    answers: dict[str, Any] = {"outcome": "not_judged", "reason": reason}
    if outputs is not None:
        answers = {
            "outcome": "judged",
            **_answers(disease, card, outputs, point, explains=explains),
        }
    return Prediction(
        id=prediction_id or new_prediction_id(),
        created_at=now(),
        disease=disease.id,
        disease_name=disease.name,
        artifact=ArtifactReference(
            disease=disease.id, version=card.version, digest=card.files.keras.digest
        ),
        image=ImageReference(
            digest=image.digest,
            media_type=image.media_type,
            source_format=image.source_format,
            width=image.width,
            height=image.height,
            demo=image.digest in demo_digests,
            dicom_digest=None if dicom is None else digest_of(dicom),
        ),
        **answers,
        gate=None if verdict is None else verdict.reading,
        statistics=statistics if outputs is not None else (),
        notices=notices(disease, card, image),
        timings_ms=dict(timings_ms),
        created_by=created_by,
        unit=unit,
        batch=batch,
        patient_reference=patient_reference,
    )


def _answers(
    disease: Disease,
    card: Card,
    outputs: NDArray[np.float32],
    point: OperatingPoint | None,
    *,
    explains: bool,
) -> dict[str, Any]:
    """What a judged image's reading says beyond any other's."""
    exact = judgement.probabilities(outputs, card)
    names = class_names(disease, card)
    short = judgement.rounded(exact)
    answers = tuple(
        ClassProbability(id=one.id, name=names[one.id], probability=value)
        for one, value in zip(card.classes, short, strict=True)
    )
    by_class = {one.id: float(value) for one, value in zip(card.classes, exact, strict=True)}
    kept = judgement.conformal_set(by_class, card.conformal.quantiles)
    listed = most_probable(answers, card.finding)
    # A set that lacks a class of its own would promise what it does not keep.
    whole = {*kept} <= {one.id for one in listed}
    return {
        "probabilities": listed,
        "top": tuple(sorted(answers, key=lambda one: -one.probability)[: disease.top]),
        "conformal_set": kept if whole else (),
        "conformal_coverage": card.conformal.coverage if whole else None,
        "band": judgement.band(kept, card.finding),
        "observed": observed(card, answers),
        "operating_point": None
        if point is None
        else _read_points(card, (point,), names, by_class)[0],
        "operating_points": _read_points(card, card.operating_points, names, by_class),
        "heatmap_classes": card.heatmap_classes if explains else (),
    }


def observed(card: Card, answers: tuple[ClassProbability, ...]) -> ObservedShare | None:
    """How often validation images with about this probability had the finding, or, where there is
    none, the most probable class."""
    about = max(answers, key=lambda one: (one.id == card.finding, one.probability))
    found = card.evaluation.observed(about.id, about.probability)
    if found is None:
        return None
    return ObservedShare(
        class_id=about.id, low=found.low, high=found.high, images=found.images, share=found.share
    )


def most_probable(
    answers: tuple[ClassProbability, ...], finding: str | None
) -> tuple[ClassProbability, ...]:
    """What is stored of the answers, in their order: all, or of more than 20 the ten highest.

    The finding is always among them.
    """
    if len(answers) <= MOST_CLASSES:
        return answers
    ranked = sorted(answers, key=lambda one: (one.id != finding, -one.probability))
    kept = {one.id for one in ranked[:STORED_CLASSES]}
    return tuple(one for one in answers if one.id in kept)


def class_names(disease: Disease, card: Card) -> dict[str, str]:
    """Plain-language name of each class: the catalogue's, or the card's where it names them."""
    return {one.id: one.name for one in card.classes} | {
        one.id: one.name for one in disease.classes
    }


def notices(disease: Disease, card: Card, image: ImageFacts) -> tuple[Notice, ...]:
    """What the reader has to know beside the figures; what the file says, never who it is of."""
    found = []
    age, low, high = (
        image.patient_age_years,
        card.population.age_years_min,
        card.population.age_years_max,
    )
    # Ages are whole years as people count them: a child of 5 is 5 until the sixth birthday.
    if age is not None and (
        (low is not None and age < low) or (high is not None and math.floor(age) > high)
    ):
        found.append(
            Notice(
                code="age-outside-population",
                detail="The patient's age, as the file gives it, is outside the ages the model"
                f" was trained on ({_ages(low, high)}).",
                remedy="Do not rely on the figures of this reading for this patient.",
            )
        )
    expected = DICOM_MODALITIES.get(disease.modality)
    if (
        image.modality is not None
        and expected is not None
        and image.modality not in expected | NEUTRAL_MODALITIES
    ):
        found.append(
            Notice(
                code="modality-mismatch",
                detail=f"The file says that it is of the DICOM modality {image.modality}; the"
                f" model reads images of the kind: {disease.modality}.",
                remedy="Check that this is the right image and the right disease.",
            )
        )
    if image.burned_in is not None:
        found.append(_BURNED_IN[image.burned_in])
    if (notice := _low_resolution(card, image)) is not None:
        found.append(notice)
    return tuple(found)


def _low_resolution(card: Card, image: ImageFacts) -> Notice | None:
    """What is lost between a large image and a model that sees few pixels."""
    side = seen_side(card)
    if side > LOW_RESOLUTION_SIDE or min(image.width, image.height) < CLEARLY_LARGER * side:
        return None
    return Notice(
        code="low-resolution-model",
        detail=f"This model sees {side} pixels a side; details of this image are lost.",
        remedy="Look for small findings in the original image; this reading cannot show them.",
    )


def seen_side(card: Card) -> int:
    """Pixels on the shorter side of what the model sees of an image.

    A network's input may be larger than that: what was made small first and large again afterwards
    has no more in it than the small one had.
    """
    sides = [card.input.height, card.input.width]
    for step in card.preprocessing.steps:
        if isinstance(step, Resize):
            sides += (step.height, step.width)
    return min(sides)


def _ages(low: float | None, high: float | None) -> str:
    if low is None:
        return f"up to {high:g} years"
    return f"from {low:g} years" if high is None else f"{low:g} to {high:g} years"


def _read_points(
    card: Card,
    points: tuple[OperatingPoint, ...],
    names: Mapping[str, str],
    by_class: Mapping[str, float],
) -> tuple[OperatingPointReading, ...]:
    """What operating points of the card say; none where there is no finding to catch."""
    if card.finding is None:
        return ()
    finding = card.finding
    return tuple(_read_point(one, finding, names[finding], by_class[finding]) for one in points)


def _read_point(
    point: OperatingPoint, finding: str, name: str, probability: float
) -> OperatingPointReading:
    positive = judgement.is_positive(probability, point.threshold)
    finding_in_text = name if name[1:2].isupper() else name[:1].lower() + name[1:]
    label = point.name.replace("_", "-")
    return OperatingPointReading(
        name=point.name,
        class_id=finding,
        threshold=point.threshold,
        positive=positive,
        sensitivity=point.sensitivity,
        specificity=point.specificity,
        says=f"At the {label} threshold ({point.threshold:.3g}) this image counts as"
        f" {'positive' if positive else 'negative'} for {finding_in_text}. In validation patients"
        f" this threshold found {_percent(point.sensitivity)} of those with {finding_in_text} and"
        f" cleared {_percent(point.specificity)} of those without.",
    )


def _percent(figure: Interval) -> str:
    value, low, high = (round(100 * part) for part in (figure.value, figure.low, figure.high))
    return f"{value} % ({low} to {high})"
