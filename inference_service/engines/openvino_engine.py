"""The default engine: an OpenVINO graph on the CPU."""

import threading

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import Card
from diagnosis.errors import ArtifactRefused
from inference_service.engines import Precision
from inference_service.engines.openvino_maps import OpenVinoMaps
from inference_service.engines.quiet_openvino import openvino


class OpenVinoEngine:
    """A compiled graph with one infer request a thread.

    Args:
        xml: verified bytes of `model.xml`.
        weights: verified bytes of `model.bin`.
        card: the shape of the input and the number of classes.
        precision: always handed on explicitly. OpenVINO takes bf16 by itself on CPUs that have
            it, so the same artifact would score differently on two machines. int8 says that the
            graph is the 8-bit one; what is not 8 bit in it stays at f32.
        threads: streams, one core each; as many calls run at once.
        shipped: whether the graph is the one that the card's explanation was written for.
        explained: that graph, where it is another one than this.

    Raises:
        ArtifactRefused: not a graph, or not one of the card's shape.
    """

    def __init__(
        self,
        xml: bytes,
        weights: bytes,
        *,
        card: Card,
        precision: Precision,
        threads: int,
        shipped: bool = True,
        explained: tuple[bytes, bytes] | None = None,
    ) -> None:
        arithmetic = "f32" if precision == "int8" else precision
        shape = (card.input.height, card.input.width, card.input.channels)
        try:
            model = openvino.Core().read_model(model=xml, weights=weights)
            if len(model.inputs) != 1 or len(model.outputs) != 1:
                raise ArtifactRefused(cause="the graph has not exactly one input and one output")
            self._maps = None
            if card.explanation is not None and (shipped or explained is not None):
                whole = model
                if explained is not None:
                    whole = openvino.Core().read_model(model=explained[0], weights=explained[1])
                self._maps = OpenVinoMaps(whole, card, card.explanation)
            # One image at a time. Measured with the model that ships, f32 on one core: a graph of
            # a fixed shape takes 7 % less for one image than one of any number, 12 % for eight.
            model.reshape([1, *shape])
            output = model.outputs[0].partial_shape
            if output != openvino.PartialShape([1, len(card.classes)]):
                raise ArtifactRefused(cause=f"the graph answers {output}, not one figure a class")
            self._compiled = openvino.Core().compile_model(
                model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": arithmetic,
                    "PERFORMANCE_HINT": "THROUGHPUT",
                    "NUM_STREAMS": threads,
                    "INFERENCE_NUM_THREADS": threads,
                },
            )
        except RuntimeError as error:
            first = str(error).strip().splitlines()[-1][:200]
            raise ArtifactRefused(cause=f"OpenVINO cannot load the graph: {first}") from error
        # Only a hint to OpenVINO: a CPU without AVX-512 computes at f32, and nothing fails.
        taken = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        self.precision: Precision = precision if taken == arithmetic else "f32"
        self._classes = len(card.classes)
        self._requests = threading.local()

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw outputs, float32 (N, classes), of a float32 batch (N, height, width, channels)."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self._compiled.create_infer_request()
        outputs = np.empty((len(batch), self._classes), np.float32)
        for index in range(len(batch)):
            # The request's own memory is overwritten by the next image, so it is copied.
            image = batch[index : index + 1]
            outputs[index] = request.infer({0: image}, share_inputs=True, share_outputs=True)[0][0]
        return outputs

    @property
    def explains(self) -> bool:
        """Whether `explain` can be called."""
        return self._maps is not None

    def explain(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Attributions in logits, float32 (rows, columns, classes); see `Engine`."""
        assert self._maps is not None
        return self._maps.explain(array)

    def close(self) -> None:
        """Forget the graph; its memory goes with the last thread's request."""
        self._maps = None
        self._requests = threading.local()
        self._compiled = None
