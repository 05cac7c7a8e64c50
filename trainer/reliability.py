"""`trainer add-reliability`: what became of validation images, for cards that were made before."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from diagnosis.artifacts import Registry, open_artifact
from diagnosis.catalogue import disease as disease_of
from diagnosis.durable import replace_file
from trainer import metrics
from trainer.evaluate import score
from trainer.refusals import TrainerRefused
from trainer.relabel import relabel
from trainer.run import Watch
from trainer.settings import Settings
from trainer.shipping import Shipped, request_of
from trainer.train import divided

#: The AUC of the card has to come out again to within this, or the images are other ones.
TOLERANCE = 5e-4


@dataclass(frozen=True)
class Added:
    """What became of one card."""

    disease: str
    card_auc: float | None
    measured_auc: float | None
    images: int
    written: bool


def add_reliability(one: Shipped, data: Path, settings: Settings, watch: Watch) -> Added:
    """Measure a shipped artifact on the images that its card was measured on, and write the bins
    into the card, where its AUC comes out again.

    Args:
        one: which artifact.
        data: folder of all data sets.
        settings: `models_dir` is where the card lies.
        watch: who is told.

    Raises:
        TrainerRefused: the data set or the artifact is not there, or the card is signed.
    """
    ships = Registry(settings.models_dir)
    versions = ships.versions(one.disease)
    if not versions or not (data / one.data).exists():
        raise TrainerRefused(f"The artifact or the data set of {one.name} is not there.")
    folder = ships.folder(one.disease, versions[-1])
    artifact = open_artifact(folder)
    if artifact.signature is not None:
        raise TrainerRefused(f"The card of {one.name} is signed; publish the artifact anew.")
    with tempfile.TemporaryDirectory(prefix="trainer-") as scratch:
        manifest = None
        if one.patterns:
            manifest = Path(scratch) / "manifest.csv"
            relabel(data / one.data, disease_of(one.disease), one.patterns, manifest)
        whole = divided(request_of(one, data, Path(scratch) / "run", manifest), settings, watch)
    part = whole.of("test") if whole.of("test").examples else whole.of("val")
    measured, scores, _ = score(artifact, part, settings, None, watch.files)
    recorded = artifact.card.evaluation
    auc, stated = metrics.figures(scores)["auc"].value, recorded.figures.get("auc")
    same = (
        auc is not None
        and stated is not None
        and len(measured.examples) == recorded.images
        and abs(auc - stated.value) <= TOLERANCE
    )
    if same:
        evaluation = recorded.model_copy(update={"reliability": metrics.reliability(scores)})
        card = artifact.card.model_copy(update={"evaluation": evaluation})
        replace_file(folder / "card.json", card.to_json())
    return Added(
        one.disease, None if stated is None else stated.value, auc, len(measured.examples), same
    )
