"""`gateway run`, which is `make run` once everything is installed."""

import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.settings import PROJECT
from gateway.stack import check_port
from tests.fixtures.leftovers import end_leftovers, processes_of
from tests.fixtures.ports import free_port
from tests.fixtures.stack import DISEASE, need_pages

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

SECONDS = 60.0


class Run:
    """The command in a process group of its own, as a terminal runs it."""

    def __init__(self, run_dir: Path, models: Path, *more: str) -> None:
        self.run_dir = run_dir
        self.port = free_port()
        self.output = run_dir.parent / "output"
        self.command = [
            *(sys.executable, "-m", "gateway.cli", "run"),
            *("--port", str(self.port), "--run-dir", str(run_dir)),
            *more,
        ]
        self.environment = os.environ | {"SIGHTLINE_GATEWAY_MODELS_DIR": str(models)}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=PROJECT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        deadline = time.monotonic() + SECONDS
        while "READY" not in self.said():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.1)

    def await_saying(self, pattern: str) -> str:
        """The first group of what the command said, once it has."""
        deadline = time.monotonic() + SECONDS
        while (found := re.search(pattern, self.said())) is None:
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)
        return found[1]

    def command_line(self, *arguments: str) -> str:
        """The last line that another command prints for the stack that runs here."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments, "--run-dir", str(self.run_dir)],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]

    def said(self) -> str:
        return self.output.read_text(errors="replace")


@pytest.fixture
def run(models_dir: Path) -> Iterator[Run]:
    yield from started(models_dir)


@pytest.fixture
def run_with_tls(models_dir: Path) -> Iterator[Run]:
    yield from started(models_dir, "--tls")


def started(models: Path, *more: str) -> Iterator[Run]:
    need_pages()
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        one = Run(Path(folder) / "run", models, *more)
        try:
            one.await_ready()
            yield one
        finally:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
            left = end_leftovers(Path(folder))
        assert left == []


def test_with_tls_it_says_what_to_trust(run_with_tls: Run) -> None:
    run, said = run_with_tls, run_with_tls.said()
    authority = run.run_dir / "tls" / "ca.pem"
    url = f"https://127.0.0.1:{run.port}/"
    assert f"READY: open {url.rstrip('/')} " in said
    assert f"--cacert {authority} {url}" in said
    trust = ssl.create_default_context(cafile=authority)
    assert httpx.get(url, verify=trust, trust_env=False).status_code == 303
    token = run.await_saying(rf"https://127\.0\.0\.1:{run.port}/welcome/(\S+)")
    body = {"password": "a quiet meadow at noon"}
    begun = httpx.post(f"{url}auth/welcome/{token}", json=body, verify=trust, trust_env=False)
    assert begun.headers["set-cookie"].startswith("__Host-sightline_session=")
    assert "; Secure" in begun.headers["set-cookie"]
    assert run.command_line("create-user", "eve", "--role", "ops").startswith(f"{url}welcome/")
    for name in ("127.0.0.1", "localhost"):
        in_the_clear = httpx.get(f"http://{name}:{run.port}/worklist?x=y", trust_env=False)
        assert in_the_clear.status_code == 308
        assert in_the_clear.headers["location"] == f"https://{name}:{run.port}/worklist?x=y"
    post = httpx.post(f"http://127.0.0.1:{run.port}/api/v1/x", trust_env=False)
    assert (post.status_code, post.json()["code"]) == (403, "https-needed")
    foreign = {"Host": "evil.example.org"}
    assert httpx.get(url, headers=foreign, verify=trust, trust_env=False).status_code == 421


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_when_it_is_ready_and_stops_without_a_trace(
    run: Run, number: signal.Signals
) -> None:
    assert f"READY: open http://127.0.0.1:{run.port}" in run.said()
    start = httpx.get(f"http://127.0.0.1:{run.port}/", trust_env=False)
    assert (start.status_code, start.headers["location"]) == (303, "/sign-in?next=/")
    os.killpg(run.process.pid, number)
    assert run.process.wait(15) == 0, run.said()
    assert processes_of(run.run_dir) == {}
    assert list(run.run_dir.rglob("*.sock")) == []
    check_port(run.port)


def test_a_second_one_from_the_same_folder_says_so(run: Run) -> None:
    second = subprocess.run(
        run.command, cwd=PROJECT, env=run.environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1
    assert f"already runs from {run.run_dir} on http://127.0.0.1:{run.port}" in second.stderr
    assert httpx.get(f"http://127.0.0.1:{run.port}/", trust_env=False).status_code == 303


def test_the_first_admin_comes_in_by_a_link_and_lets_others_in(run: Run) -> None:
    """From the link that is printed to a reading's list; a key of the command line serves too."""
    token = run.await_saying(rf"http://127\.0\.0\.1:{run.port}/welcome/(\S+)")
    address, password = f"http://127.0.0.1:{run.port}", "a quiet meadow at noon"
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as admin:
        refused = admin.post(f"/auth/welcome/{token}", json={"password": "too short"})
        assert (refused.status_code, refused.json()["code"]) == (422, "password-refused")
        assert admin.post(f"/auth/welcome/{token}", json={"password": password}).status_code == 204
        me = admin.get("/auth/session").json()
        assert me["roles"] == ["admin", "clinician", "engineer"]
        admin.headers.update({"Origin": address, "X-CSRF-Token": me["csrf"]})
        made = admin.post("/api/v1/users", json={"name": "ada", "roles": ["clinician"]}).json()
        link = admin.post(f"/api/v1/users/{made['id']}/invitation").json()["link"]
        assert link.startswith(f"{address}/welcome/")
    with httpx.Client(base_url=address, timeout=30, trust_env=False) as ada:
        welcome = link.replace("/welcome/", "/auth/welcome/")
        assert ada.post(welcome, json={"password": password}).status_code == 204
        assert ada.get("/api/v1/predictions").status_code == 200
        assert ada.get("/api/v1/users").status_code == 403
    key = run.command_line("create-key", "--role", "clinician", "--days", "1")
    with httpx.Client(base_url=f"{address}/api/v1", timeout=30, trust_env=False) as script:
        assert script.get("/predictions").status_code == 401
        script.headers["Authorization"] = f"Bearer {key}"
        assert script.get("/predictions").status_code == 200
    again = run.command_line("reset-user", "admin")
    assert again.startswith(f"{address}/welcome/")
    assert again != token
    assert run.command_line("create-user", "eve", "--role", "ops").startswith(address)
    # No secret of all these is in what was printed since, or in a log.
    logged = run.said() + (run.run_dir / "nginx" / "access.log").read_text()
    for secret in (key, password, link.rpartition("/")[2], again.rpartition("/")[2]):
        assert secret not in logged
    assert logged.count(token) == 1


def test_readings_come_back_by_themselves_after_redis_was_killed(run: Run, film: bytes) -> None:
    address = f"http://127.0.0.1:{run.port}/api/v1"
    key = {"Authorization": f"Bearer {run.command_line('create-key', '--role', 'clinician')}"}
    with httpx.Client(base_url=address, headers=key, timeout=30, trust_env=False) as client:

        def read() -> httpx.Response:
            return client.post(f"/diseases/{DISEASE}/predictions", files={"image": ("f", film)})

        before = read()
        assert before.status_code == 201
        [redis] = [n for n, command in processes_of(run.run_dir).items() if "redis.sock" in command]
        os.kill(redis, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while (answer := read()).status_code != 201:
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert time.monotonic() < deadline, run.said()
            time.sleep(0.05)
        kept = client.get(f"/predictions/{before.json()['id']}")
    assert kept.json() == before.json()
    assert "ended by itself (rc=-9); starting it again" in run.said()
