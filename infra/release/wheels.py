"""Wheels for the machines that a release goes to, whatever machine makes it."""

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.markers import Marker

#: Debian 12: its Python, and the newest glibc that a wheel may ask for.
PYTHON = "3.11"
GLIBC = 36
_ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": f"{PYTHON}.2",
    "os_name": "posix",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": f"{PYTHON}.2",
    "python_version": PYTHON,
    "sys_platform": "linux",
}


def requirements(lock: str, machine: str = "x86_64") -> list[str]:
    """The requirements of a lock that hold on Debian 12, each with its hashes on one line."""
    whole = re.sub(r"\s*\\\n\s*", " ", lock)
    found = []
    for line in whole.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        named, *hashes = line.split(" --hash=")
        name, _, marker = named.partition(";")
        environment = _ENVIRONMENT | {"platform_machine": machine}
        if not marker or Marker(marker.strip()).evaluate(environment):
            found.append(" --hash=".join([name.strip(), *hashes]))
    return found


def download(locks: Sequence[Path], into: Path, machine: str = "x86_64") -> None:
    """Download the wheel of each requirement into a folder, by its hash.

    Raises:
        subprocess.CalledProcessError: one has no wheel for that machine, or none can be reached.
    """
    into.mkdir(parents=True, exist_ok=True)
    wanted = sorted({one for lock in locks for one in requirements(lock.read_text(), machine)})
    listed = into / "requirements.txt"
    listed.write_text("\n".join(wanted) + "\n")
    platforms = [
        *(f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC, 4, -1)),
        *(f"manylinux{year}_{machine}" for year in ("2014", "2010", "1")),
    ]
    command = [
        *(sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check"),
        *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--dest", str(into)),
        *("--implementation", "cp", "--python-version", PYTHON),
        *(
            word
            for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none")
            for word in ("--abi", abi)
        ),
        *(word for platform in platforms for word in ("--platform", platform)),
        *("-r", str(listed)),
    ]
    subprocess.run(command, check=True)
    listed.unlink()


def build_own(root: Path, into: Path, epoch: int) -> Path:
    """Build the project's own wheel; the same source gives the same bytes."""
    into.mkdir(parents=True, exist_ok=True)
    for old in into.glob("sightline-*.whl"):
        old.unlink()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into)],
        cwd=root,
        env={"PATH": "/usr/bin:/bin", "SOURCE_DATE_EPOCH": str(epoch)},
        check=True,
        capture_output=True,
    )
    return next(into.glob("sightline-*.whl"))
