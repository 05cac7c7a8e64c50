"""Asks a vulnerability service about every package of the locks: `make audit-packages`.

Where no service can be reached, that is said and nothing fails: a build needs no network. First
one package is asked about; only where an answer comes are the others.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.supply_chain.packages import ROOT

#: The services that pip-audit knows, each with its arguments.
SERVICES: tuple[tuple[str, ...], ...] = (
    ("--vulnerability-service", "pypi"),
    ("--vulnerability-service", "osv"),
)
_PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*==[^ ;\\]+")

Report = list[dict[str, Any]]


def pinned() -> list[str]:
    """Every package and version of all locks, each once."""
    locks = sorted((ROOT / "requirements").glob("*.lock"))
    return sorted(
        {
            one[0]
            for lock in locks
            for line in lock.read_text().splitlines()
            if (one := _PINNED.match(line))
        }
    )


def ask(service: Sequence[str], packages: Sequence[str]) -> Report | None:
    """What a service says of some packages; None where it does not answer."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("\n".join(packages) + "\n")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--requirement", str(requirements)),
                *("--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off"),
                *("--cache-dir", str(Path(folder) / "cache"), "--timeout", "10", *service),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        found: Report = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return found if any("vulns" in one for one in found) else None


def audit(packages: Sequence[str], services: Sequence[Sequence[str]] = SERVICES) -> tuple[int, str]:
    """The exit status and what to say: 1 where something is known to be vulnerable."""
    for service in services:
        # A service that is not there would be asked in vain about each of hundreds.
        if ask(service, packages[:1]) is None:
            continue
        report = ask(service, packages)
        if report is None:
            continue
        lines = [
            f"{one['name']} {one['version']}: {hole['id']}"
            f" (mended in {', '.join(hole['fix_versions']) or 'no version yet'})"
            for one in report
            for hole in one.get("vulns", ())
        ]
        unknown = sum("vulns" not in one for one in report)
        said = f"{len(report) - unknown} packages were looked up, {len(lines)} holes are known."
        if unknown:
            said += f" {unknown} packages are not known to the service."
        return int(bool(lines)), "\n".join([*lines, said])
    return 0, (
        f"No vulnerability service could be reached: NOT ONE of {len(packages)} packages was looked"
        " up. Run this where that of PyPI or OSV can be reached."
    )


if __name__ == "__main__":
    status, words = audit(pinned())
    sys.stdout.write(words + "\n")
    sys.exit(status)
