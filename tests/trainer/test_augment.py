"""Augmentation changes what it may and nothing else."""

from typing import get_args

import numpy as np
import pytest

from diagnosis.catalogue import Augmentation, catalogue, disease
from trainer.augment import Augmenter, usable
from trainer.recipes import load, names

CHEST = disease("chest_xray_pneumonia")
SKIN = disease("skin_lesion")
IMPLEMENTED = {*get_args(Augmentation)}


def picture(channels: int = 1) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rows, columns = np.mgrid[0:64, 0:64]
    speckle = 20 * ((7 * rows + 13 * columns) % 3)
    grey = np.clip(3 * columns + rows // 4 + speckle, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., np.newaxis], channels, axis=2) // np.arange(
        1, channels + 1, dtype=np.uint8
    )


@pytest.mark.parametrize("mirror", ["flip_horizontal", "flip_vertical", "rotate_right_angles"])
def test_a_chest_film_cannot_be_mirrored(mirror: Augmentation) -> None:
    with pytest.raises(ValueError, match=mirror):
        Augmenter(CHEST, ["rotate", mirror])


@pytest.mark.parametrize("name", names())
def test_no_recipe_mirrors_a_chest_film(name: str) -> None:
    for one in catalogue().values():
        if one.modality == "chest X-ray":
            wanted = load(name, one).augmentations
            kept = Augmenter(one, usable(one, wanted)).names
            assert kept
            assert not {"flip_horizontal", "flip_vertical", "rotate_right_angles"} & set(kept)


def test_the_left_stays_left_on_a_chest_film() -> None:
    augment = Augmenter(CHEST, CHEST.augmentations)
    for seed in range(30):
        changed = augment(picture(), (seed,))
        assert changed[8:-8, 40:56].mean() > changed[8:-8, 8:24].mean()


@pytest.mark.parametrize("name", sorted(IMPLEMENTED))
def test_every_augmentation_of_the_catalogue_changes_an_image(name: Augmentation) -> None:
    augment = Augmenter(SKIN.model_copy(update={"augmentations": (name,)}), [name])
    before = picture(3)
    kept = before.copy()
    results = [augment(before, (seed,)) for seed in range(20)]
    assert np.array_equal(before, kept)
    for one in results:
        assert one.shape == before.shape
        assert one.dtype == np.float32
        assert 0 <= one.min() <= one.max() <= 255
    assert any(np.abs(one - before).max() > 1 for one in results)


def test_the_same_seed_makes_the_same_image() -> None:
    augment = Augmenter(CHEST, CHEST.augmentations)
    assert np.array_equal(augment(picture(), (1, 2, 3)), augment(picture(), (1, 2, 3)))
    assert not np.array_equal(augment(picture(), (1, 2, 3)), augment(picture(), (1, 2, 4)))
