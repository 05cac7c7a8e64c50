"""`trainer add-reliability`: what became of validation images, for cards that were made before."""

from dataclasses import dataclass
from pathlib import Path

from diagnosis.durable import replace_file
from trainer import metrics
from trainer.again import measured_again
from trainer.run import Watch
from trainer.settings import Settings
from trainer.shipping import Shipped


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
    found = measured_again(one, data, settings, watch)
    if found.same:
        card = found.artifact.card
        evaluation = card.evaluation.model_copy(
            update={"reliability": metrics.reliability(found.scores)}
        )
        card = card.model_copy(update={"evaluation": evaluation})
        replace_file(found.folder / "card.json", card.to_json())
    return Added(
        one.disease, found.card_auc, found.auc, len(found.data.examples), written=found.same
    )
