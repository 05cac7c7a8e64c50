"""What an audit found, in sentences: one for each thing to mend or to know."""

from collections.abc import Iterator
from typing import Any

from trainer.audit.statistics import EXPECTED, LARGEST_HALF_WIDTH

#: How many times smaller than the largest class a class may be before it is named.
_IMBALANCE = 10


def problems_of(report: dict[str, Any]) -> list[str]:
    """The sentences of a report, what refuses training first."""
    return [*_refused(report), *_wrong(report), *_shortcuts(report), *_weak(report)]


def _refused(report: dict[str, Any]) -> Iterator[str]:
    if report["unknown_folders"]:
        names = ", ".join(report["unknown_folders"][:5])
        yield f"Folders that are no class: {names}."
    if report["missing_classes"]:
        yield f"Classes without an image: {', '.join(report['missing_classes'])}."
    if report["licence"] is None:
        yield "No licence is stated beside the data: training refuses this."
    for key, what in (
        ("copies_across_splits", "image(s) stand in two splits"),
        ("near_duplicates_across_splits", "pair(s) of near duplicates stand in two splits"),
    ):
        if report[key]["count"]:
            yield f"{report[key]['count']} {what}: training refuses this."
    if report["groups_across_splits"]:
        count = len(report["groups_across_splits"])
        yield f"{count} group(s) stand in two splits: training refuses this."


def _wrong(report: dict[str, Any]) -> Iterator[str]:
    if report["unreadable"]:
        yield f"{len(report['unreadable'])} file(s) are no readable image."
    if report["blank"]:
        yield f"{len(report['blank'])} image(s) are blank."
    for key, what in (
        ("copies_across_classes", "image(s) stand in two classes"),
        ("near_duplicates_across_classes", "pair(s) of near duplicates stand in two classes"),
    ):
        if report[key]["count"]:
            yield f"{report[key]['count']} {what}: one of the labels is wrong."
    if report["copies"]["count"]:
        yield f"{report['copies']['count']} image(s) stand more than once."
    if report["near_duplicates"]["count"]:
        count, across = report["near_duplicates"]["count"], report["near_duplicates_across_groups"]
        missed = f", {across} of them in two groups" if across else ""
        yield f"{count} pair(s) of images are near duplicates{missed}."
    labels = report["labels"]
    if labels["checked"] and not labels["reliable"]:
        yield (
            f"Labels can hardly be checked: a simple model gets {labels['balanced_accuracy']:.0%} "
            f"of each class right, so its {labels['suspects']} suspicions are mostly its mistakes."
        )
    elif labels["checked"] and labels["suspects"]:
        yield (
            f"{labels['suspects']} label(s) of {labels['images']} are suspect to a simple model "
            f"(balanced accuracy {labels['balanced_accuracy']:.2f}): look at the first of them."
        )


def _shortcuts(report: dict[str, Any]) -> Iterator[str]:
    for name, one in report["tells_the_class"].items():
        low, high = one["lowest"], one["highest"]
        what = name if one["value"] == "with" else f"{name} {one['value']}"
        yield (
            f"The class may be told by the image's {what}: {high['share']:.0%} of "
            f"{high['class']}, {low['share']:.0%} of {low['class']}."
        )


def _weak(report: dict[str, Any]) -> Iterator[str]:
    small = [one for one in report["small_sets"] if one["too_small"]]
    if small:
        listed = ", ".join(
            f"{one['split']} {one['class']} ({one['units']}: {one['half_width']:.2f})"
            for one in small
        )
        yield (
            f"Too small to measure on: a sensitivity of {EXPECTED:.2f} is known to no better than "
            f"{LARGEST_HALF_WIDTH:.2f} either way with {listed}."
        )
    for split, counts in report["splits"].items():
        most, least = max(counts.values()), min(counts.values())
        if most > _IMBALANCE * least:
            names = [name for name, count in counts.items() if most > _IMBALANCE * count]
            yield f"In {split}, {', '.join(names)} have under a tenth of the largest class."
    if not report["has_groups"]:
        yield "No group ids: images of one patient may be separated; a manifest.csv names them."
    if report["sign_off"]["state"] != "matches":
        was = "" if report["sign_off"]["state"] == "none" else " since it changed"
        yield f"Nobody has signed this data off{was}."
