"""Each measure against what is known of it, and the mix of classes against the true one."""

import numpy as np
import pytest

from diagnosis.drift.measures import (
    binned,
    edges_of,
    fourier,
    kolmogorov_smirnov,
    mean_discrepancy,
    mixes,
    population_stability,
)
from tests.diagnosis.drift.synthetic import images


def test_ks_is_the_largest_gap_of_the_cumulative_shares() -> None:
    window, expected = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    assert kolmogorov_smirnov(window, expected) == pytest.approx(0.3)
    assert kolmogorov_smirnov(expected, expected) == 0


def test_psi_is_what_the_formula_gives_and_stays_finite_for_an_empty_bin() -> None:
    window, expected = np.array([0.6, 0.4]), np.array([0.5, 0.5])
    # Of a million images the half image that is added to each bin says nothing.
    exact = 0.1 * np.log(0.6 / 0.5) - 0.1 * np.log(0.4 / 0.5)
    assert population_stability(window, expected, 10**6) == pytest.approx(exact, rel=1e-4)
    assert population_stability(np.array([1.0, 0.0]), expected, 100) == pytest.approx(2.6, abs=0.1)


def test_bins_are_deciles_and_a_common_value_makes_fewer() -> None:
    values = np.linspace(0, 1, 1000)
    shares = binned(values, edges_of(values)).mean(axis=0)
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.002)
    common = np.concatenate([np.zeros(900), values[:100]])
    assert len(edges_of(common)) == 1
    assert edges_of(np.zeros(50)) == ()
    assert binned(np.array([0.3]), ()).tolist() == [[1.0]]
    # On an edge is below it.
    assert binned(np.array([0.5, 0.500001]), (0.5,)).tolist() == [[1, 0], [0, 1]]


def test_fourier_features_give_the_kernel_that_they_stand_for() -> None:
    """The distance of means of features is about the exact MMD of the Gaussian kernel."""
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((400, 10)), rng.standard_normal((400, 10)) + 0.7
    width = 4.0

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.exp(-((x[:, None] - y[None]) ** 2).sum(2) / (2 * width**2)).mean())

    exact = np.sqrt(kernel(a, a) + kernel(b, b) - 2 * kernel(a, b))
    found = mean_discrepancy(fourier(a, width).mean(axis=0), fourier(b, width).mean(axis=0))
    assert found == pytest.approx(exact, rel=0.25)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_the_mix_is_found_whatever_it_was_in_the_reference(share: float) -> None:
    window = images(2000, seed=3, share=share)
    found = mixes(window.probabilities, np.array([0.5, 0.5]))
    assert found.sum() == pytest.approx(1)
    assert found[1] == pytest.approx(window.labels.mean(), abs=0.03)
    # Several windows at once are what each is by itself.
    halves = window.probabilities.reshape(2, 1000, 2)
    assert mixes(halves, np.array([0.5, 0.5]))[1] == pytest.approx(
        mixes(halves[1], np.array([0.5, 0.5]))
    )
