"""MedMNIST-style files as data sets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diagnosis.catalogue import disease
from trainer.about import licensed, read_about
from trainer.data import read_dataset
from trainer.refusals import DataRefused

RETINA = disease("diabetic_retinopathy")


def made(path: Path, **changes: Any) -> Path:
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "train_images": random.integers(0, 256, (10, 28, 28, 3), dtype=np.uint8),
        "train_labels": np.arange(10, dtype=np.uint8)[:, np.newaxis] % 5,
        "val_images": random.integers(0, 256, (5, 28, 28, 3), dtype=np.uint8),
        "val_labels": np.arange(5),
    }
    arrays |= changes
    np.savez_compressed(path, **{k: v for k, v in arrays.items() if v is not None})
    return path


def test_a_file_is_read_as_a_folder_is(tmp_path: Path) -> None:
    file = made(tmp_path / "retina.npz")
    data = read_dataset(file, RETINA, cache=tmp_path / "cache")
    assert data.splits == ("train", "val")
    assert data.of("train").per_class() == dict.fromkeys(RETINA.class_ids, 2)
    with np.load(file) as arrays:
        third = data.of("train").examples[-1]
        number = int(third.path.stem)
        assert (np.asarray(Image.open(third.path)) == arrays["train_images"][number]).all()
        assert third.class_id == RETINA.class_ids[arrays["train_labels"][number, 0]]
    before = {one.path: one.path.stat().st_mtime_ns for one in data.examples}
    again = read_dataset(file, RETINA, cache=tmp_path / "cache")
    assert {one.path: one.path.stat().st_mtime_ns for one in again.examples} == before
    assert again.listing == data.listing


def test_its_facts_lie_next_to_it(tmp_path: Path) -> None:
    file = made(tmp_path / "retina.npz")
    with pytest.raises(DataRefused, match=r"retina\.about\.toml"):
        licensed(read_about(file, None), file, None)
    (tmp_path / "retina.about.toml").write_text('dataset = "made"\nlicence = "CC0"\n')
    assert licensed(read_about(file, None), file, None).licence == "CC0"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train_labels": np.full((10, 1), 7)}, "holds 7; diabetic_retinopathy has the classes"),
        ({"train_labels": np.zeros((10, 14), np.uint8)}, "one whole number"),
        ({"val_labels": None}, "no val_labels"),
        ({"train_images": np.zeros((10, 28, 28, 28), np.uint8)}, "expected uint8"),
        ({"train_images": np.zeros((10, 28, 28), np.float32)}, "float32"),
        ({"train_images": None, "val_images": None}, "MedMNIST-style"),
        ({"train_images": np.array([{}] * 10, object)}, "cannot be read"),
    ],
)
def test_a_bad_file_is_refused_and_leaves_nothing(
    tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    file = made(tmp_path / "bad.npz", **changes)
    with pytest.raises(DataRefused, match=says):
        read_dataset(file, RETINA, cache=tmp_path / "cache")
    assert [one for one in (tmp_path / "cache").rglob("*") if one.is_file()] == []
    assert not list((tmp_path / "cache").rglob(".incoming-*"))


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(DataRefused, match="cannot be read"):
        read_dataset(tmp_path / "x.npz", RETINA, cache=tmp_path / "cache")
    (tmp_path / "x.zip").write_bytes(b"no archive")
    with pytest.raises(DataRefused, match="is not a folder"):
        read_dataset(tmp_path / "x.zip", RETINA, cache=tmp_path / "cache")
