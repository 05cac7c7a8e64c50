"""Runs an artifact's network: the OpenVINO IR that is served, or the Keras model behind it.

Both are loaded from verified bytes. Outputs are raw logits, as the card says.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import VerifiedArtifact
from trainer import runtime
from trainer.refusals import PrecisionMissing
from trainer.runtime import Precision

Floats = NDArray[np.float32]
#: float32 (N, H, W, C) to float32 (N, classes).
Network = Callable[[Floats], Floats]
BATCH = 32


def open_network(artifact: VerifiedArtifact) -> tuple[Network, str]:
    """The network as it is served, and the name of what runs it: `openvino-f32` or `keras`."""
    if artifact.ir_xml is not None and artifact.ir_bin is not None:
        return compile_ir(artifact.ir_xml, artifact.ir_bin, "f32"), "openvino-f32"
    return keras_network(load_keras(artifact.keras)), "keras"


def load_keras(data: bytes) -> Any:
    """A Keras model from the bytes of a `.keras` file that was inspected.

    Keras reads from a path alone, so the bytes lie in a private folder while it does.
    """
    with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data)
        return runtime.keras().saving.load_model(path, compile=False, safe_mode=True)


def keras_network(model: Any) -> Network:
    """A Keras model as a network: inference mode, batches of 32."""
    ops = runtime.keras().ops

    def run(inputs: Floats) -> Floats:
        parts = [
            np.asarray(
                ops.convert_to_numpy(model(inputs[start : start + BATCH], training=False)),
                np.float32,
            )
            for start in range(0, len(inputs), BATCH)
        ]
        return np.concatenate(parts)

    return run


def compile_ir(xml: bytes, weights: bytes, precision: Precision) -> Network:
    """An OpenVINO IR on this machine's processor, at a stated precision, batches of 32.

    Raises:
        PrecisionMissing: the processor lacks that precision. OpenVINO takes the wish for a hint:
            without AVX-512 it computes at f32 and says so only when asked.
    """
    ov = runtime.openvino()
    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(model=xml, weights=weights),
        "CPU",
        {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 1},
    )
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if taken != precision:
        raise PrecisionMissing(f"This processor does not compute at {precision}.")
    request = compiled.create_infer_request()

    def run(inputs: Floats) -> Floats:
        parts = [
            np.array(request.infer([inputs[start : start + BATCH]])[compiled.output(0)])
            for start in range(0, len(inputs), BATCH)
        ]
        return np.concatenate(parts).astype(np.float32)

    return run


def run_in_blocks(network: Network, inputs: Callable[[int, int], Floats], count: int) -> Floats:
    """Outputs for `count` images whose inputs are made 128 at a time, so that memory is bounded."""
    size = 4 * BATCH
    return np.concatenate(
        [network(inputs(start, min(start + size, count))) for start in range(0, count, size)]
    )
