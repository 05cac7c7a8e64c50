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
                maps = self._model.get_layer(card.explanation.layer).output
                self._trunk = keras.Model(self._model.inputs, maps)
                self._head = keras.Model(maps, self._model.outputs)
            except ValueError as error:
                raise ArtifactRefused(
                    cause=f"the model cannot be cut at {card.explanation.layer}"
                ) from error

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw outputs, float32 (N, classes), of a float32 batch (N, height, width, channels)."""
        with self._one_at_a_time:
            outputs = self._model(batch, training=False)
        return np.array(self._to_numpy(outputs), dtype=np.float32)

    def explain(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Attributions in logits, float32 (map height, map width, classes); see `Engine`."""
        card = self._card
        assert card is not None
        with self._one_at_a_time:
            maps = self._run(self._trunk, array[np.newaxis])[0]
            return hirescam(lambda batch: as_logits(self._run(self._head, batch), card), maps)

    def _run(self, model: Any, batch: Floats) -> Floats:
        return np.array(self._to_numpy(_first(model(batch, training=False))), np.float32)

    def close(self) -> None:
        """Forget the model."""
        self._model = self._trunk = self._head = None


def _first(outputs: Any) -> Any:
    return outputs[0] if isinstance(outputs, list | tuple) else outputs
