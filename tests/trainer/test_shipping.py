"""What ships and how it is made: the list is whole, and two artifacts are made again, in small."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from diagnosis.artifacts import Registry
from diagnosis.catalogue import catalogue
from tests.trainer.conftest import MakeImages, train_eagerly
from trainer.cli import app
from trainer.recipes import load
from trainer.run import Watch
from trainer.settings import PROJECT, Settings
from trainer.shipping import FACTS, Shipped, beside, compare, home, make, shipped

pytestmark = [
    pytest.mark.xdist_group("trainer-shipping"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def test_what_ships_is_what_the_list_makes() -> None:
    listed = {one.disease for one in shipped() if not one.bundled}
    assert listed == set(Registry(PROJECT / "models").diseases())
    for one in shipped():
        assert (FACTS / one.about).is_file()
        assert load(one.recipe, catalogue()[one.disease]).name == one.recipe


def test_the_shipped_artifacts_are_small_enough_to_be_tracked() -> None:
    files = [path for path in (PROJECT / "models").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20_000_000


def test_artifacts_are_made_again_and_compared(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compact one, and one for the bundle from a self-supervised start on the same images."""
    train_eagerly(monkeypatch)
    data, out = tmp_path / "data", tmp_path / "out"
    counts = {"train/NORMAL": 24, "train/PNEUMONIA": 24, "val/NORMAL": 16, "val/PNEUMONIA": 16}
    make_images(data / "films", counts)
    random = np.random.default_rng(1)
    (data / "photographs").mkdir()
    for number in range(20):
        pixels = random.integers(0, 256, (28, 28, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(data / f"photographs/{number}.png")
    # What this run makes is what ships.
    settings = Settings(models_dir=out / "registry", cache_dir=tmp_path / "cache")
    said: list[str] = []
    watch = Watch(log=said.append)
    compact = Shipped(
        disease="chest_xray_pneumonia", data="films", about="kermany_2018.toml", recipe="cnn5"
    )
    card = make(compact, data, out, settings, watch, laptop=True)
    assert card.half_precision_storage is not None
    assert card.gate is not None
    assert make(compact, data, out, settings, watch, laptop=True).created_at == card.created_at
    rows = {row.figure: row for row in compare(card, out / "registry")}
    assert set(rows) == {"auc", "balanced_accuracy", "accuracy", "ece"}
    assert rows["auc"].made is not None
    assert rows["auc"].made == rows["auc"].shipped

    large = compact.model_copy(update={"bundled": True, "pretraining": 3})
    assert make(large, data, out, settings, watch, laptop=True).version == "2"
    assert any("linear probe" in sentence for sentence in said)
    assert home(compact, out).versions(compact.disease) == ("1",)
    assert home(large, out).versions(compact.disease) == ("2",)
    assert (out / "chest_xray_pneumonia-cnn5.start.h5").is_file()
    found = beside(large, data, out, settings, watch)
    assert found is not None
    assert found.images == 32
    assert (found.a.card.version, found.b.card.version) == ("1", "2")


def test_missing_data_and_diseases_are_said(tmp_path: Path) -> None:
    def said(*words: str) -> str:
        result = CliRunner().invoke(app, ["train-all", *words])
        assert result.exit_code == 2
        return result.stderr

    assert "is not there" in said("--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert "ships" in said("--data", str(tmp_path), "--only", "malaria_cell")
    assert "SIGHTLINE_DATA" in said("--data", str(tmp_path / "nowhere"))
