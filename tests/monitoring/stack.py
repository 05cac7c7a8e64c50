"""The whole of Sightline, watched: the tests' stack with a real Prometheus, node exporter, Redis
exporter, Nginx exporter and Alertmanager, which tells a webhook of the test.

What is deployed is what runs: the scrape jobs of `monitoring/prometheus/prometheus.yml`, its rules,
and the routes of `monitoring/alertmanager/alertmanager.yml`. Changed is only what a test cannot
have: targets are found here, it is looked every five seconds, the objectives are judged over the
windows of `short_windows.toml`, an alert must hold for a third of the time before it fires
(`SOONER`), and Alertmanager tells of changes at once.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import pytest
import yaml

from gateway.redis_users import passwords_in
from monitoring.objectives import HERE, RULES, seconds
from monitoring.objectives import main as write_objectives
from tests.fixtures.ports import free_port
from tests.fixtures.stack import Stack
from tests.monitoring.receiver import Receiver, Told, receiving
from tests.monitoring.relay import relayed

#: How much shorter an alert has to hold here than where it is deployed.
SOONER = 3
LOOKED_EVERY = "5s"
SHORT_WINDOWS = Path(__file__).with_name("short_windows.toml")
#: Debian's names: of its packages prometheus, prometheus-alertmanager, and so on.
PROGRAMS = (
    "prometheus", "prometheus-alertmanager", "prometheus-node-exporter",
    "prometheus-redis-exporter", "prometheus-nginx-exporter",
)  # fmt: skip


@dataclass(frozen=True)
class Ports:
    """Where everything listens, on 127.0.0.1."""

    prometheus: int
    alertmanager: int
    node: int
    redis: int
    nginx: int
    webhook: int
    services: dict[str, int]
    """By the role that Prometheus knows a service by."""


class Watched:
    """A stack, who watches it, and who is told."""

    def __init__(self, stack: Stack, folder: Path, ports: Ports, receiver: Receiver) -> None:
        self.stack = stack
        self.folder = folder
        self.ports = ports
        self.receiver = receiver
        self.url = f"http://127.0.0.1:{ports.prometheus}"
        self._client = httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def query(self, expr: str, at: float | None = None) -> list[dict[str, Any]]:
        """What Prometheus answers to an instant query: each with `metric` and `value`.

        Args:
            at: seconds since 1970; by default now.
        """
        when = {} if at is None else {"time": str(at)}
        answer = self._client.get("/api/v1/query", params={"query": expr, **when}).json()
        assert answer["status"] == "success", (expr, answer)
        found = answer["data"]["result"]
        return list(found)

    def value(self, expr: str) -> float | None:
        """The one value of a query; None where it has none."""
        found = self.query(expr)
        assert len(found) <= 1, (expr, found)
        return float(found[0]["value"][1]) if found else None

    def up(self) -> dict[str, bool]:
        """Every target, by its role or its job: whether Prometheus can read it."""
        return {
            one["metric"].get("role") or one["metric"]["job"]: one["value"][1] == "1"
            for one in self.query("up")
        }

    def alerts(self) -> set[str]:
        """The names of the alerts that fire, by Prometheus."""
        return {one["metric"]["alertname"] for one in self.query('ALERTS{alertstate="firing"}')}

    def until(
        self,
        condition: Callable[[], object],
        what: str,
        *,
        most: float = 60.0,
        doing: Callable[[], object] = lambda: None,
    ) -> float:
        """Wait until a condition holds, doing something meanwhile; the seconds that it took."""
        began = time.monotonic()
        while not condition():
            waited = time.monotonic() - began
            if waited > most:
                pytest.fail(f"{what}: not after {most:.0f} s; {self.up()}, firing {self.alerts()}")
            doing()
            time.sleep(0.2)
        return time.monotonic() - began

    def told(self, name: str, status: str, since: float) -> list[Told]:
        """What the webhook was told of an alert: that it is `firing` or `resolved`."""
        return [one for one in self.receiver.of(name, since) if one.status == status]


def _rules(folder: Path, *, short: bool) -> list[str]:
    """The rules that are deployed; `short`, with short windows and each firing sooner."""
    if not short:
        return [str(path) for path in sorted(RULES.glob("*.yml"))]
    objectives = folder / "objectives.yml"
    write_objectives(["--windows", str(SHORT_WINDOWS), "--to", str(objectives)])
    written = [objectives]
    for path in sorted(RULES.glob("*.yml")):
        if path.name == objectives.name:
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for rule in (rule for group in content["groups"] for rule in group["rules"]):
            if "for" in rule:
                rule["for"] = f"{max(seconds(rule['for']) // SOONER, 1)}s"
        written.append(folder / path.name)
        written[-1].write_text(yaml.safe_dump(content), encoding="utf-8")
    return [str(path) for path in written]


def _prometheus(
    folder: Path, ports: Ports, *, short: bool, more: Mapping[str, int]
) -> dict[str, Any]:
    """The deployed configuration with the targets that are here, and more jobs by their ports."""
    content = yaml.safe_load((HERE / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    content["global"] |= {
        "scrape_interval": LOOKED_EVERY,
        "scrape_timeout": LOOKED_EVERY,
        "evaluation_interval": LOOKED_EVERY,
    }
    content["rule_files"] = _rules(folder, short=short)
    content["alerting"] = {
        "alertmanagers": [{"static_configs": [_at(ports.alertmanager)]}],
    }
    # What discovery by name would say of a service, from which its job makes its labels.
    targets = {
        "sightline": [
            _at(port) | {"labels": {"__meta_dns_name": role}}
            for role, port in ports.services.items()
        ],
        "redis": [_at(ports.redis)],
        "node": [_at(ports.node)],
        "nginx": [_at(ports.nginx)],
        "prometheus": [_at(ports.prometheus)],
        # There is one while somebody trains.
        "trainer": [],
        **{name: [_at(port)] for name, port in more.items()},
    }
    for job in content["scrape_configs"]:
        for found_by in [key for key in job if key.endswith("_sd_configs")]:
            del job[found_by]
        job["static_configs"] = targets.pop(job["job_name"])
    content["scrape_configs"] += [
        {"job_name": name, "static_configs": targets[name]} for name in more if name in targets
    ]
    return dict(content)


def _at(port: int) -> dict[str, Any]:
    return {"targets": [f"127.0.0.1:{port}"]}


def _alertmanager(ports: Ports) -> dict[str, Any]:
    """The deployed routes, told to the test's webhook, without long collecting."""
    path = HERE / "alertmanager" / "alertmanager.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for route in (content["route"], *content["route"]["routes"]):
        # What is told first stays: an alert that another explains is held back by that wait.
        route["group_interval"] = "2s"
        if route["receiver"] == "watchdog":
            route["repeat_interval"] = "5s"
    for one in content["receivers"]:
        for hook in one["webhook_configs"]:
            hook["url"] = f"http://127.0.0.1:{ports.webhook}/{one['name']}"
    return dict(content)


@contextmanager
def watched(
    stack: Stack,
    folder: Path,
    *,
    short: bool = True,
    more: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[Watched]:
    """A running stack, watched while the block runs; skips where a program is missing.

    Args:
        stack: that has started.
        folder: for what those who watch write.
        short: whether windows are short and alerts fire sooner; else the rules are those deployed.
        more: ports of other programs that Prometheus looks at, by the job; they may come and go.
    """
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not on this machine: {', '.join(missing)} (Debian's packages)")
    places = stack.places
    sockets = {
        "identity": places.identity_socket,
        "inference": places.inference_socket,
        "web": places.web_socket,
        "worker": places.worker_socket(1),
    }
    services = {role: free_port() for role in sockets}
    ports = Ports(*(free_port() for _ in range(6)), services=services)
    (folder / "prometheus.yml").write_text(
        yaml.safe_dump(_prometheus(folder, ports, short=short, more=more))
    )
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(_alertmanager(ports)))
    password = passwords_in(places.redis_users)["exporter"]
    commands = {
        "prometheus": (
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address=127.0.0.1:{ports.prometheus}",
            # What it tells before it has found Alertmanager is told again no sooner.
            "--rules.alert.resend-delay=5s",
        ),
        "prometheus-alertmanager": (
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address=127.0.0.1:{ports.alertmanager}",
            "--cluster.listen-address=",
        ),
        "prometheus-node-exporter": (f"--web.listen-address=127.0.0.1:{ports.node}",),
        "prometheus-redis-exporter": (
            f"-web.listen-address=127.0.0.1:{ports.redis}",
            f"-redis.addr=unix://{places.redis_socket}",
            "-redis.user=exporter",
            "-set-client-name=false",
        ),
        "prometheus-nginx-exporter": (
            f"-web.listen-address=127.0.0.1:{ports.nginx}",
            f"-nginx.scrape-uri=unix:{places.sockets / 'nginx-status.sock'}:/stub_status",
        ),
    }
    with ExitStack() as ending:
        receiver = ending.enter_context(receiving(ports.webhook))
        ending.enter_context(relayed({port: sockets[role] for role, port in services.items()}))
        for name, arguments in commands.items():
            log = ending.enter_context((folder / f"{name}.log").open("ab"))
            process = subprocess.Popen(
                [name, *arguments],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "REDIS_PASSWORD": password},
            )
            ending.callback(process.wait, 30)
            ending.callback(process.terminate)
        one = Watched(stack, folder, ports, receiver)
        ending.callback(one._client.close)
        everything = {*services, "redis", "node", "nginx", "prometheus"}
        one.until(lambda: _answers(one), "Prometheus answers")
        one.until(
            lambda: {name for name, up in one.up().items() if up} - {*more} == everything,
            f"{sorted(everything)} are up",
            most=180,
        )
        yield one


def _answers(one: Watched) -> bool:
    try:
        return bool(one.query("vector(1)"))
    except (httpx.HTTPError, ValueError):
        return False
