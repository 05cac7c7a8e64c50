"""Real chest films as they come, and as another device, export or other patients show them."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from diagnosis.artifacts import Card, open_artifact
from diagnosis.catalogue import disease as disease_of
from diagnosis.drift import SIZE, Images
from diagnosis.gate import OpenGate
from diagnosis.images import read_image
from diagnosis.judgement import probabilities
from diagnosis.preprocess import Array
from trainer.data import Example, read_dataset
from trainer.drift import statistics_of
from trainer.engine import Network, open_network
from trainer.evaluate import group_numbers
from trainer.settings import PROJECT, Settings

DISEASE = "chest_xray_pneumonia"
#: DICOM chest films of adults below the folder of all data sets. The second is a negative of the
#: first kind of film, which the gate refuses as it comes; its sender would be told to invert it.
ADULTS = (
    ("dicom/1.2.276.0.7230010.3.1.4.8323329.6904.1517875201.850819.dcm", False),
    ("dicom/Fake_MONOHR1.dcm", True),
    ("dicom/RG1_J2KI.dcm", False),
)
#: Altered copies of each film of an adult, for want of more films.
COPIES = 60

Change = Callable[[Array], Array]


def gamma(power: float) -> Change:
    """Grey levels to a power, of the range."""
    table = np.rint(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return lambda pixels: table[_bytes(pixels)]


def contrast(factor: float) -> Change:
    """Grey levels nearer to, or further from, their mean."""

    def change(pixels: Array) -> Array:
        values = _bytes(pixels).astype(np.float64)
        mean = values.mean()
        return np.clip(np.rint(mean + factor * (values - mean)), 0, 255).astype(np.uint8)

    return change


def _bytes(pixels: Array) -> Array:
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


@dataclass(frozen=True, eq=False)
class Reader:
    """The artifact that ships, as it reads."""

    card: Card
    gate: OpenGate
    network: Network

    @classmethod
    def shipped(cls) -> "Reader":
        folder = sorted((PROJECT / "models" / DISEASE).iterdir(), key=lambda one: int(one.name))[-1]
        artifact = open_artifact(folder)
        gate = artifact.open_gate(disease_of(DISEASE))
        assert gate is not None
        return cls(artifact.card, gate, open_network(artifact)[0])

    def read(
        self, pixels: Sequence[Array], labels: Sequence[int], groups: Sequence[int]
    ) -> tuple[Images, np.ndarray]:
        """What the readings of some images hold, and which images the gate let through."""
        with ThreadPoolExecutor(2) as pool:
            kept = list(pool.map(lambda one: statistics_of(self.gate, one), pixels))
            inputs = list(pool.map(self.card.preprocessing.apply, pixels))
        passed = np.array([one is not None for one in kept], bool)
        outputs = self.network(np.stack(inputs))
        return Images(
            kept=np.array([one for one in kept if one is not None], np.int64).reshape(-1, SIZE),
            probabilities=probabilities(outputs, self.card)[passed],
            labels=np.asarray(labels)[passed],
            groups=np.asarray(groups)[passed],
            classes=tuple(one.id for one in self.card.classes),
            finding=self.card.finding,
        ), passed


@dataclass(frozen=True, eq=False)
class Films:
    """The validation films of the data set."""

    examples: tuple[Example, ...]
    pixels: tuple[Array, ...]
    labels: tuple[int, ...]
    groups: tuple[int, ...]

    @classmethod
    def read(cls, data: Path, card: Card, settings: Settings) -> "Films":
        """All of them, at the size at which they are decoded.

        Args:
            data: folder of all data sets.
            card: says how many pixels are decoded.
            settings: the trainer's.
        """
        found = read_dataset(
            data / DISEASE, disease_of(DISEASE), workers=settings.workers, cache=settings.cache_dir
        ).of("val")
        least = card.preprocessing.decode_at_least
        pixels = tuple(
            read_image(one.path.read_bytes(), decode_at_least=least).pixels
            for one in found.examples
        )
        ids = [one.id for one in card.classes]
        labels = tuple(ids.index(one.class_id) for one in found.examples)
        return cls(tuple(found.examples), pixels, labels, tuple(group_numbers(found).tolist()))

    def named(self, *patterns: str) -> list[int]:
        """Places of the films whose file name one of these expressions is found in."""
        return [
            place
            for place, one in enumerate(self.examples)
            if any(re.search(pattern, one.path.name) for pattern in patterns)
        ]

    def changed(self, reader: Reader, change: Change | None = None) -> tuple[Images, np.ndarray]:
        """What the readings of all films hold after a change, and which the gate let through."""
        pixels = self.pixels if change is None else tuple(change(one) for one in self.pixels)
        return reader.read(pixels, self.labels, self.groups)


def adults(data: Path, reader: Reader, seed: int = 0) -> tuple[Images, np.ndarray]:
    """What the readings of altered copies of the films of adults hold, and which copies passed.

    A copy is cut by up to a twentieth on each side, and brightened or darkened a little: as far
    apart as films of one device are.
    """
    rng = np.random.default_rng(seed)
    pixels: list[Array] = []
    for name, negative in ADULTS:
        film = Image.fromarray(_bytes(read_image((data / name).read_bytes()).pixels))
        film.thumbnail((512, 512))
        array = np.asarray(film)
        array = 255 - array if negative else array
        for _ in range(COPIES):
            top, left, bottom, right = (
                int(one * side)
                for one, side in zip(
                    rng.uniform(0, 0.05, 4), (*array.shape, *array.shape), strict=True
                )
            )
            part = array[top : array.shape[0] - bottom, left : array.shape[1] - right]
            pixels.append(gamma(float(np.exp(rng.normal(0, 0.1))))(part))
    count = len(pixels)
    # Nobody says what they show; the label of a reading is not looked at.
    return reader.read(pixels, [0] * count, range(count))
