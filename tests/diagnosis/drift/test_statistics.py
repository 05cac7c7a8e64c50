"""What is kept of an image: sixteen bytes that follow the picture."""

import numpy as np

from diagnosis.artifacts import open_artifact
from diagnosis.catalogue import catalogue
from diagnosis.drift import INPUTS, SIZE, statistics
from diagnosis.drift.statistics import embedding_of, inputs_of, score_of
from diagnosis.gate import look
from diagnosis.images import read_image
from tests.diagnosis.drift.synthetic import CLASSES
from trainer.settings import PROJECT

CHEST = PROJECT / "models" / "chest_xray_pneumonia" / "2"


def test_a_darker_film_is_kept_as_a_darker_one() -> None:
    artifact = open_artifact(CHEST)
    gate = artifact.open_gate(catalogue()["chest_xray_pneumonia"])
    assert gate is not None
    pixels = read_image(next(iter(artifact.demo_images.values()))).pixels
    kept = []
    for one in (pixels, (pixels * 0.7).astype(np.uint8)):
        found = statistics(gate.parameters, look(one).features)
        assert len(found) == SIZE
        assert all(0 <= number <= 255 for number in found)
        kept.append(found)
    plain, darker = inputs_of(np.array(kept))
    brightness = INPUTS.index("brightness")
    assert 0.65 < darker[brightness] / plain[brightness] < 0.75
    # The model's own synthetic images lie among the good ones.
    assert np.abs(embedding_of(np.array(kept[:1]))).max() < 4


def test_the_score_is_the_finding_or_the_surest_class() -> None:
    values = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert score_of(values, CLASSES, "pneumonia").tolist() == [0.1, 0.8]
    assert score_of(values, CLASSES, None).tolist() == [0.9, 0.8]
