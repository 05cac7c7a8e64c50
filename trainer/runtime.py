"""The machine-learning runtimes, made quiet: no telemetry, no log noise, a fixed precision.

Every module of the trainer that needs OpenVINO gets it here, so that its telemetry is off before
the first import. Keras is told nothing but to keep TensorFlow's start-up lines to itself.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

Precision = Literal["f32", "bf16"]


def hush() -> None:
    """Switch the telemetry of OpenVINO, NNCF and Ray off, and TensorFlow's start-up log.

    The first two fall back to a stub that sends nothing where `openvino_telemetry` cannot be
    imported; a `None` in `sys.modules` makes it so for this process alone.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Ray counts who uses it, unless told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


def openvino() -> Any:
    """The `openvino` module, with telemetry off."""
    hush()
    import openvino as ov

    return ov


def nncf() -> Any:
    """The `nncf` module, with telemetry off: it looks for the same package as OpenVINO."""
    hush()
    import nncf as module

    return module


def keras() -> Any:
    """The `keras` module on the backend that KERAS_BACKEND names (TensorFlow by default)."""
    if "keras" in sys.modules:
        return sys.modules["keras"]
    hush()
    with _deaf():
        import keras as module

    return module


def exact_arithmetic() -> None:
    """Let a GPU multiply in full 32 bit: by itself it rounds the factors to 10 bits (TF32), and
    the same image would score otherwise than on a CPU."""
    backend = keras().backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(False)
    elif backend == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")  # type: ignore[no-untyped-call]
    elif backend == "torch":
        import torch

        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


def devices() -> int:
    """Among how many devices a batch is dealt; 1 unless `trainer.hardware` chose several."""
    distribution = keras().distribution.distribution()
    return 1 if distribution is None else int(np.prod(distribution.device_mesh.shape))


@contextmanager
def _deaf() -> Iterator[None]:
    """Drop what is written to standard error: TensorFlow's start-up lines heed no log level."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
