"""Known holes are found by a service that answers, and a service that does not is said so."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.fixtures.ports import free_port
from tests.supply_chain.audit import audit, pinned

HOLE = {
    "id": "GHSA-0000-0000-0000",
    "summary": "A hole.",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "leaky"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]}],
            "versions": ["1.0"],
        }
    ],
}


@contextmanager
def osv() -> Iterator[tuple[str, ...]]:
    """A service that knows a hole of one package, as OSV answers; yields pip-audit's arguments."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            leaky = asked["package"]["name"] == "leaky"
            body = json.dumps({"vulns": [HOLE]} if leaky else {}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever).start()
        yield _service(server.server_port)
        server.shutdown()


def _service(port: int) -> tuple[str, ...]:
    return ("--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{port}/v1/query")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_known_hole_fails_and_is_named() -> None:
    with osv() as service:
        status, said = audit(["sound==2.0", "leaky==1.0"], [service])
    assert status == 1
    assert said == (
        "leaky 1.0: GHSA-0000-0000-0000 (mended in 1.1)\n"
        "2 packages were looked up, 1 holes are known."
    )


def test_without_a_service_nothing_fails_and_it_is_said() -> None:
    status, said = audit(["leaky==1.0"], [_service(free_port())])
    assert status == 0
    assert "NOT ONE of 1 packages" in said


def test_every_lock_is_read() -> None:
    packages = pinned()
    assert len(packages) > 200
    assert all("==" in one for one in packages)
