"""Who reaches Grafana through the whole house; in Grafana's own place stands a stand-in."""

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from diagnosis.identity import Role
from tests.fixtures.stack import Stack
from tests.gateway.conftest import EchoServer


@pytest.fixture
def grafana(stack: Stack) -> Iterator[list[tuple[str, str, str]]]:
    """Something that listens where Grafana would; what reached it."""
    reached: list[tuple[str, str, str]] = []
    with EchoServer(stack.grafana_socket, "grafana", reached) as server:
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        yield reached
        server.shutdown()
    stack.grafana_socket.unlink()


def test_ops_reach_grafana_and_nobody_else_does(
    stack: Stack, grafana: list[tuple[str, str, str]]
) -> None:
    with stack.client(Role.OPS) as client:
        seen = client.get("/grafana/d/sightline-service").json()["headers"]
    assert seen["x-webauth-user"]
    assert not {"authorization", "cookie", "x-sightline-identity"} & set(seen)
    reached = len(grafana)
    for role in (Role.CLINICIAN, Role.ENGINEER, Role.AUDITOR, Role.ADMIN):
        with stack.client(role) as client:
            assert client.get("/grafana/d/sightline-service").status_code == 403
    with stack.stranger() as client:
        assert client.get("/grafana/").headers["location"] == "/sign-in?next=/grafana/"
    assert len(grafana) == reached


def test_grafana_knows_a_person_by_the_accounts_id(
    stack: Stack, grafana: list[tuple[str, str, str]]
) -> None:
    with stack.stranger() as client:
        client.cookies.set("sightline_session", stack.session(Role.OPS))
        seen = client.get("/grafana/").json()["headers"]
    assert seen["x-webauth-user"].startswith("u_")
    assert "cookie" not in seen


def test_figures_of_nginx_are_there_for_its_exporter(stack: Stack) -> None:
    assert stack.places.status_socket.is_socket()
    with stack.stranger() as client:
        assert client.get("/stub_status").status_code == 303
        assert client.get("/metrics").status_code == 404


def test_a_killed_nginx_starts_again_beside_the_socket_that_it_left(stack: Stack) -> None:
    # All of it at once, as the supervisor does: workers would hold the port.
    os.killpg(int((stack.places.nginx / "nginx.pid").read_text()), signal.SIGKILL)
    stack.kill_one("nginx")
    assert stack.places.status_socket.exists()
    stack.start_one("nginx")
    stack.await_ready()
    assert stack.places.status_socket.is_socket()
