"""An 8-bit version of a converted network, by post-training quantisation with NNCF.

Method: uniform quantisation of weights by channel and of activations by tensor, with fast bias
correction (Nagel et al. 2019), its ranges taken from training images. Nothing is trained.
"""

import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from trainer.engine import Floats
from trainer.runtime import nncf, openvino

#: Training images that the ranges are taken from, at most; NNCF's own default.
CALIBRATION_IMAGES = 300
T = TypeVar("T")


def every_nth(items: Sequence[T], most: int) -> tuple[T, ...]:
    """At most so many, spread over all, so that every class stays in."""
    return tuple(items[:: max(1, -(-len(items) // most))])


def quantise(model: Any, inputs: Floats, path: Path) -> None:
    """Write the 8-bit version of an OpenVINO model as an IR.

    Args:
        model: as OpenVINO converted it, at f32; it stays as it is.
        inputs: float32 (N, H, W, C), what the network gets for training images.
        path: of the `.xml`; the `.bin` lies beside it.
    """
    quantiser = nncf()
    quantiser.set_log_level(logging.ERROR)
    # One by one: an artifact's IR takes batches of any size, and the ranges are of single images.
    images: Sequence[Floats] = [inputs[place : place + 1] for place in range(len(inputs))]
    # Its progress bars are for a person; standard output is for the command's answer.
    with contextlib.redirect_stdout(sys.stderr):
        quantised = quantiser.quantize(
            model, quantiser.Dataset(images), subset_size=len(images), fast_bias_correction=True
        )
    openvino().save_model(quantised, path, compress_to_fp16=False)
