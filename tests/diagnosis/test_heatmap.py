"""Heatmaps: the derivative without gradients, and the paint in its right place."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from diagnosis.heatmap import (
    COLOUR_STOPS,
    DENSEST,
    LONGEST_SIDE,
    SMALLEST_EVIDENCE,
    Floats,
    colours,
    evidence,
    hirescam,
    paint,
    spread,
)

RANDOM = np.random.default_rng(3)
MAPS = RANDOM.random((5, 7, 6)).astype(np.float32)
HIDDEN = RANDOM.normal(0, 1, (5 * 7 * 6, 8))
POOLED = RANDOM.normal(0, 1, (6, 8))
BIAS = RANDOM.normal(0, 0.1, 8)
OUT = RANDOM.normal(0, 1, (8, 3))
DENSE = RANDOM.normal(0, 1, (6, 3))
Gradient = Callable[[Floats], NDArray[np.float64]]


def centred(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(logits - logits.mean(axis=-1, keepdims=True))


def pooled_linear(batch: Floats) -> NDArray[np.float64]:
    return np.asarray(batch.mean(axis=(1, 2)) @ DENSE)


def pooled_mlp(batch: Floats) -> NDArray[np.float64]:
    return np.asarray(np.maximum(batch.mean(axis=(1, 2)) @ POOLED + BIAS, 0) @ OUT)


def flat_mlp(batch: Floats) -> NDArray[np.float64]:
    return np.asarray(np.maximum(batch.reshape(len(batch), -1) @ HIDDEN + BIAS, 0) @ OUT)


def two_ways(batch: Floats) -> NDArray[np.float64]:
    """A graph-shaped head: pooled and flattened side by side."""
    return pooled_linear(batch) + flat_mlp(batch)


def of_pooled_linear(maps: Floats) -> NDArray[np.float64]:
    return np.broadcast_to(DENSE / maps[..., 0].size, (*maps.shape, 3))


def of_pooled_mlp(maps: Floats) -> NDArray[np.float64]:
    open_ = (maps.mean(axis=(0, 1)) @ POOLED + BIAS) > 0
    return np.broadcast_to((POOLED * open_) @ OUT / maps[..., 0].size, (*maps.shape, 3))


def of_flat_mlp(maps: Floats) -> NDArray[np.float64]:
    open_ = (maps.ravel() @ HIDDEN + BIAS) > 0
    return np.asarray(((HIDDEN * open_) @ OUT).reshape(*maps.shape, 3))


@pytest.mark.parametrize(
    ("head", "gradient"),
    [
        (pooled_linear, of_pooled_linear),
        (pooled_mlp, of_pooled_mlp),
        (flat_mlp, of_flat_mlp),
        (two_ways, lambda maps: of_pooled_linear(maps) + of_flat_mlp(maps)),
    ],
    ids=["pooled-linear", "pooled-mlp", "flat-mlp", "two-ways"],
)
def test_it_is_map_times_gradient_of_every_class(
    head: Callable[[Floats], NDArray[np.float64]], gradient: Gradient
) -> None:
    expected = centred((MAPS[..., np.newaxis] * gradient(MAPS)).sum(axis=2))
    found = hirescam(head, MAPS)
    assert found.shape == (5, 7, 3)
    assert found.dtype == np.float32
    # No unit of these heads opens or closes on the way, so the difference is the derivative.
    assert found == pytest.approx(expected, abs=2e-4)


def test_a_linear_head_makes_it_plain_cam_which_sums_to_the_logits() -> None:
    found = hirescam(pooled_linear, MAPS)
    assert found == pytest.approx(centred(MAPS @ DENSE) / 35, abs=1e-4)
    whole = centred(pooled_linear(MAPS[np.newaxis])[0])
    assert found.sum(axis=(0, 1)) == pytest.approx(whole, abs=1e-3)


def test_what_softmax_does_not_see_changes_no_heatmap() -> None:
    def shifted(batch: Floats) -> NDArray[np.float64]:
        return pooled_linear(batch) + 5 * batch[:, 0, 0].sum(axis=1, keepdims=True)

    assert hirescam(shifted, MAPS) == pytest.approx(hirescam(pooled_linear, MAPS), abs=1e-3)


def test_more_locations_than_one_batch_keep_their_places() -> None:
    maps = RANDOM.random((13, 11, 4)).astype(np.float32)
    weights = RANDOM.normal(0, 1, (13 * 11 * 4, 2))
    found = hirescam(lambda batch: batch.reshape(len(batch), -1) @ weights, maps)
    expected = centred((maps[..., np.newaxis] * weights.reshape(13, 11, 4, 2)).sum(axis=2))
    assert found == pytest.approx(expected, abs=1e-3)


def test_large_maps_are_summed_up_to_fewer_locations() -> None:
    maps = RANDOM.random((28, 20, 3)).astype(np.float32)
    weights = RANDOM.normal(0, 1, (28 * 20 * 3, 2))
    runs: list[int] = []

    def head(batch: Floats) -> NDArray[np.float64]:
        runs.append(len(batch))
        return np.asarray(batch.reshape(len(batch), -1) @ weights)

    found = hirescam(head, maps)
    assert found.shape == (8, 8, 2)
    assert sum(runs) < 80
    fine = centred((maps[..., np.newaxis] * weights.reshape(28, 20, 3, 2)).sum(axis=2))
    assert found.sum(axis=(0, 1)) == pytest.approx(fine.sum(axis=(0, 1)), abs=1e-2)
    # Row 7 of 28 and column 5 of 20 are a quarter of the way down and across: cell 2 of 8.
    assert found[2, 2] == pytest.approx(fine[7:11, 5:8].sum(axis=(0, 1)), abs=1e-3)


def test_only_what_speaks_for_the_class_is_evidence() -> None:
    shares, maximum = evidence(np.array([[-3.0, 0.5], [2.0, 0.0]], np.float32))
    assert shares.tolist() == [[0, 0.25], [1, 0]]
    assert maximum == 2.0
    for nothing in (-1.0, 0.0, SMALLEST_EVIDENCE / 2, float("nan")):
        shares, maximum = evidence(np.full((2, 2), nothing, np.float32))
        assert (shares.max(), maximum) == (0, 0.0)


def opened(png: bytes) -> NDArray[np.uint8]:
    picture = Image.open(io.BytesIO(png))
    assert picture.mode == "RGBA"
    return np.asarray(picture)


def test_the_paint_has_the_ratio_of_the_image_and_stays_in_what_was_seen() -> None:
    shares = np.ones((4, 4), np.float32)
    picture = opened(paint(shares, width=3000, height=1500, seen=(0.25, 0.1, 0.75, 0.9)))
    assert picture.shape == (LONGEST_SIDE // 2, LONGEST_SIDE, 4)
    painted = picture[..., 3] > 0
    rows, columns = np.flatnonzero(painted.any(axis=1)), np.flatnonzero(painted.any(axis=0))
    assert (columns[0], columns[-1]) == (128, 383)
    assert (rows[0], rows[-1]) == (26, 229)
    assert painted[26:230, 128:384].all()
    # A small image is not made larger; one of a line keeps a line.
    whole = (0.0, 0.0, 1.0, 1.0)
    assert opened(paint(shares, width=40, height=30, seen=whole)).shape[:2] == (30, 40)
    assert opened(paint(shares, width=20_000, height=16, seen=whole)).shape[:2] == (1, 512)


def test_the_strongest_location_is_the_brightest_and_thickest() -> None:
    shares = np.zeros((5, 5), np.float32)
    shares[1, 3] = 1
    picture = opened(paint(shares, width=100, height=100, seen=(0, 0, 1, 1)))
    row, column = np.unravel_index(picture[..., 3].argmax(), picture.shape[:2])
    assert abs(row - 30) <= 3
    assert abs(column - 70) <= 3
    assert picture[30, 70, 3] > 0.95 * DENSEST
    assert picture[30, 70, :3].sum() > 500
    assert picture[80, 20].tolist() == [0, 0, 0, 0]
    assert spread(shares, (50, 50)).max() <= 1


def test_an_empty_heatmap_is_an_empty_picture() -> None:
    picture = opened(paint(np.zeros((7, 7), np.float32), width=64, height=32, seen=(0, 0, 1, 1)))
    assert not picture.any()


def test_the_colours_grow_lighter_from_stop_to_stop() -> None:
    table = colours()
    assert table.shape == (256, 3)
    assert bytes(table[0]).hex() == COLOUR_STOPS[0][1:]
    assert bytes(table[-1]).hex() == COLOUR_STOPS[-1][1:]
    # Told apart without hue: lightness rises throughout, as cividis was made to.
    assert (np.diff(table @ np.array([0.2126, 0.7152, 0.0722])) > -0.5).all()
