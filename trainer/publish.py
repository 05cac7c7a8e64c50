"""`trainer publish`: a candidate becomes an artifact of the registry.

The network is converted to an OpenVINO IR, both are proved to answer alike on the demo images,
lower precisions are measured, and the card gets its digests. The registry sees only a whole folder.
"""

import re
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diagnosis.artifacts import (
    Card,
    Registry,
    VerifiedArtifact,
    open_artifact,
    sign,
)
from diagnosis.artifacts.artifact import CARD_NAME
from diagnosis.artifacts.card import Files, GoldenOutput, Precision, PrecisionCheck
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.artifacts.signature import SIGNATURE_NAME
from diagnosis.catalogue import catalogue
from diagnosis.contracts import now
from diagnosis.drift import Reference
from diagnosis.images import read_image
from diagnosis.judgement import probabilities
from diagnosis.keys import read_private_key
from trainer import report
from trainer.candidate import file_record
from trainer.drift import images_of, reference_of
from trainer.engine import Network, compile_ir, keras_network, load_keras
from trainer.explain import explain
from trainer.half import half_precision
from trainer.int8 import quantise
from trainer.precision import Validation, check_storage, measure, validation_of
from trainer.refusals import ArtifactMissing, ParityRefused, PrecisionMissing, TrainerRefused
from trainer.runtime import Precision as Arithmetic
from trainer.runtime import keras, openvino
from trainer.settings import Settings

#: Largest difference of a probability between the IR and the Keras model.
LARGEST_DIFFERENCE = 1e-3
Log = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """What was published, and where it lies."""

    card: Card
    folder: Path


def publish(
    run: Path,
    registry: Registry,
    settings: Settings,
    log: Log = lambda _: None,
    *,
    half: bool = False,
    int8: bool = False,
) -> Published:
    """Finish a candidate and publish it as the next version of its disease.

    Args:
        run: the candidate's folder.
        registry: where to.
        settings: the trainer's settings.
        log: is told what is being done.
        half: store the weights in half precision.
        int8: let the 8-bit version travel with the artifact, where it is allowed.

    Raises:
        ArtifactMissing: there is no such folder.
        ArtifactRefused: the candidate does not pass the checks of an artifact.
        KeyRefused: the settings name a signing key that cannot be used.
        ParityRefused: the IR does not answer as the Keras model does.
        PrecisionRefused: half precision changes the answers by too much.
        RegistryError: the registry cannot be written.
    """
    if not run.is_dir():
        raise ArtifactMissing(f"{run} is not the folder of a run.")
    # Read first: a key that cannot be used should not be found out after the measurements.
    key = None if settings.signing_key_file is None else read_private_key(settings.signing_key_file)
    candidate = open_artifact(run)
    version = _next_version(registry, settings, candidate.card.disease)
    validation = validation_of(candidate.card, run, settings)
    if validation is None:
        log("The run's validation images are not there: no lower precision is allowed.")
    with tempfile.TemporaryDirectory(prefix="sightline-") as temporary:
        folder = Path(temporary) / "artifact"
        folder.mkdir()
        stored = half_precision(candidate.keras) if half else candidate.keras
        inspect_keras(stored)
        _copy(candidate, stored, run, folder)
        log("Converting to OpenVINO.")
        reference = load_keras(stored)
        converted = _convert(reference, candidate.card)
        network = _save(converted, folder / "model.xml", half=half)
        golden = _golden(candidate, keras_network(reference), network)
        storage = None
        if half:
            log("Comparing half-precision storage with the unrounded weights.")
            unrounded = keras_network(load_keras(candidate.keras))
            storage = check_storage(candidate.card, validation, unrounded, network)
        checks = {}
        if validation is not None:
            checks = _precisions(candidate.card, validation, converted, network, folder, log)
        if not int8 or not ("int8" in checks and checks["int8"].allowed):
            _leave_int8(folder, log if int8 else lambda _: None)
        card = candidate.card.model_copy(
            update={
                "version": version,
                "created_at": now(),
                "files": _files(folder, candidate.card.files),
                "golden": golden,
                "precisions": checks,
                "half_precision_storage": storage,
                "reference": _reference(candidate, validation, network, settings, log),
                "explanation": explain(
                    candidate.card,
                    reference,
                    (folder / "model.xml").read_bytes(),
                    (folder / "model.bin").read_bytes(),
                    validation,
                    log,
                ),
            }
        )
        card_json = card.to_json()
        (folder / CARD_NAME).write_bytes(card_json)
        if key is not None:
            (folder / SIGNATURE_NAME).write_bytes(sign(card_json, key))
        registry.publish(folder)
    return Published(card, registry.folder(card.disease, version))


def _next_version(registry: Registry, settings: Settings, disease: str) -> str:
    """One above every version that the registry or the shipped artifacts have."""
    shipped = Registry(settings.models_dir).versions(disease)
    return str(1 + max([0, *map(int, (*registry.versions(disease), *shipped))]))


def _copy(candidate: VerifiedArtifact, stored: bytes, run: Path, folder: Path) -> None:
    """The checked bytes and the reports; scores, paths and images of the data stay with the run.

    Raises:
        TrainerRefused: the report holds an image.
    """
    (folder / candidate.card.files.keras.name).write_bytes(stored)
    if candidate.card.files.gate is not None and candidate.gate is not None:
        (folder / candidate.card.files.gate.name).write_bytes(candidate.gate)
    (folder / "demo").mkdir()
    for name, content in candidate.demo_images.items():
        (folder / "demo" / name).write_bytes(content)
    for name in (report.REPORT, report.REPORT_JSON):
        if not (run / name).is_file():
            continue
        content = (run / name).read_bytes()
        if b"<img" in content or b"data:image/jpeg" in content:
            raise TrainerRefused(
                f"{run / name} holds images, which may show patients; {report.WITH_IMAGES} is the "
                "page for them. Nothing was published."
            )
        (folder / name).write_bytes(content)


def _convert(model: Any, card: Card) -> Any:
    """The network as an OpenVINO model at f32.

    Raises:
        TrainerRefused: Keras does not run on TensorFlow, which the conversion needs.
    """
    if keras().backend.backend() != "tensorflow":
        raise TrainerRefused("Publishing converts with TensorFlow: unset KERAS_BACKEND.")
    shape = [-1, card.input.height, card.input.width, card.input.channels]
    with warnings.catch_warnings():
        # The conversion passes its one input in a tuple, on which Keras remarks.
        warnings.filterwarnings("ignore", message="The structure of `inputs`")
        return openvino().convert_model(model, input=[shape])


def _save(converted: Any, path: Path, *, half: bool) -> Network:
    """Write the IR, constants in 16 bit where `half`, and compile what was written."""
    openvino().save_model(converted, path, compress_to_fp16=half)
    # Its indentation is a sixth of the file.
    path.write_bytes(re.sub(rb"\n\s+", b"\n", path.read_bytes()))
    return _compile(path, "f32")


def _compile(path: Path, precision: Arithmetic) -> Network:
    return compile_ir(path.read_bytes(), path.with_suffix(".bin").read_bytes(), precision)


def _reference(
    candidate: VerifiedArtifact,
    validation: Validation | None,
    network: Network,
    settings: Settings,
    log: Log,
) -> Reference | None:
    """What drift is seen against; None where there is no gate, or nothing to measure it on."""
    card = candidate.card
    gate = candidate.open_gate(catalogue()[card.disease])
    if gate is None or validation is None:
        return None
    log(f"Saying what {len(validation.examples)} validation images look like, to see drift by.")
    names = sorted({one.group for one in validation.examples})
    images = images_of(
        card,
        gate,
        validation.examples,
        probabilities(validation.run(network), card),
        np.array([names.index(one.group) for one in validation.examples]),
        settings.workers,
    )
    return reference_of(images, f"{card.training.dataset}: validation images.", log)


def _leave_int8(folder: Path, log: Log) -> None:
    """Take the 8-bit version out of what is published."""
    log("The 8-bit version does not travel: it is not allowed for this artifact.")
    for path in folder.glob("model_int8.*"):
        path.unlink()


def _files(folder: Path, candidate: Files) -> Files:
    int8 = {
        f"int8_{part}": file_record(folder / f"model_int8.{part}")
        for part in ("xml", "bin")
        if (folder / f"model_int8.{part}").is_file()
    }
    return Files(
        keras=file_record(folder / candidate.keras.name),
        ir_xml=file_record(folder / "model.xml"),
        ir_bin=file_record(folder / "model.bin"),
        gate=candidate.gate,
        **int8,
    )


def _precisions(
    card: Card, validation: Validation, converted: Any, network: Network, folder: Path, log: Log
) -> dict[Precision, PrecisionCheck]:
    """Lower precisions against f32 on the validation images; what cannot be made is left out.

    Leaves `model_int8.xml` and `model_int8.bin` in the folder where there are training images.
    """
    checks: dict[Precision, PrecisionCheck] = {}
    high = validation.run(network)
    log(f"Comparing bf16 with f32 on {len(validation.examples)} validation images.")
    try:
        low = _compile(folder / "model.xml", "bf16")
        checks["bf16"] = measure(card, validation, high, low)
    except PrecisionMissing as error:
        log(f"{error} It was not compared, and is not allowed.")
    training = validation.training
    if not training:
        log("The run's training images are not there: int8 was not made, and is not allowed.")
        return checks
    log(f"Making an 8-bit version with {len(training)} training images, and comparing it.")
    path = folder / "model_int8.xml"
    quantise(converted, validation.store.inputs(training), path)
    # What is not 8 bit in it stays at f32.
    checks["int8"] = measure(card, validation, high, _compile(path, "f32"))
    return checks


def _golden(
    candidate: VerifiedArtifact, reference: Network, network: Network
) -> tuple[GoldenOutput, ...]:
    """The Keras model's logits for the demo images, once the IR was proved to give the same.

    Without demo images the proof is made on grey ramps, and nothing is recorded.
    """
    card = candidate.card
    names = sorted(candidate.demo_images)
    images = [
        read_image(
            candidate.demo_images[name], decode_at_least=card.preprocessing.decode_at_least
        ).pixels
        for name in names
    ] or [np.tile(np.linspace(0, top, 256, dtype=np.uint8), (256, 1)) for top in (64, 255)]
    inputs = np.stack([card.preprocessing.apply(pixels) for pixels in images])
    expected, served = reference(inputs), network(inputs)
    difference = float(np.abs(probabilities(expected, card) - probabilities(served, card)).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ParityRefused(
            f"The converted model's probabilities differ from Keras by {difference:.2g}, at most "
            f"{LARGEST_DIFFERENCE} is allowed; nothing was published."
        )
    return tuple(
        GoldenOutput(file=name, logits=tuple(round(float(one), 6) for one in row))
        for name, row in zip(names, expected, strict=False)
    )
