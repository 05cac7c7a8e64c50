"""`trainer publish`: a candidate becomes an artifact of the registry.

The network is converted to an OpenVINO IR, both are proved to answer alike on the demo images,
lower precisions are measured, and the card gets its digests. The registry sees only a whole folder.
"""

import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diagnosis.artifacts import Card, Registry, VerifiedArtifact, open_artifact
from diagnosis.artifacts.card import Files, GoldenOutput, Precision, PrecisionCheck
from diagnosis.artifacts.opener import inspect_keras
from diagnosis.contracts import now
from diagnosis.images import read_image
from diagnosis.judgement import probabilities
from trainer.candidate import file_record
from trainer.engine import Network, compile_ir, keras_network, load_keras
from trainer.half import half_precision
from trainer.precision import Validation, check_storage, compare, validation_of
from trainer.refusals import ArtifactMissing, ParityRefused, TrainerRefused
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
) -> Published:
    """Finish a candidate and publish it as the next version of its disease.

    Args:
        run: the candidate's folder.
        registry: where to.
        settings: the trainer's settings.
        log: is told what is being done.
        half: store the weights in half precision.

    Raises:
        ArtifactMissing: there is no such folder.
        ArtifactRefused: the candidate does not pass the checks of an artifact.
        ParityRefused: the IR does not answer as the Keras model does.
        PrecisionRefused: half precision changes the answers by too much.
        RegistryError: the registry cannot be written.
    """
    if not run.is_dir():
        raise ArtifactMissing(f"{run} is not the folder of a run.")
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
        _convert(reference, candidate.card, folder, half=half)
        xml, weights = (folder / name for name in ("model.xml", "model.bin"))
        network = compile_ir(xml.read_bytes(), weights.read_bytes(), "f32")
        golden = _golden(candidate, keras_network(reference), network)
        storage = None
        if half:
            log("Comparing half-precision storage with the unrounded weights.")
            unrounded = keras_network(load_keras(candidate.keras))
            storage = check_storage(candidate.card, validation, unrounded, network)
        card = candidate.card.model_copy(
            update={
                "version": version,
                "created_at": now(),
                "files": Files(
                    keras=file_record(folder / candidate.card.files.keras.name),
                    ir_xml=file_record(xml),
                    ir_bin=file_record(weights),
                ),
                "golden": golden,
                "precisions": _precisions(candidate.card, validation, folder, network, log),
                "half_precision_storage": storage,
            }
        )
        (folder / "card.json").write_bytes(card.to_json())
        registry.publish(folder)
    return Published(card, registry.folder(card.disease, version))


def _next_version(registry: Registry, settings: Settings, disease: str) -> str:
    """One above every version that the registry or the shipped artifacts have."""
    shipped = Registry(settings.models_dir).versions(disease)
    return str(1 + max([0, *map(int, (*registry.versions(disease), *shipped))]))


def _copy(candidate: VerifiedArtifact, stored: bytes, run: Path, folder: Path) -> None:
    """The checked bytes and the reports; scores and paths of images stay with the run."""
    (folder / candidate.card.files.keras.name).write_bytes(stored)
    (folder / "demo").mkdir()
    for name, content in candidate.demo_images.items():
        (folder / "demo" / name).write_bytes(content)
    for name in ("report.html", "report.json"):
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)


def _convert(model: Any, card: Card, folder: Path, *, half: bool) -> None:
    """Write `model.xml` and `model.bin`; constants in 16 bit where `half`, else in 32.

    Raises:
        TrainerRefused: Keras does not run on TensorFlow, which the conversion needs.
    """
    if keras().backend.backend() != "tensorflow":
        raise TrainerRefused("Publishing converts with TensorFlow: unset KERAS_BACKEND.")
    ov = openvino()
    shape = [-1, card.input.height, card.input.width, card.input.channels]
    with warnings.catch_warnings():
        # The conversion passes its one input in a tuple, on which Keras remarks.
        warnings.filterwarnings("ignore", message="The structure of `inputs`")
        converted = ov.convert_model(model, input=[shape])
    ov.save_model(converted, folder / "model.xml", compress_to_fp16=half)


def _precisions(
    card: Card, validation: Validation | None, folder: Path, network: Network, log: Log
) -> dict[Precision, PrecisionCheck]:
    """Lower precisions against f32 on the validation images; none where there are no images."""
    if validation is None:
        return {}
    log(f"Comparing bf16 with f32 on {len(validation.examples)} validation images.")
    xml, weights = ((folder / name).read_bytes() for name in ("model.xml", "model.bin"))
    low = compile_ir(xml, weights, "bf16")
    return {
        "bf16": compare(card, validation.examples, validation.run(network), validation.run(low))
    }


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
