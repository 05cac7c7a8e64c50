"""How far windows depart from a reference while nothing drifts, and the limits that follow.

The reference is a sample: measured on 96 images it may be off by itself, and then every window
departs from it, one after the other. The patients of a site are another sample. So all is drawn
again (bootstrap, Efron and Tibshirani 1993), by groups, since images of one patient are alike: the
reference; the patients, as many; from these a whole stretch of windows. Of each stretch is kept
what would have stopped the model: the highest level that `persisted` windows in a row were all past
(max-min). The limit of a statistic is the quantile of that over all draws at the false alarms that
are allowed, shared evenly between the statistics (Bonferroni). Persistence, the number of looks and
the six figures of the input, of which the largest counts, are thereby in the limit.

Sites have other mixes of classes. The limit is the highest of those derived at the mix of the
reference and at mixes that one class prevails in.
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
#: Draws of reference, patients and stretch at each mix.
DRAWS = 1000
#: Share of a class that prevails.
PREVAILING = 0.9
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
    """The reference of some images, with its limits; it takes some ten seconds a class.

    Args:
        images: that training did not see, and that the gate lets through.
        measured_on: what they are, for people.
        window, persisted, stretch, false_stops: see `Reference`.
        draws: of reference, patients and stretch, at each mix.
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
    allowed = 1 - false_stops / SHARED_BY
    limits = dict.fromkeys(COMPARED, 0.0)
    for place, mix in enumerate(site_mixes(images.mix)):
        levels = null_levels(
            images,
            layout,
            mix,
            window=window,
            persisted=persisted,
            stretch=stretch,
            draws=draws,
            seed=seed + place,
        )
        for name, values in levels.items():
            level = float(np.quantile(values, allowed, method="higher"))
            limits[name] = max(limits[name], round(level, _DIGITS))
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
        sizes=dict(zip(images.classes, _sizes(images).tolist(), strict=True)),
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
        limits=limits,
    )


def site_mixes(mix: Floats) -> tuple[Floats, ...]:
    """The mixes of classes that limits are derived at: (K,) each, the reference's own first."""
    found = [mix]
    for place in range(len(mix)):
        others = np.delete(mix, place)
        one = np.insert((1 - PREVAILING) * others / others.sum(), place, PREVAILING)
        found.append(one)
    return tuple(found)


def null_levels(
    images: Images,
    layout: Layout,
    mix: Floats,
    *,
    window: int,
    persisted: int,
    stretch: int,
    draws: int,
    seed: int,
) -> dict[Compared, Floats]:
    """For each statistic, the level that would have stopped each of `draws` stable stretches.

    Args:
        images: of the reference.
        layout: of their rows.
        mix: (K,) of the classes among the readings.
        window, persisted, stretch: see `Reference`.
        draws: stretches.
        seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    rows = layout.rows(images.kept, images.scores)
    units, sizes = _units(images), _sizes(images)
    found: dict[Compared, list[float]] = {name: [] for name in COMPARED}
    for _ in range(draws):
        chosen = units.images(_drawn(units, generator))
        # A class whose images are all in groups of other classes may be missed: it stays.
        missing = set(range(len(sizes))) - set(images.labels[chosen].tolist())
        chosen = np.concatenate(
            [chosen, *(np.flatnonzero(images.labels == one) for one in missing)]
        )
        means = _means(rows[chosen], images.labels[chosen], len(sizes))
        places = _drawn_windows(units, mix, window, stretch, generator)
        estimated = mixes(images.probabilities[places], images.mix)
        compared = layout.compare(rows[places].mean(axis=1), estimated, means, sizes, window)
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
    classes: NDArray[np.integer]
    """The class of each group's first image."""
    by_class: tuple[NDArray[np.integer], ...]
    """The groups of each class."""

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
    return _Units(order, starts, sizes, first, by_class)


def _sizes(images: Images) -> NDArray[np.integer]:
    """(K,) groups that show each class."""
    shown = np.unique(np.stack([images.labels, images.groups]), axis=1)[0]
    return np.bincount(shown, minlength=len(images.classes))


def _drawn(units: _Units, generator: np.random.Generator) -> NDArray[np.integer]:
    """Another sample: as many groups of each class, with some twice and some not at all."""
    return np.concatenate([generator.choice(one, len(one)) for one in units.by_class if len(one)])


def _drawn_windows(
    units: _Units, mix: Floats, window: int, stretch: int, generator: np.random.Generator
) -> NDArray[np.integer]:
    """(stretch, window): the images of each of so many windows, of one sample of patients."""
    patients = _drawn(units, generator)
    classes, sizes = units.classes[patients], units.sizes[patients]
    images = np.bincount(classes, sizes, minlength=len(mix))
    # So that the images, not the groups, have the mix.
    weights = mix[classes] / np.maximum(images[classes], 1)
    weights = weights / weights.sum()
    # As many groups as images would be enough if each had one image.
    drawn = generator.choice(patients, window * stretch, p=weights)
    return units.images(drawn)[: window * stretch].reshape(stretch, window)
