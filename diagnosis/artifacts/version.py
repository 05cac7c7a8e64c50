"""A version's folder in the registry: what its files are, and where it has to lie."""

import os
import re
from pathlib import Path

from diagnosis.artifacts.artifact import CARD_NAME, DEMO_FOLDER, VerifiedArtifact
from diagnosis.artifacts.signature import SIGNATURE_NAME
from diagnosis.errors import ArtifactRefused

#: Travels with an artifact where the trainer wrote it; read by people, never by a service.
_REPORTS = ("report.html", "report.json")
_MAX_REPORT_BYTES = 30_000_000


def names(folder: Path, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Folders (no links) inside `folder` whose name fits, sorted; empty where it is missing."""
    try:
        with os.scandir(folder) as entries:
            found = [
                entry.name
                for entry in entries
                if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(found))


def check_place(artifact: VerifiedArtifact, disease: str, version: str) -> None:
    """Check that an artifact lies under its own disease and version.

    Raises:
        ArtifactRefused: it does not.
    """
    card = artifact.card
    if (card.disease, card.version) != (disease, version):
        raise ArtifactRefused(
            cause=f"registry-place: {card.disease} {card.version} lies under {disease} {version}"
        )


def contents(artifact: VerifiedArtifact, source: Path) -> dict[str, bytes]:
    """The files of a version by relative name. The card's are the bytes that were verified."""
    card = artifact.card
    files = {card.files.keras.name: artifact.keras}
    for record, content in (
        (card.files.ir_xml, artifact.ir_xml),
        (card.files.ir_bin, artifact.ir_bin),
        (card.files.int8_xml, artifact.int8_xml),
        (card.files.int8_bin, artifact.int8_bin),
        (card.files.gate, artifact.gate),
    ):
        if record is not None and content is not None:
            files[record.name] = content
    for name, content in artifact.demo_images.items():
        files[f"{DEMO_FOLDER}/{name}"] = content
    for name in _REPORTS:
        path = source / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _MAX_REPORT_BYTES:
            files.setdefault(name, path.read_bytes())
    # As it was read: a signature is of these bytes.
    files[CARD_NAME] = artifact.card_json
    if artifact.signature is not None:
        files[SIGNATURE_NAME] = artifact.signature
    return files
