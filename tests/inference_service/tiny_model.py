"""Builds artifacts that mean something: `python -m tests.inference_service.tiny_model DIR`.

DIR gets the versions 1 and 2 of a model that calls bright images pneumonia, the first one more
sharply than the second. A process of its own, so that no test process imports TensorFlow.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from diagnosis.artifacts.card import (
    Card,
    DemoImage,
    Explanation,
    FileRecord,
    Files,
    GoldenOutput,
    HeatmapCheck,
    OperatingPoint,
)
from diagnosis.contracts import Interval
from tests.fixtures.artifacts import (
    PREPROCESSING,
    SIDE,
    change_card,
    digest,
    load_keras,
    make_artifact,
    save_model,
    to_ir,
)
from tests.inference_service.pictures import picture, png
from trainer.explain import LIMITS, locate

DEMOS = {"demo-dark.png": ("normal", 60), "demo-bright.png": ("pneumonia", 170)}
POINTS = (("rule_out", 0.2, 0.97, 0.8), ("balanced", 0.43, 0.94, 0.9))
STEEPNESS = {"1": 4.0, "2": 2.0}


def network(steep: float) -> Any:
    """A network whose logits are `steep` times how much brighter than grey the image is."""
    keras = load_keras()
    width = 8
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            keras.layers.Conv2D(width, 3, padding="same", name="conv"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, name="logits"),
        ]
    )
    mean = np.full((3, 3, 1, width), 1 / 9, np.float32)
    model.get_layer("conv").set_weights([mean, np.zeros(width, np.float32)])
    weights = np.stack([np.full(width, -steep), np.full(width, steep)], axis=1) / width
    model.get_layer("logits").set_weights([weights, np.array([0.45, -0.45]) * steep])
    return model


def build(folder: Path, version: str) -> None:
    """Write one version whole."""
    make_artifact(folder, version=version, with_demos=False)
    model = network(STEEPNESS[version])
    xml, weights = to_ir(model)
    contents = {"model.keras": save_model(model), "model.xml": xml, "model.bin": weights}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    card = Card.from_json((folder / "card.json").read_bytes())
    explanation = explained(locate(card, model, xml, weights))
    records = [
        FileRecord(name=name, digest=digest(content), bytes=len(content))
        for name, content in contents.items()
    ]
    (folder / "demo").mkdir()
    demos, golden = [], []
    for seed, (name, (class_id, brightness)) in enumerate(DEMOS.items()):
        pixels = picture(brightness, seed)
        (folder / "demo" / name).write_bytes(png(pixels))
        logits = np.asarray(model(PREPROCESSING.apply(pixels)[np.newaxis], training=False))[0]
        demos.append(
            DemoImage(
                file=name,
                digest=digest(png(pixels)),
                class_id=class_id,
                nearest_training_distance=20.0,
            )
        )
        golden.append(GoldenOutput(file=name, logits=tuple(float(one) for one in logits)))

    def change(card: Card) -> Card:
        return card.model_copy(
            update={
                "files": Files(keras=records[0], ir_xml=records[1], ir_bin=records[2]),
                "demo_images": tuple(demos),
                "golden": tuple(golden),
                "explanation": explanation,
                "operating_points": tuple(
                    OperatingPoint(
                        name=name,
                        threshold=threshold,
                        sensitivity=figure(sensitivity),
                        specificity=figure(specificity),
                        chosen_by="By hand.",
                    )
                    for name, threshold, sensitivity, specificity in POINTS
                ),
            }
        )

    change_card(folder, change)


def explained(found: Explanation | None) -> Explanation:
    """As if the heatmaps of pneumonia had passed their checks and those of normal had not."""
    assert found is not None
    good = HeatmapCheck(
        images=20,
        randomised=figure(0.1),
        repeated=figure(0.9),
        deletion=figure(0.2),
        passed=True,
    )
    assert LIMITS.met(good)
    classes = {"normal": HeatmapCheck(images=2, passed=False), "pneumonia": good}
    return found.model_copy(update={"classes": classes})


def figure(value: float) -> Interval:
    """A figure with an interval around it."""
    return Interval(value=value, low=value - 0.05, high=value + 0.03)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    for number in STEEPNESS:
        build(target / number, number)
    (target / "done").touch()
