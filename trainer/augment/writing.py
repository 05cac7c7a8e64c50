"""`trainer augment`: augmented files for the classes that have too few images.

Only the training split is changed. Each file comes from one original by one technique, says both
in its name, and stands in a manifest with its original's group, so that no split can part them.
"""

import csv
import hashlib
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diagnosis.catalogue import Augmentation, Disease
from diagnosis.durable import INCOMING, exclusive, replace_file
from diagnosis.errors import ImageRefused
from diagnosis.images import read_image
from trainer.augment.changes import Augmenter
from trainer.augment.policies import Policy
from trainer.data import DataSet, Example, beside, name_in, read_dataset
from trainer.pixels import Progress
from trainer.refusals import DataRefused, TrainerRefused

MANIFEST = "manifest.csv"
_COLUMNS = ("path", "label", "split", "group_id", "original", "technique", "copy")
#: Draws until a technique changes an image, as one that acts by chance may leave it as it is.
_DRAWS = 20
#: Largest difference, of 255, below which an image counts as unchanged.
_UNCHANGED = 1.0


@dataclass(frozen=True)
class Wish:
    """What `trainer augment` was asked for."""

    data: Path
    disease: Disease
    policy: Policy
    to: int
    """How many training images each class is to have, originals included."""
    out: Path
    manifest: Path | None = None
    seed: int = 0
    whole: bool = False
    """Copy the originals of every split too, so that the folder can be trained on."""


@dataclass(frozen=True)
class Planned:
    """One file to write."""

    original: Example
    technique: Augmentation
    copy: int

    @property
    def name(self) -> str:
        """`train/<class>/<original>-<digest>--<technique>-<copy>.png`."""
        stem = re.sub(r"[^A-Za-z0-9_-]", "-", self.original.path.stem)
        unique = f"{stem[:80]}-{self.original.digest[:8]}"
        return f"train/{self.original.class_id}/{unique}--{self.technique}-{self.copy}.png"


@dataclass(frozen=True)
class Written:
    """What was written."""

    folder: Path
    made: dict[str, int]
    """New files by class."""
    unchanged: int
    """Planned files that were left out because their technique does not change their image."""


def augment(wish: Wish, *, cache: Path, workers: int, progress: Progress | None = None) -> Written:
    """Write the augmented files; OUT appears when it is whole.

    A killed call goes on where it was when it is made again with the same words.

    Raises:
        PolicyRefused: the catalogue does not allow the policy for the disease.
        DataRefused: DATA cannot be read or declares no training split.
        TrainerRefused: OUT exists already, or there is nothing to make.
    """
    techniques = wish.policy.for_disease(wish.disease)
    if wish.out.exists():
        raise TrainerRefused(f"{wish.out} exists already; name another folder with --out.")
    if not techniques:
        raise TrainerRefused(f"The policy {wish.policy.name} changes nothing: choose another.")
    data = read_dataset(
        wish.data, wish.disease, manifest=wish.manifest, workers=workers, cache=cache
    )
    if "train" not in data.splits:
        raise DataRefused(
            f"{wish.data} declares no training split: only training images may be augmented, and "
            "copies made before a split would stand on both sides of it. Make train and val first."
        )
    plan = planned(data, techniques, wish.to)
    if not plan:
        raise TrainerRefused(f"Every class has {wish.to} training images already; raise --to.")
    draft = wish.out.parent / f"{INCOMING}{wish.out.name}-{_digest(wish, data)[:16]}"
    wish.out.parent.mkdir(parents=True, exist_ok=True)
    lock = wish.out.parent / f".{wish.out.name}.lock"
    try:
        with exclusive(lock):
            rows = _write(wish, plan, draft, workers, progress)
            made = dict(Counter(row[1] for row in rows))
            left_out = len(plan) - len(rows)
            if wish.whole:
                rows += list(_originals(wish, data, draft))
            text = io.StringIO()
            csv.writer(text).writerows([_COLUMNS, *rows])
            replace_file(draft / MANIFEST, text.getvalue().encode())
            draft.rename(wish.out)
    finally:
        lock.unlink(missing_ok=True)
    return Written(wish.out, made, left_out)


def planned(data: DataSet, techniques: Sequence[Augmentation], to: int) -> list[Planned]:
    """The files that bring each class to `to` training images, originals in turn.

    The same data give the same plan: originals go by digest, techniques by turns.
    """
    plan = []
    for class_id in data.disease.class_ids:
        originals = sorted(
            (one for one in data.of("train").examples if one.class_id == class_id),
            key=lambda one: one.digest,
        )
        for number in range(max(0, to - len(originals)) if originals else 0):
            turn, place = divmod(number, len(originals))
            # Neighbours get different techniques, and one original the next at each turn.
            technique = techniques[(turn + place) % len(techniques)]
            plan.append(Planned(originals[place], technique, turn // len(techniques) + 1))
    return plan


def changed(
    pixels: NDArray[np.uint8], augmenter: Augmenter, seed: Sequence[int]
) -> NDArray[np.uint8] | None:
    """An image (H, W) or (H, W, 3) after a technique; None where it changes nothing.

    Techniques act by chance: draws that leave the image as it is are drawn again.
    """
    before = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    for draw in range(_DRAWS):
        after = np.rint(augmenter(before, (*seed, draw)))
        if np.abs(after - before).max() > _UNCHANGED:
            whole = after.astype(np.uint8)
            return whole[..., 0] if pixels.ndim == 2 else whole
    return None


def eight_bit(path: Path) -> NDArray[np.uint8]:
    """An image's pixels at 8 bits, (H, W) or (H, W, 3).

    Raises:
        ImageRefused: it is no readable image.
    """
    pixels = read_image(path.read_bytes()).pixels
    if pixels.dtype == np.uint16:
        return np.asarray(np.rint(pixels / 257.0), np.uint8)
    return np.asarray(pixels, np.uint8)


def _write(
    wish: Wish, plan: Sequence[Planned], draft: Path, workers: int, progress: Progress | None
) -> list[list[str]]:
    augmenters = {
        name: Augmenter(wish.disease, [name], strength=wish.policy.strength)
        for name in wish.policy.for_disease(wish.disease)
    }

    def make(one: Planned) -> list[str] | None:
        place = draft / one.name
        if not place.exists():
            number = int(one.original.digest[:12], 16)
            seed = (wish.seed, number, list(augmenters).index(one.technique), one.copy)
            try:
                result = changed(eight_bit(one.original.path), augmenters[one.technique], seed)
            except ImageRefused:
                return None
            if result is None:
                return None
            file = io.BytesIO()
            Image.fromarray(result).save(file, "PNG")
            place.parent.mkdir(parents=True, exist_ok=True)
            replace_file(place, file.getvalue())
        return [
            one.name, one.original.class_id, "train", one.original.group,
            name_in(one.original.path, wish.data), one.technique, str(one.copy),
        ]  # fmt: skip

    rows = []
    with ThreadPoolExecutor(workers) as pool:
        for done, row in enumerate(pool.map(make, plan), start=1):
            if row is not None:
                rows.append(row)
            if progress is not None:
                progress(done, len(plan))
    if not rows:
        raise DataRefused(f"No training image of {wish.data} could be read and changed.")
    return rows


def _originals(wish: Wish, data: DataSet, draft: Path) -> Iterator[list[str]]:
    for one in data.examples:
        name = f"{one.split}/{one.class_id}/{one.digest[:16]}-{one.path.name}"
        place = draft / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            replace_file(place, one.path.read_bytes())
        original = name_in(one.path, wish.data)
        yield [name, one.class_id, one.split or "", one.group, original, "", ""]
    about = beside(wish.data, "about.toml")
    if about.is_file():
        shutil.copyfile(about, draft / "about.toml")


def _digest(wish: Wish, data: DataSet) -> str:
    """What tells this work from any other that would lie in the same place."""
    facts = [
        data.listing, wish.disease.id, wish.policy.name, wish.to, wish.seed, wish.whole,
        str(wish.out.absolute()),
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
