"""`trainer audit`: what is wrong with a data set before anything is trained on it."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from diagnosis.catalogue import Disease
from diagnosis.errors import ImageRefused
from diagnosis.images import read_image
from trainer.data import Found, digest_of, find_files
from trainer.refusals import DataRefused

_MOST_LISTED = 20


def audit(
    root: Path, disease: Disease | None, *, manifest: Path | None = None, workers: int = 2
) -> dict[str, Any]:
    """Read every file of a data set and report what a person has to know.

    Args:
        root: DATA.
        disease: compares the folders with its classes; without one they are taken as they are.
        manifest: read this one instead of looking for one.
        workers: threads that read images.

    Returns:
        Counts, sizes and lists; `problems` holds a sentence for each thing to mend.

    Raises:
        DataRefused: no folder, no files, or a manifest that cannot be used.
    """
    found, skipped, has_groups = find_files(root, manifest, disease)
    if not found:
        raise DataRefused(f"{root} holds no files in class folders.")
    with ThreadPoolExecutor(workers) as pool:
        looked = list(pool.map(_look, found))
    classes = [_class_of(one, disease) for one in found]
    by_digest: defaultdict[str, list[int]] = defaultdict(list)
    by_group: defaultdict[str, set[str]] = defaultdict(set)
    for place, (one, look) in enumerate(zip(found, looked, strict=True)):
        by_digest[look["digest"]].append(place)
        if one.group:
            by_group[one.group].add(str(one.split))
    copies = [places for places in by_digest.values() if len(places) > 1]
    report: dict[str, Any] = {
        "data": str(root),
        "disease": disease.id if disease else None,
        "files": len(found),
        "has_groups": has_groups,
        "groups": len(by_group) if has_groups else None,
        "splits": _balance(found, classes),
        "unknown_folders": sorted(
            {one.label for one, c in zip(found, classes, strict=True) if not c}
        ),
        "unreadable": [
            {"file": _name(one.path, root), "reason": look["reason"]}
            for one, look in zip(found, looked, strict=True)
            if look["reason"]
        ],
        "outside": [{"file": _name(one.path, root), "reason": one.reason} for one in skipped],
        "copies": _listed(copies, found, root),
        "copies_across_splits": _listed(
            (same for same in copies if len({found[i].split for i in same}) > 1), found, root
        ),
        "copies_across_classes": _listed(
            (same for same in copies if len({classes[i] for i in same}) > 1), found, root
        ),
        "groups_across_splits": sorted(g for g, splits in by_group.items() if len(splits) > 1),
        "sizes": _common(
            f"{look['width']}x{look['height']}" for look in looked if not look["reason"]
        ),
        "modes": _common(look["mode"] for look in looked if not look["reason"]),
        "formats": _common(look["format"] for look in looked if not look["reason"]),
    }
    report["problems"] = _problems(report, disease, classes)
    return report


def _look(one: Found) -> dict[str, Any]:
    digest = digest_of(one.path)
    try:
        image = read_image(one.path.read_bytes())
    except ImageRefused as error:
        return {"digest": digest, "reason": error.code}
    kind = "grey" if image.pixels.ndim == 2 else "colour"
    return {
        "digest": digest,
        "reason": None,
        "width": image.width,
        "height": image.height,
        "mode": f"{kind} {8 * image.pixels.dtype.itemsize} bit",
        "format": image.source_format,
    }


def _class_of(one: Found, disease: Disease | None) -> str | None:
    if disease is None:
        return one.label
    match = disease.class_for_folder(one.label)
    return match.id if match else None


def _balance(found: list[Found], classes: list[str | None]) -> dict[str, dict[str, int]]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one, class_id in zip(found, classes, strict=True):
        counts[one.split or "all"][class_id or f"? {one.label}"] += 1
    return {split: dict(sorted(counts[split].items())) for split in sorted(counts)}


def _listed(same: Iterable[list[int]], found: list[Found], root: Path) -> dict[str, Any]:
    every = list(same)
    return {
        "count": len(every),
        "files": [[_name(found[i].path, root) for i in one] for one in every[:_MOST_LISTED]],
    }


def _common(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common(_MOST_LISTED))


def _name(path: Path, root: Path) -> str:
    inside = root.resolve()
    for place in (root, inside):
        if path.is_relative_to(place):
            return str(path.relative_to(place))
    return str(path)


def _problems(
    report: dict[str, Any], disease: Disease | None, classes: list[str | None]
) -> list[str]:
    problems = []
    if report["unknown_folders"]:
        names = ", ".join(report["unknown_folders"][:5])
        problems.append(f"Folders that are no class: {names}.")
    if disease is not None:
        missing = [one for one in disease.class_ids if one not in classes]
        if missing:
            problems.append(f"Classes without an image: {', '.join(missing)}.")
    if report["unreadable"]:
        problems.append(f"{len(report['unreadable'])} file(s) are no readable image.")
    if report["copies_across_splits"]["count"]:
        count = report["copies_across_splits"]["count"]
        problems.append(f"{count} image(s) stand in two splits: training refuses this.")
    if report["groups_across_splits"]:
        count = len(report["groups_across_splits"])
        problems.append(f"{count} group(s) stand in two splits: training refuses this.")
    if report["copies_across_classes"]["count"]:
        count = report["copies_across_classes"]["count"]
        problems.append(f"{count} image(s) stand in two classes: one of the labels is wrong.")
    if report["copies"]["count"]:
        problems.append(f"{report['copies']['count']} image(s) stand more than once.")
    if not report["has_groups"]:
        problems.append(
            "No group ids: images of one patient may be separated; a manifest.csv names them."
        )
    return problems
