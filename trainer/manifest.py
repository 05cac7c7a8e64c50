"""`manifest.csv`: one row a file, with its label, its split and the group it belongs to."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.refusals import DataRefused

NAME = "manifest.csv"
#: How far above DATA a manifest of several data sets is looked for.
_LEVELS = 3
_OURS = {"path", "label", "split", "group_id"}


@dataclass(frozen=True)
class Row:
    """A row of a manifest: the file and what is said about it."""

    path: Path
    label: str
    split: str
    group: str
    facts: tuple[tuple[str, str], ...] = ()
    """What its other columns say, such as age, sex, site or view: (column, value), none empty."""


def find(data: Path) -> Path | None:
    """The manifest in DATA, or in a folder above it that names files under DATA; or None."""
    folder = data.resolve()
    for place in (folder, *folder.parents[:_LEVELS]):
        candidate = place / NAME
        wanted = _is_ours(candidate) if place == folder else _speaks_of(candidate, data)
        if wanted:
            return candidate
    return None


def _is_ours(manifest: Path) -> bool:
    """Whether a file beside the class folders means to be a manifest: it names one of our columns.

    One that names but one of them is taken, and then refused for what it lacks.
    """
    try:
        first = manifest.read_text(encoding="utf-8-sig").partition("\n")[0]
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError):
        return True
    return bool({"path", "label"} & {name.strip() for name in first.split(",")})


def _speaks_of(manifest: Path, data: Path) -> bool:
    """Whether a manifest above DATA is one of ours and names a file under DATA."""
    if not manifest.is_file():
        return False
    try:
        return any(read(manifest, data))
    except DataRefused:
        return False


def read(manifest: Path, data: Path) -> Iterator[Row]:
    """The rows of a manifest whose files lie under DATA.

    Paths are relative to the manifest's own folder where DATA lies in it, else to DATA.

    Raises:
        DataRefused: not a readable CSV, a column is missing, a path leaves the manifest's folder,
            or a file stands twice.
    """
    home, inside = manifest.resolve().parent, data.resolve()
    if not inside.is_relative_to(home):
        home = inside
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataRefused(f"{manifest} cannot be read as UTF-8 text: {error}.") from error
    rows = csv.DictReader(text.splitlines())
    missing = {"path", "label"} - set(rows.fieldnames or ())
    if missing:
        raise DataRefused(
            f"{manifest} has no column {' and '.join(sorted(missing))}; its first line must name "
            "path and label, and may name split and group_id."
        )
    seen: set[Path] = set()
    for number, row in enumerate(rows, start=2):
        if not (row["path"] or "").strip():
            raise DataRefused(f"Line {number} of {manifest} names no file.")
        # Not `resolve`: a link in a data set points where it likes, the row says where it is.
        path = Path(_normal(home / row["path"].strip()))
        if not path.is_relative_to(home):
            raise DataRefused(f"Line {number} of {manifest} points outside {home}.")
        if not path.is_relative_to(inside):
            continue
        if path in seen:
            raise DataRefused(f"Line {number} of {manifest} names {row['path']} a second time.")
        seen.add(path)
        yield Row(
            path=path,
            label=(row["label"] or "").strip(),
            split=(row.get("split") or "").strip(),
            group=(row.get("group_id") or "").strip(),
            facts=tuple(
                (name.strip(), value.strip())
                for name, value in row.items()
                if name and name not in _OURS and isinstance(value, str) and value.strip()
            ),
        )


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return str(Path(*parts))
