"""A fit that was cut short goes on from its last epoch, with the result of an unbroken one."""

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnosis.catalogue import disease
from tests.trainer.conftest import MakeImages, train_eagerly
from tests.trainer.test_fitting import recipe_of, small_network
from trainer.augment import Augmenter
from trainer.checkpoints import Checkpoints
from trainer.data import read_dataset
from trainer.fitting import Task, fit
from trainer.pixels import PixelStore
from trainer.recipes import Built, Descent, load
from trainer.refusals import CheckpointRefused, RecipeRefused, TrainerRefused
from trainer.runtime import keras
from trainer.workplace import workplace

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CHEST = disease("chest_xray_pneumonia")
FIRST = Descent("first", epochs=2, learning_rate=1e-2, patience=9)
SECOND = Descent(
    "second", epochs=4, learning_rate=1e-2, patience=9, average=0.9, tether=1e-2, warmup=0.2
)
RECIPE = recipe_of(FIRST, SECOND)


class Killed(Exception):
    """Stands for a kill: nothing of ours catches it."""


@pytest.fixture
def task(tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch) -> Task:
    train_eagerly(monkeypatch)
    counts = {f"{s}/{c}": n for s, n in (("train", 5), ("val", 2)) for c in CHEST.class_ids}
    data = read_dataset(make_images(tmp_path / "films", counts), CHEST)
    store = PixelStore(tmp_path / "cache", load("cnn5", CHEST, laptop=True).preprocessing)
    store.prepare(data)
    return Task(
        train=data.of("train").examples,
        val=data.of("val").examples,
        class_ids=CHEST.class_ids,
        store=store,
        augmenter=Augmenter(CHEST, ("rotate", "brightness")),
        seed=3,
        family_of=lambda _: "one",
    )


def network() -> Built:
    """A network with dropout, so that its random state counts too."""
    keras().utils.set_random_seed(3)
    layers = keras().layers
    inputs = layers.Input((48, 48, 1))
    value = layers.Conv2D(2, 5, strides=4, name="conv")(inputs)
    value = layers.BatchNormalization(name="norm")(value)
    value = layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(value))
    return Built(keras().Model(inputs, layers.Dense(2, name="head")(value)))


def epochs_of(seen: list[tuple[str, int]], die_in: tuple[str, int] | None = None) -> Any:
    """Callbacks that note each epoch that begins, and end everything in one of them."""

    def callbacks(name: str, _epochs: int) -> Sequence[Any]:
        class Noting(keras().callbacks.Callback):  # type: ignore[misc]
            def on_epoch_begin(self, epoch: int, _logs: Any = None) -> None:
                seen.append((name, epoch))

            def on_train_batch_end(self, _batch: int, logs: Any = None) -> None:
                if die_in == seen[-1]:
                    raise Killed

        return [Noting()]

    return callbacks


ALL = [*(("first", n) for n in range(2)), *(("second", n) for n in range(4))]


@pytest.mark.parametrize("die_in", [("first", 1), ("second", 0), ("second", 2)])
def test_a_broken_fit_goes_on_and_ends_as_an_unbroken_one(
    die_in: tuple[str, int], task: Task, tmp_path: Path
) -> None:
    whole = network()
    unbroken = fit(RECIPE, whole, task)
    kept = Checkpoints(tmp_path / "fit")
    seen: list[tuple[str, int]] = []
    with pytest.raises(Killed):
        fit(
            RECIPE,
            network(),
            replace(task, checkpoints=kept, callbacks=epochs_of(seen, die_in)),
        )
    assert seen == ALL[: ALL.index(die_in) + 1]
    again: list[tuple[str, int]] = []
    resumed = network()
    history = fit(RECIPE, resumed, replace(task, checkpoints=kept, callbacks=epochs_of(again)))
    assert again == ALL[ALL.index(die_in) :]
    assert history == unbroken
    for one, other in zip(whole.model.weights, resumed.model.weights, strict=True):
        assert np.array_equal(one, other), one.path
    assert sorted(path.name for path in kept.folder.iterdir()) == ["phases.npz"]
    # All is done: nothing is run at all.
    again.clear()
    assert fit(RECIPE, network(), replace(task, checkpoints=kept, callbacks=epochs_of(again)))
    assert again == []


def test_the_metric_of_the_best_epoch_is_kept_with_the_history(task: Task) -> None:
    for best in ("val_auc", "val_balanced_accuracy"):
        phase = replace(FIRST, best=best, loss="focal", optimiser="nadam")
        history = fit(recipe_of(phase), network(), task)
        assert [set(one) >= {best} for one in history] == [True, True]
        assert all(0 <= one[best] <= 1 for one in history)


def test_checkpoints_of_another_network_are_refused(task: Task, tmp_path: Path) -> None:
    task = replace(task, checkpoints=Checkpoints(tmp_path / "fit"))
    fit(recipe_of(FIRST), network(), task)
    with pytest.raises(CheckpointRefused, match="of another network"):
        fit(recipe_of(FIRST), small_network(), task)


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file of this process may grow past `most` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_a_sentence_and_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path / "fit")
    kept.save("latest", {"epoch": 1}, [np.zeros(10)])
    with (
        full_disk(4000),
        pytest.raises(CheckpointRefused, match=r"could not be written.*Make room"),
    ):
        kept.save("latest", {"epoch": 2}, [np.zeros(10_000)])
    assert [path.name for path in kept.folder.iterdir()] == ["latest.npz"]
    saved = kept.read("latest")
    assert saved is not None
    assert (saved.state, len(saved.arrays[0])) == ({"epoch": 1}, 10)
    (kept.folder / "latest.npz").write_bytes(b"PK half a file")
    with pytest.raises(CheckpointRefused, match="remove"):
        kept.read("latest")


def test_a_work_folder_belongs_to_one_request_and_one_process(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(RecipeRefused), workplace(out, "a"):
        raise RecipeRefused("before anything was kept")
    assert not list(tmp_path.iterdir())
    with workplace(out, "a") as place:
        place.checkpoints("whole").save("latest", {}, [])
        with pytest.raises(TrainerRefused, match="Another process"), workplace(out, "a"):
            pass
    with pytest.raises(TrainerRefused, match="another request"), workplace(out, "b"):
        pass
    with pytest.raises(TrainerRefused, match="no unfinished run"):
        workplace(tmp_path / "other", "b", resume=True).__enter__()
    with workplace(tmp_path / "other", "a", resume=True) as found:
        assert found.has_checkpoints
        found.finish(lambda folder: (folder / "card.json").touch())
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    with pytest.raises(TrainerRefused, match="exists already"), workplace(out, "a"):
        pass
