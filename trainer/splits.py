"""Splits that never separate a group, an image from its copy, or near duplicates."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from trainer.data import DataSet, Example, Split
from trainer.leakage import refuse_leakage
from trainer.perceptual import Pair
from trainer.refusals import DataRefused

SHARES: dict[Split, float] = {"train": 0.70, "val": 0.15, "test": 0.15}


def linked_groups(examples: Sequence[Example], alike: Sequence[Pair] = ()) -> list[str]:
    """A name for each example such that two share it when anything links them.

    A group, an identical file or a near duplicate does. Two patients with the same file in common
    are one unit: separating them would put that file on both sides.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def link(one: str, other: str) -> None:
        first, second = sorted((root(one), root(other)))
        parent[second] = first

    for one in examples:
        link(f"group {one.group}", f"file {one.digest}")
    digest = {one.path: one.digest for one in examples}
    for pair in alike:
        if all(path in digest for path in pair):
            link(*(f"file {digest[path]}" for path in pair))
    return [root(f"group {one.group}") for one in examples]


def with_splits(
    data: DataSet, *, seed: int = 0, alike: Sequence[Pair] = (), allow_leakage: bool = False
) -> DataSet:
    """The data set with a split for every example, none of which separates a group.

    Declared splits are kept. Where there are none, groups are dealt 70 / 15 / 15 by class, in an
    order that depends on their names and the seed alone; where only a validation split is
    missing, it is dealt out of `train`.

    Args:
        data: the data set.
        seed: of the order in which groups are dealt.
        alike: near duplicates, which belong on one side.
        allow_leakage: take declared splits that separate what belongs together.

    Raises:
        LeakageRefused: the declared splits separate a group, identical images or near duplicates.
        DataRefused: fewer than two classes, a class with fewer than two groups, splits declared
            for some files only, or no training split.
    """
    examples = data.examples
    present = [class_id for class_id, count in data.per_class().items() if count]
    missing = [class_id for class_id in data.disease.class_ids if class_id not in present]
    if missing:
        raise DataRefused(
            f"{data.root} has no image of {', '.join(missing)}; training needs every class of "
            f"{data.disease.id}."
        )
    if not data.splits:
        dealt = _deal(examples, SHARES, seed, alike)
        return data.keep(
            replace(one, split=split) for one, split in zip(examples, dealt, strict=True)
        )
    loose = sum(one.split is None for one in examples)
    if loose:
        raise DataRefused(f"{loose} file(s) of {data.root} stand in no split while others do.")
    if not allow_leakage:
        refuse_leakage(examples, alike)
    if "train" not in data.splits:
        raise DataRefused(f"{data.root} has no train split.")
    if "val" not in data.splits:
        train = [one for one in examples if one.split == "train"]
        dealt = _deal(train, {"train": 0.85, "val": 0.15}, seed, alike)
        moved = {one.path: split for one, split in zip(train, dealt, strict=True)}
        data = data.keep(replace(one, split=moved.get(one.path, one.split)) for one in examples)
    for split in ("train", "val"):
        empty = [class_id for class_id, count in data.of(split).per_class().items() if not count]
        if empty:
            raise DataRefused(
                f"The {split} split of {data.root} has no image of {', '.join(empty)}."
            )
    return data


def group_folds(
    examples: Sequence[Example], count: int, *, seed: int = 0, alike: Sequence[Pair] = ()
) -> list[list[Example]]:
    """The examples in `count` parts, none of which separates a group; each has every class.

    Raises:
        DataRefused: a class has fewer groups than there are parts.
    """
    units = linked_groups(examples, alike)
    by_class, _sizes = _by_class(examples, units)
    chosen: dict[str, int] = {}
    for class_id in sorted({one.class_id for one in examples}):
        names = _shuffled(by_class[class_id], seed)
        if len(names) < count:
            raise DataRefused(
                f"The class {class_id} has {len(names)} group(s) to train on, too few for "
                f"{count} folds."
            )
        chosen |= {name: number % count for number, name in enumerate(names)}
    folds: list[list[Example]] = [[] for _ in range(count)]
    for one, unit in zip(examples, units, strict=True):
        folds[chosen[unit]].append(one)
    return folds


def _by_class(
    examples: Sequence[Example], units: Sequence[str]
) -> tuple[Mapping[str, list[str]], Mapping[str, int]]:
    """The units of each class, a unit of several standing with its commonest, and their sizes."""
    labels: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one, unit in zip(examples, units, strict=True):
        labels[unit][one.class_id] += 1
    by_class: defaultdict[str, list[str]] = defaultdict(list)
    for unit, counts in labels.items():
        by_class[max(sorted(counts), key=lambda name: counts[name])].append(unit)
    return by_class, {unit: counts.total() for unit, counts in labels.items()}


def _deal(
    examples: Sequence[Example], shares: dict[Split, float], seed: int, alike: Sequence[Pair]
) -> list[Split]:
    """A split for each example: whole groups, by class, the same for the same names and seed."""
    units = linked_groups(examples, alike)
    by_class, sizes = _by_class(examples, units)
    chosen: dict[str, Split] = {}
    for class_id in sorted(by_class):
        names = _shuffled(by_class[class_id], seed)
        if len(names) < 2:
            raise DataRefused(
                f"The class {class_id} has {len(names)} group(s); a training and a validation "
                "side need at least two."
            )
        total = sum(sizes[name] for name in names)
        room = {split: share * total for split, share in shares.items()}
        for number, name in enumerate(names):
            # The first groups go one to each side, so that a small class is missing nowhere.
            sides = list(shares)
            split = sides[number] if number < len(sides) else max(sides, key=room.__getitem__)
            chosen[name] = split
            room[split] -= sizes[name]
    return [chosen[unit] for unit in units]


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
