"""The real Nginx with the real template, in front of two small servers on unix sockets."""

import json
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import httpx
import pytest

from gateway.certificates import TlsFiles, ensure_certificates
from gateway.proxy_problems import PROXY_PROBLEMS
from gateway.rendering import NginxVariables, render
from gateway.servers import Server, ServerNotFound, find_nginx
from tests.fixtures.ports import free_port
from web_ui.security import HEADERS as WEB_UI_HEADERS

SLOW_SECONDS = 3.0
NAMES = ("127.0.0.1", "localhost")


class Echo(BaseHTTPRequestHandler):
    """Answers with what arrived; some paths misbehave, as services sometimes do."""

    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.server.name == "identity" and self.path.startswith("/internal/check"):  # type: ignore[attr-defined]
            self.check()
            return
        self.server.reached.append((self.server.name, self.command, self.path))  # type: ignore[attr-defined]
        if self.path.endswith("/hangs-up"):
            self.close_connection = True
            return
        if self.path.endswith("/slow"):
            time.sleep(SLOW_SECONDS)
        status = 503 if self.path.endswith("/busy") else 200
        seen = {
            "service": self.server.name,  # type: ignore[attr-defined]
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": len(body),
            "filler": "x" * 2000,
        }
        answer = json.dumps(seen).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.send_header("x-request-id", "the-service's-own")
        self.send_header("referrer-policy", "unsafe-url")
        if status == 503:
            self.send_header("retry-after", "77")
        if self.path.endswith("/page"):
            self.send_header("content-security-policy", "default-src 'self'")
            self.send_header("cache-control", "private")
        if self.path.endswith("/sets-a-cookie"):
            self.send_header("set-cookie", "grafana_session=x")
        if self.path.endswith("/of-web-ui"):
            for name, value in WEB_UI_HEADERS.items():
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def check(self) -> None:
        """As the identity service answers Nginx: everybody is somebody, but who says otherwise."""
        said = self.headers.get("authorization")
        answers = {"Bearer nobody": 401, "Bearer broken": 500}
        if self.path == "/internal/check/ops":
            answers["Bearer reader"] = 403
            self.send_response(answers.get(said or "", 200))
            self.send_header("X-Sightline-Account", "u_ops")
        else:
            self.send_response(answers.get(said or "", 200))
            self.send_header("X-Sightline-Identity", "signed:" + json.dumps(dict(self.headers)))
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def log_message(self, *_: object) -> None:
        """Nothing: the tests look at the answers."""

    def address_string(self) -> str:
        return "unix"


class EchoServer(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    # A unix socket refuses at once whoever does not fit into the queue.
    request_queue_size = 128

    def __init__(self, path: Path, name: str, reached: list[tuple[str, str, str]]) -> None:
        self.name = name
        self.reached = reached
        super().__init__(str(path), Echo)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nginx hangs up on the slow answer; that is the test."""


class Proxy:
    """One running Nginx; `variables` changes what the template gets."""

    #: What reached the services behind it: service, method and path.
    reached: list[tuple[str, str, str]]

    def __init__(
        self, nginx: Server, folder: Path, authority: Path | None = None, **variables: Any
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.static = folder / "static"
        self.errors = folder / "errors"
        (self.static / "dist" / "assets").mkdir(parents=True)
        self.errors.mkdir()
        (folder / "temp").mkdir()
        (self.static / "dist" / "assets" / "app-1a2b3c.js").write_text("// " + "x" * 3000)
        (self.static / "dist" / "favicon.svg").write_text("<svg/>")
        (self.errors / "403.html").write_text("<h1>page of 403</h1>")
        for problem in PROXY_PROBLEMS:
            (self.errors / f"{problem.page}.html").write_text(f"<h1>page of {problem.page}</h1>")
        self.variables = NginxVariables.model_validate(
            {
                "listen_port": self.port,
                "web_upstream": f"unix:{folder}/web.sock",
                "inference_upstream": f"unix:{folder}/inference.sock",
                "identity_upstream": f"unix:{folder}/identity.sock",
                "grafana_upstream": f"unix:{folder}/grafana.sock",
                "status_listen": f"unix:{folder}/status.sock",
                "static_dir": self.static,
                "error_pages_dir": self.errors,
                "run_dir": folder,
                "log_dir": folder,
                "temp_dir": folder / "temp",
                "worker_user": "root" if folder.owner() == "root" else None,
            }
            | variables
        )
        configuration = folder / "nginx.conf"
        configuration.write_text(render(self.variables))
        self.command = [
            str(nginx.binary),
            *("-p", str(folder), "-e", "stderr", "-c", str(configuration)),
        ]
        self.environment = nginx.environment
        self.log = (folder / "stderr").open("wb")
        self.process = subprocess.Popen(self.command, stderr=self.log, env=self.environment)
        self._await_port()
        secure = self.variables.tls_certificate is not None
        self.url = f"{'https' if secure else 'http'}://127.0.0.1:{self.port}"
        #: What a client has to trust; plain HTTP without.
        self.trust = ssl.create_default_context(cafile=authority) if secure else None
        self.client = httpx.Client(
            base_url=self.url, timeout=20, trust_env=False, verify=self.trust or False
        )

    def _await_port(self) -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        self.log.close()
        pytest.fail("Nginx did not start: " + (self.folder / "stderr").read_text())

    def raw(self, request: bytes, address: str = "127.0.0.1", port: int | None = None) -> bytes:
        """The whole answer to these bytes, which need not be HTTP, in the clear."""
        with socket.create_connection((address, port or self.port), timeout=20) as connection:
            connection.sendall(request)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def logged(self) -> list[dict[str, Any]]:
        """The lines of the access log."""
        lines = (self.folder / "access.log").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


@pytest.fixture(scope="session")
def nginx() -> Server:
    """The installed Nginx."""
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        pytest.skip("no Nginx: `apt-get install nginx-light`")
    try:
        return find_nginx(Path("/nonexistent"))
    except ServerNotFound as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def start_proxy(nginx: Server) -> Iterator[Callable[..., Proxy]]:
    """Start a proxy with other variables; `tls` gives it a certificate of an authority of its own.

    `services=False` leaves nothing behind it but the identity service, `identity=False` not that.
    """
    with ExitStack() as stack:

        def start(
            *, services: bool = True, identity: bool = True, tls: bool = False, **variables: Any
        ) -> Proxy:
            # Not pytest's own folder: its path can be longer than a socket's may be.
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="proxy-"))
            folder = Path(root)
            reached: list[tuple[str, str, str]] = []
            kinds = ("web", "inference", "grafana") * services + ("identity",) * identity
            for name in kinds:
                server = stack.enter_context(EchoServer(folder / f"{name}.sock", name, reached))
                threading.Thread(
                    target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
                ).start()
                stack.callback(server.shutdown)
            authority = None
            if tls:
                ensure_certificates(folder / "tls", NAMES)
                files = TlsFiles.under(folder / "tls")
                authority = files.authority
                shown = {"tls_certificate": files.certificate, "tls_certificate_key": files.key}
                variables = shown | variables
            proxy = Proxy(nginx, folder, authority, **variables)
            proxy.reached = reached
            stack.callback(proxy.stop)
            return proxy

        yield start


@pytest.fixture(scope="module")
def secure(start_proxy: Callable[..., Proxy]) -> Proxy:
    """The same under TLS."""
    return start_proxy(
        tls=True,
        requests_burst=10_000,
        uploads_burst=10_000,
        caller_requests_burst=10_000,
        caller_uploads_burst=10_000,
    )


@pytest.fixture(scope="module")
def proxy(start_proxy: Callable[..., Proxy]) -> Proxy:
    """A proxy as the template makes it by default, but for limits no test should meet."""
    return start_proxy(
        requests_burst=10_000,
        uploads_burst=10_000,
        caller_requests_burst=10_000,
        caller_uploads_burst=10_000,
    )
