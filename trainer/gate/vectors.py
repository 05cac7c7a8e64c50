"""Pictures as features: as they are, as other devices would have saved them, and made wrong."""

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagnosis.gate import SIZE, features
from trainer.gate.acquisitions import acquired
from trainer.gate.images import Picture
from trainer.gate.synthetic import MADE, SPOILT

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]
Log = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Vectors:
    """The features of some pictures of one kind; a row a picture that could be read."""

    plain: Floats
    """(N, d) as they are."""
    changed: Floats
    """(N, times, d) by chance altered, as other acquisitions would be."""
    groups: tuple[str, ...]
    spoilt: dict[str, Floats]
    """(N, 2, d) by the way it was made wrong: then as it is, and altered."""

    def every(self) -> Floats:
        """(N * (1 + times), d): all rows that show the kind."""
        return np.concatenate([self.plain, self.changed.reshape(-1, SIZE)])

    def of(self, chosen: NDArray[np.bool_]) -> "Vectors":
        """The chosen rows."""
        return Vectors(
            self.plain[chosen],
            self.changed[chosen],
            tuple(one for one, kept in zip(self.groups, chosen, strict=True) if kept),
            {name: rows[chosen] for name, rows in self.spoilt.items()},
        )


def vectors_of(
    pictures: Sequence[Picture],
    *,
    times: int,
    spoils: Sequence[str] = (),
    workers: int = 2,
    progress: Progress | None = None,
) -> Vectors:
    """Read pictures and compute their features; those that are no images are left out.

    Args:
        pictures: of one kind.
        times: how often each is altered.
        spoils: names in `SPOILT`.
        workers: threads.
        progress: told how many are done.
    """

    def one(picture: Picture) -> tuple[Floats, Floats] | None:
        pixels = picture.load()
        if pixels is None:
            return None
        rng = np.random.default_rng(zlib.crc32(picture.key.encode()))
        rows = [features(pixels)] + [features(acquired(pixels, rng)) for _ in range(times)]
        wrong = [SPOILT[name](pixels, rng) for name in spoils]
        pairs = [[features(bad), features(acquired(bad, rng))] for bad in wrong]
        return np.array(rows), np.array(pairs).reshape(len(spoils), 2, SIZE)

    rows, wrong, groups = [], [], []
    with ThreadPoolExecutor(workers) as pool:
        for number, found in enumerate(pool.map(one, pictures), start=1):
            if found is not None:
                rows.append(found[0])
                wrong.append(found[1])
                groups.append(pictures[number - 1].group)
            if progress is not None:
                progress(number, len(pictures))
    whole = np.array(rows).reshape(len(rows), 1 + times, SIZE)
    bad = np.array(wrong).reshape(len(rows), len(spoils), 2, SIZE)
    return Vectors(
        whole[:, 0],
        whole[:, 1:],
        tuple(groups),
        {name: bad[:, place] for place, name in enumerate(spoils)},
    )


def made(kind: str, count: int, *, seed: int, times: int, workers: int = 2) -> Vectors:
    """Features of so many synthetic images of a kind in `MADE`; the seed names the images."""

    def picture(number: int) -> Picture:
        key = f"{kind} {seed} {number}"
        rng = np.random.default_rng(zlib.crc32(key.encode()))
        return Picture(key, key, lambda: MADE[kind](rng))

    return vectors_of([picture(one) for one in range(count)], times=times, workers=workers)
