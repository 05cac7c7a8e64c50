"""The card: the machine-checked record that travels with every artifact, as `card.json`."""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from diagnosis.contracts import Digest, Interval, OperatingPointName, Probability, Slug
from diagnosis.drift import Reference
from diagnosis.errors import CardRefused, DigestMismatch
from diagnosis.gate import Gate
from diagnosis.preprocess import Preprocessing

#: A card is text that people read; a larger one is an attack or a mistake.
MAX_CARD_BYTES = 1_000_000
#: Key of the digest over all else in `card.json`.
SEAL = "seal"

Version = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,79}$")]
Sentence = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Precision = Literal["f32", "bf16", "f16", "int8"]


class Record(BaseModel):
    """Base of every part of a card: frozen, no unknown fields, finite numbers only."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class FileRecord(Record):
    """A file of the artifact's folder, by name, digest and size."""

    name: FileName
    digest: Digest
    bytes: Annotated[int, Field(gt=0)]


class Files(Record):
    """The artifact's files. The IR is absent when the artifact was published without one."""

    keras: FileRecord
    ir_xml: FileRecord | None = None
    ir_bin: FileRecord | None = None
    gate: FileRecord | None = None
    """The numbers of the gate, where there is one."""
    int8_xml: FileRecord | None = None
    int8_bin: FileRecord | None = None
    """An 8-bit IR that passed the comparison with f32; used where int8 is asked for."""

    @property
    def all(self) -> tuple[FileRecord, ...]:
        """Every file that the card names."""
        parts = (
            self.keras, self.ir_xml, self.ir_bin, self.int8_xml, self.int8_bin, self.gate,
        )  # fmt: skip
        return tuple(part for part in parts if part is not None)

    @model_validator(mode="after")
    def _both_halves_of_the_ir(self) -> Self:
        for xml, constants in ((self.ir_xml, self.ir_bin), (self.int8_xml, self.int8_bin)):
            if (xml is None) != (constants is None):
                raise ValueError("an IR is an .xml and a .bin; the card names only one of them")
        return self


class CardClass(Record):
    """One class, in the order of the model's outputs."""

    id: Slug
    name: str


class Input(Record):
    """Shape of the network's input, without the batch dimension."""

    height: Annotated[int, Field(ge=8, le=1024)]
    width: Annotated[int, Field(ge=8, le=1024)]
    channels: Literal[1, 3]


class Calibration(Record):
    """Temperature scaling (Guo et al. 2017): probabilities are softmax(logits / temperature)."""

    method: Literal["temperature"] = "temperature"
    temperature: Annotated[float, Field(gt=0.01, lt=100)]
    fitted_on: Sentence


class OperatingPoint(Record):
    """A named threshold on the finding's probability, and what it was measured to do."""

    name: OperatingPointName
    threshold: Probability
    sensitivity: Interval
    specificity: Interval
    chosen_by: Sentence


class Conformal(Record):
    """Split conformal prediction by class (Vovk 2012; Sadinle et al. 2019).

    The set of an image holds each class whose probability is at least `1 - quantiles[class]`.
    """

    coverage: Annotated[float, Field(gt=0.5, lt=1)]
    quantiles: dict[Slug, Probability]
    fitted_on: Sentence


class SubgroupRecord(Record):
    """A part of the measured images, by a column of their manifest."""

    column: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    level: Annotated[str, StringConstraints(min_length=1, max_length=80)]
    images: Annotated[int, Field(gt=0)]
    groups: Annotated[int, Field(gt=0)]
    figures: dict[str, Interval] = Field(default_factory=dict)
    """Empty where there are too few images for a figure to say anything."""


class ReliabilityBin(Record):
    """Images to which the model gave about the same probability of a class, and what they had."""

    low: Probability
    high: Probability
    """Probabilities above `low` and up to `high`; the first bin begins at 0, the last ends at 1."""
    images: Annotated[int, Field(gt=0)]
    share: Interval
    """Which part of them had the class; Wilson's interval, which counts groups."""


class Evaluation(Record):
    """The measured figures, each with its interval, and two trivial baselines beside them."""

    dataset: Sentence
    images: Annotated[int, Field(ge=0)]
    """0 where nothing was measured; then there are no figures."""
    groups: Annotated[int, Field(ge=0)]
    per_class: dict[Slug, int]
    figures: dict[str, Interval]
    baseline_always_finding: dict[str, float] = Field(default_factory=dict)
    """The same figures for a model that calls every image the finding."""
    baseline_majority: dict[str, float] = Field(default_factory=dict)
    """The same figures for a model that calls every image the most common class."""
    majority_class: Slug | None = None
    """The most common class of these images."""
    classes: dict[Slug, dict[str, Interval]] = Field(default_factory=dict)
    """Of each class against the rest: auc, sensitivity, specificity, ppv, npv."""
    operating_points: dict[OperatingPointName, dict[str, Interval]] = Field(default_factory=dict)
    """Of each operating point on these images: sensitivity, specificity, ppv, npv, and ppv and npv
    at stated prevalences (`ppv_at_prevalence_10` is at 10 %)."""
    conformal_coverage: dict[Slug, Interval] = Field(default_factory=dict)
    """Of each class, the share of its images whose conformal set holds it."""
    subgroups: tuple[SubgroupRecord, ...] = ()
    reliability: dict[Slug, tuple[ReliabilityBin, ...]] = Field(default_factory=dict)
    """Of each class, bins of about as many images by their calibrated probability, in order and
    without a gap; empty where they were not measured."""

    @model_validator(mode="after")
    def _bins_follow_each_other(self) -> Self:
        for name, bins in self.reliability.items():
            edges = [0.0, *(one.high for one in bins)]
            if [one.low for one in bins] != edges[:-1] or edges[-1] != 1.0:
                raise ValueError(f"the bins of {name} do not follow each other from 0 to 1")
            if any(one.low >= one.high for one in bins):
                raise ValueError(f"a bin of {name} is empty")
        return self

    def observed(self, class_id: str, probability: float) -> ReliabilityBin | None:
        """The bin of a class that a probability lies in; None where none were measured."""
        bins = self.reliability.get(class_id, ())
        return next((one for one in bins if probability <= one.high), None)

    @model_validator(mode="after")
    def _figures_come_from_images(self) -> Self:
        if not self.images and self.figures:
            raise ValueError("figures that were measured on no image")
        return self


class Population(Record):
    """Who the training images show; a patient outside it gets a notice on the reading."""

    description: Sentence
    age_years_min: Annotated[float, Field(ge=0)] | None = None
    age_years_max: Annotated[float, Field(ge=0)] | None = None


class Training(Record):
    """How the model was made, well enough to make it again."""

    recipe: str
    dataset: Sentence
    images: Annotated[int, Field(ge=0)]
    """0 where the weights came as they are and nothing was trained."""
    groups: Annotated[int, Field(ge=0)]
    per_class: dict[Slug, int]
    seed: int
    backbone: str = ""
    """A pretrained start and its licence; empty when trained from scratch."""
    keras_version: str
    settings: dict[str, str | float | int | bool] = Field(default_factory=dict)


class PrecisionCheck(Record):
    """A lower precision compared with f32 on the validation images."""

    allowed: bool
    images: int
    largest_probability_change: float
    flipped_decisions: int
    auc_change: float


class HeatmapLimits(Record):
    """What the heatmaps of a class have to reach before they are shown."""

    fewest_images: int
    largest_randomised: float
    """Of the mean rank correlation with the heatmap of a network with random weights."""
    smallest_repeated: float
    """Of the mean rank correlation with the heatmap of a slightly altered copy."""
    smallest_deletion: float
    """Of the low end of the interval of how much faster deleting what it points at works."""

    def met(self, check: "HeatmapCheck") -> bool:
        """Whether all figures are there and inside the limits."""
        figures = (check.randomised, check.repeated, check.deletion)
        if check.images < self.fewest_images or any(one is None for one in figures):
            return False
        randomised, repeated, deletion = (one for one in figures if one is not None)
        return (
            randomised.value <= self.largest_randomised
            and repeated.value >= self.smallest_repeated
            and deletion.low > self.smallest_deletion
        )


class HeatmapCheck(Record):
    """The report card of one class's heatmaps; a figure is missing where it was not measurable."""

    images: Annotated[int, Field(ge=0)]
    """Validation images of the class that were used."""
    randomised: Interval | None = None
    """Mean rank correlation of the evidence for and against the class with that after the weights
    were randomised from the top down (Adebayo et al. 2018), at the stage where it is highest; near
    1: the heatmap shows the image and not what the network learned."""
    repeated: Interval | None = None
    """Mean rank correlation with the heatmaps of copies with noise, JPEG or a shift of 2 pixels."""
    deletion: Interval | None = None
    """Mean probability lost when the hottest locations are deleted, beyond what deleting random
    ones loses (Petsiuk et al. 2018)."""
    passed: bool


class Explanation(Record):
    """How heatmaps are made of this artifact, and for which classes they may be shown."""

    method: Literal["hirescam"] = "hirescam"
    layer: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Layer of the `.keras` whose output are the maps; every path to the logits goes through it."""
    node: Annotated[str, StringConstraints(min_length=1, max_length=400)]
    """The node of the IR with the same values."""
    channels_first: bool
    """Whether the IR has the maps as (channels, height, width)."""
    height: Annotated[int, Field(ge=1, le=64)]
    width: Annotated[int, Field(ge=1, le=64)]
    """Locations of the maps."""
    measured_on: Sentence
    limits: HeatmapLimits
    classes: dict[Slug, HeatmapCheck]

    @model_validator(mode="after")
    def _verdicts_follow_the_figures(self) -> Self:
        for name, check in self.classes.items():
            if check.passed != self.limits.met(check):
                raise ValueError(
                    f"the verdict on the heatmaps of {name} is not what the limits say"
                )
        return self


class DemoImage(Record):
    """A synthetic image sampled from a small generative model; it shows no patient."""

    file: FileName
    digest: Digest
    class_id: Slug
    nearest_training_distance: Annotated[float, Field(ge=0)]
    """Root-mean-square grey levels (0 to 255) to the nearest training image."""


class GoldenOutput(Record):
    """What the Keras reference answered for a demo image when the artifact was published."""

    file: FileName
    logits: tuple[float, ...]


class Card(Record):
    """What an artifact is, may be used for, and was measured to do."""

    schema_version: Literal[1] = 1
    disease: Slug
    version: Version
    created_at: datetime
    summary: Sentence
    licence: Sentence
    """Of the artifact, with what the data's licence asks for."""
    files: Files
    classes: Annotated[tuple[CardClass, ...], Field(min_length=2, max_length=1000)]
    finding: Slug | None
    """The class to catch; its probability is compared with the operating points."""
    input: Input
    preprocessing: Preprocessing
    preprocessing_digest: Digest
    output: Literal["logits", "probabilities"] = "logits"
    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...]
    conformal: Conformal
    population: Population
    training: Training
    evaluation: Evaluation
    transfer: tuple[Evaluation, ...] = ()
    """The same model refitted without an acquisition family, measured on that family."""
    precisions: dict[Precision, PrecisionCheck] = Field(default_factory=dict)
    """Lower precisions that were compared with f32; one that is not here is not used."""
    half_precision_storage: PrecisionCheck | None = None
    """What storing the weights in half precision changed; None where they are stored whole."""
    explanation: Explanation | None = None
    """How heatmaps are made; None where they are not."""
    gate: Gate | None = None
    """The check that an image is one the artifact may judge; None where it takes any."""
    reference: Reference | None = None
    """What readings are watched against for drift; None where nothing is watched."""
    demo_images: tuple[DemoImage, ...] = ()
    golden: tuple[GoldenOutput, ...] = ()
    limitations: tuple[Sentence, ...] = ()

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        ids = [one.id for one in self.classes]
        if len(set(ids)) != len(ids):
            raise ValueError("a class stands twice in the card")
        if self.finding is not None and self.finding not in ids:
            raise ValueError("the finding is none of the classes")
        if self.finding is not None and "balanced" not in {p.name for p in self.operating_points}:
            raise ValueError("a card with a finding names at least the balanced operating point")
        if len({point.name for point in self.operating_points}) != len(self.operating_points):
            raise ValueError("an operating point stands twice in the card")
        if set(self.conformal.quantiles) != set(ids):
            raise ValueError("the conformal quantiles are not one a class")
        if self.preprocessing.digest != self.preprocessing_digest:
            raise ValueError("the preprocessing is not the one its digest names")
        made = (*self.preprocessing.size, self.preprocessing.channels)
        if made != (self.input.width, self.input.height, self.input.channels):
            raise ValueError("the preprocessing does not make an array of the input's shape")
        if (self.gate is None) != (self.files.gate is None):
            raise ValueError("a gate is a record and a file; the card has only one of them")
        if self.reference is not None and list(self.reference.mix) != ids:
            raise ValueError("the reference of drift is not of the card's classes")
        if any(len(golden.logits) != len(ids) for golden in self.golden):
            raise ValueError("a golden output has not one figure a class")
        if self.explanation is not None and set(self.explanation.classes) != set(ids):
            raise ValueError("the explanation's report cards are not one a class")
        if any(demo.class_id not in ids for demo in self.demo_images):
            raise ValueError("a demo image is of a class that the card does not have")
        return self

    def operating_point(self, name: OperatingPointName = "balanced") -> OperatingPoint:
        """The named operating point; KeyError where the card has none of that name."""
        for point in self.operating_points:
            if point.name == name:
                return point
        raise KeyError(name)

    @property
    def heatmap_classes(self) -> tuple[str, ...]:
        """The classes whose heatmaps passed their checks, in the order of the outputs."""
        if self.explanation is None:
            return ()
        return tuple(one.id for one in self.classes if self.explanation.classes[one.id].passed)

    def to_json(self) -> bytes:
        """The bytes of `card.json`: indented, in the order of the fields, sealed."""
        return sealed(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read `card.json`.

        Raises:
            CardRefused: too large, not JSON, or not a valid card; `cause` says where.
            DigestMismatch: it was changed after it was sealed.
        """
        if len(data) > MAX_CARD_BYTES:
            raise CardRefused(cause=f"card.json has {len(data)} bytes, at most {MAX_CARD_BYTES}")
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise CardRefused(cause=f"not JSON: {type(error).__name__}") from error
        if not isinstance(content, dict):
            raise CardRefused(cause="not a JSON object")
        if content.pop(SEAL, None) != _seal(content):
            raise DigestMismatch(cause="card-seal: the card was changed after it was sealed")
        try:
            return cls.model_validate_json(json.dumps(content))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "card"
            raise CardRefused(cause=f"{where}: {first['msg']}") from error


def sealed(content: dict[str, Any]) -> bytes:
    """`card.json` of some content: its figures are shown to people, so a slip must not pass.

    The seal shows damage and edits by hand. It is no signature: whoever can write the card can
    seal it anew.
    """
    bare = {key: value for key, value in content.items() if key != SEAL}
    return (json.dumps(bare | {SEAL: _seal(bare)}, indent=2, ensure_ascii=False) + "\n").encode()


def _seal(content: dict[str, Any]) -> str:
    """SHA-256 of the content, whatever its white space and the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
