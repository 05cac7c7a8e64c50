"""What a batch comes to, told to the services that count it and shown on a port of this run's."""

from collections.abc import Iterable

from diagnosis.catalogue import disease as disease_of
from diagnosis.telemetry import OTHER_CLASS, TrainingMetrics
from diagnosis.watch import Told
from trainer.infer.posting import Poster
from trainer.infer.predictor import Answer


class Telling:
    """Tells it after it is posted; what a killed run had not written down is told again.

    Args:
        poster: takes it to the services.
        metrics: of this run; None where nobody may look.
        disease: that the batch is read for.
    """

    def __init__(self, poster: Poster, metrics: TrainingMetrics | None, disease: str) -> None:
        self._poster, self._metrics, self._disease = poster, metrics, disease

    def began(self) -> None:
        """The first file is about to be read."""
        self._poster.tell([Told("accepted", self._disease)])

    def did(self, answers: Iterable[Answer]) -> None:
        """These files have a reading, which is posted, or a reason."""
        told = []
        for one in answers:
            self._show(one)
            reading = one.prediction
            told.append(Told("failed", self._disease) if reading is None else Told.of(reading))
        self._poster.tell(told)

    def ended(self) -> None:
        """Every file has one."""
        self._poster.tell([Told("done", self._disease)])

    def _show(self, answer: Answer) -> None:
        if self._metrics is None:
            return
        disease, reading = self._disease, answer.prediction
        self._metrics.infer_files.labels(disease, "failed" if reading is None else "done").inc()
        if reading is not None and reading.top:
            first = reading.top[0].id
            name = first if first in disease_of(disease).class_ids else OTHER_CLASS
            self._metrics.infer_predictions.labels(disease, name, reading.band or "none").inc()
