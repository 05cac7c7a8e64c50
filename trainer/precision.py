"""Whether an artifact may run at a lower precision, or be stored at one: compared, not assumed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diagnosis.artifacts.card import Card, PrecisionCheck
from diagnosis.catalogue import catalogue
from diagnosis.judgement import probabilities
from trainer.candidate import RunRecord
from trainer.data import DataSet, Example, read_dataset
from trainer.engine import Floats as Images
from trainer.engine import Network, run_in_blocks
from trainer.int8 import CALIBRATION_IMAGES, every_nth
from trainer.metrics import Scores, figures
from trainer.pixels import PixelStore
from trainer.refusals import PrecisionRefused, TrainerRefused
from trainer.settings import Settings

LARGEST_AUC_LOSS = 0.002
LARGEST_FLIPPED_SHARE = 0.005
#: Of a probability, by storing the weights in half precision: one percentage point.
LARGEST_ROUNDING = 1e-2
_MOST_CHECKED = 1000


@dataclass(frozen=True)
class Validation:
    """The images on which a candidate was calibrated; every n-th where there are over 1,000."""

    store: PixelStore
    examples: tuple[Example, ...]
    training: tuple[Example, ...] = ()
    """At most 300 of those it was trained on, spread over all; none of them in `examples`."""

    def run(self, network: Network) -> Images:
        """Logits (N, classes)."""
        return run_in_blocks(network, self.inputs, len(self.examples))

    def inputs(self, start: int, stop: int) -> Images:
        """The network's inputs for some of the images, float32 (N, H, W, C)."""
        return self.store.inputs(self.examples[start:stop])


def validation_of(card: Card, run: Path, settings: Settings) -> Validation | None:
    """The images of a run; None where its validation images are not there any more."""
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
        store = PixelStore(settings.cache_dir, card.preprocessing, workers=settings.workers)
        measured, trained = set(record.val), set(record.train)
        chosen = [one for one in data.examples if str(one.path) in measured]
        # A run of an earlier time does not name its training images; declared splits do.
        others = [
            one
            for one in data.examples
            if str(one.path) not in measured
            and (str(one.path) in trained or (not trained and one.split == "train"))
        ]
        examples = store.prepare(data.keep(every_nth(chosen, _MOST_CHECKED))).examples
    except TrainerRefused:
        return None
    try:
        kept = store.prepare(data.keep(every_nth(others, CALIBRATION_IMAGES))).examples
    except TrainerRefused:
        kept = ()
    return Validation(store, examples, kept)


def measure(
    card: Card, validation: Validation, reference: Images, network: Network
) -> PrecisionCheck:
    """A network at a lower precision against the logits at f32, on the validation images."""
    return compare(card, validation.examples, reference, validation.run(network))


def compare(
    card: Card, examples: tuple[Example, ...], reference: Images, lower: Images
) -> PrecisionCheck:
    """A lower precision against the reference on the same images.

    It is allowed where the AUC falls by at most 0.002 and at most 0.5 % of decisions flip.

    Args:
        card: classes, calibration and operating points.
        examples: the images, N of them.
        reference: logits (N, classes) at f32.
        lower: logits (N, classes) at the lower precision.
    """
    ids = [one.id for one in card.classes]
    labels = np.array([ids.index(one.class_id) for one in examples], np.int64)
    threshold = card.operating_point().threshold if card.finding and len(ids) == 2 else None
    scores = [
        Scores(
            tuple(ids), labels, probabilities(logits, card),
            np.arange(len(labels)), card.finding, threshold,
        )
        for logits in (reference, lower)
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


def check_storage(
    card: Card,
    validation: Validation | None,
    unrounded: Network,
    stored: Network,
) -> PrecisionCheck:
    """What storing the weights in half precision changed, on the validation images.

    Raises:
        PrecisionRefused: it cannot be measured, a probability changes by more than 0.01, or the
            AUC falls by more than 0.002.
    """
    if validation is None:
        raise PrecisionRefused(
            "The run's validation images are not there, so what half precision changes cannot be "
            "measured: put them back, or publish without --half."
        )
    check = measure(card, validation, validation.run(unrounded), stored)
    largest, change = check.largest_probability_change, check.auc_change
    if not (largest <= LARGEST_ROUNDING and -change <= LARGEST_AUC_LOSS):
        raise PrecisionRefused(
            f"Half precision changes a probability by {largest:.4f} (at most {LARGEST_ROUNDING} is "
            f"allowed) and the AUC by {change:+.4f} (it may fall by {LARGEST_AUC_LOSS}): publish "
            "without --half."
        )
    return check.model_copy(update={"allowed": True})
