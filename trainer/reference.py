"""`trainer add-reference`: what drift is seen against, for cards that were made before."""

from dataclasses import dataclass
from pathlib import Path

from diagnosis.catalogue import disease as disease_of
from diagnosis.drift import Reference
from diagnosis.durable import replace_file
from trainer.again import measured_again
from trainer.drift import images_of, reference_of
from trainer.evaluate import group_numbers
from trainer.run import Watch
from trainer.settings import Settings
from trainer.shipping import Shipped


@dataclass(frozen=True)
class Added:
    """What became of one card."""

    disease: str
    card_auc: float | None
    measured_auc: float | None
    reference: Reference | None
    """None where the card was left as it was."""


def add_reference(one: Shipped, data: Path, settings: Settings, watch: Watch) -> Added:
    """Write the reference of drift into the card of a shipped artifact, made of the images that
    the card was measured on, where its AUC comes out again.

    Args:
        one: which artifact.
        data: folder of all data sets.
        settings: `models_dir` is where the card lies.
        watch: who is told.

    Raises:
        TrainerRefused: the data set or the artifact is not there, or the card is signed.
    """
    found = measured_again(one, data, settings, watch)
    card, reference = found.artifact.card, None
    gate = found.artifact.open_gate(disease_of(one.disease))
    if found.same and gate is not None:
        images = images_of(
            card,
            gate,
            found.data.examples,
            found.scores.probabilities,
            group_numbers(found.data),
            settings.workers,
        )
        reference = reference_of(images, card.evaluation.dataset, watch.log)
    if reference is not None:
        card = card.model_copy(update={"reference": reference})
        replace_file(found.folder / "card.json", card.to_json())
    return Added(one.disease, found.card_auc, found.auc, reference)
