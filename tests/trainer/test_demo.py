"""Demo images look like their class and copy no image."""

import numpy as np
import pytest
from numpy.typing import NDArray

from diagnosis.images import read_image
from tests.trainer.conftest import made_film
from trainer.demo import SIDE, _draw, _sharpened, _spectrum, nearest_limit, sample_demos


@pytest.fixture(scope="module")
def films() -> dict[str, NDArray[np.float32]]:
    return {
        name: np.stack(
            [
                np.asarray(made_film(100 * ill + i, ill=ill, side=SIDE), np.float32)[..., None]
                for i in range(12)
            ]
        )
        for name, ill in (("normal", False), ("pneumonia", True))
    }


def sure(files: list[bytes], _class_id: str) -> NDArray[np.float64]:
    return np.linspace(0.4, 0.99, len(files))


def test_samples_are_images_far_from_every_training_image(
    films: dict[str, NDArray[np.float32]],
) -> None:
    samples = sample_demos(films, sure, seed=0)
    assert [one.class_id for one in samples] == ["normal", "pneumonia"]
    for one in samples:
        pixels = read_image(one.png).pixels.astype(np.float32)
        assert pixels.shape == (SIDE, SIDE)
        assert one.probability > 0.5
        assert one.distance > 0
        # Along the difference of the classes' means it lies on the side of its own class.
        normal, ill = (films[name].mean(axis=0)[..., 0] for name in ("normal", "pneumonia"))
        along = ((pixels - (normal + ill) / 2) * (ill - normal - (ill - normal).mean())).sum()
        assert (along > 0) == (one.class_id == "pneumonia")
        nearest = min(
            np.sqrt(((pixels - film[..., 0]) ** 2).mean())
            for film in np.concatenate([*films.values()])
        )
        assert nearest >= one.distance


def test_the_same_seed_draws_the_same_images(films: dict[str, NDArray[np.float32]]) -> None:
    assert sample_demos(films, sure, seed=1) == sample_demos(films, sure, seed=1)
    assert sample_demos(films, sure, seed=1) != sample_demos(films, sure, seed=2)


def test_what_the_model_does_not_read_as_its_class_is_not_shown(
    films: dict[str, NDArray[np.float32]],
) -> None:
    assert sample_demos(films, lambda files, _: np.zeros(len(files)), seed=0) == []


def test_copies_among_the_training_images_do_not_lower_the_limit() -> None:
    random = np.random.default_rng(0)
    small = random.uniform(0, 255, (30, 64, 64)).astype(np.float32)
    assert nearest_limit(np.concatenate([small, small[:3]])) == pytest.approx(
        nearest_limit(small), rel=0.05
    )


def test_a_smooth_sample_gets_the_typical_power_of_its_class_but_no_more_than_may_be() -> None:
    random = np.random.default_rng(0)
    waves = np.fft.fft2(random.normal(0, 1, (SIDE, SIDE)))
    distance = np.hypot(*np.meshgrid(*[np.fft.fftfreq(SIDE) * SIDE] * 2))
    falling = waves / (1 + distance)
    sharp = 120 + 600 * np.fft.ifft2(falling).real
    smooth = 120 + 600 * np.fft.ifft2(falling * np.exp(-distance / 40)).real
    typical = _spectrum(sharp)
    made = _sharpened(smooth[..., np.newaxis], typical)
    assert made.shape == (SIDE, SIDE, 1)
    assert made.mean() == pytest.approx(smooth.mean())
    before, after = _spectrum(smooth), _spectrum(made[..., 0])
    # The gain is exp(distance / 40): below 4 up to a distance of 55, then it is held at 4.
    assert after[5:48] == pytest.approx(typical[5:48], rel=0.1)
    assert after[65:] == pytest.approx(16 * before[65:], rel=0.01)
    assert (after[65:] < typical[65:]).all()


def test_samples_are_as_sharp_as_their_class_and_stay_within_grey_levels(
    films: dict[str, NDArray[np.float32]],
) -> None:
    for one in sample_demos(films, sure, seed=0):
        pixels = read_image(one.png).pixels
        typical = np.median([_spectrum(film[..., 0]) for film in films[one.class_id]], axis=0)
        fine = slice(20, 100)
        found = _spectrum(pixels.astype(np.float32))[fine].mean()
        assert 0.5 < found / typical[fine].mean() < 1.5
    hard = np.where(films["normal"] > films["normal"].mean(), 255, 0).astype(np.float32)
    drawn = np.stack(_draw(hard, np.random.default_rng(0)))
    assert (drawn.min(), drawn.max()) == (0, 255)
