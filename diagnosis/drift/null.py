"""How far windows depart from a reference while nothing drifts, and the limits that follow.

The reference is a sample too: measured on 96 images it may be off by itself, and then every window
departs from it, one after the other. So both are drawn again (bootstrap, Efron and Tibshirani
1993): the reference by groups within each class, then a whole stretch of windows by groups, since
images of one patient are alike. Of each stretch is kept what would have stopped the model: the
highest level that `persisted` windows in a row were all past (max-min). The limit of a statistic is
the quantile of that over all draws at the false alarms that are allowed, shared evenly between the
statistics (Bonferroni). Persistence, the number of looks and the six figures of the input, of which
the largest counts, are thereby in the limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagnosis.drift.measures import FOURIER, edges_of, mixes, width_of
from diagnosis.drift.reference import COMPARED, SCORE, Compared, Layout, Reference
from diagnosis.drift.statistics import INPUTS, embedding_of, inputs_of, score_of

Floats = NDArray[np.float64]

WINDOW = 100
PERSISTED = 2
STRETCH = 30
FALSE_STOPS = 0.01
#: The three here, and the agreement with reviews.
SHARED_BY = len(COMPARED) + 1
DRAWS = 2000
_DIGITS = 5


@dataclass(frozen=True, eq=False)
class Images:
    """The images of a reference."""

    kept: NDArray[np.integer]
    """Whole numbers (N, SIZE)."""
    probabilities: Floats
    """(N, K), calibrated."""
    labels: NDArray[np.integer]
    """(N,), 0 to K - 1."""
    groups: NDArray[np.integer]
    """(N,): which patient, or other unit, an image is of."""
    classes: tuple[str, ...]
    finding: str | None

    def of(self, chosen: NDArray[np.integer] | NDArray[np.bool_]) -> "Images":
        """Some of them."""
        return Images(
            self.kept[chosen], self.probabilities[chosen], self.labels[chosen],
            self.groups[chosen], self.classes, self.finding,
        )  # fmt: skip

    @property
    def mix(self) -> Floats:
        """(K,) share of each class; one without an image counts as a thousandth."""
        counts = np.bincount(self.labels, minlength=len(self.classes)).astype(np.float64)
        kept = np.maximum(counts, counts.sum() / 1000)
        return np.asarray(kept / kept.sum())

    @property
    def scores(self) -> Floats:
        return score_of(self.probabilities, self.classes, self.finding)


def make_reference(
    images: Images,
    measured_on: str,
    *,
    window: int = WINDOW,
    persisted: int = PERSISTED,
    stretch: int = STRETCH,
    false_stops: float = FALSE_STOPS,
    draws: int = DRAWS,
    seed: int = 0,
) -> Reference:
    """The reference of some images, with its limits. `draws` of 2000 take some ten seconds.

    Args:
        images: that training did not see, and that the gate lets through.
        measured_on: what they are, for people.
        window, persisted, stretch, false_stops: see `Reference`.
        draws: of reference and stretch.
        seed: of the draws.

    Raises:
        ValueError: a class has no image.
    """
    empty = set(range(len(images.classes))) - set(images.labels.tolist())
    if empty:
        raise ValueError(f"no image of {', '.join(images.classes[one] for one in sorted(empty))}")
    layout = _layout(images)
    rows = layout.rows(images.kept, images.scores)
    means = np.round(_means(rows, images.labels, len(images.classes)), _DIGITS)
    levels = null_levels(
        images, layout, window=window, persisted=persisted, stretch=stretch, draws=draws, seed=seed
    )
    allowed = 1 - false_stops / SHARED_BY
    return Reference(
        measured_on=measured_on,
        images=len(images.kept),
        groups=len(set(images.groups.tolist())),
        window=window,
        persisted=persisted,
        stretch=stretch,
        false_stops=false_stops,
        mix=dict(zip(images.classes, np.round(images.mix, _DIGITS).tolist(), strict=True)),
        edges=dict(layout.edges),
        shares={
            name: {
                figure: tuple(means[place, layout.part(figure)].tolist())
                for figure in (*INPUTS, SCORE)
            }
            for place, name in enumerate(images.classes)
        },
        width=layout.width,
        means={
            name: tuple(means[place, -FOURIER:].tolist())
            for place, name in enumerate(images.classes)
        },
        limits={
            name: round(float(np.quantile(values, allowed, method="higher")), _DIGITS)
            for name, values in levels.items()
        },
    )


def null_levels(
    images: Images,
    layout: Layout,
    *,
    window: int,
    persisted: int,
    stretch: int,
    draws: int,
    seed: int,
) -> dict[Compared, Floats]:
    """For each statistic, the level that would have stopped each of `draws` stable stretches."""
    generator = np.random.default_rng(seed)
    rows = layout.rows(images.kept, images.scores)
    units = _units(images)
    found: dict[Compared, list[float]] = {name: [] for name in COMPARED}
    for _ in range(draws):
        chosen = _drawn_reference(units, images, generator)
        means = _means(rows[chosen], images.labels[chosen], len(images.classes))
        places = _drawn_windows(units, window, stretch, generator)
        expected = mixes(images.probabilities[places], images.mix) @ means
        compared = layout.compare(rows[places].mean(axis=1), expected, window)
        for name, values in compared.items():
            found[name].append(stopping_level(values, persisted))
    return {name: np.array(values) for name, values in found.items()}


def stopping_level(values: Sequence[float] | Floats, persisted: int) -> float:
    """The highest level that `persisted` windows in a row were all at or past."""
    runs = np.lib.stride_tricks.sliding_window_view(np.asarray(values), persisted)
    return float(runs.min(axis=1).max())


def _layout(images: Images) -> Layout:
    figures = inputs_of(images.kept)
    edges = {name: edges_of(figures[:, place]) for place, name in enumerate(INPUTS)}
    edges[SCORE] = edges_of(images.scores)
    return Layout.of(edges, round(width_of(embedding_of(images.kept)), _DIGITS))


def _means(rows: Floats, labels: NDArray[np.integer], classes: int) -> Floats:
    """(K, columns): the mean row of each class."""
    member = np.eye(classes)[labels]
    return np.asarray(member.T @ rows / np.maximum(member.sum(axis=0), 1)[:, None])


@dataclass(frozen=True, eq=False)
class _Units:
    """Images in the order of their groups; group g has `sizes[g]` from `starts[g]` on."""

    order: NDArray[np.integer]
    starts: NDArray[np.integer]
    sizes: NDArray[np.integer]
    by_class: tuple[NDArray[np.integer], ...]
    """Groups by the class of their first image."""

    def images(self, groups: NDArray[np.integer]) -> NDArray[np.integer]:
        """The images of some groups, one group after the other."""
        sizes = self.sizes[groups]
        ends = np.cumsum(sizes)
        inside = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
        return np.asarray(self.order[np.repeat(self.starts[groups], sizes) + inside])


def _units(images: Images) -> _Units:
    order = np.argsort(images.groups, kind="stable")
    _, starts, sizes = np.unique(images.groups[order], return_index=True, return_counts=True)
    first = images.labels[order[starts]]
    by_class = tuple(np.flatnonzero(first == one) for one in range(len(images.classes)))
    return _Units(order, starts, sizes, by_class)


def _drawn_reference(
    units: _Units, images: Images, generator: np.random.Generator
) -> NDArray[np.integer]:
    """Another reference: as many groups of each class, with some twice and some not at all."""
    groups = [generator.choice(one, len(one)) for one in units.by_class if len(one)]
    chosen = units.images(np.concatenate(groups))
    missing = set(range(len(images.classes))) - set(images.labels[chosen].tolist())
    # A class whose images are all in groups of other classes may be missed: it stays as it is.
    return np.concatenate([chosen, *(np.flatnonzero(images.labels == one) for one in missing)])


def _drawn_windows(
    units: _Units, window: int, stretch: int, generator: np.random.Generator
) -> NDArray[np.integer]:
    """(stretch, window): the images of each of so many windows."""
    # As many groups as images would be enough if each had one image.
    drawn = generator.integers(len(units.starts), size=window * stretch)
    return units.images(drawn)[: window * stretch].reshape(stretch, window)
