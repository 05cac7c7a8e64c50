"""A single host for real: a Debian 12 with systemd and no network, set up from the bundle alone."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.infra.engine import ROOT, Engine, ensure_base_images
from tests.infra.parts import NotPossible
from tests.infra.parts.images import the_engine

BASE = "debian:bookworm-20250520-slim"
BOX = "sightline-test/box"
#: systemd as PID 1, which needs to write to its own control groups.
BOX_FILE = f"""\
FROM {BASE}
RUN apt-get update && apt-get install -y --no-install-recommends systemd-sysv dbus \\
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/*
COPY control-groups.service /etc/systemd/system/
RUN systemctl enable control-groups.service
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""
UNIT = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c "for m in /sys/fs/cgroup/*; do mount -o remount,rw,bind $$m || :; done"
[Install]
WantedBy=sysinit.target
"""
FILM = "/opt/sightline/current/models/chest_xray_pneumonia/2/demo"
READINGS = "https://localhost/api/v1/predictions"
#: What ends is ready again within this, also where others work on the same processors.
_READY_SECONDS = 300
#: The ports that others may come to, watched or not.
DOORS = {80, 443}
#: Job and role of everything that Prometheus hears from.
WATCHED = {
    *(("sightline", role) for role in ("web", "identity", "inference", "worker")),
    *((job, "") for job in ("nginx", "node", "prometheus", "redis")),
}
WEBHOOK = "http://127.0.0.1:8099/hook"
#: Somebody who is told; what came is in /root/told.
TOLD = """\
from http.server import BaseHTTPRequestHandler, HTTPServer
class Told(BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/root/told", "ab") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()
open("/root/told", "w").close()
HTTPServer(("127.0.0.1", 8099), Told).serve_forever()
"""
UNITS = ("redis", "identity", "chainer", "inference", "web", "nginx")


class Box:
    """A server without a network; words are run in it as root."""

    def __init__(self, docker: Engine, name: str) -> None:
        self._docker, self.name = docker, name

    def run(self, *words: str, check: bool = True) -> str:
        """Run a command in the box."""
        return self._docker.docker("exec", self.name, *words, check=check)

    def shell(self, line: str, check: bool = True) -> str:
        """Run a line of shell in the box."""
        return self.run("sh", "-c", line, check=check)

    def copy(self, source: Path, target: str) -> None:
        """Put a file into the box."""
        self._docker.docker("cp", str(source), f"{self.name}:{target}")


@contextlib.contextmanager
def box() -> Iterator[Box]:
    """A fresh one, which ends with the block."""
    docker = the_engine()
    ensure_base_images(docker, [BASE])
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / "Dockerfile").write_text(BOX_FILE)
        (Path(empty) / "control-groups.service").write_text(UNIT)
        docker.docker("build", "-q", "-t", BOX, empty)
    name = f"sightline-box-{os.getpid()}"
    docker.docker(
        *("run", "-d", "--name", name, "--hostname", "clinic", "--network", "none"),
        *("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"),
        *("--security-opt", "apparmor=unconfined", "--cgroupns=private"),
        *("--tmpfs", "/run", "--tmpfs", "/run/lock", BOX),
    )
    try:
        made = Box(docker, name)
        deadline = time.monotonic() + 60
        state = ""
        while state not in {"running", "degraded"}:
            assert time.monotonic() < deadline, f"systemd is {state or 'silent'}"
            state = made.run("systemctl", "is-system-running", check=False).strip()
            time.sleep(0.5)
        yield made
    finally:
        docker.docker("rm", "-f", "-v", name, check=False)


def bundle() -> Path:
    """The bundle of `make release`, made now where there is none of this commit."""
    out = ROOT / "build" / "release"
    found = sorted(out.glob("sightline-*[0-9].tar.gz"))
    if not found:
        command = [sys.executable, "-m", "infra.release", "--no-images", "--out", str(out)]
        made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise NotPossible(f"no bundle can be made: {made.stderr.strip()[-300:]}")
        found = sorted(out.glob("sightline-*[0-9].tar.gz"))
    listed = subprocess.run(["tar", "-tzf", found[-1]], capture_output=True, text=True, check=True)
    if "/debs/Packages" not in listed.stdout:
        raise NotPossible("the bundle is without packages of Debian")
    return found[-1]


def single_host(_: object = None) -> None:
    """Install, read, kill, upgrade, go back; what was read stays, and it is watched meanwhile."""
    file = bundle()
    with box() as host:
        host.copy(file, "/root/bundle.tar.gz")
        host.shell("cd /root && tar -xzf bundle.tar.gz && rm bundle.tar.gz")
        first = host.shell("basename /root/sightline-*").strip()
        _install(host, f"/root/{first}", "--host-name", "localhost")
        assert "/welcome/" in host.run("sightline", "invite-admin")
        assert _listening(host) == DOORS
        made = [_read(host)]
        for unit in UNITS:
            host.run("systemctl", "kill", "--signal=KILL", f"sightline-{unit}")
            made.append(_read_again(host))
        _watched(host, f"/root/{first}")
        # The same program under a newer name: what is tested is the way, there and back.
        newer = (
            f"cd /root && cp -R {first} sightline-99.0.0 && cd sightline-99.0.0"
            " && echo 99.0.0 > VERSION"
            " && grep -v '  VERSION$' SHA256SUMS > S && sha256sum VERSION >> S && mv S SHA256SUMS"
        )
        host.shell(newer)
        _install(host, "/root/sightline-99.0.0")
        assert host.run("readlink", "/opt/sightline/current").strip() == "/opt/sightline/99.0.0"
        made.append(_read_again(host))
        _until_watched(host)
        _install(host, f"/root/{first}", "--monitoring", "off")
        made.append(_read_again(host))
        assert _listening(host) == DOORS
        failed = host.shell("systemctl list-units --failed --no-legend 'sightline-*' 'prometheus*'")
        assert not failed.strip(), failed
        answer = host.shell(f"{_CURL} {READINGS}?limit=50")
        kept = {one["id"] for one in json.loads(answer)["items"]}
        assert set(made) <= kept, "a reading that was answered is gone"
        verdict = host.run("sightline", "audit", "verify")
        assert "are as they were written" in verdict, verdict
        damaged = host.shell(
            "cd /root/sightline-99.0.0 && echo x >> install.sh && ./install.sh 2>&1", check=False
        )
        assert "was changed or is not whole" in damaged, damaged


_CURL = (
    'curl -fsS -m 60 --cacert /etc/sightline/tls/ca.pem -H "Authorization: Bearer $(cat /root/key)"'
)


def _install(host: Box, folder: str, *words: str, before: str = "") -> None:
    said = host.shell(f"{before} {folder}/install.sh {' '.join(words)} 2>&1", check=False)
    if "READY" not in said:
        units = "-u 'sightline-*' -u 'prometheus*'"
        journal = host.shell(f"journalctl --no-pager -n 60 {units}", check=False)
        raise AssertionError(f"{said}\n{journal}")


def _read(host: Box) -> str:
    host.shell("[ -s /root/key ] || sightline create-key --role clinician 2>/dev/null > /root/key")
    line = f"{_CURL} -F image=@$(ls {FILM}/* | head -n 1)"
    answer = host.shell(
        f"{line} https://localhost/api/v1/diseases/chest_xray_pneumonia/predictions"
    )
    read = json.loads(answer[answer.index("{") :])
    assert read["outcome"] == "judged"
    return str(read["id"])


def _read_again(host: Box) -> str:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            return _read(host)
        except (AssertionError, ValueError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


# ---- watched by itself ---------------------------------------------------------------------------


def _watched(host: Box, folder: str) -> None:
    """Prometheus hears from everything, somebody is told, and nobody elsewhere may ask."""
    host.shell(f"cat > /root/told.py <<'END'\n{TOLD}END")
    host.shell("setsid python3 /root/told.py </dev/null >/root/told.log 2>&1 &")
    told = f"SIGHTLINE_ALERTS_WATCHDOG={WEBHOOK}"
    _install(host, folder, "--monitoring", "on", before=told)
    _until_watched(host)
    _until(lambda: "SightlineWatchdog" in host.run("cat", "/root/told"), "word of an alert")
    assert host.run("stat", "-c", "%U %a", "/etc/sightline/alerts.env").split() == ["root", "600"]
    assert f"WATCHDOG='{WEBHOOK}'" in host.run("cat", "/etc/sightline/alerts.env")
    assert _listening(host) == DOORS
    public = host.shell("curl -sko /dev/null -w '%{http_code}' https://localhost/metrics")
    assert public.strip() == "404"
    refused = host.shell(f'SIGHTLINE_ALERTS_PAGE="x\'y" {folder}/install.sh 2>&1', check=False)
    assert "SIGHTLINE_ALERTS_PAGE is no address" in refused, refused
    # A service that ends is seen to, and its alert is told.
    host.run("systemctl", "stop", "sightline-worker")
    _until(lambda: ("sightline", "worker") not in _up(host), "word that the worker is away")
    host.run("systemctl", "start", "sightline-worker")


def _until_watched(host: Box) -> None:
    def heard() -> bool:
        return _up(host) == WATCHED and _asked(host, "min(redis_up * on() nginx_up)") == ["1"]

    _until(heard, "word of everything", lambda: f"{sorted(WATCHED - _up(host))}")


def _up(host: Box) -> set[tuple[str, str]]:
    """Job and role of what Prometheus hears from."""
    found = _query(host, "up == 1")
    return {(one["metric"]["job"], one["metric"].get("role", "")) for one in found}


def _asked(host: Box, query: str) -> list[str]:
    return [one["value"][1] for one in _query(host, query)]


def _query(host: Box, query: str) -> list[dict[str, Any]]:
    address = "http://127.0.0.1:9090/api/v1/query"
    said = host.run(
        "curl", "-sG", "--data-urlencode", f"query={query}", address, check=False
    ).strip()
    return list(json.loads(said)["data"]["result"]) if said else []


def _listening(host: Box) -> set[int]:
    """The ports that others may come to: those of TCP that listen, but for loopback."""
    code = (
        "for f in ('tcp', 'tcp6'):\n"
        "    for line in list(open(f'/proc/net/{f}'))[1:]:\n"
        "        _, at, _, state = line.split()[:4]\n"
        "        host, port = at.split(':')\n"
        "        loopback = host == '0100007F' or host == '0' * 24 + '01000000'\n"
        "        if state == '0A' and not loopback: print(int(port, 16))\n"
    )
    return {int(port) for port in host.run("python3", "-c", code).split()}


def _until(
    condition: Callable[[], bool], what: str, otherwise: Callable[[], str] = lambda: ""
) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"no {what} {otherwise()}"
        time.sleep(1)


if __name__ == "__main__":
    single_host()
