"""How far a window of readings lies from the reference: KS, PSI and MMD, after the class mix.

Every image becomes one row: for each figure a one in its bin, then random Fourier features of its
embedding. A window, and each class of the reference, is a mean of such rows; all three measures are
functions of two means, so the reference needs no image.

A clinic with fewer ill people than the validation images has not drifted. So the mix of classes in
a window is estimated first (Saerens, Latinne and Decaestecker 2002: expectation maximisation over
the calibrated probabilities), and the window is compared with the reference in that mix.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from diagnosis.drift.statistics import EMBEDDING

Floats = NDArray[np.float64]

#: Bins of a figure; deciles of the reference, fewer where a value is common.
BINS: Final = 10
#: Random Fourier features (Rahimi and Recht 2007) of the Gaussian kernel.
FOURIER: Final = 48
#: Steps of the expectation maximisation; the limits are derived with as many.
_STEPS = 30
#: Readings that are added to each bin before a logarithm is taken (Jeffreys).
_HALF = 0.5

# The legacy generator, because its stream never changes (NEP 19): the means in a card depend on it.
_RANDOM = np.random.RandomState(1)
_DIRECTIONS: Floats = _RANDOM.standard_normal((EMBEDDING, FOURIER))
_PHASES: Floats = _RANDOM.uniform(0.0, 2 * np.pi, FOURIER)


def edges_of(values: Floats) -> tuple[float, ...]:
    """Inner edges of the bins of a figure, from the reference's values (N,): its deciles."""
    places = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1], method="lower")
    found = np.unique(np.round(places, 6))
    # A last bin that no image of the reference is in would only ever hold what drifted by a hair.
    return tuple(float(one) for one in found if one < values.max())


def binned(values: Floats, edges: tuple[float, ...]) -> Floats:
    """(N, len(edges) + 1): a one in the bin of each value; a value on an edge is below it."""
    places = np.searchsorted(np.asarray(edges), np.round(values, 6), side="left")
    return np.asarray(np.eye(len(edges) + 1)[places])


def width_of(embedded: Floats) -> float:
    """Width of the kernel: the median distance of two images (Gretton et al. 2012).

    Args:
        embedded: (N, EMBEDDING); of the first 500 all pairs are taken.
    """
    some = embedded[:500]
    apart = np.sqrt(((some[:, None] - some[None]) ** 2).sum(axis=2))
    return float(max(np.median(apart[np.triu_indices(len(some), 1)]), 1e-3))


def fourier(embedded: Floats, width: float) -> Floats:
    """Random Fourier features (N, FOURIER) of embeddings (N, EMBEDDING)."""
    return np.asarray(np.sqrt(2 / FOURIER) * np.cos(embedded @ _DIRECTIONS / width + _PHASES))


def mixes(probabilities: Floats, reference_mix: Floats) -> Floats:
    """The estimated mix of classes of windows.

    Args:
        probabilities: (..., N, K), calibrated at the reference's mix.
        reference_mix: (K,), sums to one.

    Returns:
        (..., K), each row sums to one.
    """
    ratios = probabilities / reference_mix
    across = np.ascontiguousarray(np.swapaxes(ratios, -1, -2))
    found = np.broadcast_to(reference_mix, (*ratios.shape[:-2], 1, ratios.shape[-1]))
    for _ in range(_STEPS):
        # p(x | mix) up to a factor, (..., 1, N).
        evidence = np.maximum(found @ across, 1e-12)
        found = found * ((1 / evidence) @ ratios)
        found = found / found.sum(axis=-1, keepdims=True)
    return np.asarray(found[..., 0, :])


def kolmogorov_smirnov(window: Floats, expected: Floats) -> Floats:
    """Largest distance of two cumulative distributions over the bins, (..., B) to (...)."""
    return np.asarray(np.abs(np.cumsum(window - expected, axis=-1)).max(axis=-1))


def population_stability(window: Floats, expected: Floats, images: int) -> Floats:
    """Population stability index: sum of (w - e) ln(w / e) over the bins, (..., B) to (...).

    Args:
        window, expected: shares.
        images: in the window; half an image is added to each bin.
    """
    bins = window.shape[-1]
    w = (window * images + _HALF) / (images + _HALF * bins)
    e = (expected * images + _HALF) / (images + _HALF * bins)
    return np.asarray(((w - e) * np.log(w / e)).sum(axis=-1))


def mean_discrepancy(window: Floats, expected: Floats) -> Floats:
    """Maximum mean discrepancy of two means of Fourier features, (..., FOURIER) to (...): the
    linear-time estimate of Gretton et al. 2012 by Rahimi and Recht's features."""
    return np.asarray(np.sqrt(((window - expected) ** 2).sum(axis=-1)))
