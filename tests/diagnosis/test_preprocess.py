"""Preprocessing: each step, what a list of steps must be, and what holds for any image."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError

from diagnosis.preprocess import (
    CentreCrop,
    ContrastStretch,
    Equalise,
    Greyscale,
    Normalise,
    Preprocessing,
    Resize,
    Rgb,
    Scale,
    ScaledDecode,
    Standardise,
)
from tests.fixtures.images import colour, grey, words

PLAIN = Preprocessing(
    name="plain", steps=(Greyscale(), Resize(width=24, height=16), Scale(divisor=255.0))
)


def test_greyscale_is_the_luma_and_leaves_grey_alone() -> None:
    pixels = colour()
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(Greyscale().apply(pixels), expected, atol=1)
    np.testing.assert_array_equal(Greyscale().apply(grey()), grey())


def test_greyscale_of_fractions_keeps_them() -> None:
    pixels = colour().astype(np.float32) / 255
    expected = pixels @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(Greyscale().apply(pixels), expected, atol=1e-6)


def test_rgb_repeats_grey_and_leaves_colour_alone() -> None:
    repeated = Rgb().apply(grey())
    assert repeated.shape == (48, 64, 3)
    np.testing.assert_array_equal(repeated[..., 2], grey())
    np.testing.assert_array_equal(Rgb().apply(colour()), colour())


def test_centre_crop_keeps_the_middle() -> None:
    np.testing.assert_array_equal(CentreCrop(fraction=0.5).apply(grey()), grey()[12:36, 16:48])
    np.testing.assert_array_equal(CentreCrop(fraction=1).apply(grey()), grey())


@given(st.floats(0.001, 1), st.integers(1, 60), st.integers(1, 60))
def test_centre_crop_always_leaves_a_pixel(fraction: float, height: int, width: int) -> None:
    cropped = CentreCrop(fraction=fraction).apply(np.zeros((height, width, 3), np.uint8))
    assert min(cropped.shape) >= 1


@pytest.mark.parametrize("filter_", ["bilinear", "bicubic", "box"])
def test_resize_is_pillows_and_keeps_8_bit(filter_: Any) -> None:
    step = Resize(width=24, height=16, filter=filter_)
    method = Image.Resampling[filter_.upper()]
    for pixels in (grey(), colour()):
        expected = np.asarray(Image.fromarray(pixels).resize((24, 16), method))
        resized = step.apply(pixels)
        np.testing.assert_array_equal(resized, expected)
        assert resized.dtype == np.uint8
        in_floats = step.apply(pixels.astype(np.float32))
        assert in_floats.dtype == np.float32
        assert in_floats.shape == expected.shape
        np.testing.assert_allclose(in_floats, expected, atol=1.01)


def test_contrast_stretch_maps_percentiles_to_the_ends() -> None:
    stretched = ContrastStretch(low=5, high=95).apply(grey() // 2 + 30)
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert np.median(stretched) == pytest.approx(127, abs=20)
    assert ContrastStretch().apply(np.full((20, 20), 9, np.uint8)).max() == 0


def test_equalise_replaces_values_by_the_share_of_pixels_up_to_them() -> None:
    pixels = np.repeat(np.array([[10, 20, 30, 40]], np.uint8), 4, axis=0)
    equal = Equalise().apply(pixels)
    assert equal.dtype == np.uint8
    assert equal[0].tolist() == [0, 85, 170, 255]
    np.testing.assert_array_equal(Equalise().apply(pixels.astype(np.float32)), equal)
    np.testing.assert_array_equal(pixels[0], [10, 20, 30, 40])
    assert Equalise().apply(np.full((9, 9, 3), 200, np.uint8)).max() == 0


def test_scale_standardise_and_normalise_are_their_formulas() -> None:
    pixels = colour()
    np.testing.assert_allclose(
        Scale(divisor=127.5, offset=1).apply(pixels), pixels / 127.5 - 1, atol=1e-6
    )
    standard = Standardise().apply(pixels)
    assert standard.mean() == pytest.approx(0, abs=1e-4)
    assert standard.std() == pytest.approx(1, abs=1e-4)
    assert Standardise().apply(np.full((9, 9), 200, np.uint8)).max() == 0
    step = Normalise(mean=(1, 2, 3), std=(4, 5, 6))
    np.testing.assert_allclose(
        step.apply(pixels), (pixels.astype(float) - (1, 2, 3)) / (4, 5, 6), atol=1e-5
    )


@pytest.mark.parametrize(
    "steps",
    [
        [{"op": "greyscale"}],
        [{"op": "greyscale"}, {"op": "scale"}],
        [{"op": "resize", "width": 8, "height": 8}, {"op": "scale"}],
        [
            {"op": "rgb"},
            {"op": "resize", "width": 8, "height": 8},
            {"op": "centre_crop", "fraction": 0.5},
        ],
        [{"op": "rgb"}, {"op": "scaled_decode"}, {"op": "resize", "width": 8, "height": 8}],
        [{"op": "rgb"}, {"op": "resize", "width": 4, "height": 8}],
        [{"op": "rgb"}, {"op": "resize", "width": 8, "height": 8, "sharpen": 1}],
        [{"op": "rgb"}, {"op": "unknown"}, {"op": "resize", "width": 8, "height": 8}],
        [{"op": "rgb"}, {"op": "resize", "width": 8, "height": 8}, {"op": "scale", "divisor": 0}],
    ],
)
def test_a_list_of_steps_that_makes_no_sense_is_refused(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        Preprocessing.model_validate({"name": "wrong", "steps": steps})


@pytest.mark.parametrize(
    ("first", "mean", "std"),
    [
        ("rgb", [1, 2], [1, 2]),
        ("rgb", [1, 2, 3], [1, 2]),
        ("rgb", [1, 2, 3], [1, 0, 1]),
        ("rgb", [], []),
        ("rgb", [float("inf")], [1]),
        ("greyscale", [1, 2, 3], [1, 1, 1]),
    ],
)
def test_figures_to_normalise_by_must_fit_the_channels(
    first: str, mean: list[float], std: list[float]
) -> None:
    steps = [
        {"op": first},
        {"op": "resize", "width": 8, "height": 8},
        {"op": "normalise", "mean": mean, "std": std},
    ]
    with pytest.raises(ValidationError):
        Preprocessing.model_validate({"name": "wrong", "steps": steps})


def test_three_figures_before_rgb_are_refused() -> None:
    with pytest.raises(ValidationError, match="rgb first"):
        Preprocessing(
            name="wrong",
            steps=(Normalise(mean=(1, 2, 3), std=(1, 1, 1)), Resize(width=8, height=8), Rgb()),
        )


def test_the_digest_names_the_steps_and_not_the_name() -> None:
    assert PLAIN.digest == "sha256:a6934c5974a348b441ea161422bc5d2a81b9e1a0e103f6d5cd2ec4344cbbb96c"
    assert PLAIN.model_copy(update={"name": "other"}).digest == PLAIN.digest
    again = Preprocessing.model_validate_json(PLAIN.model_dump_json())
    assert again == PLAIN
    assert again.digest == PLAIN.digest
    other = Preprocessing(name="plain", steps=(*PLAIN.steps, Standardise()))
    assert other.digest != PLAIN.digest


def test_decode_at_least_is_the_input_times_the_factor_and_what_is_cropped_away() -> None:
    resize = Resize(width=100, height=50)
    assert PLAIN.decode_at_least is None
    spec = Preprocessing(name="a", steps=(ScaledDecode(factor=3), Rgb(), resize))
    assert spec.decode_at_least == (300, 150)
    crops = (CentreCrop(fraction=0.5), CentreCrop(fraction=0.8))
    spec = Preprocessing(name="a", steps=(ScaledDecode(), *crops, Rgb(), resize))
    assert spec.decode_at_least == (500, 250)
    last = Resize(width=30, height=40)
    spec = Preprocessing(name="a", steps=(ScaledDecode(), resize, crops[0], last, Rgb()))
    assert spec.decode_at_least == (200, 100)
    assert spec.size == (30, 40)


def test_the_channels_are_those_of_the_last_word_on_them() -> None:
    assert PLAIN.channels == 1
    steps = (Greyscale(), Resize(width=8, height=8), Rgb())
    assert Preprocessing(name="a", steps=steps).channels == 3


def test_16_bit_and_8_bit_of_the_same_picture_give_the_same_input() -> None:
    sixteen = grey().astype(np.uint16) * 257
    np.testing.assert_allclose(PLAIN.apply(sixteen), PLAIN.apply(grey()), atol=1.01 / 255)
    assert PLAIN.apply(words()).max() <= 1


MIDDLES = st.lists(
    st.sampled_from(
        [
            CentreCrop(fraction=0.3),
            CentreCrop(fraction=0.01),
            ContrastStretch(),
            Equalise(),
            Standardise(),
            Scale(divisor=127.5, offset=1),
            Normalise(mean=(100,), std=(50,)),
        ]
    ),
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(16, 90), st.integers(16, 90)),
    kind=st.sampled_from(["grey", "colour", "words"]),
    fill=st.sampled_from(["noise", "black", "white"]),
    before=MIDDLES,
    after=MIDDLES,
    channel_step=st.sampled_from([Greyscale(), Rgb()]),
    early=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_image_gives_finite_floats_of_the_specs_shape(
    shape: tuple[int, int],
    kind: str,
    fill: str,
    before: list[Any],
    after: list[Any],
    channel_step: Any,
    early: bool,
    seed: int,
) -> None:
    top = 65535 if kind == "words" else 255
    dtype = np.uint16 if kind == "words" else np.uint8
    full_shape = (*shape, 3) if kind == "colour" else shape
    noise = np.random.default_rng(seed).integers(0, top, full_shape, endpoint=True)
    pixels = {"noise": noise, "black": noise * 0, "white": noise * 0 + top}[fill].astype(dtype)
    pixels.flags.writeable = False
    copy = pixels.copy()
    resize = Resize(width=20, height=12)
    middle = (channel_step, *before, resize) if early else (*before, resize, channel_step)
    # No crop may follow the last resize: it would change the shape.
    keep = [step for step in after if not isinstance(step, CentreCrop)]
    spec = Preprocessing(name="any", steps=(*middle, *keep))
    array = spec.apply(pixels)
    assert array.shape == (12, 20, spec.channels)
    assert spec.size == (20, 12)
    assert array.dtype == np.float32
    assert array.flags.c_contiguous
    assert np.isfinite(array).all()
    np.testing.assert_array_equal(spec.apply(pixels), array)
    np.testing.assert_array_equal(pixels, copy)


@pytest.mark.parametrize(
    "steps",
    [
        (Greyscale(), Resize(width=40, height=30)),
        (Greyscale(), CentreCrop(fraction=0.8), Resize(width=40, height=30)),
        (CentreCrop(fraction=0.9), Greyscale(), Resize(width=64, height=64), Scale(divisor=1)),
        (
            Greyscale(),
            CentreCrop(fraction=0.9),
            Resize(width=60, height=50),
            CentreCrop(fraction=0.5),
            Resize(width=20, height=30),
        ),
    ],
)
def test_what_is_seen_of_an_image_is_where_its_pixels_come_from(steps: tuple[Any, ...]) -> None:
    """An image that holds its own coordinates tells where each pixel of the array was."""
    spec = Preprocessing(name="coordinates", steps=steps)
    height, width = 301, 203
    left, top, right, bottom = spec.seen(width, height)
    for axis, (low, high, side) in enumerate([(top, bottom, height), (left, right, width)]):
        along = (np.arange(side) + 0.5) / side * 65535
        pixels = np.broadcast_to(along[:, np.newaxis] if axis == 0 else along, (height, width))
        array = spec.apply(pixels.astype(np.uint16))[..., 0] * 257 / 65535
        found = array.mean(axis=1 - axis)
        expected = low + (high - low) * (np.arange(len(found)) + 0.5) / len(found)
        # At the ends the filter has less to average over.
        np.testing.assert_allclose(found[1:-1], expected[1:-1], atol=0.004)
