"""The reference of a card: what validation images looked like, and how far readings may depart.

It holds no image and nothing of one: per class the shares of each figure's bins and the mean of the
embedding's Fourier features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from diagnosis.contracts import Probability, Slug
from diagnosis.drift.measures import (
    FOURIER,
    binned,
    fourier,
    kolmogorov_smirnov,
    mean_discrepancy,
    mixes,
    population_stability,
)
from diagnosis.drift.statistics import (
    INPUTS,
    SIZE,
    STATISTICS,
    embedding_of,
    inputs_of,
    score_of,
)

Floats = NDArray[np.float64]

#: What is compared with the images of the reference, each by one measure: the figures by KS (the
#: largest of the six), the embedding by MMD, the score by PSI.
Compared = Literal["input", "embedding", "score"]
COMPARED: tuple[Compared, ...] = ("input", "embedding", "score")
SCORE = "score"
_FIGURES = (*INPUTS, SCORE)


class Reference(BaseModel):
    """What windows of readings are compared with."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    statistics: Literal["drift-1"] = STATISTICS
    measured_on: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    images: Annotated[int, Field(gt=0)]
    """Those that the gate lets through; others are not judged, and count in no window."""
    groups: Annotated[int, Field(gt=0)]
    window: Annotated[int, Field(ge=20, le=10_000)]
    """Readings that are compared at a time; no reading is in two windows."""
    persisted: Annotated[int, Field(ge=1, le=10)]
    """Windows in a row that have to be past a limit before the model is stopped."""
    stretch: Annotated[int, Field(ge=2, le=1000)]
    """Windows in which a model that has not drifted is stopped at most with `false_stops`."""
    false_stops: Annotated[float, Field(gt=0, lt=0.5)]
    """All statistics together, the agreement with reviews among them."""
    mix: dict[Slug, Probability]
    """Share of each class in the images, in the order of the model's outputs."""
    edges: dict[str, tuple[float, ...]]
    """Inner edges of the bins of each figure, and of the score."""
    sizes: dict[Slug, Annotated[int, Field(gt=0)]]
    """Groups that show each class: how well its part of the reference is known."""
    shares: dict[Slug, dict[str, tuple[Probability, ...]]]
    """Of each class, the share of its images in each bin of each figure."""
    width: Annotated[float, Field(gt=0)]
    """Of the Gaussian kernel on the embedding."""
    means: dict[Slug, tuple[float, ...]]
    """Of each class, the mean of the random Fourier features of its images."""
    limits: dict[Compared, Annotated[float, Field(gt=0)]]
    """In units of what samples of these sizes differ by, see `compare`."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        classes = list(self.mix)
        if any(list(one) != classes for one in (self.sizes, self.shares, self.means)):
            raise ValueError("the sizes, the shares and the means are not one a class")
        if tuple(self.edges) != _FIGURES or set(self.limits) != set(COMPARED):
            raise ValueError("the edges or the limits are not one a statistic")
        if abs(sum(self.mix.values()) - 1) > 1e-3:
            raise ValueError("the mix does not sum to one")
        if any(list(edges) != sorted(set(edges)) for edges in self.edges.values()):
            raise ValueError("edges are not in order")
        for shares in self.shares.values():
            for name, edges in self.edges.items():
                if len(shares.get(name, ())) != len(edges) + 1:
                    raise ValueError(f"the shares of {name} are not one a bin")
        if any(len(one) != FOURIER for one in self.means.values()):
            raise ValueError(f"the means are not {FOURIER} numbers")
        return self

    def compare(
        self,
        kept: NDArray[np.integer],
        probabilities: Floats,
        finding: str | None,
    ) -> dict[Compared, float]:
        """How far one window lies from the reference, in each way, in units of what sampling makes
        of it: about 1 for a window that has not drifted, whatever its mix of classes.

        Args:
            kept: whole numbers (N, SIZE), as the readings keep them.
            probabilities: (N, K), calibrated, in the order of `mix`.
            finding: the class to catch, if there is one.

        Raises:
            ValueError: the shapes are other ones, or there is no image.
        """
        if kept.ndim != 2 or kept.shape[1] != SIZE or not len(kept):
            raise ValueError(f"statistics of shape {kept.shape}")
        if probabilities.shape != (len(kept), len(self.mix)):
            raise ValueError(f"probabilities of shape {probabilities.shape}")
        layout = Layout.of(self.edges, self.width)
        rows = layout.rows(kept, score_of(probabilities, list(self.mix), finding))
        mix = mixes(probabilities, np.array(list(self.mix.values())))
        sizes = np.array(list(self.sizes.values()))
        found = layout.compare(rows.mean(axis=0), mix, self._expected(layout), sizes, len(kept))
        return {name: float(value) for name, value in found.items()}

    def _expected(self, layout: "Layout") -> Floats:
        """(K, columns): the mean row of each class."""
        return np.array(
            [
                [*(one for name in layout.edges for one in self.shares[key][name]), *means]
                for key, means in self.means.items()
            ]
        )


@dataclass(frozen=True)
class Layout:
    """How an image is one row of numbers, and what two means of rows say."""

    edges: Mapping[str, tuple[float, ...]]
    width: float

    @classmethod
    def of(cls, edges: Mapping[str, Sequence[float]], width: float) -> Self:
        return cls({name: tuple(edges[name]) for name in _FIGURES}, width)

    def rows(self, kept: NDArray[np.integer], scores: Floats) -> Floats:
        """(N, columns): a one in the bin of each figure and of the score, then Fourier features.

        Args:
            kept: whole numbers (N, SIZE).
            scores: (N,), see `score_of`.
        """
        figures = inputs_of(kept)
        columns = [binned(figures[:, place], self.edges[name]) for place, name in enumerate(INPUTS)]
        columns += [binned(scores, self.edges[SCORE]), fourier(embedding_of(kept), self.width)]
        return np.concatenate(columns, axis=1)

    def part(self, name: str) -> slice:
        """The columns of a figure, or of the score."""
        start = 0
        for one, edges in self.edges.items():
            if one == name:
                return slice(start, start + len(edges) + 1)
            start += len(edges) + 1
        raise KeyError(name)

    def compare(
        self,
        windows: Floats,
        mix: Floats,
        means: Floats,
        sizes: NDArray[np.integer],
        images: int,
    ) -> dict[Compared, Floats]:
        """How far windows lie from a reference, in each way: (...).

        Args:
            windows: mean rows of the readings, (..., columns).
            mix: the estimated mix of classes of each window, (..., K).
            means: mean row of each class of the reference, (K, columns).
            sizes: (K,) groups of each class.
            images: in a window.
        """
        expected = mix @ means
        # The variance of a difference of means, as in every test of two samples. A class of which
        # the reference has few images is known badly, and where it prevails more is explained. The
        # patients of a site are a sample too, taken to be as large as the reference.
        variance = 1 / images + 2 * (mix**2 / sizes).sum(axis=-1)
        figures = [
            kolmogorov_smirnov(windows[..., part], expected[..., part])
            for part in map(self.part, INPUTS)
        ]
        score, embedding = self.part(SCORE), slice(-FOURIER, None)
        psi = population_stability(windows[..., score], expected[..., score], images)
        mmd = mean_discrepancy(windows[..., embedding], expected[..., embedding])
        return {
            "input": np.max(figures, axis=0) / np.sqrt(variance),
            "embedding": mmd / np.sqrt(variance),
            # A squared distance, which over b bins is b - 1 variances of itself.
            "score": psi / variance / max(windows[..., score].shape[-1] - 1, 1),
        }
