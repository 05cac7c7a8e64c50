"""Folders and manifests as data sets."""

from collections.abc import Callable
from pathlib import Path

import pytest

from diagnosis.catalogue import disease
from tests.trainer.conftest import MakeImages
from trainer.data import read_dataset
from trainer.refusals import DataRefused, LeakageRefused
from trainer.splits import with_splits

PNEUMONIA = disease("chest_xray_pneumonia")
HEALTHY, ILL = (one.aliases[-1] for one in PNEUMONIA.classes)
WriteManifest = Callable[[Path, list[dict[str, str]]], Path]


@pytest.mark.parametrize(
    "folders",
    [
        ("normal", "pneumonia"),
        ("NORMAL", "Pneumonia"),
        (HEALTHY.title(), ILL.replace(" ", "_")),
        (HEALTHY.replace(" ", "-"), ILL.upper()),
    ],
)
def test_class_folders_match_by_id_name_and_alias_in_any_case(
    tmp_path: Path, make_images: MakeImages, folders: tuple[str, str]
) -> None:
    data = read_dataset(make_images(tmp_path, {folders[0]: 2, folders[1]: 3}), PNEUMONIA)
    assert data.per_class() == {"normal": 2, "pneumonia": 3}
    assert data.splits == ()


def test_split_folders_and_nested_folders_are_read(tmp_path: Path, make_images: MakeImages) -> None:
    counts = {"Training/NORMAL": 2, "Training/PNEUMONIA/bacteria": 2, "validation/normal": 1}
    data = read_dataset(make_images(tmp_path, counts), PNEUMONIA)
    assert data.splits == ("train", "val")
    assert data.of("train").per_class() == {"normal": 2, "pneumonia": 2}
    assert data.of("val").per_class() == {"normal": 1, "pneumonia": 0}


def test_a_wrapping_folder_and_junk_are_seen_through(
    tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path / "chest" / "chest_xray", {"train/NORMAL": 1, "test/PNEUMONIA": 1})
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "chest" / ".DS_Store").write_text("junk")
    (tmp_path / "chest" / "chest_xray" / "readme.txt").write_text("about")
    data = read_dataset(tmp_path, PNEUMONIA)
    assert data.splits == ("train", "test")
    assert [one.reason for one in data.skipped] == ["outside-class-folders"]


def test_one_class_with_folders_inside_is_one_class(
    tmp_path: Path, make_images: MakeImages
) -> None:
    data = read_dataset(make_images(tmp_path, {"PNEUMONIA/viral": 2}), PNEUMONIA)
    assert data.per_class() == {"normal": 0, "pneumonia": 2}


def test_a_manifest_above_names_groups_and_splits(
    tmp_path: Path, make_images: MakeImages, write_manifest: WriteManifest
) -> None:
    make_images(tmp_path, {"films/a": 2, "films/b": 2, "other/x": 1})
    write_manifest(
        tmp_path,
        [
            {"path": "films/a/000.png", "label": "NORMAL", "split": "train", "group_id": "p1"},
            {"path": "films/b/000.png", "label": "PNEUMONIA", "split": "val", "group_id": "p2"},
            {"path": "other/x/000.png", "label": "cat", "split": "train", "group_id": "p3"},
        ],
    )
    data = read_dataset(tmp_path / "films", PNEUMONIA)
    assert [(one.class_id, one.split, one.group) for one in data.examples] == [
        ("normal", "train", "p1"),
        ("pneumonia", "val", "p2"),
    ]
    assert data.has_groups
    assert [one.reason for one in data.skipped] == ["not-in-manifest"] * 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("label\nnormal\n", "has no column path"),
        ("path,label\nnormal/000.png,normal\nnormal/000.png,normal\n", "a second time"),
        ("path,label\nnormal/999.png,normal\n", "do not exist"),
        ("path,label\n../secret.png,normal\n", "points outside"),
        ("path,label\nnormal/000.png,dragon\n", "'dragon'"),
        ("path,label\n,normal\n", "names no file"),
    ],
)
def test_a_bad_manifest_is_refused(
    tmp_path: Path, make_images: MakeImages, text: str, says: str
) -> None:
    make_images(tmp_path, {"normal": 1})
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(DataRefused, match=says):
        read_dataset(tmp_path, PNEUMONIA)


def test_a_foreign_manifest_above_is_not_read(tmp_path: Path, make_images: MakeImages) -> None:
    (tmp_path / "manifest.csv").write_text("something,else\n1,2\n")
    data = read_dataset(make_images(tmp_path / "films", {"normal": 1}), PNEUMONIA)
    assert len(data.examples) == 1


def test_missing_empty_and_unknown_folders_are_refused(
    tmp_path: Path, make_images: MakeImages
) -> None:
    with pytest.raises(DataRefused, match="is not a folder"):
        read_dataset(tmp_path / "nowhere", PNEUMONIA)
    with pytest.raises(DataRefused, match="no files in class folders"):
        read_dataset(tmp_path, PNEUMONIA)
    make_images(tmp_path, {"normal": 1, "dragons": 1})
    with pytest.raises(DataRefused, match=r"'dragons'.*normal, pneumonia"):
        read_dataset(tmp_path, PNEUMONIA)
    with pytest.raises(DataRefused, match="does not exist"):
        read_dataset(tmp_path, PNEUMONIA, manifest=tmp_path / "none.csv")


def test_an_open_class_disease_has_no_folders(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="takes its classes from its artifact"):
        read_dataset(tmp_path, disease("everyday_object"))


def test_an_identical_image_on_two_sides_is_refused(
    tmp_path: Path, make_images: MakeImages
) -> None:
    counts = {"train/normal": 2, "train/pneumonia": 2, "val/normal": 2, "val/pneumonia": 2}
    make_images(tmp_path, counts)
    with_splits(read_dataset(tmp_path, PNEUMONIA))
    (tmp_path / "val/normal/copy.png").write_bytes((tmp_path / "train/normal/000.png").read_bytes())
    with pytest.raises(LeakageRefused, match=r"1 image\(s\) stand in two splits"):
        with_splits(read_dataset(tmp_path, PNEUMONIA))


def test_a_group_on_two_sides_is_refused(
    tmp_path: Path, make_images: MakeImages, write_manifest: WriteManifest
) -> None:
    make_images(tmp_path, {"normal": 2, "pneumonia": 2})
    write_manifest(
        tmp_path,
        [
            {"path": f"{name}/00{i}.png", "label": name, "split": split, "group_id": f"{name}"}
            for name in ("normal", "pneumonia")
            for i, split in enumerate(("train", "val"))
        ],
    )
    with pytest.raises(LeakageRefused, match="for example 'normal'"):
        with_splits(read_dataset(tmp_path, PNEUMONIA))


def test_a_foreign_manifest_beside_the_folders_is_not_read(
    tmp_path: Path, make_images: MakeImages
) -> None:
    make_images(tmp_path, {"normal": 2, "pneumonia": 3})
    (tmp_path / "manifest.csv").write_text("file,size\nnormal/000.png,3\n")
    assert read_dataset(tmp_path, PNEUMONIA).per_class() == {"normal": 2, "pneumonia": 3}
