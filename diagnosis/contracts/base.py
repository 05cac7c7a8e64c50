"""What all wire models share: their base, names, digests, figures with intervals, ids and times."""

from datetime import UTC, datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from uuid6 import uuid7

SCHEMA_VERSION: Literal[1] = 1

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
OperatingPointName = Literal["rule_out", "balanced", "rule_in"]
Band = Literal["likely_negative", "uncertain", "likely_positive"]
Outcome = Literal["judged", "not_judged"]


class Wire(BaseModel):
    """Base of everything on the wire: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Interval(Wire):
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.low > self.high:
            raise ValueError("the interval's low end is above its high end")
        return self


def new_prediction_id() -> UUID:
    """A new id that sorts by time (RFC 9562, version 7)."""
    return UUID(int=uuid7().int)


def now() -> datetime:
    """The time, with its zone, to the millisecond."""
    time = datetime.now(UTC)
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
