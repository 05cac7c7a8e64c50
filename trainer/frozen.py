"""The outputs of frozen layers, made as fast as the processor can.

Frozen layers are computed once for every image and its copies, so that is where a short training
spends its time. On TensorFlow they run as the OpenVINO graph that would be served (f32): measured
on two cores, SqueezeNet at 224 px takes 4 ms an image instead of 15. Other backends run Keras.
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from trainer.batches import Floats, Source
from trainer.engine import Network
from trainer.runtime import keras, openvino

_BLOCK = 32
_WORTH_CONVERTING = 200


def frozen_network(body: Any, count: int) -> Network:
    """What computes a Keras model's one output, float32, for `count` of its one input.

    The conversion takes a second or two, so a few images run on Keras too.
    """
    k = keras()
    if k.backend.backend() != "tensorflow" or count < _WORTH_CONVERTING:
        return lambda batch: np.asarray(
            k.ops.convert_to_numpy(body(batch, training=False)), np.float32
        )
    ov = openvino()
    with warnings.catch_warnings():
        # The conversion passes its one input in a tuple, on which Keras remarks.
        warnings.filterwarnings("ignore", message="The structure of `inputs`")
        graph = ov.convert_model(body, input=[[-1, *body.input.shape[1:]]])
    compiled = ov.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda batch: np.array(compiled(batch)[0], np.float32)


def frozen_outputs(body: Any, source: Source, count: int) -> Iterator[Floats]:
    """The outputs for the first `count` images of a source, in blocks of 32.

    While a block is computed the next ones are read and augmented.
    """
    network = frozen_network(body, count)
    blocks = [
        np.arange(start, min(start + _BLOCK, count), dtype=np.int64)
        for start in range(0, count, _BLOCK)
    ]
    with ThreadPoolExecutor(2) as pool:
        waiting: list[Future[Floats]] = [pool.submit(source, one, 0) for one in blocks[:2]]
        for place in range(len(blocks)):
            inputs = waiting.pop(0).result()
            if place + 2 < len(blocks):
                waiting.append(pool.submit(source, blocks[place + 2], 0))
            yield network(inputs)
