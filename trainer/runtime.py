"""The machine-learning runtimes, made quiet: no telemetry, no log noise, a fixed precision.

Every module of the trainer that needs OpenVINO gets it here, so that its telemetry is off before
the first import. Keras is told nothing but to keep TensorFlow's start-up lines to itself.
"""

import os
import sys
from typing import Any, Literal

Precision = Literal["f32", "bf16"]


def hush() -> None:
    """Switch OpenVINO's and NNCF's telemetry off, and TensorFlow's start-up log.

    OpenVINO's tools fall back to a stub that sends nothing where `openvino_telemetry` cannot be
    imported; a `None` in `sys.modules` makes it so for this process alone.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def openvino() -> Any:
    """The `openvino` module, with telemetry off."""
    hush()
    import openvino as ov

    return ov


def keras() -> Any:
    """The `keras` module on the backend that KERAS_BACKEND names (TensorFlow by default)."""
    hush()
    import keras as module

    return module
