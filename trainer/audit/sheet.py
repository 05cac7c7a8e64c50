"""The contact sheet: one HTML page on which a person looks at a data set and its findings.

It stands by itself: thumbnails inside, no script, no file beside it. What it shows is recorded in
it, so that a sign-off can say what was looked at.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from diagnosis import WARNING
from diagnosis.errors import ImageRefused
from diagnosis.images import read_image
from diagnosis.preprocess import Array, Rgb
from trainer import signoff
from trainer.audit import Audit
from trainer.data import name_in
from trainer.perceptual import RULE

#: Images of each class in the random sample, unless told otherwise.
PER_CLASS = 12
#: Entries of a list of findings that are shown.
MOST_SHOWN = 24
#: Pixels of a thumbnail's longer side.
_SIDE = 128
_MARKS = (
    "Letters, markers or callipers along the edges. Bright anatomy is taken for a mark at times; "
    "what counts is a share that differs between classes."
)


@dataclass(frozen=True)
class Entry:
    """One finding: the images it is about and what is said of them."""

    images: tuple[int, ...]
    """Places in the audit's files."""
    says: str


@dataclass(frozen=True)
class Section:
    """A list of the sheet."""

    key: str
    title: str
    text: str
    entries: tuple[Entry, ...]
    total: int
    """How many findings there are, shown or not."""


def page(audit: Audit, *, seed: int = 0, per_class: int = PER_CLASS) -> str:
    """The page.

    Args:
        audit: what was found.
        seed: of the random sample.
        per_class: images of each class in the sample.
    """
    sample = _sample(audit, seed, per_class)
    findings = [one for one in _findings(audit) if one.total]
    shown = {
        one.key: sum(len(entry.images) for entry in one.entries) for one in (*sample, *findings)
    }
    meta = signoff.SheetMeta(listing=audit.report["listing"], seed=seed, shown=shown)
    drawn = {
        place: _thumbnail(audit, place)
        for place in {
            i for one in (*sample, *findings) for entry in one.entries for i in entry.images
        }
    }
    environment = Environment(
        loader=PackageLoader("trainer"), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template("sheet.html.j2").render(
        warning=WARNING,
        report=audit.report,
        meta_name=signoff.META,
        meta=json.dumps(meta.model_dump(mode="json")),
        sample=sample,
        findings=findings,
        seed=seed,
        drawn=drawn,
        names=[name_in(one.path, audit.root) for one in audit.found],
        splits=[one.split or "" for one in audit.found],
        classes=audit.classes,
    )


def _sample(audit: Audit, seed: int, per_class: int) -> list[Section]:
    """The random sample: the same for the same data and seed."""
    sections = []
    for name in sorted(set(audit.classes)):
        own = [
            place
            for place, (look, c) in enumerate(zip(audit.looks, audit.classes, strict=True))
            if c == name and not look.reason
        ]
        random = np.random.default_rng([seed, len(own)])
        chosen = sorted(random.permutation(len(own))[:per_class].tolist())
        entries = tuple(Entry((own[i],), "") for i in chosen)
        sections.append(Section(f"sample {name}", name, "", entries, len(own)))
    return sections


def _findings(audit: Audit) -> Iterable[Section]:
    found, classes = audit.found, audit.classes

    def pairs(key: str, title: str, text: str, apart: Sequence[object] | None) -> Section:
        chosen = [
            one for one in audit.near if apart is None or apart[one.first] != apart[one.second]
        ]
        entries = tuple(
            Entry((one.first, one.second), f"{one.distance} bits, {one.correlation:.3f}")
            for one in chosen[:MOST_SHOWN]
        )
        return Section(key, title, text, entries, len(chosen))

    splits = [one.split for one in found]
    yield pairs(
        "near_across_splits",
        "Near duplicates in two splits",
        f"Training refuses them. Rule: {RULE}.",
        splits,
    )
    yield pairs(
        "near_across_classes",
        "Near duplicates in two classes",
        "One of the labels is likely wrong.",
        classes,
    )
    for key, title, apart in (
        ("copies_across_splits", "Identical files in two splits", splits),
        ("copies_across_classes", "Identical files in two classes", list(classes)),
    ):
        chosen = [one for one in audit.copies if len({apart[i] for i in one}) > 1]
        entries = tuple(Entry(one[:4], f"{len(one)} times") for one in chosen[:MOST_SHOWN])
        yield Section(key, title, "The bytes are the same.", entries, len(chosen))
    labels = audit.report["labels"]
    yield Section(
        "suspect_labels",
        "Suspected wrong labels",
        "A simple model, which saw no image of the same group, would rather call them otherwise. "
        f"It gets {labels.get('balanced_accuracy', 0):.0%} of each class right on average, so many "
        "of its suspicions are mistakes of its own. The most suspect come first.",
        tuple(
            Entry((one.place,), f"labelled {one.label}, looks like {one.suggested}")
            for one in audit.suspects[:MOST_SHOWN]
        ),
        len(audit.suspects),
    )
    for key, title, text, has in (
        (
            "marks",
            "Burned-in marks",
            _MARKS,
            [look.marks > 0 for look in audit.looks],
        ),
        (
            "borders",
            "Borders",
            "Constant stripes along the edges.",
            [look.borders.present and not look.blank for look in audit.looks],
        ),
        ("blank", "Blank images", "Nothing can be seen.", [one.blank for one in audit.looks]),
    ):
        places = _spread([i for i, one in enumerate(has) if one], classes)
        yield Section(key, title, text, tuple(Entry((i,), "") for i in places), sum(has))


def _spread(places: Sequence[int], classes: Sequence[str]) -> list[int]:
    """A few of the places, from each class in turn."""
    by_class: dict[str, list[int]] = {}
    for place in places:
        by_class.setdefault(classes[place], []).append(place)
    each = max(1, MOST_SHOWN // max(len(by_class), 1))
    return [
        place
        for name in sorted(by_class)
        for place in by_class[name][:: max(1, len(by_class[name]) // each)][:each]
    ]


def _thumbnail(audit: Audit, place: int) -> str:
    """A `data:` address of a small JPEG; empty where the file is no readable image."""
    try:
        pixels: Array = read_image(audit.found[place].path.read_bytes()).pixels
    except (ImageRefused, OSError):
        return ""
    if pixels.dtype == np.uint16:
        pixels = np.asarray(pixels.astype(np.float32) / 257, np.uint8)
    image = Image.fromarray(np.asarray(Rgb().apply(pixels), np.uint8))
    image.thumbnail((_SIDE, _SIDE))
    target = BytesIO()
    image.save(target, format="JPEG", quality=70)
    return f"data:image/jpeg;base64,{base64.b64encode(target.getvalue()).decode()}"
