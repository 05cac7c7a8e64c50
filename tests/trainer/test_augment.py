"""Augmentation changes what it may and nothing else."""

import csv
from collections import Counter
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from diagnosis import WARNING
from diagnosis.catalogue import Augmentation, catalogue, disease
from diagnosis.durable import replace_file
from tests.trainer.conftest import MakeImages
from trainer.about import read_about
from trainer.augment import Augmenter, usable, writing
from trainer.augment.policies import allowed_policies, policy_of
from trainer.cli import app
from trainer.data import read_dataset
from trainer.overrides import overridden
from trainer.recipes import load, names
from trainer.refusals import PolicyRefused, RecipeRefused
from trainer.soundness import refuse_unsound
from trainer.splits import with_splits

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


def test_a_policy_is_refused_where_the_catalogue_forbids_what_it_does() -> None:
    with pytest.raises(PolicyRefused, match=r"mirrors does flip_horizontal.*Policies for it: none"):
        policy_of("mirrors").for_disease(CHEST)
    with pytest.raises(PolicyRefused, match="colour does hue, saturation"):
        policy_of("colour").for_disease(CHEST)
    with pytest.raises(PolicyRefused, match="no policy 'mild'"):
        policy_of("mild")
    for one in catalogue().values():
        allowed = allowed_policies(one)
        assert {"none", "light", "strong", "devices", "allowed"} <= set(allowed)
        for name in allowed:
            assert set(policy_of(name).for_disease(one)) <= set(one.augmentations)


def test_a_recipe_can_name_a_policy_in_place_of_its_own_fields() -> None:
    own = load("cnn5", CHEST)
    assert own.changes(CHEST) == (own.augmentations, own.strength)
    assert "policy" not in own.for_card()
    named = overridden(own, ["policy=strong"])
    assert named.changes(CHEST) == (policy_of("strong").for_disease(CHEST), 1.5)
    assert named.for_card()["policy"] == "strong"
    assert named.for_card()["strength"] == 1.5
    refuse_unsound(named, CHEST, ["policy"])
    assert overridden(own, ["policy=none"]).changes(CHEST) == ((), 1.0)
    with pytest.raises(PolicyRefused, match="does not allow"):
        refuse_unsound(overridden(own, ["policy=colour"]), CHEST, ["policy"])
    with pytest.raises(RecipeRefused, match="not both"):
        refuse_unsound(named, CHEST, ["policy", "strength"])


@pytest.fixture
def films(tmp_path: Path, make_images: MakeImages) -> Path:
    """Three normal and six ill training films of two patients each, and a validation film each."""
    counts = {"train/normal": 3, "train/pneumonia": 6, "val/normal": 1, "val/pneumonia": 1}
    folder = make_images(tmp_path / "films", counts)
    rows = [
        {
            "path": str(one.relative_to(folder)), "label": one.parent.name,
            "split": one.parts[-3], "group_id": f"{one.parts[-3]}-{one.parent.name}-{number % 2}",
        }
        for number, one in enumerate(sorted(folder.rglob("*.png")))
    ]  # fmt: skip
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    (folder / "about.toml").write_text('dataset = "Made films"\nlicence = "CC0-1.0"\n')
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def wish(films: Path, **fields: object) -> list[object]:
    chosen = {"disease": CHEST.id, "policy": "light", "to": 8, "out": films.parent / "out"} | fields
    return ["augment", films, *(part for key, one in chosen.items() for part in (f"--{key}", one))]


def test_classes_are_filled_up_with_files_that_say_where_they_come_from(films: Path) -> None:
    result = call(*wish(films))
    assert result.exit_code == 0, result.output
    out = films.parent / "out"
    assert result.stdout.strip() == str(out)
    with (out / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["label"] for row in rows) == {"normal": 5, "pneumonia": 2}
    assert {row["split"] for row in rows} == {"train"}
    groups = {one.path: one.group for one in read_dataset(films, CHEST).examples}
    for row in rows:
        original = films / row["original"]
        # From the training split, with the original's group and name, and really changed.
        assert row["original"].startswith(f"train/{row['label']}/")
        assert row["group_id"] == groups[original]
        assert original.stem in row["path"]
        assert f"--{row['technique']}-{row['copy']}.png" in row["path"]
        assert row["technique"] in policy_of("light").for_disease(CHEST)
        before, after = (
            np.asarray(Image.open(one), float) for one in (original, out / row["path"])
        )
        assert before.shape == after.shape
        assert np.abs(before - after).max() > 1
    assert sorted(row["path"] for row in rows) == sorted(
        str(one.relative_to(out)) for one in out.rglob("*.png")
    )
    assert len({row["technique"] for row in rows}) > 2
    assert sorted(one.name for one in films.parent.iterdir()) == ["films", "out"]


def test_a_whole_folder_can_be_trained_on_and_keeps_groups_together(films: Path) -> None:
    result = call(*wish(films), "--whole")
    assert result.exit_code == 0, result.output
    data = read_dataset(films.parent / "out", CHEST)
    assert data.has_groups
    assert data.of("train").per_class() == {"normal": 8, "pneumonia": 8}
    assert data.of("val").per_class() == {"normal": 1, "pneumonia": 1}
    with_splits(data)
    groups = {split: {one.group for one in data.of(split).examples} for split in ("train", "val")}
    assert not groups["train"] & groups["val"]
    assert groups["train"] == {one.group for one in read_dataset(films, CHEST).of("train").examples}
    assert read_about(films.parent / "out", None).licence == "CC0-1.0"


def test_a_killed_call_goes_on_and_gives_the_same_files(
    films: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(*wish(films, out=films.parent / "first")).exit_code == 0
    made: list[object] = []

    def die(place: Path, content: bytes) -> None:
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(place)
        replace_file(place, content)

    monkeypatch.setattr(writing, "replace_file", die)
    monkeypatch.setenv("SIGHTLINE_TRAINER_WORKERS", "1")
    call(*wish(films))
    assert not (films.parent / "out").exists()
    (draft,) = films.parent.glob(".incoming-*")
    kept = {one: one.stat().st_mtime_ns for one in draft.rglob("*.png")}
    assert len(kept) == 3
    monkeypatch.setattr(writing, "replace_file", replace_file)
    assert call(*wish(films)).exit_code == 0
    out = films.parent / "out"
    for one, time in kept.items():
        assert (out / one.relative_to(draft)).stat().st_mtime_ns == time
    for one in sorted(out.rglob("*.*")):
        same = films.parent / "first" / one.relative_to(out)
        assert one.read_bytes() == same.read_bytes()
    assert sorted(one.name for one in films.parent.iterdir()) == ["films", "first", "out"]


BAD: dict[str, tuple[dict[str, object], str]] = {
    "forbidden policy": ({"policy": "mirrors"}, "does not allow"),
    "unknown policy": ({"policy": "mild"}, "no policy 'mild'"),
    "changes nothing": ({"policy": "none"}, "changes nothing"),
    "enough already": ({"to": 3}, "raise --to"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_augmented_gets_a_sentence_and_leaves_nothing(
    name: str, films: Path
) -> None:
    fields, sentence = BAD[name]
    result = call(*wish(films, **fields))
    assert (result.exit_code, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert [one.name for one in films.parent.iterdir()] == ["films"]


def test_existing_folders_and_data_without_splits_are_left_alone(
    films: Path, tmp_path: Path, make_images: MakeImages
) -> None:
    (tmp_path / "out").mkdir()
    assert "exists already" in call(*wish(films)).stderr
    assert not list((tmp_path / "out").iterdir())
    loose = make_images(tmp_path / "loose", {"normal": 2, "pneumonia": 2})
    result = call(*wish(loose, out=tmp_path / "other"))
    assert result.exit_code == 2
    assert "declares no training split" in result.stderr


def test_the_page_shows_each_allowed_policy_on_ten_images(films: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = call("show-policy", films, "--disease", CHEST.id, "--out", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert WARNING in text
    # Nine training films, or as many as there are techniques; no validation film is shown.
    techniques = [policy_of(name).for_disease(CHEST) for name in allowed_policies(CHEST)]
    assert text.count("<img ") == sum(max(9, len(one)) for one in techniques)
    assert text.count('src="data:image/png;base64,') == text.count("<img ")
    for name in allowed_policies(CHEST):
        assert f"<h2>{name}</h2>" in text
    assert "<h2>mirrors</h2>" not in text
    assert "border crop</b>" in text
    for outside in ("http:", "https:", "<script", "<link", "url("):
        assert outside not in text
    call("show-policy", films, "--disease", CHEST.id, "--policy", "devices", "--out", page)
    text = page.read_text()
    assert text.count("<section>") == 1
    assert all(f"<b>{name}</b>" in text for name in ("gamma", "noise", "blur", "jpeg"))
    refused = call("show-policy", films, "--disease", CHEST.id, "--policy", "colour", "--out", page)
    assert refused.exit_code == 2
    assert page.read_text() == text
