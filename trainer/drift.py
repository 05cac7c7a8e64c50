"""The reference that readings are watched against: what validation images look like, in a card."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from diagnosis.artifacts import Card
from diagnosis.drift import SIZE, Images, Reference, make_reference, statistics
from diagnosis.gate import OpenGate, look
from diagnosis.images import read_image
from diagnosis.preprocess import Array
from trainer.data import Example

#: Fewer images say too little of what is usual.
FEWEST_IMAGES = 50
#: A model with more classes than this stores only the most probable ones of a reading.
MOST_CLASSES = 20
Log = Callable[[str], None]


def statistics_of(gate: OpenGate, pixels: Array) -> tuple[int, ...] | None:
    """What a reading keeps of an image; None where the gate does not let it through."""
    seen = look(pixels)
    if not gate.reading(seen).passed:
        return None
    return statistics(gate.parameters, seen.features)


def images_of(
    card: Card,
    gate: OpenGate,
    examples: Sequence[Example],
    probabilities: NDArray[np.float64],
    groups: NDArray[np.integer],
    workers: int,
) -> Images:
    """The images of a reference: those of the examples that the gate lets through.

    Args:
        card: classes, and how many pixels are decoded.
        gate: the artifact's.
        examples: the N images.
        probabilities: (N, classes), calibrated.
        groups: (N,) the number of each one's patient or other unit.
        workers: threads.
    """
    least = card.preprocessing.decode_at_least

    def one(example: Example) -> tuple[int, ...] | None:
        return statistics_of(
            gate, read_image(example.path.read_bytes(), decode_at_least=least).pixels
        )

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(one, examples))
    passed = np.array([one is not None for one in found], bool)
    ids = tuple(one.id for one in card.classes)
    labels = np.array([ids.index(one.class_id) for one in examples], np.int64)
    return Images(
        kept=np.array([one for one in found if one is not None], np.int64).reshape(-1, SIZE),
        probabilities=probabilities[passed],
        labels=labels[passed],
        groups=groups[passed],
        classes=ids,
        finding=card.finding,
    )


def reference_of(images: Images, measured_on: str, log: Log) -> Reference | None:
    """The reference of a card; None, and said why, where there are too few images."""
    if len(images.classes) > MOST_CLASSES:
        log(f"It gets no reference of drift: more than {MOST_CLASSES} classes.")
        return None
    fewest = np.bincount(images.labels, minlength=len(images.classes)).min(initial=len(images.kept))
    if len(images.kept) < FEWEST_IMAGES or not fewest:
        log("It gets no reference of drift: too few images that its gate lets through.")
        return None
    return make_reference(images, measured_on)
