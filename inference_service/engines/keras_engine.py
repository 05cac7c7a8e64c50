"""The reference engine: the artifact as Keras itself runs it. Slow; for tests and a GPU."""

import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diagnosis.errors import ArtifactRefused
from inference_service.engines import Precision


class KerasEngine:
    """A `.keras` model, one call at a time.

    Args:
        data: verified bytes of `model.keras`; they have passed `inspect_keras`.

    Raises:
        ArtifactRefused: Keras cannot load it.
    """

    precision: Precision = "f32"

    def __init__(self, data: bytes) -> None:
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

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw outputs, float32 (N, classes), of a float32 batch (N, height, width, channels)."""
        with self._one_at_a_time:
            outputs = self._model(batch, training=False)
        return np.array(self._to_numpy(outputs), dtype=np.float32)

    def close(self) -> None:
        """Forget the model."""
        self._model = None
