"""A bundle of this checkout, as `make release` makes one, for the boot of the roles that serve.

Wheels come from the package index that this machine uses, each by its hash, and are kept in
`build/bundle/wheels` for the next time.
"""

import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.infra.parts import NotPossible
from tests.infra.terraform import ROOT

LOCKS = ("gateway", "s3", "web", "inference", "setup")
KEPT = ROOT / "build" / "bundle" / "wheels"
VERSION = "0.0.0"


def make(into: Path) -> Path:
    """Write `sightline-VERSION.tar.gz` into a folder, and return it.

    Raises:
        NotPossible: the packages cannot be had here.
    """
    _download(into)
    name = f"sightline-{VERSION}"
    made = into / f"{name}.tar.gz"
    own = into / "own"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "uv",
            "build",
            "--quiet",
            "--wheel",
            "--no-build-isolation",
            "--out-dir",
            str(own),
            str(ROOT),
        ],
        check=True,
        capture_output=True,
    )
    with tarfile.open(made, "w:gz", compresslevel=1) as archive:
        for wheel in (*sorted(KEPT.glob("*.whl")), *own.glob("sightline-*.whl")):
            archive.add(wheel, f"{name}/wheels/{wheel.name}")
        for folder, at in (
            ("requirements", "requirements"),
            ("models", "models"),
            ("web_ui/static", "static"),
            ("infra/systemd", "systemd"),
            ("infra/boot", "boot"),
        ):
            archive.add(ROOT / folder, f"{name}/{at}", filter=_plain)
        version = into / "VERSION"
        version.write_text(f"{VERSION}\n")
        archive.add(version, f"{name}/VERSION")
    shutil.rmtree(own)
    return made


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def _download(scratch: Path) -> None:
    locks = []
    for lock in LOCKS:
        # pip asks the Python that runs it which packages are needed; Debian 12's is a little older.
        text = (ROOT / "requirements" / f"{lock}.lock").read_text()
        written = scratch / f"{lock}.txt"
        written.write_text(text.replace(" ; python_full_version < '3.11.3'", ""))
        locks += ["-r", str(written)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "--no-deps", "--only-binary", ":all:"),
            *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
            *("--abi", "abi3", "--abi", "none"),
            *(f"--platform={kind}_x86_64" for kind in _LINUX),
            *("--dest", str(KEPT), *locks),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    if done.returncode != 0:
        raise NotPossible(f"packages cannot be had: {done.stderr.strip().splitlines()[-1]}")


#: What Debian 12 (glibc 2.36) can run.
_LINUX = (
    "linux",
    "manylinux1",
    "manylinux2010",
    "manylinux2014",
    *(f"manylinux_2_{minor}" for minor in range(5, 37)),
)
