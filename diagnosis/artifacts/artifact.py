"""An artifact's folder, read once: what comes out is verified bytes, never a path."""

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from diagnosis.artifacts.archive import MAX_KERAS_BYTES
from diagnosis.artifacts.card import MAX_CARD_BYTES, Card, FileRecord
from diagnosis.artifacts.ir import MAX_BIN_BYTES, MAX_XML_BYTES, inspect_ir
from diagnosis.artifacts.opener import CONVERT, inspect_keras
from diagnosis.artifacts.signature import (
    MAX_SIGNATURE_BYTES,
    SIGNATURE_NAME,
    verify_signature,
)
from diagnosis.catalogue import Disease
from diagnosis.errors import ArtifactRefused, CardRefused, DigestMismatch, FormatRefused
from diagnosis.gate import MAX_GATE_BYTES, OpenGate, Parameters

CARD_NAME = "card.json"
DEMO_FOLDER = "demo"
MAX_DEMO_BYTES = 5_000_000
MAX_DEMO_IMAGES = 50

# How models of other frameworks and times lie in a folder.
_OTHER_MODELS = ("*.h5", "*.hdf5", "*.pb", "*.pkl", "*.pickle", "*.pt", "*.pth", "*.joblib",
                 "*.onnx", "*.tflite", "*.tar", "*.tar.gz", "*.tgz", "*.npz")  # fmt: skip


@dataclass(frozen=True)
class VerifiedArtifact:
    """An artifact whose every byte was read once, matches its card, and passed its checks."""

    card: Card
    keras: bytes
    ir_xml: bytes | None
    ir_bin: bytes | None
    demo_images: Mapping[str, bytes]
    """By file name; each matches its digest on the card."""
    gate: bytes | None = None
    """The numbers of the gate; they fit the card's record of it."""
    int8_xml: bytes | None = None
    int8_bin: bytes | None = None
    card_json: bytes = b""
    """`card.json` as it was read: the bytes that a signature is of."""
    signature: bytes | None = None
    """`card.sig`, where there is one. It was verified only if a key was given."""

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the `.keras` file."""
        return self.card.files.keras.digest

    def open_gate(self, disease: Disease) -> OpenGate | None:
        """The artifact's gate, ready to judge; None where it has none."""
        record = self.card.gate
        if record is None or self.gate is None:
            return None
        parameters = Parameters.from_bytes(self.gate, record)
        return OpenGate(record, parameters, disease.modality, disease.suitable_image)


def open_artifact(folder: Path, key: Ed25519PublicKey | None = None) -> VerifiedArtifact:
    """Read and verify an artifact; the files are not needed, nor believed, afterwards.

    Args:
        folder: where it lies.
        key: the card has to be signed by the owner of this key; None: it need not be signed.

    Raises:
        CardRefused: no card, or not a valid one.
        SignatureRefused: a key was given, and the card is not signed by it.
        FormatRefused: the model is not a `.keras` file.
        DigestMismatch: a file is missing or is not the one the card names.
        ArchiveRefused, ConfigRefused, WeightsRefused: the `.keras` must not reach Keras.
        ArtifactRefused: the IR is not a plain one, or the gate's numbers do not fit its record.
    """
    card_json = _read_card(folder)
    signature = _read_signature(folder)
    if key is not None:
        verify_signature(card_json, signature, key)
    card = Card.from_json(card_json)
    name = card.files.keras.name
    if not name.endswith(".keras"):
        raise FormatRefused(remedy=CONVERT, cause=f"format-name: the card names {name}")
    names = [record.name for record in card.files.all]
    if len({*names, CARD_NAME, SIGNATURE_NAME, DEMO_FOLDER}) != len(names) + 3:
        raise CardRefused(cause="card-names: two files of the card have one name")
    keras = _read_recorded(folder, card.files.keras, MAX_KERAS_BYTES)
    ir_xml, ir_bin = _read_ir(folder, card.files.ir_xml, card.files.ir_bin)
    int8_xml, int8_bin = _read_ir(folder, card.files.int8_xml, card.files.int8_bin)
    gate = None
    if card.gate is not None and card.files.gate is not None:
        gate = _read_recorded(folder, card.files.gate, MAX_GATE_BYTES)
        try:
            Parameters.from_bytes(gate, card.gate)
        except ValueError as error:
            raise ArtifactRefused(cause=f"gate: {error}") from error
    if len(card.demo_images) > MAX_DEMO_IMAGES:
        raise CardRefused(cause=f"demo-images: more than {MAX_DEMO_IMAGES}")
    demos = {}
    for demo in card.demo_images:
        content = _read(folder / DEMO_FOLDER / demo.file, MAX_DEMO_BYTES)
        _verify(content, demo.digest, f"{DEMO_FOLDER}/{demo.file}")
        demos[demo.file] = content
    inspect_keras(keras)
    for xml, constants in ((ir_xml, ir_bin), (int8_xml, int8_bin)):
        if xml is not None and constants is not None:
            inspect_ir(xml, constants)
    return VerifiedArtifact(
        card, keras, ir_xml, ir_bin, demos, gate, int8_xml, int8_bin, card_json, signature
    )


def read_card(folder: Path) -> Card:
    """The card of an artifact's folder alone; the files that it names are not looked at.

    Raises:
        CardRefused, DigestMismatch: it is missing, not valid, or was changed.
        FormatRefused: there is a model of another format instead.
    """
    return Card.from_json(_read_card(folder))


def check_against(card: Card, disease: Disease) -> None:
    """Check that a card is of this disease as the catalogue describes it.

    A disease with open classes takes those of the artifact; a finding it has none.

    Raises:
        CardRefused: another disease, other classes, another order, or another finding.
    """
    if card.disease != disease.id:
        raise CardRefused(cause=f"catalogue-disease: the card is of {card.disease}")
    ids = tuple(one.id for one in card.classes)
    expected = tuple(one.id for one in disease.classes)
    if ids != expected and not disease.open_classes:
        raise CardRefused(
            cause=f"catalogue-classes: {', '.join(ids)} instead of {', '.join(expected)}"
        )
    if card.finding != disease.finding:
        raise CardRefused(cause=f"catalogue-finding: {card.finding} instead of {disease.finding}")


def _read_card(folder: Path) -> bytes:
    if folder.is_file():
        raise FormatRefused(
            remedy=CONVERT, cause=f"format-no-folder: {folder.name} is a file without a card"
        )
    try:
        return _read(folder / CARD_NAME, MAX_CARD_BYTES)
    except DigestMismatch as error:
        others = sorted(path.name for glob in _OTHER_MODELS for path in folder.glob(glob))
        if others:
            raise FormatRefused(
                remedy=CONVERT, cause=f"format-other: {folder.name} holds {others[0]}"
            ) from error
        raise CardRefused(cause=f"card-missing: {error.cause}") from error


def _read_signature(folder: Path) -> bytes | None:
    path = folder / SIGNATURE_NAME
    return _read(path, MAX_SIGNATURE_BYTES) if os.path.lexists(path) else None


def _read_ir(
    folder: Path, xml: FileRecord | None, constants: FileRecord | None
) -> tuple[bytes | None, bytes | None]:
    if xml is None or constants is None:
        return None, None
    return (
        _read_recorded(folder, xml, MAX_XML_BYTES),
        _read_recorded(folder, constants, MAX_BIN_BYTES),
    )


def _read_recorded(folder: Path, record: FileRecord, limit: int) -> bytes:
    if record.bytes > limit:
        raise ArtifactRefused(
            cause=f"file-size: {record.name} has {record.bytes} bytes, at most {limit}"
        )
    content = _read(folder / record.name, record.bytes)
    _verify(content, record.digest, record.name)
    return content


def _read(path: Path, limit: int) -> bytes:
    """The bytes of a regular file of at most `limit` bytes; links and devices are not followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise DigestMismatch(
            cause=f"file-unreadable: {path.name} ({type(error).__name__})"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DigestMismatch(cause=f"file-not-regular: {path.name}")
        if status.st_size > limit:
            raise DigestMismatch(
                cause=f"file-size: {path.name} has {status.st_size} bytes, at most {limit}"
            )
        # Reading stops at the limit even if the file grows in the meantime.
        return file.read(limit + 1)


def _verify(content: bytes, digest: str, name: str) -> None:
    actual = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if actual != digest:
        raise DigestMismatch(cause=f"digest: {name} has {actual}, its card says {digest}")
