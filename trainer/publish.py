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
from diagnosis.artifacts.card import Files, GoldenOutput, PrecisionCheck
from diagnosis.catalogue import catalogue
from diagnosis.contracts import now
from diagnosis.images import read_image
from diagnosis.judgement import probabilities
from trainer.candidate import RunRecord, file_record
from trainer.data import DataSet, Example, read_dataset
from trainer.engine import Floats as Images
from trainer.engine import Network, compile_ir, keras_network, load_keras
from trainer.metrics import Scores, figures
from trainer.pixels import PixelStore
from trainer.refusals import ArtifactMissing, ParityRefused, TrainerRefused
from trainer.runtime import keras, openvino
from trainer.settings import Settings

#: Largest difference of a probability between the IR and the Keras model.
LARGEST_DIFFERENCE = 1e-3
LARGEST_AUC_LOSS = 0.002
LARGEST_FLIPPED_SHARE = 0.005
_MOST_CHECKED = 1000
Log = Callable[[str], None]


@dataclass(frozen=True)
class Published:
    """What was published, and where it lies."""

    card: Card
    folder: Path


def publish(
    run: Path, registry: Registry, settings: Settings, log: Log = lambda _: None
) -> Published:
    """Finish a candidate and publish it as the next version of its disease.

    Raises:
        ArtifactMissing: there is no such folder.
        ArtifactRefused: the candidate does not pass the checks of an artifact.
        ParityRefused: the IR does not answer as the Keras model does.
        RegistryError: the registry cannot be written.
    """
    if not run.is_dir():
        raise ArtifactMissing(f"{run} is not the folder of a run.")
    candidate = open_artifact(run)
    version = _next_version(registry, settings, candidate.card.disease)
    with tempfile.TemporaryDirectory(prefix="sightline-") as temporary:
        folder = Path(temporary) / "artifact"
        folder.mkdir()
        _copy(candidate, run, folder)
        log("Converting to OpenVINO.")
        reference = load_keras(candidate.keras)
        _convert(reference, candidate.card, folder)
        card = _finish(candidate, reference, version, folder, run, settings, log)
        (folder / "card.json").write_bytes(card.to_json())
        registry.publish(folder)
    return Published(card, registry.folder(card.disease, version))


def _next_version(registry: Registry, settings: Settings, disease: str) -> str:
    """One above every version that the registry or the shipped artifacts have."""
    shipped = Registry(settings.models_dir).versions(disease)
    return str(1 + max([0, *map(int, (*registry.versions(disease), *shipped))]))


def _copy(candidate: VerifiedArtifact, run: Path, folder: Path) -> None:
    """The verified bytes and the reports; scores and paths of images stay with the run."""
    (folder / candidate.card.files.keras.name).write_bytes(candidate.keras)
    (folder / "demo").mkdir()
    for name, content in candidate.demo_images.items():
        (folder / "demo" / name).write_bytes(content)
    for name in ("report.html", "report.json"):
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)


def _convert(model: Any, card: Card, folder: Path) -> None:
    """Write `model.xml` and `model.bin`, weights in 32 bit.

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
    ov.save_model(converted, folder / "model.xml", compress_to_fp16=False)


def _finish(
    candidate: VerifiedArtifact,
    reference: Any,
    version: str,
    folder: Path,
    run: Path,
    settings: Settings,
    log: Log,
) -> Card:
    xml, weights = (folder / name for name in ("model.xml", "model.bin"))
    network = compile_ir(xml.read_bytes(), weights.read_bytes(), "f32")
    card = candidate.card
    golden = _golden(candidate, keras_network(reference), network)
    checks = {}
    validation = _validation(card, run, settings)
    if validation is None:
        log("The run's validation images are not there: no lower precision is allowed.")
    else:
        log(f"Comparing bf16 with f32 on {len(validation[1])} validation images.")
        store, examples = validation
        low = compile_ir(xml.read_bytes(), weights.read_bytes(), "bf16")
        checks["bf16"] = compare(card, examples, store.inputs(examples), network, low)
    return card.model_copy(
        update={
            "version": version,
            "created_at": now(),
            "files": Files(
                keras=card.files.keras, ir_xml=file_record(xml), ir_bin=file_record(weights)
            ),
            "golden": golden,
            "precisions": checks,
        }
    )


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


def _validation(
    card: Card, run: Path, settings: Settings
) -> tuple[PixelStore, tuple[Example, ...]] | None:
    """The images that calibrated the candidate, if they are still where they were."""
    record = RunRecord.read(run)
    if record is None:
        return None
    try:
        data: DataSet = read_dataset(
            Path(record.data),
            catalogue()[card.disease],
            manifest=Path(record.manifest) if record.manifest else None,
            workers=settings.workers,
            cache=settings.cache_dir,
        )
        wanted = set(record.val)
        store = PixelStore(settings.cache_dir, card.preprocessing, workers=settings.workers)
        chosen = [one for one in data.examples if str(one.path) in wanted]
        # Every n-th, so that all classes stay in.
        chosen = chosen[:: max(1, -(-len(chosen) // _MOST_CHECKED))]
        return store, store.prepare(data.keep(chosen)).examples
    except TrainerRefused:
        return None


def compare(
    card: Card, examples: tuple[Example, ...], inputs: Images, high: Network, low: Network
) -> PrecisionCheck:
    """A lower precision against f32 on the same images.

    It is allowed where the AUC falls by at most 0.002 and at most 0.5 % of decisions flip.
    """
    ids = [one.id for one in card.classes]
    labels = np.array([ids.index(one.class_id) for one in examples], np.int64)
    threshold = card.operating_point().threshold if card.finding and len(ids) == 2 else None
    scores = [
        Scores(
            tuple(ids), labels, probabilities(run(inputs), card),
            np.arange(len(labels)), card.finding, threshold,
        )
        for run in (high, low)
    ]  # fmt: skip
    aucs = [figures(one, draws=1)["auc"].value for one in scores]
    change = 0.0 if aucs[0] is None or aucs[1] is None else aucs[1] - aucs[0]
    flipped = int((scores[0].decisions != scores[1].decisions).sum())
    largest = float(np.abs(scores[0].probabilities - scores[1].probabilities).max())
    return PrecisionCheck(
        allowed=-change <= LARGEST_AUC_LOSS and flipped <= LARGEST_FLIPPED_SHARE * len(labels),
        images=len(labels),
        largest_probability_change=round(largest, 6),
        flipped_decisions=flipped,
        auc_change=round(change, 6),
    )
