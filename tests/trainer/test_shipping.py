"""What ships and how it is made: the list is whole, and one artifact is made, in small."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from diagnosis.artifacts import Registry
from diagnosis.catalogue import catalogue
from tests.fixtures.artifacts import variant
from tests.trainer.conftest import MakeImages, train_eagerly
from trainer.cli import app
from trainer.recipes import load
from trainer.run import Watch
from trainer.settings import PROJECT, Settings
from trainer.shipping import FACTS, Shipped, beside, compare, home, make, shipped

DISEASE = "chest_xray_pneumonia"

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


def test_an_artifact_is_made_and_compared_with_what_ships(
    make_images: MakeImages, tiny_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hardest kind: from a self-supervised start on the same images, for the bundle."""
    train_eagerly(monkeypatch)
    data, out, models = tmp_path / "data", tmp_path / "out", tmp_path / "models"
    counts = {"train/NORMAL": 24, "train/PNEUMONIA": 24, "val/NORMAL": 16, "val/PNEUMONIA": 16}
    make_images(data / "films", counts)
    random = np.random.default_rng(1)
    (data / "photographs").mkdir()
    for number in range(20):
        pixels = random.integers(0, 256, (28, 28, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(data / f"photographs/{number}.png")
    variant(tiny_artifact, models / DISEASE / "1", version="1")
    settings = Settings(models_dir=models, cache_dir=tmp_path / "cache")
    said: list[str] = []
    watch = Watch(log=said.append)
    one = Shipped(
        disease=DISEASE,
        data="films",
        about="kermany_2018.toml",
        recipe="cnn5",
        bundled=True,
        pretraining=3,
    )
    card = make(one, data, out, settings, watch, laptop=True)
    assert any("linear probe" in sentence for sentence in said)
    assert (out / f"{DISEASE}-cnn5.start.h5").is_file()
    assert card.version == "2"
    assert card.half_precision_storage is not None
    assert card.gate is not None
    assert make(one, data, out, settings, watch, laptop=True).created_at == card.created_at
    assert home(one, out).versions(DISEASE) == ("2",)
    assert Registry(out / "registry").versions(DISEASE) == ()

    rows = {row.figure: row for row in compare(card, out / "bundle")}
    assert set(rows) == {"auc", "balanced_accuracy", "accuracy", "ece"}
    assert rows["auc"].made is not None
    assert rows["auc"].made == rows["auc"].shipped
    found = beside(one, data, out, settings, watch)
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
