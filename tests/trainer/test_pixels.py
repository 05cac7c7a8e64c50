"""Cached preprocessing gives the very arrays that serving makes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnosis.catalogue import disease
from diagnosis.images import read_image
from diagnosis.preprocess import Preprocessing
from tests.trainer.conftest import MakeImages
from trainer.data import read_dataset
from trainer.pixels import PixelStore, cut, refuse_many_unreadable
from trainer.refusals import DataRefused

PNEUMONIA = disease("chest_xray_pneumonia")
RESIZE = {"op": "resize", "width": 40, "height": 32}
SPECS: list[list[dict[str, Any]]] = [
    [{"op": "greyscale"}, RESIZE, {"op": "scale"}],
    [{"op": "rgb"}, RESIZE, {"op": "standardise"}],
    [{"op": "greyscale"}, {"op": "contrast_stretch"}, RESIZE, {"op": "equalise"}],
    [{"op": "scaled_decode"}, {"op": "greyscale"}, {"op": "centre_crop", "fraction": 0.8}, RESIZE],
]


def spec(steps: list[dict[str, Any]]) -> Preprocessing:
    return Preprocessing.model_validate({"name": "tried", "steps": steps})


@pytest.mark.parametrize("steps", SPECS)
def test_stored_and_finished_equals_the_preprocessing_itself(
    tmp_path: Path, make_images: MakeImages, steps: list[dict[str, Any]]
) -> None:
    preprocessing = spec(steps)
    data = read_dataset(make_images(tmp_path / "d", {"normal": 2, "pneumonia": 1}), PNEUMONIA)
    store = PixelStore(tmp_path / "cache", preprocessing)
    ready = store.prepare(data)
    for one, made in zip(ready.examples, store.inputs(ready.examples), strict=True):
        image = read_image(one.path.read_bytes(), decode_at_least=preprocessing.decode_at_least)
        assert np.array_equal(made, preprocessing.apply(image.pixels))


def test_the_cut_is_before_the_first_intensity_step_after_the_resize() -> None:
    first, last = cut(spec(SPECS[2]))
    assert [step.op for step in first] == ["greyscale", "contrast_stretch", "resize"]
    assert [step.op for step in last] == ["equalise"]


def test_an_image_is_decoded_once_for_all_specs_that_store_the_same(
    tmp_path: Path, make_images: MakeImages
) -> None:
    data = read_dataset(make_images(tmp_path / "d", {"normal": 2}), PNEUMONIA)
    PixelStore(tmp_path / "cache", spec(SPECS[0])).prepare(data)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*.npy")}
    other = [{"op": "greyscale"}, RESIZE, {"op": "standardise"}]
    PixelStore(tmp_path / "cache", spec(other)).prepare(data)
    assert len(made) == 2
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*") if p.is_file()} == made


@pytest.mark.parametrize("left", [0, 100])
def test_a_cache_file_that_was_cut_short_is_made_again(
    tmp_path: Path, make_images: MakeImages, left: int
) -> None:
    data = read_dataset(make_images(tmp_path / "d", {"normal": 1}), PNEUMONIA)
    store = PixelStore(tmp_path / "cache", spec(SPECS[0]))
    whole = store.inputs(store.prepare(data).examples)
    (cached,) = (tmp_path / "cache").rglob("*.npy")
    cached.write_bytes(cached.read_bytes()[:left])
    assert np.array_equal(store.inputs(data.examples), whole)


def test_what_is_no_image_is_skipped_with_its_reason(
    tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path / "d", {"normal": 3})
    (tmp_path / "d/normal/notes.png").write_text("not an image")
    (tmp_path / "d/normal/empty.jpg").write_bytes(b"")
    data = PixelStore(tmp_path / "c", spec(SPECS[0])).prepare(
        read_dataset(tmp_path / "d", PNEUMONIA)
    )
    assert sorted(one.reason for one in data.skipped) == ["empty-file", "not-an-image"]
    assert len(data.examples) == 3
    refuse_many_unreadable(data)


def test_more_than_two_percent_damaged_images_are_refused(
    tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path / "d", {"normal": 3})
    first = tmp_path / "d/normal/000.png"
    first.write_bytes(first.read_bytes()[:-200])
    store = PixelStore(tmp_path / "c", spec(SPECS[0]))
    data = store.prepare(read_dataset(tmp_path / "d", PNEUMONIA))
    with pytest.raises(DataRefused, match="1 of 3 images cannot be read"):
        refuse_many_unreadable(data)


def test_nothing_readable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d/normal").mkdir(parents=True)
    (tmp_path / "d/normal/notes.txt").write_text("notes")
    with pytest.raises(DataRefused, match="no readable image"):
        PixelStore(tmp_path / "c", spec(SPECS[0])).prepare(read_dataset(tmp_path / "d", PNEUMONIA))
