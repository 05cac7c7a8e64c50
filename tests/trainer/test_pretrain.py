"""A start from images without labels: never from a test split, resumable, and taken up by train."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from diagnosis.artifacts.card import Input
from diagnosis.catalogue import disease
from tests.trainer.conftest import MakeImages, train_eagerly
from trainer import vicreg
from trainer.cli import app
from trainer.pretrain import PretrainRequest, pretrain
from trainer.recipes import Built, Order, load
from trainer.refusals import DataRefused, RecipeRefused, TrainerRefused
from trainer.run import Watch
from trainer.runtime import keras
from trainer.settings import Settings
from trainer.start import backbone, load_start, save_start
from trainer.unlabelled import unlabelled
from trainer.views import cropped

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CHEST = disease("chest_xray_pneumonia")
RECIPE = load("cnn5", CHEST, laptop=True)


def network() -> Built:
    keras().utils.set_random_seed(0)
    return RECIPE.build(Order(RECIPE.input, 2, None))


def test_images_of_a_test_split_are_never_among_the_unlabelled(
    tmp_path: Path, make_images: MakeImages
) -> None:
    root = make_images(tmp_path / "tree", {"a/train/x": 3, "a/Test/x": 2, "loose": 4})
    # A copy of a test image elsewhere, and a copy of a training image.
    (root / "loose/copy.png").write_bytes((root / "a/Test/x/000.png").read_bytes())
    (root / "loose/same.png").write_bytes((root / "a/train/x/000.png").read_bytes())
    make_images(root, {"b": 4}, start=500)
    rows = [("000", "train", "p"), ("001", "test", "q"), ("002", "train", "q"), ("003", "val", "r")]
    lines = [f"{name}.png,normal,{split},{group}" for name, split, group in rows]
    (root / "b/manifest.csv").write_text("\n".join(["path,label,split,group_id", *lines]))
    found, left_out = unlabelled(root)
    names = [str(one.path.relative_to(root)) for one in found if one.path.suffix == ".png"]
    assert names == [
        *(f"a/train/x/00{n}.png" for n in range(3)),
        "b/000.png",
        "b/003.png",
        *(f"loose/00{n}.png" for n in range(4)),
    ]
    assert left_out == 2 + 1 + 2
    assert len(unlabelled(root, but=[found[0].digest])[0]) == len(found) - 1
    with pytest.raises(DataRefused, match="is a test split"):
        unlabelled(root / "a/Test")


def test_a_crop_shows_a_part_and_keeps_the_shape() -> None:
    ramp = np.tile(np.arange(40, dtype=np.float32), (30, 1))[..., np.newaxis]
    crops = [cropped(ramp, np.random.default_rng(seed)) for seed in range(20)]
    assert {one.shape for one in crops} == {(30, 40, 1)}
    assert all(one.min() >= 0 and one.max() <= 39 for one in crops)
    spans = [float(one.max() - one.min()) for one in crops]
    assert min(spans) > 0.5 * 39
    assert len({round(span, 2) for span in spans}) > 10


def test_the_loss_is_least_for_features_that_agree_vary_and_differ_from_each_other() -> None:
    random = np.random.default_rng(0)
    good, _ = np.linalg.qr(random.normal(0, 1, (64, 8)))
    good = (good - good.mean(axis=0)) * 8 * 1.2
    collapsed = np.zeros((64, 8))
    repeated = np.repeat(good[:, :1], 8, axis=1)
    disagreeing = random.normal(0, 1.2, (64, 8))

    def loss(one: Any, other: Any) -> float:
        return float(vicreg.loss(*(np.asarray(side, np.float32) for side in (one, other))))

    least = loss(good, good)
    assert least < 3
    for one, other in ((collapsed, collapsed), (repeated, repeated), (good, disagreeing)):
        assert loss(one, other) > least + 5


def test_pairs_are_trained_in_a_graph_too() -> None:
    """All other tests here train eagerly, where a batch's size is a plain number."""
    inputs = keras().layers.Input((6, 6, 1))
    body = keras().Model(inputs, keras().layers.Flatten()(inputs))
    model = vicreg.network(body, width=4)
    model.compile("sgd")
    pairs = np.random.default_rng(0).normal(0, 1, (8, 2, 6, 6, 1)).astype(np.float32)
    history = model.fit(pairs, np.zeros((8, 1)), epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.fixture
def request_(
    tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> PretrainRequest:
    train_eagerly(monkeypatch)
    tree = make_images(tmp_path / "tree", {"any": 16, "test/any": 2})
    return PretrainRequest(CHEST.id, tree, "cnn5", tmp_path / "start.h5", epochs=3, laptop=True)


class Killed(Exception):
    """Stands for a kill: nothing of ours catches it."""


def test_a_start_is_learned_resumed_and_loaded(
    tmp_path: Path, request_: PretrainRequest, settings: Settings
) -> None:
    seen: list[int] = []

    def callbacks(_name: str, _epochs: int) -> Sequence[Any]:
        class Noting(keras().callbacks.Callback):  # type: ignore[misc]
            def on_epoch_begin(self, epoch: int, _logs: Any = None) -> None:
                seen.append(epoch)
                if len(seen) == 3:
                    raise Killed

        return [Noting()]

    unbroken = pretrain(replace(request_, out=tmp_path / "whole.h5"), settings)
    with pytest.raises(Killed):
        pretrain(request_, settings, Watch(callbacks=callbacks))
    assert not request_.out.exists()
    done = pretrain(request_, settings, Watch(callbacks=callbacks))
    assert seen == [0, 1, 2, 2]
    assert (done.images, done.left_out, len(done.losses)) == (16, 2, 3)
    assert done.losses == unbroken.losses
    assert not list(tmp_path.glob("*.partial"))
    random, started = network(), network()
    assert load_start(started, done.file) == 11
    whole = network()
    load_start(whole, unbroken.file)
    for name in ("conv1", "norm5", "features"):
        before, after, same = (
            one.model.get_layer(name).get_weights() for one in (random, started, whole)
        )
        assert all(np.abs(b - a).max() > 0 for b, a in zip(before, after, strict=True)), name
        assert all(np.array_equal(a, s) for a, s in zip(after, same, strict=True)), name
    heads = [one.model.get_layer("head").get_weights()[0] for one in (random, started)]
    assert np.array_equal(*heads)


def test_a_start_of_another_network_is_refused(tmp_path: Path) -> None:
    save_start(backbone(network()), tmp_path / "start.h5", {"recipe": "cnn5"})
    other = load("cnn5", CHEST).build(Order(Input(height=48, width=48, channels=3), 2, None))
    with pytest.raises(RecipeRefused, match="does not fit conv1"):
        load_start(other, tmp_path / "start.h5")
    (tmp_path / "text.h5").write_text("no weights")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    for name, sentence in (
        ("text.h5", "no file that `trainer pretrain` wrote"),
        ("empty.h5", "no file that `trainer pretrain` wrote"),
        ("none.h5", "does not exist"),
    ):
        with pytest.raises(RecipeRefused, match=sentence):
            load_start(other, tmp_path / name)


def test_the_command_reports_the_gain_and_keeps_the_probes_images_out(
    tmp_path: Path,
    request_: PretrainRequest,
    make_images: MakeImages,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(tmp_path / "cache"))
    sizes = {"train": 8, "val": 6}
    counts = {f"probe/{side}/{one}": n for side, n in sizes.items() for one in CHEST.class_ids}
    make_images(request_.images, counts, start=300)
    words = [
        "pretrain", "--images", request_.images, "--disease", CHEST.id, "--recipe", "cnn5",
        "--out", request_.out, "--epochs", 1, "--laptop", "--probe", request_.images / "probe",
        "--json",
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(one) for one in words])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["images"], found["left_out"]) == (16 + 16, 2 + 12)
    for when in ("before", "after"):
        assert (found[when]["train"], found[when]["val"]) == (16, 12)
        auc = found[when]["auc"]
        assert 0 <= auc["low"] <= auc["value"] <= auc["high"] <= 1
    again = CliRunner().invoke(app, [str(one) for one in words])
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_too_few_images_are_refused_and_leave_nothing(
    request_: PretrainRequest, settings: Settings, tmp_path: Path, make_images: MakeImages
) -> None:
    few = make_images(tmp_path / "few", {"any": 3})
    for images, sentence in ((few, "at least 16"), (tmp_path / "none", "not a folder")):
        with pytest.raises(TrainerRefused, match=sentence):
            pretrain(replace(request_, images=images), settings)
    assert not list(tmp_path.glob("start*"))
