"""The trial itself: months in which nothing drifts, and months in which something does."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from diagnosis.drift import Images, Reference, make_reference
from tests.drift.films import Films, Reader, adults, contrast, gamma
from tests.drift.streams import DAYS, VOLUME, Month, chosen, follow
from trainer.settings import Settings

STABLE_MONTHS = 100
#: Times that each shift is followed, each time with other films in another order.
TIMES = 20
#: Days after which a shift that did not stop the model counts as not found.
AT_MOST = 2 * DAYS


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    films: int
    refused: float
    """Share of the films that the gate refuses; they are not judged and count in no window."""
    months: tuple[Month, ...]

    @property
    def stopped(self) -> tuple[float, ...]:
        """Days on which the model was stopped, of the months in which it was."""
        return tuple(sorted(one.stopped_on for one in self.months if one.stopped_on is not None))

    @property
    def days(self) -> str:
        """For the table: median and longest time until it was stopped."""
        if not self.stopped:
            return "none"
        return f"{median(self.stopped):.0f} ({max(self.stopped):.0f})"


def halves(images: Images, rng: np.random.Generator) -> tuple[Images, Images]:
    """Two halves that have no group in common."""
    names = np.unique(images.groups)
    first = np.isin(images.groups, rng.permutation(names)[: len(names) // 2])
    return images.of(first), images.of(~first)


def stable(images: Images, share: float | None, what: str, limits: Reference) -> Row:
    """A hundred months in which nothing drifts.

    Each time the films are halved anew: one half is the reference, the months come from the other,
    so that no film is held to itself. The limits are those of a reference of that size.
    """
    months = []
    for seed in range(STABLE_MONTHS):
        rng = np.random.default_rng(seed)
        known, coming = halves(images, rng)
        reference = make_reference(known, "half", draws=1).model_copy(
            update={"limits": limits.limits}
        )
        stream = chosen(coming, VOLUME * DAYS, rng, share)
        months.append(follow(reference, stream, until_stopped=False))
    return Row(what, len(images.kept), 0.0, tuple(months))


def shifted(reference: Reference, images: Images, refused: float, what: str) -> Row:
    """Months in which films come that are not like those of the reference."""
    months = []
    for seed in range(TIMES):
        rng = np.random.default_rng(seed)
        # What the gate refuses is not judged: the same sent a day make fewer readings.
        count = int(VOLUME * AT_MOST * (1 - refused))
        stream = chosen(images, count, rng)
        months.append(follow(reference, stream, volume=max(1, round(VOLUME * (1 - refused)))))
    return Row(what, len(images.kept), refused, tuple(months))


def run(data: Path, settings: Settings, log: Callable[[str], None]) -> tuple[list[Row], list[Row]]:
    """The rows of the stable months, and those of the shifts."""
    reader = Reader.shipped()
    reference = reader.card.reference
    assert reference is not None
    log("Reading the films as they are.")
    films = Films.read(data, reader.card, settings)
    plain, _ = films.changed(reader)
    log("Deriving the limits of half a reference.")
    limits = make_reference(halves(plain, np.random.default_rng(STABLE_MONTHS))[0], "half")
    quiet = [
        stable(plain, None, "as in the validation films (76 % pneumonia)", limits),
        stable(plain, 0.3, "30 % pneumonia", limits),
        stable(plain, 0.1, "10 % pneumonia", limits),
    ]
    rows = []
    for what, change in (
        ("gamma 0.8", gamma(0.8)),
        ("gamma 0.6", gamma(0.6)),
        ("gamma 1.25", gamma(1.25)),
        ("gamma 1.7", gamma(1.7)),
        ("contrast x 0.8", contrast(0.8)),
        ("contrast x 0.5", contrast(0.5)),
        ("contrast x 1.3", contrast(1.3)),
    ):
        log(f"Reading the films with {what}.")
        found, passed = films.changed(reader, change)
        rows.append(shifted(reference, found, 1 - float(passed.mean()), what))
    log("The other acquisition family.")
    rows += _families(reader, films)
    log("Films of adults.")
    found, passed = adults(data, reader)
    if len(found.kept):
        rows.append(
            shifted(reference, found, 1 - float(passed.mean()), "films of adults, altered copies")
        )
    return quiet, rows


def _families(reader: Reader, films: Films) -> list[Row]:
    """Reference of one acquisition family, readings of the other; and readings of one alone."""

    def some(*parts: str) -> Images:
        places = films.named(*parts)
        return reader.read(
            [films.pixels[one] for one in places],
            [films.labels[one] for one in places],
            [films.groups[one] for one in places],
        )[0]

    first = make_reference(some("_bacteria_", "^IM-"), "first")
    whole = reader.card.reference
    assert whole is not None
    second = some("_virus_", "^NORMAL2-")
    return [
        shifted(whole, second, 0.0, "only the second series of normal films, and viral pneumonia"),
        shifted(first, second, 0.0, "the same, held to the first series and bacterial pneumonia"),
    ]
