"""Small made images: enough to train on in a second, never a real one."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from trainer.backbones import squeezenet
from trainer.cli import app
from trainer.runtime import keras
from trainer.settings import Settings

MakeImages = Callable[..., Path]


def made_film(seed: int, *, ill: bool, side: int = 72) -> Image.Image:
    """A grey picture with two dark ovals; an ill one has a bright spot in one of them."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    film = 170 + 20 * random.normal() + 25 * rows
    for middle in (-0.45, 0.45):
        film = film - 90 * np.exp(-(((columns - middle) / 0.3) ** 2 + (rows / 0.6) ** 2))
    if ill:
        x, y = random.choice([-0.45, 0.45]), random.uniform(-0.3, 0.3)
        film = film + 140 * np.exp(-(((columns - x) / 0.22) ** 2 + ((rows - y) / 0.25) ** 2))
    film = film + random.normal(0, 4, film.shape)
    return Image.fromarray(np.clip(film, 0, 255).astype(np.uint8))


@pytest.fixture(scope="session")
def make_images() -> MakeImages:
    """Writes `count` films a class; `counts` maps a folder such as `train/NORMAL` to a number."""

    def make(root: Path, counts: Mapping[str, int], *, start: int = 0) -> Path:
        seed = start
        for folder, count in counts.items():
            ill = "normal" not in folder.lower()
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                seed += 1
                made_film(seed, ill=ill).save(root / folder / f"{number:03}.png")
        return root

    return make


@pytest.fixture(scope="session")
def write_manifest() -> Callable[[Path, list[dict[str, str]]], Path]:
    """Writes `manifest.csv` into a folder."""

    def write(folder: Path, rows: list[dict[str, str]]) -> Path:
        path = folder / "manifest.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings that write nowhere but into the test's own folder."""
    return Settings(
        registry=str(tmp_path / "registry"),
        models_dir=tmp_path / "models",
        runs_dir=tmp_path / "runs",
        cache_dir=tmp_path / "cache",
    )


def train_eagerly(patch: pytest.MonkeyPatch) -> None:
    """No graphs: making them takes longer than a few steps on a few images."""
    patch.setattr(keras().Model, "run_eagerly", property(lambda _: True, lambda *_: None))


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file laid out as the published weights are, with random values."""
    path = tmp_path_factory.mktemp("weights") / "squeezenet.h5"
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name in sorted(squeezenet.layer_names()):
            shape = squeezenet._shape(name)
            group = name if name == "conv1" else f"{name[:5]}/{name[6:]}/{name[:5]}"
            scale = np.sqrt(2 / np.prod(shape[:3]))
            file[f"{group}/kernel"] = random.normal(0, scale, shape).astype(np.float32)
            file[f"{group}/bias"] = random.normal(0, 0.1, shape[-1:]).astype(np.float32)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a module's commands."""
    return tmp_path_factory.mktemp("trainer")


@pytest.fixture
def own_folders(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands write nowhere but below `home`."""
    monkeypatch.setenv("SIGHTLINE_TRAINER_REGISTRY", str(home / "registry"))
    for name in ("models", "runs", "cache"):
        monkeypatch.setenv(f"SIGHTLINE_TRAINER_{name.upper()}_DIR", str(home / name))


@pytest.fixture(scope="module")
def films(home: Path, make_images: MakeImages) -> Path:
    """Films in two classes and two splits, with their licence."""
    counts = {"train/NORMAL": 24, "train/PNEUMONIA": 36, "val/NORMAL": 16, "val/PNEUMONIA": 20}
    make_images(home / "films", counts)
    (home / "films/about.toml").write_text('dataset = "made films"\nlicence = "CC0, made"\n')
    return home / "films"


def call(*arguments: object) -> Result:
    """A command of `trainer`, as it is typed."""
    return CliRunner().invoke(app, [str(one) for one in arguments])
