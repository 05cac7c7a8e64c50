"""The bundle: one file with all that a machine without a network is set up from.

    sightline-VERSION/
      VERSION, release.json     what it is, of which commit
      SHA256SUMS                of every other file
      install.sh                a single host: infra/host/install.sh
      wheels/                   our own, uv, and what the services need
      requirements/             the locks
      models/ static/           artifacts that ship; what Nginx serves
      systemd/ boot/            units; how an instance in AWS sets itself up
      debs/                     packages of Debian 12, where they could be had
      docker-compose.yml        for containers; their images are a file of their own
      monitoring/ docs/ sbom.json

The wheels of the trainer are large and lie in a file of their own, to be unpacked over it.
"""

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

#: Files and folders of the repository, and where they go.
CONTENT = {
    "CHANGELOG.md": "CHANGELOG.md",
    "LICENSE": "LICENSE",
    "docker-compose.yml": "docker-compose.yml",
    "docs/operations.md": "docs/operations.md",
    "infra/boot": "boot",
    "infra/host/install.sh": "install.sh",
    "infra/systemd": "systemd",
    "models": "models",
    "monitoring": "monitoring",
    "requirements": "requirements",
    "web_ui/static": "static",
}
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


def fill(folder: Path, root: Path, version: str, commit: str, epoch: int) -> None:
    """Copy what is in the repository into the bundle's folder.

    Raises:
        FileNotFoundError: something is missing; the pages were not built, for example.
    """
    for source, target in CONTENT.items():
        path, place = root / source, folder / target
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.copytree(path, place, ignore=_LEFT_OUT, dirs_exist_ok=True)
        else:
            shutil.copy2(path, place)
    (folder / "VERSION").write_text(f"{version}\n")
    about = {"version": version, "commit": commit, "epoch": epoch, "debian": 12, "python": "3.11"}
    (folder / "release.json").write_text(json.dumps(about, indent=2, sort_keys=True) + "\n")


def seal(folder: Path, name: str = "SHA256SUMS") -> None:
    """Write the digest of every file of the folder, as `sha256sum -c` reads it."""
    sums = "".join(
        f"{digest(path)}  {path.relative_to(folder)}\n"
        for path in _files(folder)
        if path.name != name
    )
    (folder / name).write_text(sums)


def pack(folder: Path, into: Path, epoch: int) -> None:
    """Write the folder as a tar: the same content gives the same bytes."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = epoch
        member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
        return member

    # What is in it is compressed already, so no time is spent on that.
    with (
        into.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=1, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in [folder, *_all(folder)]:
            name = str(Path(folder.name) / path.relative_to(folder))
            tar.add(path, name, recursive=False, filter=plain)
    into.with_name(f"{into.name}.sha256").write_text(f"{digest(into)}  {into.name}\n")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _all(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts)


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in _all(folder) if path.is_file())
