"""A Docker Engine and the public base images, for tests that build and start containers.

The engine is the one that runs, else one of this test run's own, on a socket and in a folder of its
own, which ends with the tests. Where no registry can be reached, base images are made here from
Debian's packages and tagged with their public names, so that Dockerfiles and docker-compose.yml are
tested as a user has them. By hand: `python -m tests.infra.engine`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.infra.parts import NotPossible

ROOT = Path(__file__).parents[2]
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


class Engine:
    """A Docker Engine that answers.

    Args:
        environment: what a client needs to find it.
        pid: of the engine, where it is one of this test run's own.
    """

    def __init__(self, environment: dict[str, str], pid: int | None = None) -> None:
        self.environment = os.environ | environment
        self.pid = pid

    def docker(
        self,
        *words: str,
        check: bool = True,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
    ) -> str:
        """Run `docker` with these words; its output.

        Raises:
            AssertionError: it failed; the text is the end of what it said.
        """
        done = subprocess.run(
            ["docker", *words],
            cwd=cwd,
            env=self.environment | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if check else subprocess.PIPE,
            text=True,
            timeout=1800,
        )
        output = done.stdout
        assert not check or done.returncode == 0, f"docker {' '.join(words)}:\n{output[-4000:]}"
        return output

    def has(self, image: str) -> bool:
        """Whether the engine has this image."""
        return bool(self.docker("images", "-q", image).strip())


def _answers(environment: dict[str, str]) -> bool:
    if shutil.which("docker") is None:
        return False
    asked = subprocess.run(
        ["docker", "version"], env=os.environ | environment, capture_output=True, timeout=30
    )
    return asked.returncode == 0


@contextmanager
def engine() -> Iterator[Engine]:
    """The engine that runs, or one that ends with the block; with compose and buildx.

    Raises:
        NotPossible: there is none and none can be started here.
    """
    if _answers({}):
        found = Engine({})
        _need_plugins(found)
        yield found
        return
    for name in ("docker", "dockerd", "containerd", "iptables"):
        if shutil.which(name) is None:
            raise NotPossible(f"no Docker Engine answers, and {name} is not installed")
    if os.getuid() != 0:
        raise NotPossible("no Docker Engine answers, and only root may start one")
    folder = Path(tempfile.mkdtemp(prefix="sightline-docker-"))
    with _own_engine(folder) as started:
        _need_plugins(started)
        yield started


@contextmanager
def engine_without_a_network() -> Iterator[Engine]:
    """Another one, without any image, on a machine that reaches nobody: a network namespace.

    Raises:
        NotPossible: none can be started here.
    """
    for name in ("dockerd", "unshare", "nsenter", "ip"):
        if shutil.which(name) is None:
            raise NotPossible(f"{name} is not installed")
    if os.getuid() != 0:
        raise NotPossible("only root may start a Docker Engine")
    folder = Path(tempfile.mkdtemp(prefix="sightline-docker-"))
    alone = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
    with _own_engine(folder, alone) as started:
        yield started


@contextmanager
def _own_engine(folder: Path, before: tuple[str, ...] = ()) -> Iterator[Engine]:
    socket = f"unix://{folder}/docker.sock"
    command = [
        *before,
        *("dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"),
        *("--pidfile", f"{folder}/pid", "--host", socket),
    ]
    environment = {"DOCKER_HOST": socket}
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not _answers(environment):
            if daemon.poll() is not None or time.monotonic() > deadline:
                said = (folder / "log").read_text(errors="replace").strip().splitlines()
                raise NotPossible(f"dockerd does not start: {said[-1] if said else 'no word'}")
            time.sleep(0.2)
        yield Engine(environment, daemon.pid)
    finally:
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _need_plugins(found: Engine) -> None:
    for plugin in ("compose", "buildx"):
        if "version" not in found.docker(plugin, "version", check=False).lower() and not re.search(
            r"\d+\.\d+", found.docker(plugin, "version", check=False)
        ):
            raise NotPossible(f"docker {plugin} is not installed")


# ---- base images -----------------------------------------------------------------------------

#: What a public slim image leaves out of Debian's packages.
_SLIM = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*")
#: Where a stand-in keeps what this machine trusts.
_TRUST = "/usr/local/share/trusted.pem"
#: By the beginning of a public image's name: packages of Debian that do the same here.
_PACKAGES: dict[str, tuple[str, ...]] = {
    "debian:": (),
    "nginx:": ("nginx-light", "curl"),
    "valkey/valkey:": ("redis-server",),
    "prom/prometheus:": ("prometheus",),
    "prom/alertmanager:": ("prometheus-alertmanager",),
    "prom/node-exporter:": ("prometheus-node-exporter",),
    "oliver006/redis_exporter:": ("prometheus-redis-exporter",),
    "nginx/nginx-prometheus-exporter:": ("prometheus-nginx-exporter",),
}


def base_images() -> list[str]:
    """The public images that the Dockerfiles and the compose file begin with.

    Not Grafana's: Debian has no package of it to make a stand-in of, so no part starts it.
    """
    named = set()
    for file in (*ROOT.glob("*/Dockerfile"), ROOT / "docker-compose.yml"):
        named |= set(re.findall(r"^(?:FROM|\s+image:) ([\w./-]+:[\w.-]+)", file.read_text(), re.M))
    return sorted(name for name in named if not name.startswith(("sightline/", "grafana/")))


def ensure_base_images(found: Engine, names: list[str] | None = None) -> None:
    """Make sure that the engine has each: as it is, by a pull, or made from Debian's packages.

    Raises:
        NotPossible: one can be neither pulled nor made.
    """
    for name in base_images() if names is None else names:
        if found.has(name):
            continue
        if not _pulled(found, name):
            _make(found, name)


def _pulled(found: Engine, name: str) -> bool:
    try:
        done = subprocess.run(
            ["docker", "pull", "--quiet", name],
            env=found.environment,
            capture_output=True,
            timeout=300,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _make(found: Engine, name: str) -> None:
    if shutil.which("mmdebstrap") is None or os.getuid() != 0:
        raise NotPossible(f"{name} can be neither pulled nor made here (mmdebstrap, root)")
    slim = next(one for one in base_images() if one.startswith("debian:"))
    if not found.has(slim):
        _import_debian(found, slim)
    if name.startswith("node:"):
        _make_node(found, name, slim)
    elif name != slim:
        _make_of_packages(found, name, slim)


def _make_of_packages(found: Engine, name: str, slim: str) -> None:
    packages = next((v for k, v in _PACKAGES.items() if name.startswith(k)), None)
    if packages is None:
        raise NotPossible(f"no stand-in for {name} is known")
    install = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    lines = [
        f"FROM {slim}",
        f"RUN apt-get update && {install} && rm -rf /var/lib/apt/lists/* /var/cache/apt/*",
        *_DIFFERENCES.get(name.partition(":")[0], ()),
    ]
    _build(found, name, lines)


#: What the public image has under another name, or starts by itself.
_DIFFERENCES: dict[str, tuple[str, ...]] = {
    "valkey/valkey": (
        "RUN ln -s redis-server /usr/bin/valkey-server && ln -s redis-cli /usr/bin/valkey-cli",
        'CMD ["valkey-server"]',
    ),
    "prom/prometheus": (
        "RUN install -d -o nobody -g nogroup /prometheus",
        "USER nobody",
        'ENTRYPOINT ["/usr/bin/prometheus"]',
    ),
    "prom/alertmanager": ("USER nobody", 'ENTRYPOINT ["/usr/bin/prometheus-alertmanager"]'),
    "oliver006/redis_exporter": ('ENTRYPOINT ["/usr/bin/prometheus-redis-exporter"]',),
    "nginx/nginx-prometheus-exporter": ('ENTRYPOINT ["/usr/bin/prometheus-nginx-exporter"]',),
    "prom/node-exporter": (
        "RUN ln -s /usr/bin/prometheus-node-exporter /bin/node_exporter",
        "USER nobody",
        'ENTRYPOINT ["/bin/node_exporter"]',
    ),
}


def _import_debian(found: Engine, name: str) -> None:
    """Debian as its slim image is: no manuals, no translations, no package lists."""
    mirrors = "\n".join(
        file.read_text()
        for file in (
            Path("/etc/apt/sources.list"),
            *Path("/etc/apt/sources.list.d").glob("*.list"),
            *Path("/etc/apt/sources.list.d").glob("*.sources"),
        )
        if file.is_file()
    )
    mirror = re.search(r"https?://\S+/debian/?(?=\s|$)", mirrors)
    if mirror is None:
        raise NotPossible("no archive of Debian's is among apt's sources")
    command = [
        *("mmdebstrap", "--quiet", "--variant=minbase"),
        # For the package that moves folders of old systems, which all of Perl comes with.
        "--include=usr-is-merged",
        *(f"--dpkgopt=path-exclude={path}" for path in _SLIM),
        '--customize-hook=chroot "$1" apt-get -y purge usrmerge perl-modules-5.36 >/dev/null',
        '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin',
    ]
    if CERTIFICATES.is_file():
        # An archive or an index that is reached through a proxy of this machine's.
        command.append(f"--customize-hook=upload {CERTIFICATES} {_TRUST}")
    made = subprocess.Popen([*command, "bookworm", "-", mirror.group()], stdout=subprocess.PIPE)
    path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    trust = [
        word
        for variable in ("SSL_CERT_FILE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")
        for word in ("-c", f"ENV {variable}={_TRUST}")
    ]
    done = subprocess.run(
        ["docker", "import", "-c", 'CMD ["bash"]', "-c", path, *trust, "-", name],
        stdin=made.stdout,
        env=found.environment,
        capture_output=True,
        text=True,
    )
    if made.wait() != 0 or done.returncode != 0:
        raise NotPossible(f"{name} cannot be made here: {done.stderr[-400:]}")


def _make_node(found: Engine, name: str, slim: str) -> None:
    """This machine's Node with its npm, on Debian."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise NotPossible(f"{name} cannot be pulled, and Node is not installed here")
    home = Path(npm).resolve().parents[1]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy2(Path(node).resolve(), Path(folder) / "node")
        shutil.copytree(home, Path(folder) / "npm", symlinks=True)
        lines = [
            f"FROM {slim}",
            "COPY node /usr/local/bin/node",
            "COPY npm /usr/local/lib/node_modules/npm",
            "RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm",
        ]
        _build(found, name, lines, Path(folder))


def _build(found: Engine, name: str, lines: list[str], context: Path | None = None) -> None:
    with tempfile.TemporaryDirectory() as empty:
        file = Path(empty) / "Dockerfile"
        file.write_text("\n".join([*lines, ""]))
        found.docker("build", "-q", "-t", name, "-f", str(file), str(context or empty))


def main() -> None:
    """Start an engine, make the base images, and keep it until Ctrl-C."""
    with engine() as found:
        ensure_base_images(found)
        host = found.environment.get("DOCKER_HOST", "the default one")
        sys.stdout.write(f"DOCKER_HOST={host}\n")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
