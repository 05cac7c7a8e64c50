"""The figures of services that listen on sockets, for a Prometheus on the same machine alone."""

import socket
from collections.abc import Callable

import httpx
import pytest

from diagnosis.identity import HEADER
from tests.fixtures.ports import free_port
from tests.gateway.conftest import Proxy


@pytest.fixture
def watched(start_proxy: Callable[..., Proxy]) -> Proxy:
    """No worker runs: its socket is another service's, which says whose it is."""
    one = start_proxy(metrics_port=free_port())
    return start_proxy(metrics_port=free_port(), worker_upstream=one.variables.web_upstream)


def ask(proxy: Proxy, path: str, **headers: str) -> httpx.Response:
    """Ask as Prometheus does."""
    address = f"http://127.0.0.1:{proxy.variables.metrics_port}{path}"
    return httpx.get(address, headers=headers, trust_env=False)


@pytest.mark.parametrize("role", ["web", "inference", "identity", "worker"])
def test_each_service_is_asked_for_its_figures_and_nobody_signs_in(
    watched: Proxy, role: str
) -> None:
    lines = len(watched.logged())
    seen = ask(watched, f"/{role}/metrics", **{HEADER: "forged"}).json()
    # The worker's socket is that of the pages of another proxy.
    assert seen["service"] == {"worker": "web"}.get(role, role)
    assert seen["path"] == "/metrics"
    assert HEADER.lower() not in seen["headers"]
    assert len(watched.logged()) == lines


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics", "/web/", "/web/healthz", "/web/metrics/x", "/web/metrics/../worklist"],
)
def test_nothing_else_is_there(watched: Proxy, path: str) -> None:
    before = len(watched.reached)
    raw = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", watched.variables.metrics_port or 0)) as asked:
        asked.sendall(raw)
        assert asked.recv(100).startswith(b"HTTP/1.1 404 ")
    assert len(watched.reached) == before


def test_the_public_door_shows_no_figures(watched: Proxy) -> None:
    before = len(watched.reached)
    assert watched.client.get("/metrics").status_code == 404
    assert watched.client.get("/web/metrics").json()["path"] == "/web/metrics"
    assert [path for _, _, path in watched.reached[before:]] == ["/web/metrics"]


def test_who_is_not_asked_for_has_no_address(start_proxy: Callable[..., Proxy]) -> None:
    one = start_proxy(metrics_port=free_port())
    assert ask(one, "/web/metrics").status_code == 200
    assert ask(one, "/worker/metrics").status_code == 404
    listens = f"listen 127.0.0.1:{one.variables.metrics_port};"
    assert listens in (one.folder / "nginx.conf").read_text()
