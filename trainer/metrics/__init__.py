"""Figures of a classifier with 95 % intervals: 1,000 bootstrap draws of whole groups.

A draw is a weight an image (how often its group was drawn), so every figure is a weighted sum and
a thousand draws are a matrix product; nothing is sorted twice.
"""

from trainer.metrics.bootstrap import DRAWS, SEED, Figure, bootstrap_weights
from trainer.metrics.coverage import Coverage, coverage
from trainer.metrics.curves import ECE_BINS, chance_ece, threshold_at
from trainer.metrics.points import PREVALENCES, at_points
from trainer.metrics.rates import (
    baseline,
    class_figures,
    figures,
    majority_baseline,
    majority_class,
    per_class,
)
from trainer.metrics.reliability import reliability
from trainer.metrics.scores import Floats, Scores, confusion
from trainer.metrics.subgroups import Subgroup, Subgroups, subgroups

__all__ = [
    "DRAWS",
    "ECE_BINS",
    "PREVALENCES",
    "SEED",
    "Coverage",
    "Figure",
    "Floats",
    "Scores",
    "Subgroup",
    "Subgroups",
    "at_points",
    "baseline",
    "bootstrap_weights",
    "chance_ece",
    "class_figures",
    "confusion",
    "coverage",
    "figures",
    "majority_baseline",
    "majority_class",
    "per_class",
    "reliability",
    "subgroups",
    "threshold_at",
]
