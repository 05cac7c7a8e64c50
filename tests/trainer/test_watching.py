"""What a training run shows while it goes on, read over HTTP from the port that was set."""

import socket
from itertools import product
from pathlib import Path

import httpx
import pynvml
import pytest
from typer.testing import CliRunner

from tests.fixtures.exposition import value
from tests.fixtures.ports import free_port
from tests.trainer.conftest import MakeImages, train_eagerly
from trainer.cli import app
from trainer.refusals import TrainerRefused
from trainer.runtime import keras
from trainer.settings import Settings
from trainer.watching import measured

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
DISEASE = "chest_xray_pneumonia"


def shown(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text


def small_model() -> object:
    inputs = keras().layers.Input((4,))
    model = keras().Model(inputs, keras().layers.Dense(1)(inputs))
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def test_a_fit_shows_its_epoch_its_losses_and_its_pace(settings: Settings) -> None:
    port = free_port()
    seen: list[tuple[float, str]] = []

    class Look(keras().callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            seen.append((epoch, shown(port)))

    images, labels = keras().ops.zeros((8, 4)), keras().ops.ones((8, 1))
    with measured(settings.model_copy(update={"metrics_port": port})) as measure:
        history = small_model().fit(  # type: ignore[attr-defined]
            images, labels, validation_data=(images, labels), epochs=3, verbose=0,
            callbacks=[*measure(DISEASE, 8), Look()],
        ).history  # fmt: skip
        last = shown(port)
    assert [value(text, "sightline_training_epoch", disease=DISEASE) for _, text in seen] == [
        0, 1, 2,
    ]  # fmt: skip
    assert value(last, "sightline_training_epoch", disease=DISEASE) == 3
    for split, name in (("train", "loss"), ("val", "val_loss")):
        loss = value(last, "sightline_training_loss", disease=DISEASE, split=split)
        assert loss == pytest.approx(history[name][-1])
    assert value(last, "sightline_training_images_per_second", disease=DISEASE) > 0
    with pytest.raises(httpx.ConnectError):
        shown(port)


def test_without_a_port_nothing_listens_and_nothing_is_measured(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("something listens")

    monkeypatch.setattr(socket.socket, "listen", refused)
    with measured(settings) as measure:
        assert measure(DISEASE, 8) == ()


def test_a_port_that_is_taken_is_a_sentence(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(TrainerRefused, match=f"port {port}.*SIGHTLINE_TRAINER_METRICS_PORT"),
            measured(settings.model_copy(update={"metrics_port": port})),
        ):
            pass


def test_each_gpu_is_asked_when_somebody_looks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no GPU, NVIDIA's answers are stood in for; the real ones need its driver."""
    busy = [20, 70]

    class Rates:
        def __init__(self, gpu: int) -> None:
            self.gpu, self.used = busy[gpu], 1e9 * (gpu + 1)

    for name, answer in {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetUtilizationRates": Rates,
        "nvmlDeviceGetMemoryInfo": Rates,
    }.items():
        monkeypatch.setattr(pynvml, name, answer)
    port = free_port()
    with measured(settings.model_copy(update={"metrics_port": port})):
        for first in (20, 90):
            busy[0] = first
            text = shown(port)
            of = "sightline_training_gpu_utilisation_ratio"
            assert value(text, of, gpu="0") == first / 100
            assert value(text, of, gpu="1") == 0.7
            assert value(text, "sightline_training_gpu_memory_bytes", gpu="1") == 2e9


def test_train_shows_its_metrics_on_the_port_of_the_settings(
    make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command itself, looked at while it trains."""
    port, texts = free_port(), []
    train_eagerly(monkeypatch)
    monkeypatch.setenv("SIGHTLINE_TRAINER_METRICS_PORT", str(port))
    monkeypatch.setenv("SIGHTLINE_TRAINER_CACHE_DIR", str(tmp_path / "cache"))
    folders = product(("train", "val", "test"), ("NORMAL", "PNEUMONIA"))
    data = make_images(tmp_path / "films", {"/".join(one): 6 for one in folders})
    ends = keras().callbacks.CallbackList.on_epoch_end

    def look(self: object, epoch: int, logs: object = None) -> None:
        ends(self, epoch, logs)
        texts.append(shown(port))

    monkeypatch.setattr(keras().callbacks.CallbackList, "on_epoch_end", look)
    result = CliRunner().invoke(
        app,
        ["train", DISEASE, "--data", str(data), "--recipe", "cnn5", "--laptop", "--epochs", "2",
         "--licence", "Made for tests; CC0-1.0",
         "--out", str(tmp_path / "run")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    last = texts[-1]
    assert value(last, "sightline_training_epoch", disease=DISEASE) == 2
    assert value(last, "sightline_training_images_per_second", disease=DISEASE) > 0
    assert value(last, "process_resident_memory_bytes") > 1e8
    assert str(tmp_path) not in last
