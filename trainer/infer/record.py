"""The batch as the pages show it: how far it is, under which bands, and what failed."""

import time
from collections import Counter
from collections.abc import Collection, Sequence

from diagnosis.catalogue import disease as disease_of
from diagnosis.contracts import (
    LONGEST_ITEM_NAME,
    Batch,
    BatchCounts,
    BatchItem,
    now,
)
from trainer.infer.journal import Journal, Line
from trainer.infer.posting import Poster
from trainer.infer.predictor import CREATED_BY

#: Files that a batch names; of one with more, only those that failed beside these.
MOST_NAMED = 2000
#: Seconds between two words on how far a batch is.
_EVERY = 1.0
_AT_ONCE = 500


class Record:
    """Keeps the batch in Redis in step with the journal, about once a second.

    Args:
        poster: writes it.
        journal: of the batch.
        names: of all files.
    """

    def __init__(self, poster: Poster, journal: Journal, names: Collection[str]) -> None:
        self._poster, self._journal = poster, journal
        # A file may have gone from its folder since it was read.
        self._files = len({*names, *journal.lines})
        self._unsaid: list[Line] = list(journal.lines.values())
        self._said = 0.0
        self._say("running")

    def advance(self, lines: Sequence[Line]) -> None:
        """These lines are in the journal now."""
        self._unsaid += lines
        if time.monotonic() - self._said > _EVERY:
            self._say("running")

    def end(self) -> None:
        """All is done."""
        self._say("done")

    def _say(self, state: str) -> None:
        items = [item(one) for one in self._unsaid if one.number < MOST_NAMED or one.problem]
        for start in range(0, len(items), _AT_ONCE):
            self._poster.say(self._batch("running"), items[start : start + _AT_ONCE])
        self._poster.say(self._batch(state), ())
        self._unsaid.clear()
        self._said = time.monotonic()

    def _batch(self, state: str) -> Batch:
        request, lines = self._journal.request, self._journal.lines.values()
        bands = Counter(one.band for one in lines if one.band is not None)
        done, failed = bands.total(), len(lines) - bands.total()
        counts = BatchCounts(
            items=self._files, waiting=self._files - done - failed, done=done, failed=failed
        )
        return Batch.model_validate(
            {
                "id": request.id,
                "name": request.name,
                "disease": request.disease,
                "disease_name": disease_of(request.disease).name,
                "operating_point": request.operating_point,
                "state": state,
                "created_at": request.created_at,
                "finished_at": now() if state == "done" else None,
                "created_by": CREATED_BY,
                "unit": request.unit,
                "counts": counts,
                "bands": bands,
            }
        )


def item(line: Line) -> BatchItem:
    """A line as an item of a batch."""
    return BatchItem(
        number=line.number,
        name=line.name[-LONGEST_ITEM_NAME:],
        size=line.size,
        digest=None if line.digest is None else f"sha256:{line.digest}",
        state="done" if line.problem is None else "failed",
        band=line.band,
        tries=1,
        prediction_id=line.prediction_id,
        problem=line.problem,
    )
