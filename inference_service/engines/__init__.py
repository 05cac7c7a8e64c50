"""What runs a model. An engine never needs to know the disease, the classes or the card.

Importing this package imports no ML runtime; `make_engine` imports the one that is asked for.
"""

from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import VerifiedArtifact

EngineName = Literal["openvino", "keras"]
Precision = Literal["f32", "bf16", "f16", "int8"]


class Engine(Protocol):
    """A loaded model. `predict` may be called from several threads at once."""

    @property
    def precision(self) -> Precision:
        """The precision of the arithmetic."""
        ...

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw outputs of the model.

        Args:
            batch: float32, shape (N, height, width, channels).

        Returns:
            float32, shape (N, classes), owned by the caller.
        """
        ...

    @property
    def explains(self) -> bool:
        """Whether `explain` can be called: the card says how, and the model is the one it means."""
        ...

    def explain(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much each location of the last maps speaks for each class; always in f32.

        Args:
            array: of one image, float32, shape (height, width, channels).

        Returns:
            float32, shape (rows, columns, classes), in logits; see `diagnosis.heatmap.hirescam`.
        """
        ...

    def close(self) -> None:
        """Give the memory back. Nothing may be in flight, and nothing follows."""
        ...


def make_engine(
    name: EngineName,
    artifact: VerifiedArtifact,
    *,
    precision: Precision = "f32",
    threads: int = 1,
    conversion_cache: Path,
    conversion_seconds: float,
) -> Engine:
    """Load verified bytes into an engine.

    Args:
        name: which engine.
        artifact: verified bytes; the only thing that is loaded.
        precision: wished for; used only where the artifact's card allows it, else f32. For int8
            the artifact must bring the graph that was compared, too.
        threads: how many calls of `predict` come at once.
        conversion_cache: folder of the graphs converted here.
        conversion_seconds: limit for one conversion.

    Raises:
        ArtifactRefused: the runtime cannot make a model of these bytes.
    """
    # Imported here, so that a service never loads a runtime that it does not use.
    if name == "keras":
        from inference_service.engines.keras_engine import KerasEngine

        return KerasEngine(artifact.keras, card=artifact.card)
    from inference_service.engines.conversion import intermediate_representation
    from inference_service.engines.openvino_engine import OpenVinoEngine

    card = artifact.card
    check = card.precisions.get(precision)
    allowed: Precision = precision if check is not None and check.allowed else "f32"
    if allowed == "int8":
        if artifact.int8_xml is not None and artifact.int8_bin is not None:
            whole = None
            if artifact.ir_xml is not None and artifact.ir_bin is not None:
                whole = (artifact.ir_xml, artifact.ir_bin)
            return OpenVinoEngine(
                artifact.int8_xml,
                artifact.int8_bin,
                card=card,
                precision="int8",
                threads=threads,
                shipped=False,
                # Heatmaps are made of the graph at f32, whose node the card names.
                explained=whole,
            )
        allowed = "f32"
    xml, weights = intermediate_representation(
        artifact, cache=conversion_cache, seconds=conversion_seconds
    )
    return OpenVinoEngine(
        xml,
        weights,
        card=card,
        precision=allowed,
        threads=threads,
        # A graph that was made here has other names than the one that the card was written for.
        shipped=artifact.ir_xml is not None,
    )
