"""`trainer audit`: what is wrong with a data set before anything is trained on it."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diagnosis.catalogue import Disease
from trainer import perceptual, signoff
from trainer.about import read_about
from trainer.audit import labels as label_review
from trainer.audit import statistics
from trainer.audit.looks import Look, look_at
from trainer.audit.problems import problems_of
from trainer.data import Example, Found, find_files, folder_of, listing_of, name_in
from trainer.perceptual import Likeness
from trainer.refusals import DataRefused
from trainer.splits import linked_groups

_MOST_LISTED = 200


@dataclass(frozen=True)
class Request:
    """What `trainer audit` was asked for."""

    data: Path
    disease: Disease | None = None
    """Compares the folders with its classes; without one they are taken as they are."""
    manifest: Path | None = None
    sign_off: Path | None = None
    """File of sign-offs, where it is not beside the data."""
    seed: int = 0
    """Of the folds in which labels are checked, and of the contact sheet's sample."""


@dataclass(frozen=True)
class Audit:
    """What was found, and what the contact sheet shows it with."""

    root: Path
    report: dict[str, Any]
    """One JSON object; `problems` holds a sentence for each thing to mend."""
    found: tuple[Found, ...]
    looks: tuple[Look, ...]
    classes: tuple[str, ...]
    """Of each file: its class, or `? ` and its folder where that is none."""
    near: tuple[Likeness, ...]
    copies: tuple[tuple[int, ...], ...]
    suspects: tuple[label_review.Suspect, ...]
    """With places in `found`."""


def audit(
    request: Request,
    *,
    cache: Path | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Read every file of a data set and report what a person has to know.

    Args:
        request: the data set and what it is compared with.
        cache: where a `.npz` file is unpacked to.
        workers: threads that read images.
        progress: is told how many files are read.

    Raises:
        DataRefused: no folder, no files, or a manifest that cannot be used.
    """
    disease = request.disease
    root = folder_of(request.data, disease, cache)
    found, skipped, has_groups = find_files(root, request.manifest, disease)
    if not found:
        raise DataRefused(f"{root} holds no files in class folders.")
    looks = look_at(found, workers=workers, progress=progress)
    matched = [_class_of(one, disease) for one in found]
    classes = [c or f"? {one.label}" for one, c in zip(found, matched, strict=True)]
    readable = [place for place, look in enumerate(looks) if not look.reason]
    near = [
        one
        for one in perceptual.near_duplicates([look.small for look in looks])
        if looks[one.first].digest != looks[one.second].digest
    ]
    copies = _copies(looks)
    listing = listing_of(root, found, [look.digest for look in looks])
    place = signoff.place_of(request.data, request.sign_off)
    signed, by = signoff.state_of(signoff.read(place), listing)
    reviewed, suspects = _review(found, looks, classes, near, request.seed)

    def split_of(place: int) -> str:
        return str(found[place].split)

    def pairs(chosen: Sequence[Likeness]) -> dict[str, Any]:
        return {
            "count": len(chosen),
            "pairs": [
                {
                    "files": [name_in(found[i].path, root) for i in (one.first, one.second)],
                    "splits": [found[i].split for i in (one.first, one.second)],
                    "classes": [classes[i] for i in (one.first, one.second)],
                    "bits": one.distance,
                    "correlation": one.correlation,
                }
                for one in chosen[:_MOST_LISTED]
            ],
        }

    def same(chosen: Iterable[Sequence[int]]) -> dict[str, Any]:
        every = list(chosen)
        return {
            "count": len(every),
            "files": [[name_in(found[i].path, root) for i in one] for one in every[:_MOST_LISTED]],
        }

    by_group: defaultdict[str, set[str]] = defaultdict(set)
    for one in found:
        if one.group:
            by_group[one.group].add(str(one.split))
    of_classes = [classes[i] for i in readable]
    report: dict[str, Any] = {
        "data": str(request.data),
        "disease": disease.id if disease else None,
        "files": len(found),
        "listing": listing,
        "licence": read_about(request.data, None).licence,
        "sign_off": {"state": signed, "by": by.model_dump(mode="json") if by else None},
        "has_groups": has_groups,
        "groups": len(by_group) if has_groups else None,
        "splits": _balance(found, classes),
        "missing_classes": [one for one in disease.class_ids if one not in matched]
        if disease
        else [],
        "unknown_folders": sorted(
            {one.label for one, c in zip(found, matched, strict=True) if not c}
        ),
        "unreadable": [
            {"file": name_in(one.path, root), "reason": look.reason}
            for one, look in zip(found, looks, strict=True)
            if look.reason
        ],
        "outside": [{"file": name_in(one.path, root), "reason": one.reason} for one in skipped],
        "blank": [name_in(found[i].path, root) for i in readable if looks[i].blank],
        "copies": same(copies),
        "copies_across_splits": same(one for one in copies if len({split_of(i) for i in one}) > 1),
        "copies_across_classes": same(one for one in copies if len({classes[i] for i in one}) > 1),
        "near_duplicates": {"rule": perceptual.RULE, **pairs(near)},
        "near_duplicates_across_splits": pairs(
            [one for one in near if split_of(one.first) != split_of(one.second)]
        ),
        "near_duplicates_across_classes": pairs(
            [one for one in near if classes[one.first] != classes[one.second]]
        ),
        "near_duplicates_across_groups": sum(
            found[one.first].group != found[one.second].group for one in near
        )
        if has_groups
        else None,
        "groups_across_splits": sorted(g for g, splits in by_group.items() if len(splits) > 1),
        "small_sets": statistics.small_sets(_units(found, classes)),
        "sizes": _common(f"{looks[i].width}x{looks[i].height}" for i in readable),
        "modes": _common(looks[i].mode for i in readable),
        "formats": _common(looks[i].format for i in readable),
        "borders": statistics.shares([looks[i].borders.present for i in readable], of_classes),
        "marks": statistics.shares([looks[i].marks > 0 for i in readable], of_classes),
        "tells_the_class": _shortcuts([looks[i] for i in readable], of_classes),
        "labels": reviewed,
        "suspect_labels": [
            {
                "file": name_in(found[one.place].path, root),
                "label": one.label,
                "suggested": one.suggested,
                "margin": one.margin,
            }
            for one in suspects[:_MOST_LISTED]
        ],
    }
    report["problems"] = problems_of(report)
    return Audit(
        root,
        report,
        tuple(found),
        tuple(looks),
        tuple(classes),
        tuple(near),
        tuple(copies),
        tuple(suspects),
    )


def _copies(looks: Sequence[Look]) -> list[tuple[int, ...]]:
    by_digest: defaultdict[str, list[int]] = defaultdict(list)
    for place, look in enumerate(looks):
        by_digest[look.digest].append(place)
    return [tuple(places) for places in by_digest.values() if len(places) > 1]


def _review(
    found: Sequence[Found],
    looks: Sequence[Look],
    classes: Sequence[str],
    near: Sequence[Likeness],
    seed: int,
) -> tuple[dict[str, Any], list[label_review.Suspect]]:
    """The check of the labels, and its suspects with places in `found`."""
    # Whatever links two images keeps them in one fold: a copy would give its own label away.
    units = linked_groups(
        [
            Example(one.path, label, look.digest, one.group or f"file {look.digest}")
            for one, look, label in zip(found, looks, classes, strict=True)
        ],
        [(found[one.first].path, found[one.second].path) for one in near],
    )
    used = [
        place
        for place, look in enumerate(looks)
        if not look.reason and not look.blank and not classes[place].startswith("? ")
    ]
    if not used:
        return {"checked": False, "why": "Labels were not checked: no image can be used."}, []
    answer = label_review.review(
        np.stack([looks[i].features for i in used]),
        [classes[i] for i in used],
        [units[i] for i in used],
        seed=seed,
    )
    if isinstance(answer, str):
        return {"checked": False, "why": answer}, []
    suspects = [
        label_review.Suspect(used[one.place], one.label, one.suggested, one.margin)
        for one in answer.suspects
    ]
    pairs = Counter(f"{one.label} > {one.suggested}" for one in suspects)
    return {
        "checked": True,
        "method": "confident learning (Northcutt 2021), out of fold by group, on cheap features",
        "images": answer.images,
        "balanced_accuracy": answer.balanced_accuracy,
        "reliable": answer.balanced_accuracy >= label_review.RELIABLE,
        "suspects": len(suspects),
        "by_pair": dict(pairs.most_common()),
    }, suspects


def _shortcuts(looks: Sequence[Look], classes: Sequence[str]) -> dict[str, Any]:
    """What of the file, rather than of the patient, depends on the class."""
    properties = {
        "size": [f"{one.width}x{one.height}" for one in looks],
        "mode": [one.mode for one in looks],
        "format": [one.format for one in looks],
        "border": ["with" if one.borders.present else "without" for one in looks],
        "mark": ["with" if one.marks else "without" for one in looks],
    }
    told = {
        name: statistics.tells_the_class(values, classes) for name, values in properties.items()
    }
    return {name: one for name, one in told.items() if one is not None}


def _class_of(one: Found, disease: Disease | None) -> str | None:
    if disease is None:
        return one.label
    match = disease.class_for_folder(one.label)
    return match.id if match else None


def _balance(found: Sequence[Found], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one, class_id in zip(found, classes, strict=True):
        counts[one.split or "all"][class_id] += 1
    return {split: dict(sorted(counts[split].items())) for split in sorted(counts)}


def _units(found: Sequence[Found], classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """Groups by split and class; a file without one is its own."""
    units: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for one, class_id in zip(found, classes, strict=True):
        units[one.split or "all"][class_id].add(one.group or str(one.path))
    return {s: {c: len(of) for c, of in sorted(by.items())} for s, by in units.items()}


def _common(values: Iterable[str]) -> dict[str, int]:
    return dict(Counter(values).most_common(20))
