"""SqueezeNet with left-out families, from the command to the card, on made images."""

import csv
import itertools
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from diagnosis.artifacts import open_artifact
from diagnosis.judgement import softmax
from tests.trainer.conftest import MakeImages, train_eagerly
from trainer import demo
from trainer.backbones import squeezenet
from trainer.calibration import Selection, thresholds
from trainer.cli import app
from trainer.data import Example
from trainer.engine import load_keras
from trainer.transfer import Held, pooled

pytestmark = [
    pytest.mark.xdist_group("trainer-transfer"),
    # TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
FAMILIES = {"NORMAL": ("IM", "NORMAL2-IM"), "PNEUMONIA": ("bacteria", "virus")}
ABOUT = """
dataset = "Made films"
licence = "CC0, made"
[families]
second = "^NORMAL2-IM"
first = "^IM"
bacterial = "bacteria"
viral = "virus"
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, make_images: MakeImages) -> Path:
    root = tmp_path_factory.mktemp("families")
    make_images(root, {f"{s}/{c}": n for s, n in (("train", 12), ("val", 8)) for c in FAMILIES})
    for folder in root.glob("*/*"):
        for path, family in zip(
            sorted(folder.iterdir()), itertools.cycle(FAMILIES[folder.name]), strict=False
        ):
            path.rename(folder / f"{family}-{path.name}")
    (root / "about.toml").write_text(ABOUT)
    return root


@pytest.fixture(scope="module")
def run(films: Path, weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A candidate of the command, trained once for all tests of this module."""
    home = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(home / "cache"))
        train_eagerly(patch)
        patch.setattr(demo, "_TRIES", 6)
        # Relative, as a person types it.
        patch.chdir(films.parent)
        result = CliRunner().invoke(
            app,
            [
                "train", "chest_xray_pneumonia", "--data", films.name, "--laptop",
                "--recipe", "squeezenet_transfer", "--weights", str(weights_file),
                "--leave-families-out", "--out", str(home / "run"),
            ],
        )  # fmt: skip
    assert result.exit_code == 0, result.output
    maps = [line for line in result.stderr.splitlines() if line.startswith("Maps at pool5")]
    # Made in the first fit for all that follow, but for what it left out.
    assert sum(int(line.split()[4]) for line in maps) == 2 * 24 + 16
    return home / "run"


def test_every_choice_of_families_is_measured_on_the_card(run: Path) -> None:
    card = open_artifact(run).card
    left_out = [one.dataset for one in card.transfer]
    assert left_out == [
        f"Made films: {normal} + {ill}, left out of training"
        for normal in ("first", "second")
        for ill in ("bacterial", "viral")
    ]
    for one in card.transfer:
        assert one.per_class == {"normal": 6, "pneumonia": 6}
        assert {"auc", "sensitivity", "specificity", "balanced_accuracy"} <= set(one.figures)
    assert card.training.images == 24
    assert card.evaluation.images == 16
    assert "MIT" in card.training.backbone


def test_thresholds_come_from_left_out_families_and_their_figures_from_validation(
    run: Path,
) -> None:
    card = open_artifact(run).card
    with (run / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert Counter(row["set"].split(":")[0] for row in rows) == {"val": 16, "left out": 48}
    val = [row for row in rows if row["set"] == "val"]
    logits = np.array([[float(row["logit_normal"]), float(row["logit_pneumonia"])] for row in val])
    called = softmax(logits, card.calibration.temperature)[:, 1]
    ill = np.array([row["class"] == "pneumonia" for row in val])
    for point in card.operating_points:
        assert "left-out acquisition families, altered" in point.chosen_by
        assert "measured on the validation images" in point.chosen_by
        assert point.sensitivity.value == pytest.approx((called[ill] >= point.threshold).mean())
        assert point.specificity.value == pytest.approx((called[~ill] < point.threshold).mean())
    by_validation = thresholds(Selection(called, ill, np.ones(len(val)), "validation"))
    assert {one.name: one.threshold for one in card.operating_points} != by_validation


def test_frozen_layers_kept_their_weights_and_the_later_ones_changed(
    run: Path, weights_file: Path
) -> None:
    model = load_keras(open_artifact(run).keras)
    before = squeezenet.read_weights(weights_file)
    for name, (kernel, bias) in before.items():
        now_kernel, now_bias = model.get_layer(name).get_weights()
        if name == "conv1":
            # The means are folded in, and a film has one channel.
            assert np.allclose(now_kernel, kernel.sum(axis=2, keepdims=True))
        elif int(name[4]) < 6:
            assert np.array_equal(now_kernel, kernel)
            assert np.array_equal(now_bias, bias)
        else:
            assert not np.array_equal(now_kernel, kernel)
            assert np.abs(now_kernel - kernel).max() < 0.1, "gently"


def test_a_run_of_a_relative_folder_can_be_measured_again_from_anywhere(
    run: Path, films: Path
) -> None:
    record = json.loads((run / "run.json").read_text())
    assert record["data"] == str(films)
    assert len(record["val"]) == 16
    assert all(Path(one).is_absolute() and Path(one).is_file() for one in record["val"])


def test_every_class_and_family_weighs_the_same_and_the_altered_copies_decide() -> None:
    def held(name: str, class_id: str, family: str, count: int) -> Held:
        logits = np.tile([1.0, 2.0], (count, 1))
        examples = tuple(
            Example(Path(f"{family}-{i}"), class_id, f"{family}{i}", f"{family}{i}")
            for i in range(count)
        )
        return Held(name, examples, -logits, logits)

    parts = [held("a", "n", "one", 2), held("b", "n", "two", 6), held("c", "p", "three", 4)]
    found = pooled(parts, ("n", "p"), "p", 0.5, lambda one: one.path.name.split("-")[0])
    assert found.probability == pytest.approx(np.full(12, softmax(np.array([[1, 2]]), 0.5)[0, 1]))
    assert found.positive.tolist() == [False] * 8 + [True] * 4
    sums = [found.weights[:2].sum(), found.weights[2:8].sum(), found.weights[8:].sum()]
    assert sums == pytest.approx([3, 3, 6])
