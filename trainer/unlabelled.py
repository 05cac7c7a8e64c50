"""Every image of a folder tree, whatever its label, but for what a test split holds."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainer import manifest as manifests
from trainer.data import Example, digest_of
from trainer.refusals import DataRefused

_TEST = {"test", "testing"}


def unlabelled(
    root: Path, *, but: Collection[str] = (), workers: int = 2
) -> tuple[tuple[Example, ...], int]:
    """The files of a tree, each image once, in the order of their paths.

    A file is left out where a folder between it and `root` is called test, where a `manifest.csv`
    of the tree puts it or its group into the test split, or where it is identical to such a file.

    Args:
        root: the tree.
        but: digests of more files to leave out.
        workers: threads that read the files.

    Returns:
        The files as examples without a class, and how many were left out.

    Raises:
        DataRefused: `root` is no folder, or is a test split itself.
    """
    if not root.is_dir():
        raise DataRefused(f"{root} is not a folder.")
    if root.resolve().name.lower() in _TEST:
        raise DataRefused(
            f"{root} is a test split: a model that has seen its images cannot be measured on them."
        )
    paths = [one for one in sorted(root.rglob("*")) if one.is_file() and _is_wanted(one, root)]
    tested = _of_test_manifests(paths)
    with ThreadPoolExecutor(workers) as pool:
        digests = list(pool.map(digest_of, paths))
    forbidden = set(but) | {
        digest
        for path, digest in zip(paths, digests, strict=True)
        if path in tested or _TEST & {part.lower() for part in path.relative_to(root).parts[:-1]}
    }
    kept = {
        digest: Example(path, "", digest, f"file {digest}")
        for path, digest in reversed(list(zip(paths, digests, strict=True)))
        if digest not in forbidden
    }
    examples = tuple(sorted(kept.values(), key=lambda one: str(one.path)))
    return examples, sum(digest in forbidden for digest in digests)


def _is_wanted(path: Path, root: Path) -> bool:
    return not any(part.startswith((".", "__MACOSX")) for part in path.relative_to(root).parts)


def _of_test_manifests(paths: list[Path]) -> set[Path]:
    """The files that a manifest among `paths` puts into a test split, by themselves or by group."""
    found: set[Path] = set()
    for manifest in (one for one in paths if one.name == manifests.NAME):
        rows = list(manifests.read(manifest, manifest.parent))
        tested = {row.group for row in rows if row.split.lower() in _TEST}
        found |= {
            row.path
            for row in rows
            if row.split.lower() in _TEST or (row.group and row.group in tested)
        }
    return found | {one.resolve() for one in found}
