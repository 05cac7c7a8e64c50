"""Fitting a gate from folders, measuring it, and putting it into a run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from diagnosis.artifacts import open_artifact
from diagnosis.catalogue import catalogue, disease
from tests.fixtures.artifacts import variant
from tests.fixtures.gates import LIMITS, blot, film, pictures
from tests.trainer.conftest import MakeImages
from trainer.candidate import RunRecord
from trainer.cli import app
from trainer.gate import Pictures, fit_gate, make_gate, measure_gate
from trainer.gate.acquisitions import ACQUISITIONS, acquired
from trainer.gate.images import OtherKind, other_kinds, photographs
from trainer.gate.synthetic import MADE, SPOILT, spoils_of
from trainer.metrics.shares import share
from trainer.refusals import ArtifactMissing, DataRefused
from trainer.settings import Settings

pytestmark = pytest.mark.xdist_group("film-gate")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, make_images: MakeImages) -> Path:
    folder = tmp_path_factory.mktemp("data") / "films"
    counts = {"train/NORMAL": 16, "train/PNEUMONIA": 16, "val/NORMAL": 8, "val/PNEUMONIA": 8}
    return make_images(folder, counts)


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two kinds, one of them with splits, and of things that are none."""
    root = tmp_path_factory.mktemp("others")
    for number in range(18):
        split = "train" if number < 12 else "val"
        for kind in (f"skin_lesion/{split}/nv", "plain"):
            (root / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(blot(number)).save(root / kind / f"{number}.jpg")
    (root / "plain" / "notes.txt").write_text("no image")
    (root / "plain" / "broken.png").write_bytes(b"no image either")
    (root / "empty").mkdir()
    rng = np.random.default_rng(0)
    arrays = {
        f"{side}_images": rng.integers(0, 255, (count, 28, 28, 3)).astype(np.uint8)
        for side, count in (("train", 8), ("val", 4))
    }
    np.savez(root / "tinymnist.npz", **arrays)
    return root


def test_each_folder_is_a_kind_and_the_good_ones_is_none(others: Path) -> None:
    found = {one.id: one for one in other_kinds([others], Path("/elsewhere"), 100)}
    assert set(found) == {"skin_lesion", "plain", "tinymnist"}
    assert len(found["skin_lesion"].fitted) == 12
    assert len(found["skin_lesion"].held) == 6
    assert found["skin_lesion"].name == "skin photograph"
    assert found["plain"].name == ""
    assert len(found["plain"].fitted) + len(found["plain"].held) == 19
    assert len(found["plain"].held) > 2
    assert {one.group for one in found["plain"].fitted}.isdisjoint(
        one.group for one in found["plain"].held
    )
    assert (len(found["tinymnist"].fitted), len(found["tinymnist"].held)) == (8, 4)
    loaded = found["tinymnist"].held[0].load()
    assert loaded is not None
    assert loaded.shape == (28, 28, 3)
    rest = other_kinds([others], others / "skin_lesion" / "train", 5, without=["plain"])
    assert [(one.id, len(one.fitted)) for one in rest] == [("tinymnist", 5)]


def test_a_folder_without_kinds_is_refused(others: Path, tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="holds no folder"):
        other_kinds([tmp_path], Path("/elsewhere"), 10)
    with pytest.raises(DataRefused, match="is not a folder"):
        other_kinds([tmp_path / "missing"], Path("/elsewhere"), 10)
    with pytest.raises(DataRefused, match="Two folders"):
        other_kinds([others, others], Path("/elsewhere"), 10)


def test_photographs_are_of_the_wheels_and_in_parts() -> None:
    found = photographs()
    assert {"china.jpg", "astronaut.png"} <= {one.group for one in found}
    assert len(found) == 10 * len({one.group for one in found})


@pytest.mark.parametrize("name", [*ACQUISITIONS, *SPOILT])
def test_a_change_gives_an_image_and_keeps_its_argument(name: str) -> None:
    change = (ACQUISITIONS | SPOILT)[name]
    for pixels in (film(1), blot(1), film(1)[:16, :16]):
        before = pixels.copy()
        changed = change(pixels, np.random.default_rng(1))
        assert changed.dtype == np.uint8
        assert min(changed.shape[:2]) >= 12
        assert changed.shape[2:] in {(), (3,)}
        assert (pixels == before).all()


@pytest.mark.parametrize("name", MADE)
def test_synthetic_images_differ_and_come_again(name: str) -> None:
    first, same, other = (MADE[name](np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == same).all()
    assert first.shape != other.shape or (first != other).any()
    acquired(first, np.random.default_rng(0))


def test_only_what_changes_the_meaning_is_made_wrong() -> None:
    ways = {one.id: spoils_of(one, in_colour=False) for one in catalogue().values()}
    assert {"inverted", "turned", "upside_down"} <= set(ways["chest_xray_pneumonia"])
    assert {"turned", "upside_down"}.isdisjoint(ways["skin_lesion"])
    # A fundus photograph may be flipped top to bottom; turned by a quarter it may not be.
    assert "turned" in ways["diabetic_retinopathy"]
    assert "upside_down" not in ways["diabetic_retinopathy"]


def test_an_interval_counts_groups() -> None:
    refused = np.array([True] * 5 + [False] * 95)
    wide = share(refused, ["a", "b"] * 50)
    narrow = share(refused, [str(one) for one in range(100)])
    assert wide.value == narrow.value == 0.05
    assert wide.low < narrow.low < 0.05 < narrow.high < wide.high
    assert narrow.low == pytest.approx(0.0215, abs=5e-4)
    assert narrow.high == pytest.approx(0.1118, abs=5e-4)
    assert share(np.array([True] * 10), [str(one) for one in range(10)]).high == 1.0


def test_without_other_images_a_gate_is_fitted_to_synthetic_ones_and_says_so() -> None:
    made = make_gate(
        disease("skin_lesion"),
        Pictures(pictures(blot, range(24)), pictures(blot, range(100, 110))),
        described="made blots",
        limits=LIMITS,
    )
    assert "no real image of another kind" in made.gate.fitted_on
    assert not made.gate.posture
    assert made.gate.spoils == ("inverted",)


def test_the_good_images_under_another_name_are_no_other_kind() -> None:
    good = pictures(blot, range(24))
    told: list[str] = []
    made = make_gate(
        disease("skin_lesion"),
        Pictures(good, pictures(blot, range(100, 110))),
        [
            OtherKind("copies", "", good[::3], pictures(blot, range(300, 304))),
            OtherKind("more_skin", "skin photograph", pictures(film, range(8)), ()),
            OtherKind("films", "", pictures(film, range(8)), pictures(film, range(8, 12))),
        ],
        described="made blots",
        limits=LIMITS,
        log=told.append,
    )
    assert {"films"} == {one.id for one in made.gate.kinds} & {"copies", "more_skin", "films"}
    assert "copies" not in made.gate.fitted_on
    assert not {"copies", "more_skin"} & {one.kind for one in made.gate.checks}
    assert sum("is passed over" in line for line in told) == 2


def test_too_few_good_images_give_no_gate() -> None:
    few = pictures(film, range(3))
    with pytest.raises(DataRefused, match="at least a few"):
        make_gate(disease("chest_xray_pneumonia"), Pictures(few, few), described="x", limits=LIMITS)


def test_a_run_gets_a_gate_and_another_one(
    tiny_artifact: Path,
    films: Path,
    others: Path,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = variant(tiny_artifact, tmp_path / "run")
    with pytest.raises(ArtifactMissing, match="not the folder of a run"):
        fit_gate(folder, films, [others], settings, limits=LIMITS)
    RunRecord(data=str(films), manifest=None, recipe="tiny", seed=0, val=()).write(folder)
    with pytest.raises(ArtifactMissing, match="no gate"):
        measure_gate(open_artifact(folder), films, [others], settings, limits=LIMITS)
    made = fit_gate(folder, films, [others], settings, limits=LIMITS, without=["tinymnist"])
    artifact = open_artifact(folder)
    assert artifact.card.gate == made
    assert {one.id for one in made.kinds} >= {"skin_lesion", "plain", "noise", "inverted"}
    by_kind = {one.kind: one for one in made.checks}
    assert by_kind["good images"].images == 16
    assert by_kind["skin_lesion"].refused.value == 1.0
    assert by_kind["skin_lesion"].fitted
    assert by_kind["demo images"].good

    measured = measure_gate(
        artifact, films, [others], settings, limits=LIMITS, without=["tinymnist"]
    )
    again = {one.kind: one for one in measured}
    assert again["good images"] == by_kind["good images"]
    assert not again["natural photographs"].fitted
    assert again["natural photographs"].refused.value > 0.9

    for name, value in (("CACHE", settings.cache_dir), ("MODELS", settings.models_dir)):
        monkeypatch.setenv(f"SIGHTLINE_TRAINER_{name}_DIR", str(value))
    old = artifact.card.files.gate
    called = CliRunner().invoke(
        app,
        ["gate", str(folder), "--data", str(films), "--laptop", "--others", str(others)],
    )
    assert called.exit_code == 0, called.output
    assert "good images" in called.output
    after = open_artifact(folder)
    assert after.card.files.gate != old
    assert [one.name for one in folder.glob("gate-*")] == [after.card.files.gate.name]  # type: ignore[union-attr]


def test_each_kind_is_left_out_once(films: Path, make_images: Callable[..., Path]) -> None:
    kinds = other_kinds([films.parent], Path("/elsewhere"), 8)
    assert [one.id for one in kinds] == ["films"]
    made = make_gate(
        disease("skin_lesion"),
        Pictures(pictures(blot, range(24)), pictures(blot, range(100, 108))),
        kinds,
        described="made blots",
        limits=type(LIMITS)(good=24, other=8, made=8, times=1),
    )
    out = [one.kind for one in made.gate.checks if not one.fitted and not one.good]
    assert {"natural photographs", "films", *MADE} <= set(out)
    assert len(out) == len(set(out))
