"""The reference engine: the artifact as Keras itself runs it. Slow; for tests and a GPU."""

import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import Card
from diagnosis.errors import ArtifactRefused
from diagnosis.heatmap import Floats, hirescam
from diagnosis.judgement import as_logits
from inference_service.engines import Precision


class KerasEngine:
    """A `.keras` model, one call at a time.

    Args:
        data: verified bytes of `model.keras`; they have passed `inspect_keras`.
        card: says how heatmaps are made; without one there are none.

    Raises:
        ArtifactRefused: Keras cannot load it, or it lacks the layer that the card names.
    """

    precision: Precision = "f32"

    def __init__(self, data: bytes, *, card: Card | None = None) -> None:
        # Keras is large and the service works without it: imported only when it is asked for.
        # On its OpenVINO backend it imports OpenVINO, whose telemetry stays off here too.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import keras

        self._to_numpy = keras.ops.convert_to_numpy
        # Keras opens a path only. A private folder, so that nobody can swap the file in between.
        with tempfile.TemporaryDirectory(prefix="sightline-") as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(data)
            try:
                self._model = keras.saving.load_model(path, compile=False, safe_mode=True)
            except (ValueError, TypeError, KeyError, OSError, RuntimeError) as error:
                kind = type(error).__name__
                raise ArtifactRefused(cause=f"Keras cannot load the model: {kind}") from error
        self._one_at_a_time = threading.Lock()
        self._card = card
        self.explains = card is not None and card.explanation is not None
        if card is not None and card.explanation is not None:
            try:
                maps = _tensor_of(self._model, card.explanation.layer)
                self._trunk = keras.Model(self._model.inputs[0], maps)
                self._head = keras.Model(maps, self._model.outputs[0])
            except (StopIteration, ValueError) as error:
                raise ArtifactRefused(
                    cause=f"the model cannot be cut at {card.explanation.layer}"
                ) from error

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw outputs, float32 (N, classes), of a float32 batch (N, height, width, channels)."""
        with self._one_at_a_time:
            outputs = self._model(batch, training=False)
        return np.array(self._to_numpy(outputs), dtype=np.float32)

    def explain(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Attributions in logits, float32 (rows, columns, classes); see `Engine`."""
        card = self._card
        assert card is not None
        with self._one_at_a_time:
            maps = self._run(self._trunk, array[np.newaxis])[0]
            return hirescam(lambda batch: as_logits(self._run(self._head, batch), card), maps)

    def _run(self, model: Any, batch: Floats) -> Floats:
        return np.array(self._to_numpy(model(batch, training=False)), np.float32)

    def close(self) -> None:
        """Forget the model."""
        self._model = self._trunk = self._head = None


def _tensor_of(model: Any, layer: str) -> Any:
    """The tensor that a layer makes in this model; StopIteration where there is no such layer.

    A layer's own `output` is another tensor where the layer is a whole network.
    """
    waiting, seen = list(model.outputs), []
    while waiting:
        tensor = waiting.pop(0)
        seen.append(tensor)
        history = tensor._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        waiting += [one for one in node.input_tensors if all(one is not old for old in seen)]
    return next(one for one in seen if one._keras_history.operation.name == layer)
