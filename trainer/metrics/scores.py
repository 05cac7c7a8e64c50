"""What a model answered for labelled images, and what was decided by it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What a model answered for labelled images."""

    class_ids: tuple[str, ...]
    """In the order of the catalogue, which is that of the model's outputs."""
    labels: NDArray[np.int64]
    """(N,), place of the true class."""
    probabilities: Floats
    """(N, classes)."""
    groups: NDArray[np.int64]
    """(N,), a number for each group."""
    finding: str | None
    threshold: float | None
    """On the finding's probability; None decides by the most probable class."""
    uncalibrated: Floats | None = None
    """(N, classes), the same answers at temperature 1; None where they are not known."""

    @property
    def decisions(self) -> NDArray[np.int64]:
        """(N,), place of the class that was decided for."""
        most_probable = self.probabilities.argmax(axis=1)
        if self.threshold is None or self.finding is None or len(self.class_ids) != 2:
            return np.asarray(most_probable, np.int64)
        found = self.class_ids.index(self.finding)
        positive = self.probabilities[:, found] >= self.threshold
        return np.where(positive, found, 1 - found).astype(np.int64)

    def part(self, chosen: NDArray[np.bool_]) -> "Scores":
        """The same for some of the images; `chosen` is (N,)."""
        return Scores(
            self.class_ids,
            self.labels[chosen],
            self.probabilities[chosen],
            self.groups[chosen],
            self.finding,
            self.threshold,
            None if self.uncalibrated is None else self.uncalibrated[chosen],
        )


def confusion(scores: Scores) -> dict[str, dict[str, int]]:
    """Counts by true class, then by decided class."""
    counts = np.zeros((len(scores.class_ids),) * 2, np.int64)
    np.add.at(counts, (scores.labels, scores.decisions), 1)
    return {
        true: {said: int(counts[i, j]) for j, said in enumerate(scores.class_ids)}
        for i, true in enumerate(scores.class_ids)
    }
