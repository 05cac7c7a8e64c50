"""What there is decides precision and devices; JAX trains the same recipes, and survives a kill."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from diagnosis.catalogue import disease
from tests.trainer.conftest import MakeImages
from trainer.candidate import save_model
from trainer.engine import load_keras
from trainer.hardware import Plan, in_float32, plan, suited
from trainer.recipes import Order, load
from trainer.runtime import devices, keras

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
CHEST = disease("chest_xray_pneumonia")
#: Trains twice: in a fork that kills itself in the third epoch, then to the end. The fork is made
#: before JAX has any thread, and saves the second import.
CHILD = """
import json, os, signal, sys
from pathlib import Path
from trainer.candidate import save_model
from trainer.runtime import keras
from trainer.settings import Settings
from trainer.run import Request, Watch
from trainer.train import fit_all, prepare
from trainer.workplace import workplace
from trainer import hardware

data, out = Path(sys.argv[1]), Path(sys.argv[2])
assert keras().backend.backend() == "jax"
two = hardware.Plan("float32", 2, "Two devices.")
forked = os.fork()

def callbacks(name, epochs):
    class Ends(keras().callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            print("killed" if forked == 0 else "resumed", epoch, flush=True)
            if forked == 0 and epoch == 2:
                os.kill(os.getpid(), signal.SIGKILL)
    return [Ends()]

if forked:
    assert os.waitpid(forked, 0)[1] == signal.SIGKILL
    assert [one.name for one in out.parent.glob("run*")] == ["run.partial"]
request = Request(
    "chest_xray_pneumonia", data, "cnn5", out, laptop=True, licence="CC0", resume=bool(forked)
)
run = prepare(request, Settings(cache_dir=out.with_name("cache")), Watch(callbacks=callbacks))
with hardware.suited(chosen=two), workplace(out, run.digest, resume=request.resume) as place:
    fitted = fit_all(run, place)

    def write(folder):
        save_model(fitted.built.model, folder)
        (folder / "history.json").write_text(json.dumps(fitted.history))

    place.finish(write)
"""


@pytest.mark.parametrize(
    ("gpus", "backend", "capability", "expected"),
    [
        (0, "tensorflow", None, ("float32", 1)),
        (1, "tensorflow", 7.5, ("mixed_float16", 1)),
        (1, "jax", 9.0, ("mixed_bfloat16", 1)),
        (4, "jax", 8.0, ("mixed_bfloat16", 4)),
        (4, "tensorflow", 8.0, ("mixed_bfloat16", 1)),
        (1, "jax", None, ("mixed_float16", 1)),
    ],
)
def test_the_machine_decides(
    gpus: int, backend: str, capability: float | None, expected: tuple[str, int]
) -> None:
    found = plan(gpus, backend, capability)
    assert (found.policy, found.devices) == expected
    assert bool(found.note) == bool(gpus)
    assert ("KERAS_BACKEND=jax" in found.note) == (gpus > 1 and backend == "tensorflow")


def test_a_network_of_mixed_precision_is_handed_on_in_32_bit(tmp_path: Path) -> None:
    recipe = load("cnn5", CHEST, laptop=True)
    with suited(chosen=Plan("mixed_bfloat16", 1, "")):
        mixed = recipe.build(Order(recipe.input, 2, None))
        assert mixed.model.get_layer("conv1").compute_dtype == "bfloat16"
    assert keras().config.dtype_policy().name == "float32"
    assert devices() == 1
    plain = in_float32(mixed)
    save_model(plain.model, tmp_path)
    saved = load_keras((tmp_path / "model.keras").read_bytes())
    assert {one.dtype_policy.name for one in saved.layers} == {"float32"}
    for one, other in zip(mixed.model.get_weights(), saved.get_weights(), strict=True):
        assert np.array_equal(one, other)
    assert in_float32(plain) is plain


def test_jax_trains_the_same_recipes_goes_on_after_a_kill_and_shares_batches(
    tmp_path: Path, make_images: MakeImages
) -> None:
    sizes = {"train": 5, "val": 3}
    counts = {f"{side}/{one}": n for side, n in sizes.items() for one in CHEST.class_ids}
    data = make_images(tmp_path / "films", counts)
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        # Two devices of one CPU, as two GPUs would be; quick to compile, not to run.
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2 "
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    }

    command = [sys.executable, "-c", CHILD, str(data), str(tmp_path / "run")]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    said = ["killed 0", "killed 1", "killed 2", "resumed 2"]
    assert child.stdout.splitlines() == said
    assert [path.name for path in tmp_path.glob("run*")] == ["run"]
    history = json.loads((tmp_path / "run/history.json").read_text())
    assert [one["epoch"] for one in history] == [1, 2, 3]
    model = load_keras((tmp_path / "run/model.keras").read_bytes())
    assert {one.dtype_policy.name for one in model.layers} == {"float32"}
