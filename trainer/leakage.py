"""What stands on two sides of a split: groups, identical files and near duplicates.

A figure that is measured on images the model was trained on says nothing. Training refuses such a
data set; who knows better says so with a reason, and the card carries it as a limitation.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer.data import DataSet, Example, Split
from trainer.perceptual import Pair
from trainer.refusals import LeakageRefused

_MEND = (
    "`trainer audit DATA --sheet FILE` lists and shows them; `train --leave-copies-out` leaves "
    "copies out of the training side; `--allow-leakage REASON` trains all the same and says so on "
    "the card."
)


@dataclass(frozen=True)
class Leakage:
    """Names of what stands in two splits, each list in order."""

    copies: tuple[str, ...] = ()
    """A file name for each image whose very bytes do."""
    groups: tuple[str, ...] = ()
    near: tuple[tuple[str, str], ...] = ()
    """File names of near duplicates (see `trainer.perceptual`)."""

    def __bool__(self) -> bool:
        return bool(self.copies or self.groups or self.near)

    def __str__(self) -> str:
        parts = []
        if self.copies:
            parts.append(
                f"{len(self.copies)} image(s) stand in two splits, for example {self.copies[0]!r}"
            )
        if self.groups:
            parts.append(
                f"{len(self.groups)} group(s) stand in two splits, for example {self.groups[0]!r}"
            )
        if self.near:
            first, second = self.near[0]
            parts.append(
                f"{len(self.near)} pair(s) of near duplicates stand in two splits, for example "
                f"{first!r} and {second!r}"
            )
        return "; ".join(parts)


def find_leakage(examples: Sequence[Example], alike: Sequence[Pair] = ()) -> Leakage:
    """What stands in two splits.

    Args:
        examples: with their splits.
        alike: near duplicates among them; pairs of other files are passed over.
    """
    by_group: defaultdict[str, set[Split | None]] = defaultdict(set)
    by_digest: defaultdict[str, list[Example]] = defaultdict(list)
    for one in examples:
        by_group[one.group].add(one.split)
        by_digest[one.digest].append(one)
    copies = sorted(
        same[0].path.name for same in by_digest.values() if len({one.split for one in same}) > 1
    )
    near = [(a.name, b.name) for a, b in _across(examples, alike)]
    straddling = sorted(name for name, splits in by_group.items() if len(splits) > 1)
    return Leakage(tuple(copies), tuple(straddling), tuple(near))


def refuse_leakage(examples: Sequence[Example], alike: Sequence[Pair] = ()) -> None:
    """Check that no group, no identical file and no near duplicate stands in two splits.

    Raises:
        LeakageRefused: names how many do, one of them, and what can be done.
    """
    found = find_leakage(examples, alike)
    if found:
        raise LeakageRefused(
            f"{found}: the figures would be measured on what the model was trained on. {_MEND}"
        )


def without_copies(data: DataSet, alike: Sequence[Pair]) -> DataSet:
    """The data set less the training images that another split holds too, or nearly so."""
    elsewhere = {one.digest for one in data.examples if one.split not in {"train", None}}
    split = {one.path: one.split for one in data.examples}
    near = {
        path for pair in _across(data.examples, alike) for path in pair if split[path] == "train"
    }
    return data.keep(
        one
        for one in data.examples
        if one.split != "train" or (one.digest not in elsewhere and one.path not in near)
    )


def _across(examples: Sequence[Example], alike: Sequence[Pair]) -> list[tuple[Path, Path]]:
    split = {one.path: one.split for one in examples}
    return [(a, b) for a, b in alike if a in split and b in split and split[a] != split[b]]
