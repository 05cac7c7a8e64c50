"""Packages of Debian 12 that a bare server lacks, as a folder that apt installs from."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

#: What the roles of an installation need beyond Debian's own base; infra/boot/boot.sh and
#: infra/host/install.sh install from these by name.
PACKAGES = (
    "curl",
    "fonts-dejavu-core",
    "libharfbuzz-subset0",
    "libpango-1.0-0",
    "libpangoft2-1.0-0",
    "nfs-common",
    "nginx-light",
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-nginx-exporter",
    "prometheus-node-exporter",
    "prometheus-redis-exporter",
    "python3",
    "redis-server",
    "stunnel4",
)
#: What Grafana's own package needs of Debian's.
OF_GRAFANA = ("adduser", "libfontconfig1", "musl")
RELEASE = "bookworm"


class NoGrafana(Exception):
    """The file is no package of Grafana's."""


class NoDebian(Exception):
    """No packages of Debian 12 can be had on this machine; the text says why."""


def collect(into: Path, more: Sequence[str] = ()) -> None:
    """Download the packages with all that they depend on, and write apt's index of the folder.

    `more` names packages besides PACKAGES.

    Works without root and changes nothing of this machine.

    Raises:
        NoDebian: this is no Debian 12, or its archive cannot be reached.
    """
    told = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    if f"VERSION_CODENAME={RELEASE}" not in told:
        raise NoDebian("this machine is no Debian 12")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _download(Path(scratch), into, more)
    write_index(into)


def _download(scratch: Path, into: Path, more: Sequence[str]) -> None:
    for folder in ("lists/partial", "cache"):
        (scratch / folder).mkdir(parents=True)
    # As if nothing were installed, so that all of it comes.
    (scratch / "status").touch()
    (into / "partial").mkdir(exist_ok=True)
    options = [
        f"Dir::State::Lists={scratch}/lists",
        f"Dir::State::status={scratch}/status",
        f"Dir::Cache={scratch}/cache",
        f"Dir::Cache::Archives={into}/",
        "APT::Sandbox::User=",
        "Debug::NoLocking=1",
        "APT::Architecture=amd64",
        # Sources of others are none of the release's business.
        "Dir::Etc::SourceParts=/dev/null",
        f"Dir::Etc::SourceList={_sources(scratch)}",
    ]
    apt = ["apt-get", "-qq", *(word for one in options for word in ("-o", one))]
    install = ["install", "--download-only", "--yes", "--no-install-recommends"]
    install += [*PACKAGES, *more]
    for words in (["update"], install):
        done = subprocess.run([*apt, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoDebian(f"apt-get {words[0]}: {done.stderr.strip()[-400:]}")
    (into / "partial").rmdir()
    (into / "lock").unlink(missing_ok=True)


def _sources(scratch: Path) -> Path:
    """Debian's own archives as this machine knows them, and no others."""
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    found = set()
    for file in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")):
        text = file.read_text() if file.is_file() else ""
        for word in text.split():
            if word.rstrip("/").endswith(("/debian", "/debian-security")) and "://" in word:
                found.add(word.rstrip("/"))
    lines = []
    for mirror in sorted(found):
        security = mirror.endswith("-security")
        suites = (f"{RELEASE}-security",) if security else (RELEASE, f"{RELEASE}-updates")
        lines += [f"deb [signed-by={keyring}] {mirror} {suite} main" for suite in suites]
    if not lines:
        raise NoDebian("no archive of Debian's is among apt's sources")
    path = scratch / "sources.list"
    path.write_text("\n".join(lines) + "\n")
    return path


def write_index(folder: Path) -> None:
    """Write `Packages`, by which apt takes the folder for an archive."""
    entries = []
    for package in sorted(folder.glob("*.deb")):
        control = subprocess.run(
            ["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True
        )
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        size = package.stat().st_size
        more = f"Filename: ./{package.name}\nSize: {size}\nSHA256: {digest}\n"
        entries.append(f"{control.stdout.strip()}\n{more}")
    (folder / "Packages").write_text("\n".join(entries))


def bring_grafana(package: Path, into: Path) -> str:
    """Put Grafana's package into a folder; its version. `SHA256SUMS` of the bundle has its digest.

    Raises:
        NoGrafana: the file is another package, or none, or for another kind of machine.
    """
    fields = ("Package", "Version", "Architecture")
    command = ["dpkg-deb", "--show", f"--showformat={'|'.join(f'${{{f}}}' for f in fields)}"]
    done = subprocess.run([*command, str(package)], capture_output=True, text=True, check=False)
    name, version, machine = [*done.stdout.strip().split("|"), "", "", ""][:3]
    if (name, machine) != ("grafana", "amd64"):
        raise NoGrafana(f"{package} is no package of Grafana for amd64 {done.stderr.strip()}")
    into.mkdir(parents=True)
    shutil.copy2(package, into / f"grafana_{version}_{machine}.deb")
    return version
