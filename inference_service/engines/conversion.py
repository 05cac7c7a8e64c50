"""The OpenVINO graph of an artifact: the shipped one, or one converted here and cached.

An artifact that comes without a graph is converted on first sight of its digest by a short-lived
child process, on Keras' OpenVINO backend and without TensorFlow. The child gets the verified
bytes on its standard input, a bare environment and a time limit.
"""

import contextlib
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import structlog

from diagnosis.artifacts import VerifiedArtifact
from diagnosis.errors import ArtifactRefused
from inference_service.settings import child_environment

FILES = ("model.xml", "model.bin")
RECORD = "digests.json"

log = structlog.get_logger("inference_service")


def intermediate_representation(
    artifact: VerifiedArtifact, *, cache: Path, seconds: float
) -> tuple[bytes, bytes]:
    """`model.xml` and `model.bin` of an artifact, as bytes.

    Args:
        artifact: verified bytes; the card's digest names the place in the cache.
        cache: folder of the graphs converted so far, made where it is missing.
        seconds: how long a conversion may take.

    Raises:
        ArtifactRefused: the conversion failed, took too long or has nothing to run on.
    """
    if artifact.ir_xml is not None and artifact.ir_bin is not None:
        return artifact.ir_xml, artifact.ir_bin
    digest = artifact.card.files.keras.digest
    place = cache / digest.removeprefix("sha256:")
    found = _cached(place)
    if found is None:
        began = time.perf_counter()
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as folder:
            found = _convert(artifact.keras, Path(folder), seconds)
            _keep(found, Path(folder) / "made", place)
        log.warning(
            "converted",
            disease=artifact.card.disease,
            version=artifact.card.version,
            seconds=round(time.perf_counter() - began, 1),
            detail="This artifact came without a graph. The one made here is correct but unfused"
            " and about twice as slow; publish the artifact again with one.",
        )
    return found


def _cached(place: Path) -> tuple[bytes, bytes] | None:
    try:
        record = json.loads((place / RECORD).read_bytes())
        xml, weights = ((place / name).read_bytes() for name in FILES)
    except (OSError, ValueError):
        return None
    # A disk that lost a byte costs a conversion, not a wrong answer.
    return (xml, weights) if record == [_digest(xml), _digest(weights)] else None


def _convert(keras: bytes, folder: Path, seconds: float) -> tuple[bytes, bytes]:
    environment = child_environment()
    home = folder / "home"
    home.mkdir()
    # Keras reads `~/.keras/keras.json`, which could name another backend.
    environment |= {
        "HOME": str(home),
        "KERAS_HOME": str(home),
        "MPLCONFIGDIR": str(home),
        "TMPDIR": str(home),
        "KERAS_BACKEND": "openvino",
    }
    module = "inference_service.engines.conversion_child"
    command = [sys.executable, "-I", "-m", module, str(folder)]
    try:
        child = subprocess.run(  # noqa: S603 - our own module, no word of the caller's
            command,
            input=keras,
            env=environment,
            cwd=folder,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ArtifactRefused(cause=f"the conversion took more than {seconds:g} s") from error
    if child.returncode != 0:
        said = child.stderr.decode(errors="replace").strip().splitlines()
        raise ArtifactRefused(
            cause=f"the conversion failed with {child.returncode}: {said[-1][:200] if said else ''}"
        )
    xml, weights = ((folder / name).read_bytes() for name in FILES)
    return xml, weights


def _keep(found: tuple[bytes, bytes], made: Path, place: Path) -> None:
    """Put the files into the cache, whole or not at all."""
    made.mkdir()
    for name, part in zip(FILES, found, strict=True):
        (made / name).write_bytes(part)
    (made / RECORD).write_text(json.dumps([_digest(part) for part in found]))
    shutil.rmtree(place, ignore_errors=True)
    # Where another process was quicker, its files are as good.
    with contextlib.suppress(OSError):
        made.rename(place)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
