"""The one graph that ships, cut in two at the node of its last maps, for heatmaps."""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import Card
from diagnosis.artifacts.card import Explanation
from diagnosis.errors import ArtifactRefused
from diagnosis.heatmap import Floats, hirescam
from diagnosis.judgement import as_logits
from inference_service.engines.quiet_openvino import openvino

#: Heatmaps are differences of logits, which a lower precision would drown; one core makes them.
_CONFIG = {
    "INFERENCE_PRECISION_HINT": "f32",
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "INFERENCE_NUM_THREADS": 1,
}


class OpenVinoMaps:
    """Makes attributions, one at a time; compiled when the first one is asked for.

    Args:
        model: the graph, for batches of any size; it is not changed.
        card: names the node.
        explanation: of the card.

    Raises:
        ArtifactRefused: the graph has no such node, or there is a way around it.
    """

    def __init__(self, model: Any, card: Card, explanation: Explanation) -> None:
        self._card = card
        self._explanation = explanation
        self._trunk, self._head = cut(model, explanation)
        self._compiled: tuple[Any, Any] | None = None
        self._one_at_a_time = threading.Lock()

    def explain(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Attributions in logits, float32 (rows, columns, classes); see `Engine`."""
        with self._one_at_a_time:
            if self._compiled is None:
                core = openvino.Core()
                self._compiled = (
                    core.compile_model(self._trunk, "CPU", _CONFIG).create_infer_request(),
                    core.compile_model(self._head, "CPU", _CONFIG).create_infer_request(),
                )
            trunk, head = self._compiled
            maps = np.array(trunk.infer({0: array[np.newaxis]})[0], np.float32)[0]
            first = self._explanation.channels_first

            def logits(batch: Floats) -> NDArray[np.float64]:
                asked = np.ascontiguousarray(batch.transpose(0, 3, 1, 2)) if first else batch
                return as_logits(np.array(head.infer({0: asked})[0]), self._card)

            return hirescam(logits, maps.transpose(1, 2, 0) if first else maps)


def cut(model: Any, explanation: Explanation) -> tuple[Any, Any]:
    """The graph up to the maps, and the graph from the maps on.

    Raises:
        ArtifactRefused: the graph has no such node, or there is a way around it.
    """
    trunk, head = model.clone(), model.clone()
    maps = _node(trunk, explanation)
    whole = openvino.Model([maps], trunk.get_parameters(), "trunk")
    inner = _node(head, explanation)
    given = openvino.op.Parameter(inner.element_type, inner.partial_shape)
    for target in inner.get_target_inputs():
        target.replace_source_output(given.output(0))
    try:
        rest = openvino.Model(head.get_results(), [given], "head")
    except RuntimeError as error:
        raise ArtifactRefused(
            cause=f"not every path to the logits goes through {explanation.node[:80]}"
        ) from error
    return whole, rest


def _node(model: Any, explanation: Explanation) -> Any:
    """The output of the node that the card names.

    Raises:
        ArtifactRefused: there is none, several, or it is of another shape.
    """
    found = [one for one in model.get_ops() if one.get_friendly_name() == explanation.node]
    if len(found) != 1:
        raise ArtifactRefused(cause=f"{len(found)} nodes are named {explanation.node[:80]}")
    output = found[0].output(0)
    shape = output.partial_shape
    sides = (explanation.height, explanation.width)
    at = 2 if explanation.channels_first else 1
    if len(shape) != 4 or tuple(str(shape[at + one]) for one in (0, 1)) != tuple(map(str, sides)):
        raise ArtifactRefused(cause=f"{explanation.node[:80]} gives {shape}, not maps of {sides}")
    return output
