"""Runs an artifact's network: the OpenVINO IR that is served, or the Keras model behind it.

Both are loaded from verified bytes. Outputs are raw logits, as the card says.
"""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import Card, VerifiedArtifact
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
        PrecisionMissing: the processor lacks that precision.
    """
    ov = runtime.openvino()
    core = ov.Core()
    compiled = core.compile_model(
        core.read_model(model=xml, weights=weights),
        "CPU",
        {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": 1},
    )
    _check_precision(compiled, precision)
    request = compiled.create_infer_request()

    def run(inputs: Floats) -> Floats:
        parts = [
            np.array(request.infer([inputs[start : start + BATCH]])[compiled.output(0)])
            for start in range(0, len(inputs), BATCH)
        ]
        return np.concatenate(parts).astype(np.float32)

    return run


def compile_streams(
    xml: bytes, weights: bytes, card: Card, streams: int, precision: Precision = "f32"
) -> Network:
    """An OpenVINO IR for many threads: each has an infer request, each request a core.

    Args:
        xml: of the graph.
        weights: of the graph.
        card: the shape of an image.
        streams: images computed at once.
        precision: of the arithmetic.

    Raises:
        PrecisionMissing: the processor lacks that precision.
    """
    ov = runtime.openvino()
    core = ov.Core()
    graph = core.read_model(model=xml, weights=weights)
    # A graph of a fixed shape is faster than one for any number, also image by image.
    graph.reshape([1, card.input.height, card.input.width, card.input.channels])
    compiled = core.compile_model(
        graph,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "THROUGHPUT",
            "NUM_STREAMS": streams,
            "INFERENCE_NUM_THREADS": streams,
        },
    )
    _check_precision(compiled, precision)
    threads = threading.local()

    def run(inputs: Floats) -> Floats:
        request = getattr(threads, "request", None)
        if request is None:
            request = threads.request = compiled.create_infer_request()
        outputs = np.empty((len(inputs), len(card.classes)), np.float32)
        for index in range(len(inputs)):
            # The request's own memory is overwritten by the next image, so it is copied.
            image = inputs[index : index + 1]
            outputs[index] = request.infer({0: image}, share_inputs=True, share_outputs=True)[0][0]
        return outputs

    return run


def _check_precision(compiled: Any, precision: Precision) -> None:
    """OpenVINO takes the wish for a hint: without AVX-512 it computes at f32 and says so only when
    it is asked."""
    taken = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if taken != precision:
        raise PrecisionMissing(f"This processor does not compute at {precision}.")


def whole_batches(model: Any, size: int) -> Network:
    """A Keras model compiled for batches of one size; the last is filled up with zeros.

    Another size would be compiled anew, which takes longer than the images that are left.
    """

    def run(inputs: Floats) -> Floats:
        parts = []
        for start in range(0, len(inputs), size):
            part = inputs[start : start + size]
            filled = np.zeros((size, *part.shape[1:]), np.float32)
            filled[: len(part)] = part
            parts.append(np.asarray(model.predict_on_batch(filled), np.float32)[: len(part)])
        return np.concatenate(parts)

    return run


def run_in_blocks(network: Network, inputs: Callable[[int, int], Floats], count: int) -> Floats:
    """Outputs for `count` images whose inputs are made 128 at a time, so that memory is bounded."""
    size = 4 * BATCH
    return np.concatenate(
        [network(inputs(start, min(start + size, count))) for start in range(0, count, size)]
    )
