"""What the gate says of an image: passed, or a reason and what to do about it.

A reason is found by trial: an inverted film is one that passes once it is inverted back. Where no
trial mends the image, the kind that it is most like is named if that is nearly sure, else only
what it is not.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagnosis.contracts import GateReading, Notice
from diagnosis.gate.features import Look, of_thumbnail
from diagnosis.gate.parameters import Parameters
from diagnosis.gate.record import SPOILS, Gate, Spoil

Floats = NDArray[np.float64]

#: Share of the grey and colour range; the thumbnail of a picture varies more than this.
_NO_CONTENT = 0.02
#: Pixels two apart that are less alike than this come from noise, not from a picture.
_NEIGHBOURS_ALIKE = 0.1
#: How probable a kind has to be among the known ones before it is named.
_NEARLY_SURE = 0.95
_DECIMALS = 4

_MENDED: Mapping[Spoil, tuple[Callable[[Floats], Floats], ...]] = {
    "inverted": (lambda one: 1.0 - one,),
    "upside_down": (lambda one: one[::-1, ::-1], lambda one: one[::-1]),
    "turned": (np.rot90, lambda one: np.rot90(one, 3)),
    "coloured": (lambda one: np.repeat(one.mean(axis=2, keepdims=True), 3, axis=2),),
}
_SPOILT: Mapping[Spoil, tuple[str, str]] = {
    "inverted": (
        "The image looks like a negative: what should be bright is dark.",
        "Invert it back in the program it came from, or export it again, and send that.",
    ),
    "upside_down": (
        "The image stands on its head.",
        "Turn it upright and send it again.",
    ),
    "turned": (
        "The image lies on its side.",
        "Turn it by a quarter so that it stands upright, and send it again.",
    ),
    "coloured": (
        "The image is in colour where a grey one is expected; it may be a photograph of a screen.",
        "Export the image itself from the program that shows it, and send that.",
    ),
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was said of one image."""

    reading: GateReading
    reason: Notice | None
    """None where the image passed."""


@dataclass(frozen=True, eq=False)
class OpenGate:
    """A gate that is ready to judge.

    Args:
        gate: its record, from the card.
        parameters: its numbers, from the artifact's verified file.
        modality: what a good image is, as the catalogue names it: `chest X-ray`.
        suitable_image: the catalogue's sentence on what such an image looks like.
    """

    gate: Gate
    parameters: Parameters
    modality: str
    suitable_image: str

    def reading(self, seen: Look) -> GateReading:
        """Whether an image passes, without a reason.

        Args:
            seen: what `look` made of it.
        """
        score = float(self.parameters.scores(seen.features[None])[0])
        # Judged as it is shown, so that a score and its verdict never disagree.
        score = round(max(min(score, 1e6), -1e6), _DECIMALS)
        return GateReading(
            passed=score >= self.gate.threshold, score=score, threshold=self.gate.threshold
        )

    def judge(self, seen: Look) -> Verdict:
        """Whether an image passes, and why not where it does not.

        Args:
            seen: what `look` made of it.
        """
        reading = self.reading(seen)
        return Verdict(reading, None if reading.passed else self._reason(seen))

    def _reason(self, seen: Look) -> Notice:
        small = seen.thumbnail
        if float(small.std(axis=(0, 1)).max()) < _NO_CONTENT:
            return Notice(
                code="gate-blank",
                detail="There is no picture content in this image: it is one even surface.",
                remedy="Check that the export is complete, and send the image again.",
            )
        if _is_noise(small):
            return Notice(
                code="gate-noise",
                detail="There is no picture content in this image: it looks like noise.",
                remedy="The file may have been damaged; export the image again and send that.",
            )
        for spoil in SPOILS:
            if spoil in self.gate.spoils and any(
                self._passes(mend(small)) for mend in _MENDED[spoil]
            ):
                detail, remedy = _SPOILT[spoil]
                return Notice(code=f"gate-{spoil.replace('_', '-')}", detail=detail, remedy=remedy)
        likely = self.parameters.kinds(seen.features)
        best = int(likely.argmax())
        name = self.gate.kinds[best - 1].name if best else ""
        if name and likely[best] >= _NEARLY_SURE:
            return Notice(
                code="gate-other-kind",
                detail=f"The image does not look like {_one(self.modality)}; of the kinds that"
                f" are known here it is most like {_one(name)}.",
                remedy=f"Choose the disease that fits the image, or another image:"
                f" {self.suitable_image}",
            )
        return Notice(
            code="gate-unlike",
            detail=f"The image does not look like the images of the kind {self.modality} that the"
            " model was made for.",
            remedy=f"Send another image: {self.suitable_image}",
        )

    def _passes(self, small: Floats) -> bool:
        return self.reading(Look(small, of_thumbnail(small))).passed


def _one(name: str) -> str:
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _is_noise(small: Floats) -> bool:
    """Whether neighbouring pixels have next to nothing in common."""
    grey = small.mean(axis=2)
    varied = float(grey.var())
    if varied < 1e-6:
        return False
    apart = grey - grey.mean()
    # Two apart, because making the picture small has mixed those next to each other.
    pairs = ((apart[2:] * apart[:-2]).mean(), (apart[:, 2:] * apart[:, :-2]).mean())
    return float(max(pairs)) / varied < _NEIGHBOURS_ALIKE
