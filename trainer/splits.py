"""Splits that never separate a group, and the refusal of those that do."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from trainer.data import DataSet, Example, Split
from trainer.refusals import DataRefused, LeakageRefused

SHARES: dict[Split, float] = {"train": 0.70, "val": 0.15, "test": 0.15}


def linked_groups(examples: Sequence[Example]) -> list[str]:
    """A name for each example such that two share it when a group or an identical file links them.

    Two patients with the same file in common are one unit: separating them would put that file
    on both sides.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for one in examples:
        first, second = sorted((root(f"group {one.group}"), root(f"file {one.digest}")))
        parent[second] = first
    return [root(f"group {one.group}") for one in examples]


def refuse_leakage(examples: Sequence[Example]) -> None:
    """Check that no group and no identical file stands in two splits.

    Raises:
        LeakageRefused: names how many do, and one of them.
    """
    by_group: defaultdict[str, set[Split | None]] = defaultdict(set)
    by_digest: defaultdict[str, list[Example]] = defaultdict(list)
    for one in examples:
        by_group[one.group].add(one.split)
        by_digest[one.digest].append(one)
    copies = sorted(
        same[0].path.name for same in by_digest.values() if len({one.split for one in same}) > 1
    )
    straddling = sorted(name for name, splits in by_group.items() if len(splits) > 1)
    if copies:
        raise LeakageRefused(
            f"{len(copies)} image(s) stand in two splits, for example {copies[0]!r}: the figures "
            "would be measured on images the model was trained on. Remove the copies; `trainer "
            "audit` lists them."
        )
    if straddling:
        raise LeakageRefused(
            f"{len(straddling)} group(s) stand in two splits, for example {straddling[0]!r}: the "
            "figures would be measured on patients the model was trained on. Move each group to "
            "one side; `trainer audit` lists them."
        )


def with_splits(data: DataSet, *, seed: int = 0) -> DataSet:
    """The data set with a split for every example, none of which separates a group.

    Declared splits are kept. Where there are none, groups are dealt 70 / 15 / 15 by class, in an
    order that depends on their names and the seed alone; where only a validation split is
    missing, it is dealt out of `train`.

    Raises:
        LeakageRefused: the declared splits separate a group or identical images.
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
        dealt = _deal(examples, SHARES, seed)
        return data.keep(
            replace(one, split=split) for one, split in zip(examples, dealt, strict=True)
        )
    loose = sum(one.split is None for one in examples)
    if loose:
        raise DataRefused(f"{loose} file(s) of {data.root} stand in no split while others do.")
    refuse_leakage(examples)
    if "train" not in data.splits:
        raise DataRefused(f"{data.root} has no train split.")
    if "val" not in data.splits:
        train = [one for one in examples if one.split == "train"]
        dealt = _deal(train, {"train": 0.85, "val": 0.15}, seed)
        moved = {one.path: split for one, split in zip(train, dealt, strict=True)}
        data = data.keep(replace(one, split=moved.get(one.path, one.split)) for one in examples)
    for split in ("train", "val"):
        empty = [class_id for class_id, count in data.of(split).per_class().items() if not count]
        if empty:
            raise DataRefused(
                f"The {split} split of {data.root} has no image of {', '.join(empty)}."
            )
    return data


def _deal(examples: Sequence[Example], shares: dict[Split, float], seed: int) -> list[Split]:
    """A split for each example: whole groups, by class, the same for the same names and seed."""
    units = linked_groups(examples)
    labels: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one, unit in zip(examples, units, strict=True):
        labels[unit][one.class_id] += 1
    by_class: defaultdict[str, list[str]] = defaultdict(list)
    for unit, counts in labels.items():
        by_class[max(sorted(counts), key=lambda name: counts[name])].append(unit)
    chosen: dict[str, Split] = {}
    for class_id in sorted(by_class):
        names = _shuffled(by_class[class_id], seed)
        if len(names) < 2:
            raise DataRefused(
                f"The class {class_id} has {len(names)} group(s); a training and a validation "
                "side need at least two."
            )
        total = sum(sum(labels[name].values()) for name in names)
        room = {split: share * total for split, share in shares.items()}
        for number, name in enumerate(names):
            # The first groups go one to each side, so that a small class is missing nowhere.
            sides = list(shares)
            split = sides[number] if number < len(sides) else max(sides, key=room.__getitem__)
            chosen[name] = split
            room[split] -= sum(labels[name].values())
    return [chosen[unit] for unit in units]


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed} {name}".encode()).digest())
