"""The bundle of this checkout, as `make release` makes it, for instances that boot."""

import subprocess
import sys
from pathlib import Path

from tests.infra.parts import NotPossible
from tests.infra.terraform import ROOT


def make(into: Path, *, trainer: bool) -> Path:
    """Write `sightline-VERSION.tar.gz` into a folder, and return it; the trainer's lies beside it.

    Raises:
        NotPossible: it cannot be made here, or lacks the packages of Debian.
    """
    done = subprocess.run(
        [
            *(sys.executable, "-m", "infra.release", "--no-images", "--out", str(into / "release")),
            *(["--trainer"] if trainer else []),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1800,
    )
    said = (done.stdout + done.stderr).strip().splitlines()
    if done.returncode != 0:
        raise NotPossible(f"no bundle: {said[-1] if said else 'no word'}")
    without = [line for line in said if "without packages of Debian" in line]
    if without:
        raise NotPossible(without[0])
    (made,) = (into / "release").glob("sightline-*[0-9].tar.gz")
    return made
