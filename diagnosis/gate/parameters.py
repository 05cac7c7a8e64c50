"""The gate's numbers: a file of 32-bit floats whose layout the card's record fixes.

Little-endian, one after the other, nothing before, between or after them; so there is nothing in
the file that a reader could be made to interpret.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from diagnosis.gate.features import SIZE
from diagnosis.gate.record import Gate

Floats = NDArray[np.float64]

#: 200 components and 41 kinds of some 500 numbers each stay far below it.
MAX_GATE_BYTES = 2_000_000
#: Standardised features are cut here, so that one odd number cannot outweigh all others.
CLIP = 8.0
#: How far above zero what is divided by is kept.
_SMALLEST = 1e-6


@dataclass(frozen=True, eq=False)
class Parameters:
    """What a gate was fitted to. d features, k kinds beside the good one, m components."""

    centre: Floats
    """(d,) mean of the good images."""
    scale: Floats
    """(d,) what a feature is divided by; positive."""
    weights: Floats
    """(1 + k, d) of the multinomial logistic regression; row 0 is good."""
    bias: Floats
    """(1 + k,)"""
    posture: Floats
    """(d + 1,) of the logistic regression upright against turned, the bias last; or empty."""
    mean: Floats
    """(d,) of the good images, standardised."""
    components: Floats
    """(m, d) orthonormal."""
    spread: Floats
    """(m,) variance of the good images along each component; positive."""
    rest: Floats
    """(1,) mean squared distance of good images from the components; positive."""
    low: Floats
    """(parts,) what few good images stay below, for each part of the score."""
    typical: Floats
    """(parts,) median of the good images, for each part; above `low`."""

    def parts(self, vectors: Floats) -> Floats:
        """What the score is made of, for features (N, d): float64 (N, parts), higher is better.

        Log-odds of the good kind; minus the log of the Mahalanobis distance inside the principal
        components; minus the log of the squared distance from them (the two statistics of
        principal component monitoring, Jackson and Mudholkar 1979); with a posture, its log-odds.
        """
        standard = self._standard(vectors)
        logits = standard @ self.weights.T + self.bias
        highest = logits[:, 1:].max(axis=1)
        others = highest + np.log(np.exp(logits[:, 1:] - highest[:, None]).sum(axis=1))
        apart = standard - self.mean
        along = apart @ self.components.T
        inside = (along**2 / self.spread).mean(axis=1)
        outside = np.maximum((apart**2).sum(axis=1) - (along**2).sum(axis=1), 0) / self.rest[0]
        found = [logits[:, 0] - others, -np.log(inside + 1e-9), -np.log(outside + 1e-9)]
        if len(self.posture):
            found.append(standard @ self.posture[:-1] + self.posture[-1])
        return np.stack(found, axis=1)

    def each(self, vectors: Floats) -> Floats:
        """`parts` on one scale: 1 is typical of good images, 0 what few of them stay below."""
        return np.asarray((self.parts(vectors) - self.low) / (self.typical - self.low))

    def scores(self, vectors: Floats) -> Floats:
        """(N,) the weakest of the parts decides, since each finds what the others miss."""
        return np.asarray(self.each(vectors).min(axis=1))

    def place(self, vector: Floats) -> tuple[Floats, float, float]:
        """Where one image (d,) lies among the good ones.

        Returns:
            (m,) standard deviations from their mean along each component; and how far inside and
            outside of the components it is, on the scale of `each`.
        """
        apart = self._standard(vector[None])[0] - self.mean
        each = self.each(vector[None])[0]
        return apart @ self.components.T / np.sqrt(self.spread), float(each[1]), float(each[2])

    def kinds(self, vector: Floats) -> Floats:
        """(1 + k,) probabilities of the kinds for one image (d,), the good one first."""
        logits = (self._standard(vector[None]) @ self.weights.T + self.bias)[0]
        exponentials = np.exp(logits - logits.max())
        return np.asarray(exponentials / exponentials.sum())

    def _standard(self, vectors: Floats) -> Floats:
        return np.clip((vectors - self.centre) / self.scale, -CLIP, CLIP)

    def to_bytes(self) -> bytes:
        """The content of the gate's file."""
        arrays = [getattr(self, name) for name in self.__dataclass_fields__]
        return b"".join(np.asarray(one, "<f4").tobytes() for one in arrays)

    @classmethod
    def from_bytes(cls, data: bytes, gate: Gate) -> Self:
        """Read a gate's file.

        Raises:
            ValueError: it has not exactly the numbers that the record asks for, one of them is
                not finite, or a divisor is not positive.
        """
        shapes = _shapes(gate)
        sizes = [int(np.prod(shape)) for shape in shapes]
        if len(data) != 4 * sum(sizes):
            raise ValueError(f"{len(data)} bytes, the card's gate has {4 * sum(sizes)}")
        values = np.frombuffer(data, "<f4").astype(np.float64)
        if not np.isfinite(values).all():
            raise ValueError("a number is not finite")
        cuts = np.split(values, np.cumsum(sizes)[:-1])
        found = cls(*(one.reshape(shape) for one, shape in zip(cuts, shapes, strict=True)))
        for divisor in (found.scale, found.spread, found.rest, found.typical - found.low):
            if divisor.min() < _SMALLEST:
                raise ValueError("a divisor is not positive")
        return found


def _shapes(gate: Gate) -> list[tuple[int, ...]]:
    kinds, components, parts = 1 + len(gate.kinds), gate.components, 3 + gate.posture
    return [
        (SIZE,), (SIZE,), (kinds, SIZE), (kinds,), (SIZE + 1 if gate.posture else 0,),
        (SIZE,), (components, SIZE), (components,), (1,), (parts,), (parts,),
    ]  # fmt: skip
