"""The images that a gate is fitted to and measured on: the good ones, other kinds, photographs."""

import hashlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diagnosis.catalogue import catalogue
from diagnosis.errors import ImageRefused
from diagnosis.gate import DECODE_AT_LEAST
from diagnosis.images import read_image
from trainer import manifest as manifests
from trainer.data import Example
from trainer.gate.acquisitions import Pixels, shrunk
from trainer.manifest import Row
from trainer.refusals import DataRefused

#: A folder with fewer readable images says nothing about its kind.
FEWEST = 4
#: Of a kind without splits of its own, by group: kept for measuring.
_HELD_SHARE = 0.34

#: Photographs in the wheels of scikit-image and scikit-learn, by module and path; what else lies
#: there is drawn, a page of text, or medical itself.
_PHOTOGRAPHS = {
    "skimage": [
        f"data/{name}"
        for name in (
            "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png",
            "coffee.png", "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg",
            "moon.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg",
        )
    ],
    "sklearn": ["datasets/images/china.jpg", "datasets/images/flower.jpg"],
}  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """An image that is not read before it is needed."""

    key: str
    """Its own name: what happens to it by chance depends on it and on nothing else."""
    group: str
    load: Callable[[], Pixels | None]
    """None where it cannot be read any more or is no image."""


@dataclass(frozen=True)
class OtherKind:
    """Images of another kind: some to fit with, others of the same kind to measure on."""

    id: str
    name: str
    """As a sentence names one such image; empty where nobody should."""
    fitted: tuple[Picture, ...]
    held: tuple[Picture, ...]


#: Folders that hold images of every modality, the good ones among them.
_MIXED = frozenset({"dicom"})


def good_pictures(examples: Iterable[Example], most: int) -> tuple[Picture, ...]:
    """At most so many examples of a data set, each class alike, the same ones every time."""
    by_class: dict[str, list[Example]] = {}
    for one in sorted(examples, key=lambda one: _order(one.digest)):
        by_class.setdefault(one.class_id, []).append(one)
    share = -(-most // max(1, len(by_class)))
    return tuple(
        Picture(one.digest, one.group, _file(one.path))
        for own in by_class.values()
        for one in own[:share]
    )


def other_kinds(
    folders: Sequence[Path], own: Path, most: int, without: Sequence[str] = ()
) -> tuple[OtherKind, ...]:
    """The kinds in some folders: each folder directly inside is one, named by it.

    A `.npz` as MedMNIST publishes them (arrays `train_images`, `val_images`) is one as well. The
    folder of the good images is passed over, as are a folder `dicom`, which holds every modality,
    and what holds fewer than four images.

    Args:
        folders: of `--others`.
        own: the folder of the good images.
        most: images a kind, for each of fitting and measuring.
        without: kinds to pass over.

    Raises:
        DataRefused: a folder is missing, no kind is found, or a kind stands in two folders.
    """
    found: dict[str, OtherKind] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataRefused(f"{folder} is not a folder; --others names one with a folder a kind.")
        manifest = manifests.find(folder)
        rows = tuple(manifests.read(manifest, folder)) if manifest else ()
        places = [one for one in sorted(folder.iterdir()) if one.is_dir()]
        places += sorted(folder.glob("*.npz"))
        places += [archive for place in places if place.is_dir() for archive in place.glob("*.npz")]
        for place in places:
            if _overlap(place, own) or place.name in _MIXED:
                continue
            kind = _kind(place, rows, most)
            if kind is None or kind.id in without:
                continue
            if kind.id in found:
                raise DataRefused(f"Two folders of other images are named {kind.id}.")
            found[kind.id] = kind
    if folders and not found:
        raise DataRefused(
            f"{', '.join(map(str, folders))} holds no folder with at least {FEWEST} images of "
            "another kind."
        )
    return tuple(found.values())


def photographs() -> tuple[Picture, ...]:
    """Natural photographs that no gate is fitted to, each whole and as nine overlapping parts.

    Those in the wheels of scikit-image and scikit-learn where they are installed; neither is
    imported. Parts of one photograph are one group.
    """
    found = []
    for module, names in _PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            continue
        for name in names:
            path = Path(spec.origin).parent / name
            pixels = _file(path)() if path.is_file() else None
            if pixels is None:
                continue
            height, width = pixels.shape[:2]
            parts = [pixels] + [
                pixels[top : top + height // 2, left : left + width // 2]
                for top in (0, height // 4, height // 2)
                for left in (0, width // 4, width // 2)
            ]
            found += [
                Picture(f"{path.name} {number}", path.name, _array(part))
                for number, part in enumerate(parts)
            ]
    return tuple(found)


def _kind(place: Path, rows: Sequence[Row], most: int) -> OtherKind | None:
    name = place.stem.lower().replace("-", "_").replace(" ", "_")
    kind_id = "".join(one for one in name if one.isascii() and (one.isalnum() or one == "_"))
    kind_id = kind_id.lstrip("0123456789_")[:64]
    if not kind_id:
        return None
    fitted, held = _archive(place) if place.is_file() else _folder(place, rows)
    if len(fitted) + len(held) < FEWEST:
        return None
    chosen = (sorted(side, key=lambda one: _order(one.key))[:most] for side in (fitted, held))
    return OtherKind(kind_id, _spoken(kind_id), *(tuple(side) for side in chosen))


def _folder(place: Path, rows: Sequence[Row]) -> tuple[list[Picture], list[Picture]]:
    """The images of a kind, those of its own training split to fit with; else two in three."""
    named = {row.path: row for row in rows}
    files = [one for one in sorted(place.resolve().rglob("*")) if _may_be_an_image(one)]
    training = {one for one in files if _is_training(one, place, named)}
    fitted: list[Picture] = []
    held: list[Picture] = []
    for one in files:
        group = named[one].group if one in named and named[one].group else str(one)
        fits = one in training if training else _share(group) >= _HELD_SHARE
        key = str(one.relative_to(place.resolve()))
        (fitted if fits else held).append(Picture(key, group, _file(one)))
    return fitted, held


def _is_training(file: Path, place: Path, named: Mapping[Path, Row]) -> bool:
    if file in named and named[file].split:
        return named[file].split.lower() in {"train", "training"}
    return file.relative_to(place.resolve()).parts[0].lower() in {"train", "training"}


def _archive(path: Path) -> tuple[list[Picture], list[Picture]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            sides = [archive[f"{side}_images"] for side in ("train", "val")]
    except (OSError, ValueError, KeyError):
        return [], []
    fitted, held = (
        [
            Picture(f"{path.name} {number}/{place}", f"{number}/{place}", _array(shrunk(one)))
            for place, one in enumerate(images)
            if images.dtype == np.uint8 and images.ndim in {3, 4}
        ]
        for number, images in enumerate(sides)
    )
    return fitted, held


def _may_be_an_image(path: Path) -> bool:
    """By its name; whether it is one shows when it is read."""
    return path.is_file() and path.suffix.lower() in {
        ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".dcm", ".dicom", "",
    }  # fmt: skip


def _spoken(kind: str) -> str:
    """The catalogue's modality where the folder is named after a disease or a modality of it."""
    for one in catalogue().values():
        modality = one.modality.lower().replace(" ", "_").replace("-", "_")
        if kind.startswith((one.id, modality)):
            return one.modality
    return ""


def _overlap(place: Path, own: Path) -> bool:
    here, there = place.resolve(), own.resolve()
    return here == there or here in there.parents or there in here.parents


def _file(path: Path) -> Callable[[], Pixels | None]:
    def load() -> Pixels | None:
        try:
            image = read_image(path.read_bytes(), decode_at_least=DECODE_AT_LEAST)
        except (ImageRefused, OSError):
            return None
        return shrunk(image.pixels)

    return load


def _array(pixels: NDArray[np.uint8]) -> Callable[[], Pixels | None]:
    return lambda: pixels


def _order(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _share(key: str) -> float:
    return int.from_bytes(_order(key)[:4]) / 2**32
