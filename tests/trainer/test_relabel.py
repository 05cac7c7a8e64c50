"""Other labels for the same files, with their groups and splits kept."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from diagnosis.catalogue import disease
from tests.trainer.conftest import MakeImages
from trainer.cli import app
from trainer.data import read_dataset
from trainer.refusals import DataRefused
from trainer.relabel import relabel

TYPE = disease("chest_xray_pneumonia_type")
PATTERNS = ["bacterial=_bacteria_", "viral=_virus_", "normal=NORMAL/"]


@pytest.fixture
def films(tmp_path: Path, make_images: MakeImages, write_manifest: Callable[..., Path]) -> Path:
    """Films as the pneumonia set names them; the manifest stands above them."""
    data = tmp_path / "all" / "films"
    rows = []
    for split in ("train", "val"):
        make_images(data, {f"{split}/NORMAL": 1, f"{split}/PNEUMONIA": 2})
        for number, kind in enumerate(("bacteria", "virus")):
            old = data / split / "PNEUMONIA" / f"{number:03}.png"
            old.rename(old.with_name(f"{split}{number}_{kind}_1.png"))
        for path in sorted((data / split).rglob("*.png")):
            place = path.relative_to(tmp_path / "all").as_posix()
            rows.append(
                {
                    "path": place,
                    "label": path.parent.name,
                    "split": split,
                    "group_id": f"p {place}",
                    "sex": "F",
                }
            )
    write_manifest(tmp_path / "all", rows)
    return data


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_three_classes_come_from_the_names_with_groups_and_splits_kept(
    films: Path, tmp_path: Path
) -> None:
    out = tmp_path / "types.csv"
    command = ["relabel", str(films), "--disease", TYPE.id, "--out", str(out)]
    for one in PATTERNS:
        command += ["--pattern", one]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "train: bacterial 1" in result.output
    data = read_dataset(films, TYPE, manifest=out)
    assert data.has_groups
    assert not data.skipped
    assert all(one.facts == (("sex", "F"),) for one in data.examples)
    assert {(one.split, one.class_id, one.group) for one in data.examples} == {
        (split, class_id, f"p films/{split}/{folder}")
        for split in ("train", "val")
        for class_id, folder in (
            ("normal", "NORMAL/000.png"),
            ("bacterial", f"PNEUMONIA/{split}0_bacteria_1.png"),
            ("viral", f"PNEUMONIA/{split}1_virus_1.png"),
        )
    }
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 2
    assert "exists already" in again.output


@pytest.mark.parametrize("place", [".", "films", ".."])
def test_the_manifest_is_read_from_wherever_it_lies(films: Path, place: str) -> None:
    out = (films.parent / place / "types.csv").resolve()
    relabel(films, TYPE, PATTERNS, out)
    first = rows(out)[0]["path"]
    assert first.startswith({".": "films/", "films": "train/", "..": "all/films/"}[place])
    assert len(read_dataset(films, TYPE, manifest=out).examples) == 6


def test_files_without_a_manifest_keep_the_splits_of_their_folders(
    films: Path, tmp_path: Path
) -> None:
    (films.parent / "manifest.csv").unlink()
    relabel(films, TYPE, PATTERNS, tmp_path / "types.csv")
    assert "group_id" not in rows(tmp_path / "types.csv")[0]
    data = read_dataset(films, TYPE, manifest=tmp_path / "types.csv")
    assert data.splits == ("train", "val")
    assert not data.has_groups


def test_groups_are_named_by_the_path_where_no_manifest_names_them(
    films: Path, tmp_path: Path
) -> None:
    (films.parent / "manifest.csv").unlink()
    out = tmp_path / "types.csv"
    relabel(films, TYPE, PATTERNS, out, group=r"^(train|val)/.*?(\d+)")
    groups = {one.group for one in read_dataset(films, TYPE, manifest=out).examples}
    assert groups == {"train-000", "train-0", "train-1", "val-000", "val-0", "val-1"}
    with pytest.raises(DataRefused, match="which names the groups"):
        relabel(films, TYPE, PATTERNS, tmp_path / "other.csv", group="person")
    with pytest.raises(DataRefused, match="not a regular expression"):
        relabel(films, TYPE, PATTERNS, tmp_path / "other.csv", group="(")


@pytest.mark.parametrize(
    ("patterns", "says"),
    [
        (PATTERNS[:2], "no --pattern for normal"),
        ([*PATTERNS, "dragon=x"], "'dragon=x' is no pattern"),
        ([*PATTERNS, "viral=x"], "once for each"),
        ([*PATTERNS[:2], "normal"], "'normal' is no pattern"),
        ([*PATTERNS[:2], "normal=("], "not a regular expression"),
        ([*PATTERNS[:2], "normal=nothing"], "NORMAL/000.png matches none of the patterns"),
        ([*PATTERNS[:2], "normal=png"], "bacterial and normal"),
        (["bacterial=_bacteria_|virus", "viral=gone", "normal=NORMAL"], "No file .* viral"),
    ],
)
def test_what_is_ambiguous_is_refused_and_nothing_is_written(
    films: Path, tmp_path: Path, patterns: list[str], says: str
) -> None:
    with pytest.raises(DataRefused, match=says):
        relabel(films, TYPE, patterns, tmp_path / "types.csv")
    assert not (tmp_path / "types.csv").exists()
    with pytest.raises(DataRefused, match="not a folder"):
        relabel(films, TYPE, PATTERNS, tmp_path / "none" / "types.csv")
