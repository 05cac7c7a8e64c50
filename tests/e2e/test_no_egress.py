"""Nothing leaves the machine: the whole runs where a packet that tries to leave is seen."""

import subprocess
import sys

import pytest

from gateway.settings import PROJECT
from tests.e2e.no_egress import LEFT, NO_NAMESPACE, PLANTED, way_in
from tests.fixtures.stack import need_pages

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """A command where nothing can leave."""
    if way_in() is None:
        pytest.skip("no network namespace can be made here: it needs unshare, ip and the right")
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.no_egress", *command],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != NO_NAMESPACE
    assert f"planted and caught: TCP {PLANTED[0]} port {PLANTED[1]}" in done.stdout
    return done


def test_each_attempt_is_caught_and_counted() -> None:
    """A connection, a datagram, and a question to a name server on this machine."""
    done = run(
        *(sys.executable, "-c"),
        "import socket\n"
        "one = socket.socket(type=socket.SOCK_DGRAM)\n"
        "one.sendto(b'x', ('198.51.100.5', 123))\n"
        "one.sendto(b'x', ('127.0.0.53', 53))\n"
        "one.sendto(b'x', ('127.0.0.53', 54))\n"
        "two = socket.socket()\n"
        "two.settimeout(0.1)\n"
        "two.connect(('198.51.100.4', 80))\n",
    )
    assert done.returncode == LEFT, done.stdout
    assert "tried to leave: 3\n" in done.stdout
    for where in (
        "TCP 198.51.100.4 port 80",
        "UDP 198.51.100.5 port 123",
        "UDP 127.0.0.53 port 53",
    ):
        assert where in done.stdout


def test_what_stays_on_the_machine_is_not_counted() -> None:
    listen = "a = socket.create_server(('127.0.0.1', 0)); socket.create_connection(a.getsockname())"
    done = run(sys.executable, "-c", f"import socket; {listen}")
    assert (done.returncode, done.stdout.splitlines()[-1].split()[-1]) == (0, "0")


def test_a_start_and_a_reading_leave_nothing() -> None:
    """The whole end-to-end run, with publish and its 8-bit graph, is `make no-egress`."""
    need_pages()
    done = run(
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"),
        *("tests/e2e/test_whole.py", "-k", "one_call"),
    )
    assert done.returncode == 0, done.stdout
    assert "tried to leave: 0\n" in done.stdout
