"""The worst mistakes: images that were decided wrongly and surely, to be looked at.

They show patients. They stand in reports that are written beside the user's own data and in
nothing that is published.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diagnosis.errors import ImageRefused
from diagnosis.images import read_image
from trainer.data import Example
from trainer.metrics import Scores

MOST = 24
#: Longest side of an image on the sheet, in pixels.
SIDE = 160


@dataclass(frozen=True)
class Mistake:
    """An image that was called something else than it is."""

    example: Example
    true: str
    decided: str
    probability: float
    """Of the true class: the lower, the surer the mistake."""

    def as_json(self, root: Path) -> dict[str, Any]:
        """As the JSON lists it, by its path inside the data."""
        path = self.example.path
        home = next((one for one in (root, root.resolve()) if path.is_relative_to(one)), None)
        inside = path.relative_to(home) if home else path
        return {
            "file": str(inside),
            "true": self.true,
            "decided": self.decided,
            "probability_of_the_true_class": round(self.probability, 6),
        }


@dataclass(frozen=True)
class Tile:
    """A mistake with a small picture of it, as the sheet shows it."""

    mistake: Mistake
    picture: str
    """A `data:` address of a JPEG; empty where the file cannot be read any more."""


def worst(scores: Scores, examples: Sequence[Example], most: int = MOST) -> list[Mistake]:
    """The surest mistakes, worst first; one a group, and no class fills the sheet alone.

    Args:
        scores: what the model answered for the examples.
        examples: the images.
        most: how many are shown.
    """
    decisions = scores.decisions
    places = np.arange(len(decisions))
    sure = scores.probabilities[places, scores.labels]
    each = -(-most // len(scores.class_ids))
    seen: set[int] = set()
    taken = dict.fromkeys(range(len(scores.class_ids)), 0)
    found = []
    # Ties in the order of the files, so that a sheet is the same every time.
    for place in np.argsort(sure, kind="stable").tolist():
        label, group = int(scores.labels[place]), int(scores.groups[place])
        if decisions[place] == label or group in seen or taken[label] == each:
            continue
        seen.add(group)
        taken[label] += 1
        found.append(
            Mistake(
                examples[place],
                scores.class_ids[label],
                scores.class_ids[int(decisions[place])],
                float(sure[place]),
            )
        )
    return found[:most]


def sheet(scores: Scores, examples: Sequence[Example], most: int = MOST) -> list[Tile]:
    """The worst mistakes with their pictures, at most 160 pixels wide or high."""
    return [Tile(one, _picture(one.example.path)) for one in worst(scores, examples, most)]


def _picture(path: Path) -> str:
    try:
        pixels = read_image(path.read_bytes(), decode_at_least=(SIDE, SIDE)).pixels
    except (OSError, ImageRefused):
        return ""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    image = Image.fromarray(np.ascontiguousarray(pixels.squeeze()))
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
