"""A folder of class folders as a data set: which file is which class, split and group.

DATA is a folder of class folders, the same inside `train`, `val` and `test`, or either with a
`manifest.csv` that names `group_id`; or a MedMNIST-style `.npz` file. Class folders are matched to
the catalogue by id, name or alias, whatever their case.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from diagnosis.catalogue import Disease
from trainer import manifest as manifests
from trainer import npz
from trainer.refusals import DataRefused

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
_SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}
#: What the trainer keeps beside the images.
_OURS = {"about.toml", "signoff.json"}


@dataclass(frozen=True)
class Example:
    """One file of a data set."""

    path: Path
    class_id: str
    digest: str
    """SHA-256 of the file, in hexadecimal."""
    group: str
    """What must never straddle two splits: a patient, a lesion, a cluster; else the file itself."""
    split: Split | None = None
    facts: tuple[tuple[str, str], ...] = ()
    """What a manifest's other columns say of it, for subgroups: (column, value)."""


@dataclass(frozen=True)
class Skipped:
    """A file that is not used, and why."""

    path: Path
    reason: str
    """A stable code: `not-an-image`, `damaged-image`, `not-in-manifest` and so on."""


@dataclass(frozen=True)
class DataSet:
    """The files of a data set, in the order of their paths."""

    root: Path
    disease: Disease
    examples: tuple[Example, ...]
    skipped: tuple[Skipped, ...] = ()
    has_groups: bool = False
    """True where a manifest names the groups; else each file is a group of its own."""
    listing: str = ""
    """Digest of the names, bytes, labels, splits and groups of all its files; see `listing_of`."""

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that the data set declares, in their usual order."""
        present = {one.split for one in self.examples}
        return tuple(split for split in SPLITS if split in present)

    def of(self, split: Split | None) -> "DataSet":
        """The part of one split; all of it for None."""
        if split is None:
            return self
        return self.keep(one for one in self.examples if one.split == split)

    def keep(self, examples: Iterable[Example]) -> "DataSet":
        """The same data set with these examples only."""
        return replace(self, examples=tuple(examples))

    def per_class(self) -> dict[str, int]:
        """How many files each class of the disease has, in the catalogue's order."""
        counts = Counter(one.class_id for one in self.examples)
        return {class_id: counts[class_id] for class_id in self.disease.class_ids}

    def skipped_by_reason(self) -> dict[str, Any]:
        """How many files are not used, and why; without their names, which may be patients'."""
        reasons = Counter(one.reason for one in self.skipped)
        return {"count": len(self.skipped), "reasons": dict(sorted(reasons.items()))}

    def groups(self) -> int:
        """How many groups there are."""
        return len({one.group for one in self.examples})


@dataclass(frozen=True)
class Found:
    """A file that a folder or a manifest names, before it was read."""

    path: Path
    label: str
    split: Split | None
    group: str = ""
    facts: tuple[tuple[str, str], ...] = ()


def read_dataset(
    root: Path,
    disease: Disease,
    *,
    manifest: Path | None = None,
    workers: int = 2,
    cache: Path | None = None,
) -> DataSet:
    """Find the files of a data set and match their folders to the disease's classes.

    Args:
        root: DATA.
        disease: of the catalogue.
        manifest: read this one instead of looking for `manifest.csv` in DATA and above it.
        workers: threads that read the files for their digests.
        cache: where a `.npz` file is unpacked to.

    Raises:
        DataRefused: the folder is missing or empty, a class folder or a label is unknown, or the
            manifest names a file that is not there.
    """
    if not disease.classes:
        raise DataRefused(
            f"{disease.id} takes its classes from its artifact; it has no class folders."
        )
    root = folder_of(root, disease, cache)
    found, skipped, has_groups = find_files(root, manifest, disease)
    if not found:
        raise DataRefused(f"{root} holds no files in class folders. {_expected(disease)}")
    unknown = sorted({one.label for one in found if disease.class_for_folder(one.label) is None})
    if unknown:
        raise DataRefused(
            f"{', '.join(map(repr, unknown[:5]))} in {root} is no class of {disease.id}. "
            f"{_expected(disease)}"
        )
    with ThreadPoolExecutor(workers) as pool:
        digests = list(pool.map(digest_of, (one.path for one in found)))
    examples = []
    for one, digest in zip(found, digests, strict=True):
        match = disease.class_for_folder(one.label)
        if match is not None:
            examples.append(
                Example(
                    one.path, match.id, digest, one.group or f"file {digest}", one.split, one.facts
                )
            )
    listing = listing_of(root, found, digests)
    return DataSet(root, disease, tuple(examples), tuple(skipped), has_groups, listing)


def folder_of(root: Path, disease: Disease | None, cache: Path | None) -> Path:
    """DATA as a folder: itself, or where a `.npz` file was unpacked to in `cache`.

    Raises:
        DataRefused: neither, or a `.npz` file that cannot be used.
    """
    if cache is not None and root.suffix.lower() == ".npz" and root.is_file():
        return npz.unpacked(root, disease, cache)
    if not root.is_dir():
        raise DataRefused(f"{root} is not a folder, nor a MedMNIST-style .npz file.")
    return root


def listing_of(root: Path, found: Sequence[Found], digests: Sequence[str]) -> str:
    """`sha256:` and a digest over path, bytes, label, split and group of every file.

    It is the same wherever the folder lies and changes when anything of that changes.
    """
    lines = sorted(
        "\0".join([name_in(one.path, root), digest, one.label, one.split or "", one.group])
        for one, digest in zip(found, digests, strict=True)
    )
    return f"sha256:{hashlib.sha256(chr(10).join(lines).encode()).hexdigest()}"


def name_in(path: Path, root: Path) -> str:
    """The path as seen from DATA; whole where it lies elsewhere."""
    for place in (root, root.resolve()):
        if path.is_relative_to(place):
            return str(path.relative_to(place))
    return str(path)


def beside(data: Path, name: str) -> Path:
    """Where something about DATA is kept: `name` in a folder, `x.name` next to a file `x.npz`."""
    if data.is_dir() or not data.suffix:
        return data / name
    return data.with_name(f"{data.stem}.{name}")


def find_files(
    root: Path, manifest: Path | None = None, disease: Disease | None = None
) -> tuple[list[Found], list[Skipped], bool]:
    """Every file of a data set by path, those that are passed over, and whether groups are named.

    Raises:
        DataRefused: as `read_dataset`, but unknown labels are kept.
    """
    if manifest is not None and not manifest.is_file():
        raise DataRefused(f"The manifest {manifest} does not exist.")
    chosen = manifest or manifests.find(root)
    if chosen is None:
        found, skipped = _scan(root, disease)
        return found, skipped, False
    rows = list(manifests.read(chosen, root))
    missing = [row.path for row in rows if not row.path.is_file()]
    if missing:
        raise DataRefused(
            f"{chosen} names {len(missing)} file(s) that do not exist, for example {missing[0]}."
        )
    found = sorted(
        (
            Found(row.path, row.label, _SPLIT_NAMES.get(row.split.lower()), row.group, row.facts)
            for row in rows
        ),
        key=lambda one: str(one.path),
    )
    named = {one.path for one in found}
    skipped = [
        Skipped(path, "not-in-manifest")
        for path in files_below(root.resolve())
        if path not in named and path != chosen.resolve() and path.name not in _OURS
    ]
    return found, skipped, any(row.group for row in rows)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        DataRefused: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataRefused(f"{path} cannot be read: {error.strerror}.") from error


def _scan(root: Path, disease: Disease | None) -> tuple[list[Found], list[Skipped]]:
    """Files by the names of their folders, with loose files beside the class folders skipped."""
    folder = _unwrapped(root, disease)
    folders = _folders(folder)
    splits = {one: _SPLIT_NAMES.get(one.name.lower()) for one in folders}
    skipped = [Skipped(path, "outside-class-folders") for path in _loose(folder)]
    found: list[Found] = []
    for one in folders:
        split = splits[one]
        if split is None:
            found += [Found(path, one.name, None) for path in files_below(one)]
            continue
        skipped += [Skipped(path, "outside-class-folders") for path in _loose(one)]
        for inner in _folders(one):
            found += [Found(path, inner.name, split) for path in files_below(inner)]
    return sorted(found, key=lambda one: str(one.path)), skipped


def _unwrapped(root: Path, disease: Disease | None) -> Path:
    """Where the class or split folders are: archives often wrap everything in one folder more."""
    folder = root
    for _ in range(3):
        inside = _folders(folder)
        if len(inside) != 1 or inside[0].name.lower() in _SPLIT_NAMES or not _folders(inside[0]):
            break
        if disease is not None and disease.class_for_folder(inside[0].name) is not None:
            break
        folder = inside[0]
    return folder


def _folders(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_dir() and not _is_junk(one))


def _loose(folder: Path) -> list[Path]:
    return sorted(
        one
        for one in folder.iterdir()
        if one.is_file() and not _is_junk(one) and one.name not in _OURS
    )


def files_below(folder: Path) -> list[Path]:
    """Every file in a folder and below it but for hidden ones and what systems leave behind."""
    return sorted(
        one
        for one in folder.rglob("*")
        if one.is_file() and not any(_is_junk(part) for part in (one, *_between(one, folder)))
    )


def _between(path: Path, folder: Path) -> list[Path]:
    return [parent for parent in path.parents if parent != folder and folder in parent.parents]


def _is_junk(path: Path) -> bool:
    return path.name.startswith(".") or path.name in _JUNK


def _expected(disease: Disease) -> str:
    names = ", ".join(disease.class_ids)
    return f"Expected a folder for each of: {names} (names and aliases of the catalogue count too)."
