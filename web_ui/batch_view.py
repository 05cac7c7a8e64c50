"""What the pages of batches show: shares of a bar, and where a file's answer is kept back."""

from collections.abc import Sequence
from dataclasses import dataclass

from diagnosis.contracts import URGENCY, Batch, BatchSummaryRow, ListedBand

#: What each band is called in shapes and colours; see `marks.html`.
TONES: dict[ListedBand, str] = {
    "likely_positive": "positive",
    "uncertain": "uncertain",
    "not_judged": "not-judged",
    "none": "plain",
    "likely_negative": "negative",
}


@dataclass(frozen=True)
class Part:
    """A part of a bar."""

    name: str
    """What it counts: a state, or a band."""
    tone: str
    count: int
    start: float
    """Percent of the bar that come before it."""
    share: float
    """Percent of the bar that it takes."""


def parts(counted: Sequence[tuple[str, str, int]], whole: int) -> tuple[Part, ...]:
    """The parts of a bar, one after the other.

    Args:
        counted: of each part its name, its tone and how many it counts.
        whole: what the whole bar counts; where it is 0, no part takes any of it.
    """
    found: list[Part] = []
    before = 0
    for name, tone, count in counted:
        share = 100 / whole if whole else 0.0
        found.append(Part(name, tone, count, round(before * share, 3), round(count * share, 3)))
        before += count
    return tuple(found)


@dataclass(frozen=True)
class BatchView:
    """A batch as its page shows it."""

    batch: Batch
    unswayed: bool
    """Whether its reader wants no hint of the answers: then no band is counted."""

    @property
    def finished(self) -> int:
        """Files of which nothing more becomes by itself."""
        return self.batch.counts.items - self.batch.counts.waiting

    @property
    def progress(self) -> tuple[Part, ...]:
        """What became of the files so far."""
        counts = self.batch.counts
        counted = [
            ("done", "done", counts.done),
            ("failed", "failed", counts.failed),
            ("cancelled", "cancelled", counts.cancelled),
        ]
        return parts(counted, counts.items)

    @property
    def bands(self) -> tuple[Part, ...]:
        """What was read by band, the most urgent first; those that count nothing left out."""
        if self.unswayed:
            return ()
        bands = self.batch.bands.model_dump()
        counted = [(band, TONES[band], bands[band]) for band in URGENCY if bands[band]]
        return parts(counted, sum(bands.values()))


def without_answer(row: BatchSummaryRow) -> BatchSummaryRow:
    """A row that tells that its file was read, and nothing of what the model says."""
    told = {"band": None, "top_class": None, "top_class_name": None, "probability": None}
    return row.model_copy(update=told)
