"""The bundle: whole, the same when made again, and for the machines that it is for."""

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from infra.release import bundle, debs, images, wheels
from tests.infra.engine import ROOT

LOCK = """\
one==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via two
two==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:cc
three==3.0 ; platform_machine == 'aarch64' \\
    --hash=sha256:dd
four==4.0 ; python_full_version < '3.11.3' \\
    --hash=sha256:ee
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "sightline-1.2.3"
    (made / "wheels").mkdir(parents=True)
    (made / "wheels" / "a.whl").write_bytes(b"wheel")
    (made / "install.sh").write_text("#!/bin/sh\n")
    (made / "install.sh").chmod(0o755)
    bundle.seal(made)
    return made


def test_the_same_content_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    bundle.pack(folder, tmp_path / "a.tar.gz", 1_700_000_000)
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    (folder / "wheels" / "a.whl").chmod(0o600)
    bundle.pack(folder, tmp_path / "b.tar.gz", 1_700_000_000)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()


def test_what_is_packed_is_whole_and_can_be_run(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "b.tar.gz"
    bundle.pack(folder, file, 0)
    out = tmp_path / "out"
    with tarfile.open(file) as tar:
        tar.extractall(out, filter="data")
    check = ["sha256sum", "--quiet", "--check", "SHA256SUMS"]
    assert subprocess.run(check, cwd=out / folder.name).returncode == 0
    assert os.access(out / folder.name / "install.sh", os.X_OK)
    (out / folder.name / "wheels" / "a.whl").write_bytes(b"other")
    assert subprocess.run(check, cwd=out / folder.name, capture_output=True).returncode != 0
    check = ["sha256sum", "--quiet", "--check", f"{file.name}.sha256"]
    assert subprocess.run(check, cwd=tmp_path).returncode == 0


def test_everything_that_the_bundle_takes_is_there(tmp_path: Path) -> None:
    missing = [one for one in bundle.CONTENT if not (ROOT / one).exists()]
    assert [one for one in missing if one != "web_ui/static"] == []


def test_a_lock_is_read_for_the_machine_that_it_is_for() -> None:
    assert wheels.requirements(LOCK) == [
        "one==1.0 --hash=sha256:aa --hash=sha256:bb",
        "four==4.0 --hash=sha256:ee",
    ]
    names = [one.partition("==")[0] for one in wheels.requirements(LOCK, "aarch64")]
    assert names == ["one", "three", "four"]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("name", ["gateway", "inference", "web", "s3", "trainer", "gpu"])
def test_every_lock_can_be_read(name: str, machine: str) -> None:
    lock = (ROOT / "requirements" / f"{name}.lock").read_text()
    found = wheels.requirements(lock, machine)
    assert found
    assert all("==" in one and "--hash=sha256:" in one for one in found)


def test_the_index_names_each_package(tmp_path: Path) -> None:
    if not Path("/usr/bin/dpkg-deb").exists():
        pytest.skip("dpkg-deb is not here")
    control = tmp_path / "x" / "DEBIAN"
    control.mkdir(parents=True)
    text = "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: tiny\n"
    (control / "control").write_text(text)
    folder = tmp_path / "debs"
    folder.mkdir()
    command = ["dpkg-deb", "--root-owner-group", "--build"]
    subprocess.run([*command, control.parent, folder / "tiny.deb"], check=True, capture_output=True)
    debs.write_index(folder)
    index = (folder / "Packages").read_text()
    assert index.startswith("Package: tiny\n")
    assert "Filename: ./tiny.deb\n" in index
    assert bundle.digest(folder / "tiny.deb") in index


def test_the_scripts_install_nothing_that_the_bundle_lacks() -> None:
    text = (ROOT / "infra/host/install.sh").read_text()
    (watchers,) = re.findall(r'^watchers="(.*)"$', text, re.M)
    lines = re.findall(r"apt install --yes (.*?) >/dev/null", text.replace("\\\n", " "))
    assert len(lines) == 2
    for line in lines:
        words = line.replace("$watchers", watchers).split()
        assert {word for word in words if not word.startswith("--")} <= set(debs.PACKAGES)


def test_what_watches_one_server_is_asked_where_it_listens_and_by_nobody_else() -> None:
    """The drop-ins of the units, the proxy's port, and what Prometheus is told to ask."""
    text = (ROOT / "infra/host/install.sh").read_text()
    (watchers,) = re.findall(r'^watchers="(.*)"$', text, re.M)
    drop_ins = ROOT / "infra" / "systemd" / "monitoring"
    units = [*sorted(drop_ins.iterdir()), ROOT / "infra/systemd/sightline-alertmanager.service"]
    assert {one.stem for one in units[:-1]} == set(watchers.split())
    listens = {
        address
        for one in units
        for address in re.findall(r"-web\.listen-address=(\S+)", one.read_text())
    }
    told = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "host.yml").read_text())
    asked = {
        target
        for one in (*told["scrape_configs"], *told["alerting"]["alertmanagers"])
        if one.get("job_name") != "sightline"
        for target in one["static_configs"][0]["targets"]
    }
    assert listens == asked
    assert all(one.startswith("127.0.0.1:") for one in listens)
    (proxy,) = re.findall(r"--metrics-port (\d+)", text)
    services = told["scrape_configs"][0]
    assert services["relabel_configs"][-1]["replacement"] == f"127.0.0.1:{proxy}"
    assert set(services["static_configs"][0]["targets"]) == {
        "identity",
        "inference",
        "web",
        "worker",
    }


def test_one_server_is_watched_by_the_jobs_of_containers() -> None:
    """Rules and dashboards know the jobs by these names."""
    folder = ROOT / "monitoring" / "prometheus"
    names = [
        [job["job_name"] for job in yaml.safe_load((folder / file).read_text())["scrape_configs"]]
        for file in ("prometheus.yml", "host.yml")
    ]
    assert names[0] == names[1]


def test_the_installer_is_plain_shell() -> None:
    done = subprocess.run(["sh", "-n", ROOT / "infra/host/install.sh"], capture_output=True)
    assert done.returncode == 0, done.stderr


# ---- images --------------------------------------------------------------------------------


def test_where_no_images_can_be_made_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("docker") is not None:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
        assert images.none_because() == "no Docker Engine answers"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert images.none_because() == "docker is not installed"


def test_images_that_the_disk_has_no_room_for_leave_no_file(tmp_path: Path) -> None:
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(
        '#!/bin/sh\n[ "$1" = save ] || exec echo sha256:1\nhead -c 9000000 /dev/urandom\n'
    )
    engine.chmod(0o755)
    file = tmp_path / "images.tar.gz"
    path = {"PATH": f"{engine.parent}:{os.environ['PATH']}"}
    made = images.Images(tmp_path, "1", os.environ | path)
    file.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        made.save(["an/image"], file)
    assert [one.name for one in tmp_path.iterdir()] == ["bin"]


def test_the_compose_file_finds_what_it_takes_along_in_the_bundle() -> None:
    """Beside it, by the paths that it names."""
    text = (ROOT / "docker-compose.yml").read_text()
    taken = set(re.findall(r"- \./([\w/.-]+):/|\"\./([\w/.-]+):/", text))
    named = {one or other for one, other in taken}
    assert "monitoring/prometheus" in named
    assert bundle.CONTENT["docker-compose.yml"] == "docker-compose.yml"
    for one in named:
        assert (ROOT / one).exists()
        assert any(f"{one}/".startswith(f"{target}/") for target in bundle.CONTENT.values()), one


# ---- Grafana -------------------------------------------------------------------------------


def package(folder: Path, name: str = "grafana", machine: str = "amd64") -> Path:
    """A real package of this name, which holds what Grafana's has to have to be set up."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    root = folder / f"{name}-{machine}"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "etc" / "grafana" / "provisioning").mkdir(parents=True)
    (root / "etc" / "grafana" / "grafana.ini").write_text("[server]\n")
    (root / "etc" / "grafana" / "provisioning" / "sample.yml").write_text("x: 1\n")
    control = f"Package: {name}\nVersion: 11.6.1\nArchitecture: {machine}\n"
    (root / "DEBIAN" / "control").write_text(f"{control}Maintainer: a test\nDescription: x\n")
    file = folder / f"{name}-{machine}.deb"
    subprocess.run(["dpkg-deb", "--build", root, file], check=True, capture_output=True)
    return file


def test_the_bundle_takes_grafanas_package_and_no_other(tmp_path: Path) -> None:
    into = tmp_path / "bundle" / "grafana"
    assert debs.bring_grafana(package(tmp_path), into) == "11.6.1"
    assert [path.name for path in into.iterdir()] == ["grafana_11.6.1_amd64.deb"]
    bundle.seal(tmp_path / "bundle")
    sums = (tmp_path / "bundle" / "SHA256SUMS").read_text()
    digest = bundle.digest(into / "grafana_11.6.1_amd64.deb")
    assert f"{digest}  grafana/grafana_11.6.1_amd64.deb" in sums
    (tmp_path / "text").write_text("no package")
    for other in (package(tmp_path, "loki"), package(tmp_path, machine="arm64"), tmp_path / "text"):
        with pytest.raises(debs.NoGrafana):
            debs.bring_grafana(other, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_grafana_is_set_up_where_the_bundle_brings_it(tmp_path: Path) -> None:
    """With a stand-in for dpkg, which would change this machine."""
    folder, root, programs = tmp_path / "bundle", tmp_path / "root", tmp_path / "bin"
    debs.bring_grafana(package(tmp_path), folder / "grafana")
    shutil.copytree(ROOT / "monitoring", folder / "monitoring")
    programs.mkdir()
    stand_in = f'#!/bin/sh\nexec dpkg-deb --extract "$2" "{root}"\n'
    for name, text in {"dpkg": stand_in, "dpkg-query": "#!/bin/sh\nexit 1\n"}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}"}
    command = ["sh", str(ROOT / "infra" / "boot" / "grafana.sh"), str(folder), str(root)]
    for _ in range(2):
        subprocess.run(command, env=environment, check=True)
    shipped, there = ROOT / "monitoring" / "grafana", root / "etc" / "grafana"
    for path in (one for one in shipped.rglob("*") if one.is_file()):
        assert (there / path.relative_to(shipped)).read_bytes() == path.read_bytes()
    # What Grafana's package brings as samples is not provisioned.
    assert not (there / "provisioning" / "sample.yml").exists()
    unit = root / "etc" / "systemd" / "system" / "grafana-server.service.d" / "sightline.conf"
    assert "EnvironmentFile=/etc/sightline/grafana.env" in unit.read_text()


def test_without_grafana_the_boot_says_so_and_goes_on(tmp_path: Path) -> None:
    command = [
        "sh",
        str(ROOT / "infra" / "boot" / "grafana.sh"),
        str(tmp_path),
        str(tmp_path / "root"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "make release GRAFANA=FILE" in done.stderr
    assert not (tmp_path / "root").exists()
