"""The images and the compose file, built and started for real.

`images` builds each and looks at what came out; `compose-reading` starts the whole system, reads a
film through its public door, and takes parts of it away.
"""

import contextlib
import json
import os
import re
import ssl
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from tests.fixtures.ports import free_port
from tests.infra.engine import ROOT, Engine, engine, ensure_base_images
from tests.infra.outside import GREETING, Outside, outside_this_machine

#: MB that an image may have, and a module that its service imports; None: any size.
IMAGES: dict[str, tuple[int | None, str]] = {
    "gateway": (250, "gateway.identity.app"),
    "proxy": (250, ""),
    "web": (250, "web_ui.app"),
    "inference": (700, "inference_service.app"),
    "trainer": (None, "trainer.cli"),
}
DISEASE = "chest_xray_pneumonia"
ADDRESS = f"/api/v1/diseases/{DISEASE}/predictions"
_WAIT = 120.0

_kept = contextlib.ExitStack()


@cache
def the_engine() -> Engine:
    """The engine for all parts of a run; `done` ends it."""
    return _kept.enter_context(engine())


def done() -> None:
    """End what `the_engine` started."""
    _kept.close()
    the_engine.cache_clear()


def images(_: object = None) -> None:
    """Build all images; each is small, not root's, looked after, and holds its own service."""
    docker = the_engine()
    ensure_base_images(docker)
    command = ["compose", "--profile", "train", "build"]
    docker.docker(*command, cwd=ROOT)
    version = os.environ.get("SIGHTLINE_VERSION", "0.1.0")
    for name, (most, module) in IMAGES.items():
        image = f"sightline/{name}:{version}"
        found = json.loads(docker.docker("image", "inspect", image))[0]
        size = found["Size"] / 1e6
        print(f"{image}: {size:.0f} MB")  # noqa: T201 - for whoever looks on
        assert most is None or size < most, f"{image} has {size:.0f} MB"
        assert found["Config"]["User"] == "10001:10001"
        assert found["Config"]["Healthcheck"]["Test"]
        if module:
            _holds_its_service(docker, image, name, module)


def _holds_its_service(docker: Engine, image: str, name: str, module: str) -> None:
    """It imports, as nobody with a root that cannot be written; and of the others nothing does."""
    code = (
        f"import importlib.util as u, {module}\n"
        "print(sorted(n for n in ('gateway', 'inference_service', 'trainer', 'web_ui',"
        " 'tensorflow') if u.find_spec(n)))"
    )
    said = docker.docker(
        *("run", "--rm", "--read-only", "--network", "none", "--tmpfs", "/tmp"),
        *("--cap-drop", "ALL", "--entrypoint", "python3", image, "-W", "ignore", "-c", code),
    )
    own = {"gateway": "gateway", "web": "web_ui", "inference": "inference_service"}
    expected = ["tensorflow", "trainer"] if name == "trainer" else [own[name]]
    assert str(expected) in said, said


class Compose:
    """One start of the docker-compose.yml of a folder, under a name and on ports of its own."""

    def __init__(self, docker: Engine, folder: Path = ROOT, **variables: str) -> None:
        self._docker, self._folder = docker, folder
        self.port, self.redirect = free_port(), free_port()
        self._project = f"sightline-test-{os.getpid()}"
        self._environment = {
            "SIGHTLINE_PORT": str(self.port),
            "SIGHTLINE_REDIRECT": str(self.redirect),
            **variables,
        }
        self.url = f"https://localhost:{self.port}"

    def __call__(self, *words: str, check: bool = True) -> str:
        """`docker compose` with these words."""
        return self._docker.docker(
            *("compose", "-p", self._project, *words),
            check=check,
            cwd=self._folder,
            env=self._environment,
        )

    def container(self, service: str) -> str:
        """The id of the container of this service."""
        return self("ps", "-aq", service).split()[0]

    def run(self, service: str, *words: str, check: bool = True) -> str:
        """Run a command in the container of this service."""
        return self("exec", "-T", service, *words, check=check)

    def beside(self, service: str, *words: str) -> str:
        """Run a command in the network of this service, whose own image may have no shell."""
        version = self._environment.get("SIGHTLINE_VERSION", "0.1.0")
        return self._docker.docker(
            *("run", "--rm", "--network", f"container:{self.container(service)}"),
            *("--entrypoint", words[0], f"sightline/gateway:{version}", *words[1:]),
            check=False,
        )

    def partition(self, service: str, network: str) -> None:
        """Take the container of this service off a network."""
        name = f"{self._project}_{network}"
        self._docker.docker("network", "disconnect", name, self.container(service))

    def heal(self, service: str, network: str) -> None:
        """Put it back."""
        name = f"{self._project}_{network}"
        words = ("network", "connect", "--alias", service, name, self.container(service))
        self._docker.docker(*words)

    @contextlib.contextmanager
    def up(self) -> Iterator[None]:
        """All of it, until the block ends; its volumes go, too."""
        try:
            try:
                self("up", "--wait", "--wait-timeout", "240")
            except AssertionError as failed:
                logs = self("logs", "--tail", "30", check=False)
                raise AssertionError(f"{failed}\n{logs}") from None
            yield
        finally:
            words = "--volumes", "--remove-orphans", "--timeout", "5"
            self("--profile", "*", "down", *words, check=False)

    def authority(self) -> str:
        """What somebody has to trust to come here."""
        return self.run("proxy", "cat", "/etc/sightline/tls/ca.pem")

    def key(self) -> str:
        """A new key of somebody who reads images."""
        words = ("start", "identity", "gateway", "create-key", "--role", "clinician")
        # Both outputs come together, in any order.
        said = self.run("identity", *words, "--days", "1").splitlines()
        return next(line for line in said if line.startswith("slk_"))

    def client(self) -> httpx.Client:
        """Somebody who reads images, and trusts the authority of this installation alone."""
        trust = ssl.create_default_context(cadata=self.authority())
        key = self.key()
        return httpx.Client(
            base_url=self.url,
            verify=trust,
            headers={"Authorization": f"Bearer {key}"},
            timeout=40,
            trust_env=False,
        )


def compose_reading(_: object = None) -> None:
    """A film is read through the public door, and again after whatever is taken away."""
    docker = the_engine()
    ensure_base_images(docker)
    compose = Compose(docker)
    with compose.up(), compose.client() as client:
        made = [_reading(client)]
        _redirects(compose)
        _reaches_nobody(compose)
        for service in ("web", "identity", "inference", "worker", "chainer", "proxy", "redis"):
            compose.run(service, "sh", "-c", "kill -9 -1", check=False)
            made.append(_until(lambda: _reading(client), f"a reading after kill -9 of {service}"))
        made.append(_partition(compose, client))
        compose("up", "--wait", "--no-recreate", "--scale", "inference=2")
        made += [_reading(client) for _ in range(4)]
        kept = {one["id"] for one in client.get("/api/v1/predictions?limit=50").json()["items"]}
        assert set(made) <= kept, "a reading that was answered is gone"
        verdict = compose.run("chainer", "start", "chainer", "gateway", "audit", "verify")
        assert "are as they were written" in verdict, verdict


def monitored(_: object = None) -> None:
    """Prometheus finds each service, Redis and the machine, and somebody outside is told."""
    docker = the_engine()
    ensure_base_images(docker)
    with outside_this_machine() as outside:
        _watched(docker, outside)


def _watched(docker: Engine, outside: Outside) -> None:
    told = {"SIGHTLINE_ALERTS_WATCHDOG": outside.url, "SIGHTLINE_ALERTS_INTERNAL": "false"}
    compose = Compose(docker, ROOT, **told)
    with compose.up():
        compose("--profile", "monitoring", "up", "-d", "--wait", "prometheus")
        compose("--profile", "monitoring", "up", "-d")
        query = ("promtool", "query", "instant", "http://127.0.0.1:9090", "sum by (job, role) (up)")

        def all_are_up() -> None:
            said = compose.run("prometheus", *query)
            for one in ('role="identity"', 'role="inference"', 'role="web"', 'role="worker"'):
                assert re.search(rf"{one}.*=> 1 ", said), said
            for one in ('job="node"', 'job="redis"', 'job="nginx"', 'job="prometheus"'):
                assert re.search(rf"{one}.*=> 1 ", said), said

        _until(all_are_up, "word of every service")

        def somebody_is_told() -> None:
            assert "SightlineWatchdog" in outside.came(), compose("logs", "alertmanager")

        _until(somebody_is_told, "alert outside")
        log = compose("logs", "alertmanager")
        assert "nobody is told of what is for PAGE" in log, log
        assert outside.url not in log
        # It alone: what it looks at still reaches nobody.
        for service in ("prometheus", "redis-exporter", "node-exporter"):
            reached = compose.beside(service, *outside.tries)
            assert GREETING not in reached, f"{service} reached {outside.url}"
        assert GREETING in compose.beside("alertmanager", *outside.tries), "not even the control"


def film() -> Path:
    """A synthetic demo image of the model; it shows nobody."""
    return sorted((ROOT / "models" / DISEASE).glob("*/demo/*"))[0]


def _reading(client: httpx.Client) -> str:
    """Read the film; the id of the reading, whose page is there, too."""
    answer = client.post(ADDRESS, files={"image": ("film", film().read_bytes())})
    assert answer.status_code == 201, f"{answer.status_code}: {answer.text[:300]}"
    read = answer.json()
    assert read["outcome"] == "judged"
    return str(read["id"])


def _until(attempt: Callable[[], Any], what: str) -> Any:
    """What the attempt gives once it succeeds.

    Raises:
        AssertionError: it did not within two minutes.
    """
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            return attempt()
        except (AssertionError, httpx.HTTPError) as problem:
            if time.monotonic() > deadline:
                raise AssertionError(f"no {what}: {problem}") from problem
            time.sleep(0.5)


def _redirects(compose: Compose) -> None:
    address = f"http://localhost:{compose.redirect}/worklist"
    answer = httpx.get(address, follow_redirects=False, trust_env=False)
    assert answer.status_code == 308
    assert answer.headers["location"] == f"{compose.url}/worklist"
    private = httpx.get(f"{compose.url}/metrics", verify=False, trust_env=False)
    assert private.status_code == 404


def _reaches_nobody(compose: Compose) -> None:
    """A server outside can be reached from the proxy, and from nothing behind it."""
    with outside_this_machine() as outside:
        # The control: it can be reached from where it may be.
        reached = compose.run("proxy", *outside.tries, check=False)
        assert GREETING in reached, f"the proxy does not reach {outside.url}: {reached}"
        for service in ("web", "identity", "inference", "worker", "chainer", "redis"):
            said = compose.run(service, *outside.tries, check=False)
            assert GREETING not in said, f"{service} reached {outside.url}"
            named = compose.run(service, "getent", "hosts", "example.com", check=False)
            assert not named.strip(), f"{service} learned an address outside"
    for service in ("web", "proxy"):
        apart = compose.run(service, "getent", "hosts", "redis", check=False)
        assert not apart.strip(), f"{service} knows where Redis is"


def _partition(compose: Compose, client: httpx.Client) -> str:
    """Without Redis everybody is told so at once and nothing is lost; with it all goes on."""
    compose.partition("redis", "data")
    began = time.monotonic()
    answer = client.post(ADDRESS, files={"image": ("film", film().read_bytes())})
    assert answer.status_code == 503, answer.status_code
    assert "retry-after" in answer.headers
    assert time.monotonic() - began < 15
    compose.heal("redis", "data")
    return str(_until(lambda: _reading(client), "a reading after the partition"))


def main() -> None:
    """Both parts by hand: `python -m tests.infra.parts.images`."""
    try:
        images()
        compose_reading()
    finally:
        done()


if __name__ == "__main__":
    main()
