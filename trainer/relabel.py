"""The same images for another disease: a manifest with other labels, by the names of the files.

The films of the pneumonia set say in their names which germ was found; the question about the type
of pneumonia is asked of the same files. Groups, splits and all other columns stay as they are.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from diagnosis.catalogue import Disease
from diagnosis.durable import replace_file
from trainer.data import find_files
from trainer.refusals import DataRefused

_COLUMNS = ("path", "label", "group_id", "split")


def relabel(
    data: Path,
    disease: Disease,
    patterns: Sequence[str],
    out: Path,
    *,
    group: str | None = None,
    manifest: Path | None = None,
) -> Counter[tuple[str, str]]:
    """Write a manifest for another disease.

    Args:
        data: DATA; its manifest, where it has one, gives groups, splits and other columns.
        disease: whose classes the labels are.
        patterns: `class=regex` each, searched for in the path below DATA, with `/` between parts.
        out: the file to write. Its paths are relative to its folder where DATA lies in it, else
            to DATA, as `--manifest` reads them.
        group: regex searched for in the same path; what its brackets hold, or all of it, names
            the group. Instead of the manifest's groups.
        manifest: of DATA, where it lies elsewhere.

    Returns:
        Number of files by (split, class); the split is empty where none is declared.

    Raises:
        DataRefused: a class or pattern is wrong, a file matches none or several of them, a class
            gets no file, or `out` exists.
    """
    if out.exists():
        raise DataRefused(f"{out} exists already; name another file with --out.")
    if not out.parent.is_dir():
        raise DataRefused(f"{out.parent} is not a folder.")
    compiled = _compiled(disease, patterns)
    in_group = _regex(group) if group else None
    found, _skipped, has_groups = find_files(data, manifest)
    if not found:
        raise DataRefused(f"{data} holds no files in class folders.")
    root = data.resolve()
    home = out.resolve().parent
    home = home if root.is_relative_to(home) else root
    rows: list[dict[str, str]] = []
    counts: Counter[tuple[str, str]] = Counter()
    for one in found:
        path = one.path.resolve() if not one.path.is_absolute() else one.path
        inside = _below(path, root)
        classes = [class_id for class_id, regex in compiled if regex.search(inside.as_posix())]
        if len(classes) != 1:
            said = " and ".join(classes) or "none of the patterns"
            raise DataRefused(f"{inside} matches {said}; each file must match one pattern.")
        place = _below(path, home).as_posix()
        named = _group(inside, in_group) if in_group else one.group
        row = {"path": place, "label": classes[0], "group_id": named, "split": one.split or ""}
        rows.append(row | dict(one.facts))
        counts[one.split or "", classes[0]] += 1
    missing = [one for one, _ in compiled if one not in {class_id for _, class_id in counts}]
    if missing:
        raise DataRefused(f"No file matches the pattern of {', '.join(missing)}.")
    columns = [name for name in _COLUMNS if has_groups or in_group or name != "group_id"]
    columns += sorted({name for row in rows for name in row} - {*_COLUMNS})
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, "", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(out, text.getvalue().encode())
    return counts


def _compiled(disease: Disease, patterns: Sequence[str]) -> list[tuple[str, re.Pattern[str]]]:
    found: dict[str, re.Pattern[str]] = {}
    for one in patterns:
        name, separator, regex = one.partition("=")
        match = disease.class_for_folder(name)
        if not separator or not regex or match is None or match.id in found:
            raise DataRefused(
                f"{one!r} is no pattern: say CLASS=REGEX once for each of "
                f"{', '.join(disease.class_ids)}."
            )
        found[match.id] = _regex(regex)
    missing = [class_id for class_id in disease.class_ids if class_id not in found]
    if missing:
        raise DataRefused(f"There is no --pattern for {', '.join(missing)}.")
    return list(found.items())


def _regex(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise DataRefused(f"{text!r} is not a regular expression: {error}.") from error


def _group(inside: Path, regex: re.Pattern[str]) -> str:
    match = regex.search(inside.as_posix())
    if match is None:
        raise DataRefused(f"{inside} does not match {regex.pattern!r}, which names the groups.")
    return "-".join(part or "" for part in match.groups()) or match.group()


def _below(path: Path, folder: Path) -> Path:
    try:
        return path.relative_to(folder)
    except ValueError:
        raise DataRefused(f"{path} does not lie below {folder}.") from None
