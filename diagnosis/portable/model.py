"""What a device needs to answer as the service does: the graph, and how its outputs are read.

All of it comes from verified bytes and from the card, so there is nothing to trust beside the
artifact itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from diagnosis import WARNING
from diagnosis.artifacts import VerifiedArtifact
from diagnosis.artifacts.card import Conformal, GoldenOutput, OperatingPoint
from diagnosis.catalogue import Disease
from diagnosis.contracts import Digest, Slug
from diagnosis.errors import NotPortable
from diagnosis.gate import Gate
from diagnosis.images import digest_of
from diagnosis.portable.graph import INPUT, OUTPUT, to_onnx
from diagnosis.preprocess import Preprocessing


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PortableFile(_Part):
    """A file that belongs to a portable model."""

    digest: Digest
    bytes: int = Field(gt=0)


class PortableClass(_Part):
    """A class, in the order of the outputs."""

    id: Slug
    name: str


class PortableModel(_Part):
    """A version of a disease's model as a device keeps it, beside the file of its graph."""

    schema_version: Literal[1] = 1
    disease: Slug
    disease_name: str
    modality: str
    suitable_image: str
    version: str
    artifact_digest: Digest
    """Of the `.keras` file, as readings name it."""
    onnx: PortableFile
    input_name: str = INPUT
    """float32, (images, height, width, channels), as the preprocessing makes it."""
    output_name: str = OUTPUT
    height: int
    width: int
    channels: int
    classes: tuple[PortableClass, ...]
    finding: Slug | None
    preprocessing: Preprocessing
    output: Literal["logits", "probabilities"]
    temperature: float
    """What logits are divided by; outputs that are probabilities become logarithms first."""
    operating_points: tuple[OperatingPoint, ...]
    conformal: Conformal
    gate: Gate | None
    """How an image is checked before it is judged; without its table of measurements."""
    gate_file: PortableFile | None
    """The numbers of the gate."""
    golden: tuple[GoldenOutput, ...]
    """Outputs for the demo images, to prove a device with: probabilities within 0.001."""
    licence: str
    warning: str = WARNING


@dataclass(frozen=True)
class Portable:
    """A portable model and its files."""

    model: PortableModel
    onnx: bytes
    gate: bytes | None
    demo_images: Mapping[str, bytes]
    """Those with a golden output, by name."""


def portable(artifact: VerifiedArtifact, disease: Disease) -> Portable:
    """An artifact as other devices run it.

    Args:
        artifact: verified; its IR is what is written as ONNX.
        disease: the catalogue's words on it.

    Raises:
        NotPortable: it has no IR, or one that cannot be written as ONNX.
    """
    card = artifact.card
    if artifact.ir_xml is None or artifact.ir_bin is None:
        raise NotPortable(cause="onnx-ir: the artifact has no IR")
    onnx = to_onnx(
        artifact.ir_xml,
        artifact.ir_bin,
        {
            "disease": card.disease,
            "version": card.version,
            "artifact": artifact.digest,
            "warning": WARNING,
        },
    )
    names = {one.id: one.name for one in disease.classes}
    golden = tuple(one for one in card.golden if one.file in artifact.demo_images)
    return Portable(
        PortableModel(
            disease=card.disease,
            disease_name=disease.name,
            modality=disease.modality,
            suitable_image=disease.suitable_image,
            version=card.version,
            artifact_digest=artifact.digest,
            onnx=_record(onnx),
            height=card.input.height,
            width=card.input.width,
            channels=card.input.channels,
            classes=tuple(
                PortableClass(id=one.id, name=names.get(one.id, one.name)) for one in card.classes
            ),
            finding=card.finding,
            preprocessing=card.preprocessing,
            output=card.output,
            temperature=card.calibration.temperature,
            operating_points=card.operating_points,
            conformal=card.conformal,
            gate=None if card.gate is None else card.gate.model_copy(update={"checks": ()}),
            gate_file=None if artifact.gate is None else _record(artifact.gate),
            golden=golden,
            licence=card.licence,
        ),
        onnx,
        artifact.gate,
        {one.file: artifact.demo_images[one.file] for one in golden},
    )


def _record(content: bytes) -> PortableFile:
    return PortableFile(digest=digest_of(content), bytes=len(content))
