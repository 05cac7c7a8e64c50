"""A prediction, which a page calls a reading, and what is asked and answered about it."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from diagnosis import WARNING
from diagnosis.contracts.base import (
    SCHEMA_VERSION,
    Band,
    Digest,
    Interval,
    OperatingPointName,
    Outcome,
    Probability,
    Slug,
    Wire,
)


class ClassProbability(Wire):
    """One class and how probable the calibrated model holds it."""

    id: Slug
    """Stable name of the class in the catalogue."""
    name: str
    """Plain-language name."""
    probability: Probability


class ArtifactReference(Wire):
    """Which artifact answered."""

    disease: Slug
    version: str
    digest: Digest
    """SHA-256 of `model.keras`."""


class ImageReference(Wire):
    """What is kept about the image; nothing that identifies a person."""

    digest: Digest
    """SHA-256 of the checked, de-identified image, and its name in the image store."""
    media_type: Literal["image/jpeg", "image/png"]
    """Media type of the kept image."""
    source_format: str
    """Format of what was sent: jpeg, png, tiff, webp, bmp or dicom."""
    width: Annotated[int, Field(gt=0)]
    """Pixels, as displayed."""
    height: Annotated[int, Field(gt=0)]
    """Pixels, as displayed."""
    demo: bool = False
    """True for one of the artifact's own synthetic demo images."""
    dicom_digest: Digest | None = None
    """SHA-256 of the de-identified DICOM file that is kept beside the image; None where there is
    none, because the image came otherwise or the service keeps none."""

    @property
    def kept(self) -> tuple[str, ...]:
        """The digests of all that the image store keeps for a reading."""
        return (self.digest,) if self.dicom_digest is None else (self.digest, self.dicom_digest)


class OperatingPointReading(Wire):
    """A named threshold and what it says about this image."""

    name: OperatingPointName
    class_id: Slug
    """The finding to catch; its probability is compared with the threshold."""
    threshold: Probability
    positive: bool
    """True when the probability is at or above the threshold."""
    sensitivity: Interval
    specificity: Interval
    says: str
    """The same in a sentence for a person."""


class GateReading(Wire):
    """What the gate said of the image: whether it is one that the artifact may judge."""

    passed: bool
    score: float
    """How like the images that the artifact may judge; it passes at or above `threshold`."""
    threshold: float


class ObservedShare(Wire):
    """What became of validation images to which the model gave about the same probability."""

    class_id: Slug
    """The class that the probability is of: the finding, or the most probable class."""
    low: Probability
    high: Probability
    """The calibrated probabilities from `low` to `high`; the image's own is among them."""
    images: Annotated[int, Field(gt=0)]
    """Validation images whose probability was among these."""
    share: Interval
    """Which part of them had the class."""


#: The code of the notice that the model that made a reading is under review now.
UNDER_REVIEW = "model-under-review"


class Notice(Wire):
    """Something the reader has to know beside the figures: a code, a sentence, what to do."""

    code: str
    detail: str
    remedy: str = ""


class Prediction(Wire):
    """One image, one artifact, one answer. On a page it is called a reading."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: UUID
    """Version 7: sorts by time."""
    created_at: datetime
    disease: Slug
    disease_name: str
    artifact: ArtifactReference
    image: ImageReference
    outcome: Outcome
    reason: Notice | None = None
    """Why the image was not judged, and what to do; only when `outcome` is `not_judged`."""
    probabilities: tuple[ClassProbability, ...] = ()
    """Every class, in the catalogue's order; sums to one (see `top` for the ranking). Of a model
    with more than 20 classes only the ten most probable, which then sum to less."""
    top: tuple[ClassProbability, ...] = ()
    """The most probable classes, most probable first; three, or as many as the catalogue says."""
    conformal_set: tuple[Slug, ...] = ()
    """The classes that cannot be excluded at the card's stated coverage; empty too where not all
    of them are among the probabilities, and then no coverage is stated."""
    conformal_coverage: Probability | None = None
    """How often such a set holds the true class, as the card states it."""
    band: Band | None = None
    operating_point: OperatingPointReading | None = None
    """The one that was asked for, or `balanced`."""
    operating_points: tuple[OperatingPointReading, ...] = ()
    """Every operating point of the card, the one above among them."""
    observed: ObservedShare | None = None
    """How often the class was there in validation images with about this probability; None where
    the card has no such figures."""
    gate: GateReading | None = None
    """None where the artifact has no gate."""
    statistics: tuple[Annotated[int, Field(ge=0, le=255)], ...] = ()
    """What the image looked like, as sixteen small numbers that drift is seen by
    (`diagnosis.drift.statistics`); empty where the model has no reference for it."""
    heatmap_classes: tuple[Slug, ...] = ()
    """Classes that a heatmap can be asked for: those whose heatmaps passed the card's checks."""
    notices: tuple[Notice, ...] = ()
    """For example: the patient is older than the population the model was trained on. One is of
    the present, and is not kept with the reading: `model-under-review`, as long as the version that
    made it is stopped because it drifted."""
    timings_ms: dict[str, float] = Field(default_factory=dict)
    """Milliseconds by step: queue, decode, gate, preprocess, infer, store."""
    created_by: str = "anonymous"
    unit: Slug = "default"
    """The group of people who may see this reading."""
    patient_reference: str | None = None
    """A keyed hash of the reference that was sent, never the reference itself."""
    batch: UUID | None = None
    """The batch that it is of; None for an image that was sent by itself."""
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING

    @property
    def model_under_review(self) -> bool:
        """Whether the version that made it was under review when this was answered."""
        return any(one.code == UNDER_REVIEW for one in self.notices)

    @model_validator(mode="after")
    def _judged_or_a_reason(self) -> Self:
        if self.outcome == "judged":
            if self.reason is not None or not self.probabilities:
                raise ValueError("a judged image has probabilities and no reason")
        elif self.reason is None:
            raise ValueError("an image that was not judged has a reason")
        elif self.probabilities or self.top or self.conformal_set or self.operating_points:
            raise ValueError("an image that was not judged has no probabilities")
        elif self.band is not None or self.operating_point is not None:
            raise ValueError("an image that was not judged has no band and no operating point")
        elif self.observed is not None:
            raise ValueError("an image that was not judged has no observed share")
        return self


class PatientDeletion(Wire):
    """Whose data is to be deleted."""

    patient_reference: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
    ]
    """The reference that was sent with the images. It stands in no address and in no log."""


class PatientDeleted(Wire):
    """What was deleted of a patient; 0 where there was nothing."""

    readings: Annotated[int, Field(ge=0)]
    images: Annotated[int, Field(ge=0)]
    """Fewer than readings where several were of one image, or where its time was over. An image
    that a reading without this reference shows stays with that reading."""


class Suggestion(Wire):
    """A disease whose live model may judge an image."""

    disease: Slug
    name: str
    modality: str
    score: float
    """By how much the image passed the gate of the disease's artifact; higher is surer."""


class SuggestionList(Wire):
    """What an image may be read for, the likeliest first. Nothing of the image is kept."""

    items: tuple[Suggestion, ...]
    detail: str
    """A sentence for the person who asked, above all where nothing is proposed."""
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING
