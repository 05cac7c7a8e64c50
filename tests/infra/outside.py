"""A server beyond this machine, for tests of who reaches the outside."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.infra.parts import NotPossible

GREETING = "you-are-outside"


@dataclass(frozen=True)
class Outside:
    """A server on a network beyond this machine.

    Args:
        address: of it, and its port.
        log: what was sent to it lies here.
    """

    address: str
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address}:{self.port}/hook"

    @property
    def tries(self) -> tuple[str, ...]:
        """A command that prints its greeting, where it can be reached."""
        line = f"exec 3<>/dev/tcp/{self.address}/{self.port} && cat <&3"
        return ("timeout", "5", "bash", "-c", line)

    def came(self) -> str:
        """Everything that was sent to it."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


_SERVER = """\
import socket, sys
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    met, _ = listener.accept()
    met.settimeout(1)
    came = b""
    try:
        while piece := met.recv(65536):
            came += piece
    except TimeoutError:
        pass
    with open(sys.argv[3], "ab") as log:
        log.write(came)
    try:
        met.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + sys.argv[4].encode())
    except OSError:
        pass
    met.close()
"""


@contextlib.contextmanager
def outside_this_machine() -> Iterator[Outside]:
    """Such a server, which answers whoever asks and whoever waits a second.

    Raises:
        NotPossible: only root may make such a network.
    """
    if os.getuid() != 0 or shutil.which("ip") is None:
        raise NotPossible("a network outside needs root and iproute2")
    name, port = f"sl{os.getpid()}", 8000
    here, there = "198.51.100.1", "198.51.100.2"
    made = (
        f"netns add {name}",
        f"link add {name} type veth peer name eth0 netns {name}",
        f"addr add {here}/30 dev {name}",
        f"link set {name} up",
        f"-n {name} addr add {there}/30 dev eth0",
        f"-n {name} link set eth0 up",
        f"-n {name} route add default via {here}",
    )
    server = None
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "came"
        try:
            for words in made:
                subprocess.run(["ip", *words.split()], check=True)
            command = [sys.executable, "-c", _SERVER, there, str(port), str(log), GREETING]
            server = subprocess.Popen(
                ["ip", "netns", "exec", name, *command], stdout=subprocess.PIPE
            )
            assert server.stdout is not None
            server.stdout.readline()
            yield Outside(there, port, log)
        finally:
            if server is not None:
                server.kill()
                server.wait(10)
            subprocess.run(["ip", "netns", "delete", name], check=False)
