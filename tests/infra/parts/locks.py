"""Whether each lock has wheels for small boards: Linux on aarch64, as an index has them."""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.infra.engine import ROOT
from tests.infra.parts import NotPossible

LOCKS = ("gateway", "inference", "web", "s3", "trainer", "gpu")
#: glibc 2.35: Ubuntu 22.04, which such boards come with.
PLATFORM = "aarch64-manylinux_2_35"


def aarch64(_: object = None) -> None:
    """Every package of every lock has a wheel for it; nothing is built and nothing installed."""
    without = {name: said for name in LOCKS if (said := _problem(name))}
    if any("error sending request" in said or "dns" in said for said in without.values()):
        raise NotPossible("no index of packages can be reached")
    assert not without, without


def _problem(name: str) -> str:
    """What keeps a lock from being installed there; empty: nothing."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(str(Path(sys.executable).with_name("uv")), "pip", "install", "--dry-run", "--quiet"),
            *("--python", sys.executable, "--target", folder, "--python-platform", PLATFORM),
            *("--python-version", "3.11", "--only-binary", ":all:", "--no-deps"),
            *("--require-hashes", "-r", str(ROOT / "requirements" / f"{name}.lock")),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr.strip()[-600:]


if __name__ == "__main__":
    aarch64()
