"""A shipped artifact measured once more on the images that its card was measured on."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from diagnosis.artifacts import Registry, VerifiedArtifact, open_artifact
from diagnosis.catalogue import disease as disease_of
from trainer import metrics
from trainer.data import DataSet
from trainer.evaluate import score
from trainer.metrics import Scores
from trainer.refusals import TrainerRefused
from trainer.relabel import relabel
from trainer.run import Watch
from trainer.settings import Settings
from trainer.shipping import Shipped, request_of
from trainer.train import divided

#: The AUC of the card has to come out again to within this, or the images are other ones.
TOLERANCE = 5e-4


@dataclass(frozen=True)
class Again:
    """A shipped artifact, the images that its card was measured on, and what it answers."""

    folder: Path
    artifact: VerifiedArtifact
    data: DataSet
    scores: Scores
    card_auc: float | None
    auc: float | None

    @property
    def same(self) -> bool:
        """Whether they are the images of the card: as many, and its AUC came out again."""
        return (
            self.auc is not None
            and self.card_auc is not None
            and len(self.data.examples) == self.artifact.card.evaluation.images
            and abs(self.auc - self.card_auc) <= TOLERANCE
        )


def measured_again(one: Shipped, data: Path, settings: Settings, watch: Watch) -> Again:
    """Measure a shipped artifact on the images that its card was measured on.

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
    stated = artifact.card.evaluation.figures.get("auc")
    return Again(
        folder,
        artifact,
        measured,
        scores,
        None if stated is None else stated.value,
        metrics.figures(scores)["auc"].value,
    )
