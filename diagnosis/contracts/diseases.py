"""A disease of the catalogue, its live model, and the versions of that."""

from datetime import datetime
from typing import Literal

from diagnosis import WARNING
from diagnosis.contracts.base import Digest, Interval, OperatingPointName, Probability, Slug, Wire


class ClassView(Wire):
    """A class of a disease as the catalogue words it."""

    id: Slug
    name: str
    sentence: str


class DemoImageView(Wire):
    """A synthetic image that a newcomer may try; it shows no patient."""

    name: str
    class_id: Slug
    url: str


class OperatingPointView(Wire):
    """A named threshold with its measured figures."""

    name: OperatingPointName
    threshold: Probability
    sensitivity: Interval
    specificity: Interval


class ModelView(Wire):
    """The live model of a disease, in short."""

    version: str
    digest: Digest
    trained_on: str
    """The population, in a sentence."""
    operating_points: tuple[OperatingPointView, ...]
    figures: dict[str, Interval]
    """Measured on patients that it was not trained on: auc, balanced_accuracy, ece and so on."""
    evaluated_on: str
    """Which data the figures come from, and how many images."""
    demo_images: tuple[DemoImageView, ...] = ()
    licence: str


class DiseaseView(Wire):
    """A disease of the catalogue and whether a model can answer for it."""

    id: Slug
    name: str
    modality: str
    summary: str
    intended_use: str
    suitable_image: str
    maturity: Literal["clinical_candidate", "demonstration"]
    maturity_reason: str = ""
    """Why it is only a demonstration, or what makes it more."""
    classes: tuple[ClassView, ...]
    finding: Slug | None
    """The class to catch; null where there is none."""
    status: Literal["live", "no_model", "unavailable"]
    status_detail: str
    """A sentence: what can be done where the status is not `live`."""
    model: ModelView | None = None


class DiseaseList(Wire):
    """The whole catalogue, in its order."""

    items: tuple[DiseaseView, ...]
    warning: Literal["Research use only. Not a medical device. A clinician decides."] = WARNING


class Version(Wire):
    """A published version of a disease's model."""

    version: str
    role: Literal["live", "shadow", "retired", "published"]


class VersionChange(Wire):
    """Something that was done to a disease's versions."""

    at: datetime
    action: Literal["promote", "shadow", "rollback", "retire", "stop", "lift"]
    version: str | None
    """The version that it was done to; null when a shadow was taken away."""
    previous: str | None
    """The version that was live (for `shadow`: shadow) until then."""
    acknowledged_by: str | None = None
    """Who accepted that this promotion lowers sensitivity; null where it does not."""
    reason: str | None = None
    """Why the version was stopped: the statistics that were past their limits."""


#: What drift is seen by: what images look like (two ways), what is answered, what reviews say; and
#: the first three of readings that `trainer infer` posted.
DriftStatistic = Literal[
    "input", "embedding", "score", "agreement", "posted_input", "posted_embedding", "posted_score"
]


class VersionUnderReview(Wire):
    """A version that drifted and was stopped; it is not live until two people agree."""

    version: str
    since: datetime
    past: tuple[DriftStatistic, ...]
    """What was past its limit."""
    wanted: tuple[Literal["engineer", "clinician"], ...]
    """The roles of which somebody has still to agree, each another person."""
    agreed: int
    """How many people have agreed so far, whose consent has not lapsed."""
    agreed_until: datetime | None = None
    """Until when that stands: it lapses after seven days. Null where nobody has agreed, and where a
    service of before this release answers."""


class VersionList(Wire):
    """All versions of a disease's model, in their order, and what was done to them."""

    disease: Slug
    live: str | None
    """The version that answers; null where none does."""
    items: tuple[Version, ...]
    under_review: tuple[VersionUnderReview, ...] = ()
    """Versions that were stopped because they drifted."""
    history: tuple[VersionChange, ...] = ()
    """Oldest first."""
