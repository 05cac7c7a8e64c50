"""The catalogue: every disease as data, one TOML file each.

A disease is added by adding one file to this folder and one trained artifact; no code changes.
The files are read once, checked strictly, and never change while a service runs.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from diagnosis.contracts import Slug
from diagnosis.errors import UnknownDisease

Modality = Literal[
    "chest X-ray",
    "brain MRI",
    "retinal OCT",
    "fundus photograph",
    "blood smear microscopy",
    "histopathology",
    "breast ultrasound",
    "skin photograph",
    "everyday photograph",
]
#: DICOM modalities in which an image of the catalogue's modality may come. `OT` and modalities
#: that say nothing of the kind contradict nothing and are left out of every notice.
DICOM_MODALITIES: Mapping[Modality, frozenset[str]] = {
    "chest X-ray": frozenset({"CR", "DX", "RG", "RF", "PX"}),
    "brain MRI": frozenset({"MR"}),
    "retinal OCT": frozenset({"OPT", "OCT"}),
    "fundus photograph": frozenset({"OP", "XC"}),
    "blood smear microscopy": frozenset({"GM", "SM", "XC"}),
    "histopathology": frozenset({"GM", "SM"}),
    "breast ultrasound": frozenset({"US"}),
    "skin photograph": frozenset({"XC", "GM", "DMS"}),
    "everyday photograph": frozenset({"XC"}),
}
NEUTRAL_MODALITIES = frozenset({"OT", "SC"})

Maturity = Literal["clinical_candidate", "demonstration"]
Augmentation = Literal[
    "rotate",
    "translate",
    "zoom",
    "brightness",
    "contrast",
    "gamma",
    "noise",
    "blur",
    "jpeg",
    "border_crop",
    "flip_horizontal",
    "flip_vertical",
    "rotate_right_angles",
    "hue",
    "saturation",
]

_MIRRORED: frozenset[Augmentation] = frozenset({"flip_horizontal"})
_COLOUR: frozenset[Augmentation] = frozenset({"hue", "saturation"})
_UPSIDE_DOWN: frozenset[Augmentation] = frozenset({"flip_vertical", "rotate_right_angles"})

#: Changes that make an image which cannot exist. A mirrored chest shows the heart on the wrong
#: side; an OCT section or an ultrasound scan always has its probe side on top; a grey image has
#: no colour to change.
FORBIDDEN_AUGMENTATIONS: Mapping[Modality, frozenset[Augmentation]] = MappingProxyType(
    {
        "chest X-ray": _MIRRORED | _UPSIDE_DOWN | _COLOUR,
        "brain MRI": _COLOUR,
        "retinal OCT": _UPSIDE_DOWN | _COLOUR,
        "breast ultrasound": _UPSIDE_DOWN | _COLOUR,
    }
)


def _ends_like_a_sentence(text: str) -> str:
    if not text.endswith("."):
        raise ValueError("a sentence ends with a full stop")
    return text


Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Prose = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=20, max_length=600),
    AfterValidator(_ends_like_a_sentence),
]


class Entry(BaseModel):
    """Base of the catalogue's records: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DiseaseClass(Entry):
    """One answer that a model of the disease can give."""

    id: Slug
    name: Name
    """Plain-language name, as a page shows it."""
    sentence: Prose
    """What the class means, in one sentence."""
    aliases: tuple[Name, ...] = ()
    """Names of class folders in data sets, beside the id and the name."""


class Disease(Entry):
    """One diagnostic task: what is looked at, what can be answered, and what it is for."""

    id: Slug
    order: Annotated[int, Field(ge=0)]
    """Place in the catalogue, lowest first; no two diseases share one."""
    name: Name
    modality: Modality
    summary: Prose
    intended_use: Prose
    suitable_image: Prose
    """What an image looks like that a model of this disease may judge."""
    maturity: Maturity
    maturity_reason: Prose
    top: Annotated[int, Field(ge=1, le=10)] = 3
    """How many of the most probable classes a prediction names first."""
    open_classes: bool = False
    """True where the artifact's card names the classes and the catalogue names none."""
    classes: tuple[DiseaseClass, ...] = ()
    """In the order of the model's outputs."""
    finding: Slug | None = None
    """The class that must not be missed; operating points are thresholds on its probability."""
    augmentations: tuple[Augmentation, ...] = ()
    """Changes a training image may undergo without its label becoming wrong."""

    @model_validator(mode="after")
    def _classes_agree(self) -> Self:
        if self.open_classes:
            if self.classes or self.finding is not None:
                raise ValueError("with open_classes the card names the classes, not the catalogue")
            return self
        if len(self.classes) < 2:
            raise ValueError("a disease has at least two classes")
        if len(set(self.class_ids)) != len(self.classes):
            raise ValueError("a class stands twice")
        if self.finding is not None and self.finding not in self.class_ids:
            raise ValueError(f"the finding {self.finding!r} is none of the classes")
        owners: dict[str, str] = {}
        for one in self.classes:
            aliases = [_folder_key(alias) for alias in one.aliases]
            if len(set(aliases)) != len(aliases):
                raise ValueError(f"an alias of {one.id!r} stands twice")
            for key in {_folder_key(one.id), _folder_key(one.name), *aliases}:
                owner = owners.setdefault(key, one.id)
                if owner != one.id:
                    raise ValueError(f"{key!r} names both {owner!r} and {one.id!r}")
        return self

    @model_validator(mode="after")
    def _augmentations_keep_the_label(self) -> Self:
        if len(set(self.augmentations)) != len(self.augmentations):
            raise ValueError("an augmentation stands twice")
        wrong = FORBIDDEN_AUGMENTATIONS.get(self.modality, frozenset()) & set(self.augmentations)
        if wrong:
            names = ", ".join(sorted(wrong))
            raise ValueError(f"no {self.modality} can look like this: {names}")
        return self

    @property
    def class_ids(self) -> tuple[str, ...]:
        """Ids of the classes, in the order of the model's outputs; empty with `open_classes`."""
        return tuple(one.id for one in self.classes)

    def class_for_folder(self, name: str) -> DiseaseClass | None:
        """The class that a data set's folder of this name holds, or None.

        Id, name and aliases are compared; case does not count, and `_`, `-` and space are alike.
        """
        key = _folder_key(name)
        for one in self.classes:
            if key in map(_folder_key, (one.id, one.name, *one.aliases)):
                return one
        return None


def _folder_key(name: str) -> str:
    # Only separators between two words: `IDC-` means the opposite of `IDC`.
    return re.sub(r"(?<=[^\s_-])[\s_-]+(?=[^\s_-])", " ", name.strip()).casefold()


def load_catalogue(folder: Path) -> Mapping[str, Disease]:
    """Read every `*.toml` of a folder, in the order the diseases give.

    Returns:
        Read-only mapping from a disease's id to the disease.

    Raises:
        ValueError: the folder holds no disease, a file is not valid (the message names file and
            field), its name is not its disease's id, or two diseases claim one place.
        OSError: a file cannot be read.
    """
    diseases = sorted(map(_read_disease, sorted(folder.glob("*.toml"))), key=lambda one: one.order)
    if not diseases:
        raise ValueError(f"{folder} holds no disease (*.toml)")
    places: dict[int, str] = {}
    for one in diseases:
        other = places.setdefault(one.order, one.id)
        if other != one.id:
            raise ValueError(f"{other} and {one.id} both have the order {one.order}")
    return MappingProxyType({one.id: one for one in diseases})


def _read_disease(path: Path) -> Disease:
    try:
        disease = Disease.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "disease"
        raise ValueError(f"{path.name}: {where}: {first['msg']}") from error
    if disease.id != path.stem:
        raise ValueError(f"{path.name} holds the disease {disease.id!r}; the names must be equal")
    return disease


@cache
def catalogue() -> Mapping[str, Disease]:
    """The diseases that ship with Sightline, in their order; read once."""
    return load_catalogue(Path(__file__).parent)


def disease(disease_id: str, diseases: Mapping[str, Disease] | None = None) -> Disease:
    """One disease by its id, from `diseases` or else from the catalogue that ships.

    Raises:
        UnknownDisease: the catalogue has none of this id.
    """
    found = (catalogue() if diseases is None else diseases).get(disease_id)
    if found is None:
        raise UnknownDisease
    return found
