"""What ships and how it is made: the list is whole, and one artifact is made again, in small."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from diagnosis.artifacts import Registry
from diagnosis.catalogue import catalogue
from tests.trainer.conftest import train_eagerly
from trainer.cli import app
from trainer.recipes import load
from trainer.run import Watch
from trainer.settings import PROJECT, Settings
from trainer.shipping import FACTS, compare, make, shipped

pytestmark = [
    pytest.mark.xdist_group("trainer-shipping"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def test_what_ships_is_what_the_list_makes() -> None:
    listed = {one.disease for one in shipped()}
    assert listed == set(Registry(PROJECT / "models").diseases())
    for one in shipped():
        assert (FACTS / one.about).is_file()
        assert load(one.recipe, catalogue()[one.disease]).name == one.recipe


def test_the_shipped_artifacts_are_small_enough_to_be_tracked() -> None:
    files = [path for path in (PROJECT / "models").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20_000_000


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28-pixel photographs in five grades, in the layout of the published file."""
    root = tmp_path_factory.mktemp("all")
    (root / "medmnist").mkdir()
    random = np.random.default_rng(1)
    arrays = {}
    for split, count in (("train", 40), ("val", 20)):
        grades = np.arange(count) % 5
        images = random.integers(0, 60, (count, 28, 28, 3)) + 30 * grades[:, None, None, None]
        arrays[f"{split}_images"] = images.astype(np.uint8)
        arrays[f"{split}_labels"] = grades[:, None].astype(np.uint8)
    np.savez(root / "medmnist/retinamnist.npz", **arrays)
    return root


def test_an_artifact_is_made_again_and_compared_with_its_card(
    photographs: Path, weights_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_eagerly(monkeypatch)
    settings = Settings(
        models_dir=tmp_path / "models", cache_dir=tmp_path / "cache", weights=weights_file
    )
    (one,) = shipped(["diabetic_retinopathy"])
    card = make(one, photographs, tmp_path / "out", settings, Watch(), laptop=True)
    assert card.disease == "diabetic_retinopathy"
    assert card.half_precision_storage is not None
    assert card.gate is not None
    again = make(one, photographs, tmp_path / "out", settings, Watch(), laptop=True)
    assert again.created_at == card.created_at
    rows = {row.figure: row for row in compare(card)}
    assert set(rows) == {"auc", "balanced_accuracy", "accuracy", "ece"}
    assert rows["auc"].made is not None
    assert rows["auc"].shipped is not None


def test_missing_data_and_diseases_are_said(tmp_path: Path) -> None:
    def said(*words: str) -> str:
        result = CliRunner().invoke(app, ["train-all", *words])
        assert result.exit_code == 2
        return result.stderr

    assert "is not there" in said("--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert "ships" in said("--data", str(tmp_path), "--only", "malaria_cell")
    assert "SIGHTLINE_DATA" in said("--data", str(tmp_path / "nowhere"))
