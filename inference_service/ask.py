"""What a reading is asked for with."""

from dataclasses import dataclass
from uuid import UUID

from diagnosis.contracts import OperatingPointName


@dataclass(frozen=True, slots=True)
class Ask:
    """One reading that is asked for: of an image, or of a file of a batch, whose id is fixed."""

    disease: str
    data: bytes
    operating_point: OperatingPointName | None
    unit: str
    created_by: str
    patient_reference: str | None
    prediction_id: UUID | None = None
    batch: UUID | None = None
