"""What a card says of its gate: what it was fitted to tell apart, and how well it does."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from diagnosis.contracts import Interval, Slug
from diagnosis.gate.features import FEATURES

Spoil = Literal["inverted", "turned", "upside_down", "coloured"]
#: Ways in which the right picture is sent wrong, in the order in which they are looked for.
SPOILS: tuple[Spoil, ...] = ("inverted", "upside_down", "turned", "coloured")

Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class GateRecord(BaseModel):
    """Base of the gate's part of a card: frozen, no unknown fields, finite numbers only."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class Kind(GateRecord):
    """A kind of image that the gate was fitted to tell from the good ones."""

    id: Slug
    name: Annotated[str, StringConstraints(max_length=80)] = ""
    """As a sentence names one such image; empty where a reading must not name it."""


class GateCheck(GateRecord):
    """How many images of one kind the gate refused."""

    kind: Words
    images: Annotated[int, Field(gt=0)]
    groups: Annotated[int, Field(gt=0)]
    """Patients, lesions or photographs that the images come from."""
    refused: Interval
    """Share of the images, with its 95 % interval by group."""
    good: bool = False
    """True for images that ought to pass."""
    fitted: bool = False
    """True where other images of the kind were fitted; else the kind was left out."""


class Gate(GateRecord):
    """The check that an image is one the artifact may judge; its numbers lie in its own file."""

    features: Literal["gate-1"] = FEATURES
    threshold: Annotated[float, Field(ge=-100, lt=1)]
    """An image passes with a score at or above it; a typical good image has a score of 1."""
    kinds: Annotated[tuple[Kind, ...], Field(min_length=1, max_length=40)]
    """What the good images were told from, in the order of the file's weights."""
    spoils: tuple[Spoil, ...] = ()
    """The wrong ways of sending the right picture that the gate refuses, and names."""
    posture: bool
    """Whether the file holds weights that tell an upright picture from a turned one."""
    components: Annotated[int, Field(ge=1, le=200)]
    """Directions in which good images vary (principal components)."""
    fitted_on: Words
    checks: tuple[GateCheck, ...] = ()
    measured_on: Annotated[str, StringConstraints(max_length=400)] = ""

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        if len({one.id for one in self.kinds}) != len(self.kinds):
            raise ValueError("a kind stands twice in the gate")
        if len(set(self.spoils)) != len(self.spoils):
            raise ValueError("a spoil stands twice in the gate")
        return self
