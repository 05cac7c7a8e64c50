"""Drift: whether what a model is sent, and what it answers, is still what it was approved for.

Pure: arrays in, numbers out. `statistics` says what a reading keeps of its image, `measures` how
far two samples lie apart, `reference` what a card holds, `null` how its limits are derived,
`agreement` what reviews say.
"""

from diagnosis.drift.agreement import REVIEWS, disagreement_limit, window_rate
from diagnosis.drift.null import Images, make_reference, null_levels, stopping_level
from diagnosis.drift.reference import COMPARED, Compared, Reference
from diagnosis.drift.statistics import (
    EMBEDDING,
    INPUTS,
    SIZE,
    STATISTICS,
    score_of,
    statistics,
)

__all__ = [
    "COMPARED",
    "EMBEDDING",
    "INPUTS",
    "REVIEWS",
    "SIZE",
    "STATISTICS",
    "Compared",
    "Images",
    "Reference",
    "disagreement_limit",
    "make_reference",
    "null_levels",
    "score_of",
    "statistics",
    "stopping_level",
    "window_rate",
]
