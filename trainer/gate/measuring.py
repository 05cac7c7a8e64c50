"""How often a gate refuses what it should and what it should not, on images not fitted to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diagnosis.gate import SIZE, GateCheck
from trainer.gate.fitting import Fit, fit
from trainer.gate.vectors import Floats, Log, Vectors
from trainer.metrics.shares import share


@dataclass(frozen=True, eq=False)
class Sets:
    """Everything a gate is measured on; no image of it was fitted to."""

    good: Vectors
    others: Mapping[str, Vectors]
    """Kinds of which other images were fitted."""
    unseen: Mapping[str, Vectors]
    """Kinds of which no image was fitted."""


def check(
    fitted: Fit,
    kind: str,
    rows: Floats,
    groups: Sequence[str],
    *,
    good: bool = False,
    seen: bool = False,
) -> GateCheck:
    """One line of a gate's table.

    Args:
        fitted: the gate.
        kind: what the images are.
        rows: features, (N, d).
        groups: of each image.
        good: whether the images ought to pass.
        seen: whether others of their kind were fitted.
    """
    return GateCheck(
        kind=kind,
        images=len(rows),
        groups=len(set(groups)),
        refused=share(fitted.refuses(rows), groups),
        good=good,
        fitted=seen,
    )


def measured(fitted: Fit, sets: Sets) -> tuple[GateCheck, ...]:
    """The gate's table: good images, each kind that was fitted, and each that was not."""
    good = sets.good
    changed, times = good.changed.reshape(-1, SIZE), good.changed.shape[1]
    many = [group for group in good.groups for _ in range(times)]
    rows = [check(fitted, "good images", good.plain, good.groups, good=True, seen=True)]
    if times:
        rows.append(
            check(fitted, "good images, altered as other acquisitions", changed, many,
                  good=True, seen=True)
        )  # fmt: skip
    for name, pairs in good.spoilt.items():
        told = name in fitted.kinds or name in fitted.postures
        label = f"good images, {name.replace('_', ' ')}"
        rows.append(check(fitted, label, pairs[:, 0], good.groups, seen=told))
    for name, one in sets.others.items():
        rows.append(check(fitted, name, one.plain, one.groups, seen=True))
    for name, one in sets.unseen.items():
        rows.append(check(fitted, name, one.plain, one.groups))
    return tuple(rows)


def left_out(
    good: Vectors, others: Mapping[str, Floats], sets: Sets, seed: int, log: Log
) -> tuple[GateCheck, ...]:
    """Fit again without each kind, and measure on that kind."""
    rows = []
    for name, one in sets.others.items():
        log(f"Fitting the gate without {name}.")
        without = fit(good, {key: kept for key, kept in others.items() if key != name}, seed)
        rows.append(check(without, name, one.plain, one.groups))
    return tuple(rows)
