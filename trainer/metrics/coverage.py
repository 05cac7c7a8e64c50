"""Whether conformal sets hold what they promise: the share of images whose class is in the set."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from diagnosis.judgement import DECIMALS
from trainer.metrics.bootstrap import DRAWS, SEED, Figure, ratio, with_intervals
from trainer.metrics.scores import Floats, Scores


@dataclass(frozen=True)
class Coverage:
    """Measured coverage, and how much the sets leave open."""

    by_class: dict[str, Figure]
    """For each class the share of its images whose set holds it."""
    set_size: Figure
    """Classes a set, on average."""
    single: Figure
    """Share of images whose set holds one class alone."""
    empty: Figure
    """Share of images that are like no class."""


def coverage(
    scores: Scores, quantiles: Mapping[str, float], *, draws: int = DRAWS, seed: int = SEED
) -> Coverage:
    """Coverage by class of split conformal sets (Vovk 2012; Sadinle et al. 2019).

    Args:
        scores: on images that did not fit the quantiles; on those that did, it holds by
            construction.
        quantiles: of the card, one a class.
        draws: of the bootstrap.
        seed: of the bootstrap.
    """
    bounds = np.array([1 - quantiles[name] for name in scores.class_ids])
    # As `diagnosis.judgement.conformal_set` keeps classes.
    kept = scores.probabilities + 0.5 * 10**-DECIMALS >= bounds
    sizes = kept.sum(axis=1)
    covered = kept[np.arange(len(sizes)), scores.labels]
    own = [scores.labels == place for place in range(len(scores.class_ids))]
    columns = [sizes, sizes == 1, sizes == 0, *own, *(covered & one for one in own)]
    cells = np.stack(columns, axis=1).astype(np.float64)

    def statistic(weights: Floats) -> dict[str, Floats]:
        sums, whole = weights @ cells, weights.sum(axis=1)
        result = {
            f"class {name}": ratio(sums[:, 3 + len(own) + place], sums[:, 3 + place])
            for place, name in enumerate(scores.class_ids)
        }
        names = ("size", "single", "empty")
        return result | {name: ratio(sums[:, place], whole) for place, name in enumerate(names)}

    everything = np.ones(len(sizes), np.bool_)
    among = {f"class {name}": one for name, one in zip(scores.class_ids, own, strict=True)}
    found = with_intervals(
        statistic,
        scores.groups,
        draws=draws,
        seed=seed,
        among=among | {"single": everything, "empty": everything},
    )
    return Coverage(
        {name: found[f"class {name}"] for name in scores.class_ids},
        found["size"],
        found["single"],
        found["empty"],
    )
