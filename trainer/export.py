"""`trainer export`: an artifact as ONNX for other devices, proved before it is written.

The graph is made from the verified IR by `diagnosis.portable`, as the service makes it for a
browser; here OpenVINO's own reader of ONNX has to find the card's answers in it again.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diagnosis.artifacts import VerifiedArtifact
from diagnosis.catalogue import disease as disease_of
from diagnosis.durable import put_folder
from diagnosis.images import read_image
from diagnosis.judgement import probabilities
from diagnosis.portable import Portable, portable
from trainer.engine import Floats
from trainer.publish import LARGEST_DIFFERENCE
from trainer.refusals import ParityRefused, TrainerRefused
from trainer.runtime import openvino

GRAPH, DESCRIPTION, GATE = "model.onnx", "model.json", "gate.bin"


@dataclass(frozen=True)
class Exported:
    """What was written."""

    made: Portable
    images: int
    """Golden images that the graph was proved on."""
    largest_difference: float
    """Of a probability, from what the card says; 0 to 1."""


def export(artifact: VerifiedArtifact, out: Path) -> Exported:
    """Write an artifact as ONNX into a new folder, with all that its outputs are read by.

    Args:
        artifact: verified.
        out: the folder; it must not exist. It appears whole or not at all.

    Raises:
        NotPortable: the network has an operation that cannot be written as ONNX.
        ParityRefused: the graph does not answer as the card says, or the card does not say.
        TrainerRefused: the folder exists.
    """
    if out.exists():
        raise TrainerRefused(f"{out} exists already: name a folder that does not.")
    made = portable(artifact, disease_of(artifact.card.disease))
    difference = prove(artifact, made)
    files = {
        GRAPH: made.onnx,
        DESCRIPTION: made.model.model_dump_json(indent=2).encode() + b"\n",
        **({} if made.gate is None else {GATE: made.gate}),
        **{f"demo/{name}": content for name, content in made.demo_images.items()},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    put_folder(out.parent, out.name, files)
    return Exported(made, len(made.demo_images), difference)


def prove(artifact: VerifiedArtifact, made: Portable) -> float:
    """The largest difference of a probability on the golden images, 0 to 1.

    Raises:
        ParityRefused: it is more than `LARGEST_DIFFERENCE`, or there is no golden image.
    """
    card = artifact.card
    if not made.model.golden:
        raise ParityRefused("The card has no golden outputs to hold the graph to.")
    inputs = np.stack(
        [
            card.preprocessing.apply(
                read_image(
                    made.demo_images[one.file],
                    decode_at_least=card.preprocessing.decode_at_least,
                ).pixels
            )
            for one in made.model.golden
        ]
    )
    expected = probabilities([one.logits for one in made.model.golden], card)
    difference = float(np.abs(probabilities(_run(made.onnx, inputs), card) - expected).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ParityRefused(
            f"The graph's probabilities differ from the card's by {difference:.2g}, at most"
            f" {LARGEST_DIFFERENCE} is allowed; nothing was written."
        )
    return difference


def _run(onnx: bytes, inputs: Floats) -> Floats:
    """What the graph answers at f32."""
    core = openvino().Core()
    network = core.read_model(model=onnx)
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(compiled([inputs])[compiled.output(0)], np.float32)
