"""Whoever is told of alerts: a webhook that keeps what Alertmanager sends it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Told:
    """One alert in one message."""

    at: float
    """Seconds, on the clock of `time.monotonic`."""
    receiver: str
    """`page`, `ticket` or `watchdog`."""
    status: str
    """`firing` or `resolved`."""
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]


class Receiver:
    """Keeps every alert that came."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.told: list[Told] = []

    def of(self, name: str, since: float = 0.0) -> list[Told]:
        """What was said of an alert after a moment, oldest first."""
        return [one for one in list(self.told) if one.name == name and one.at >= since]

    def take(self, receiver: str, message: dict[str, Any]) -> None:
        """Keep the alerts of a message."""
        at = time.monotonic()
        for one in message["alerts"]:
            labels = one["labels"]
            self.told.append(
                Told(at, receiver, one["status"], labels["alertname"], labels, one["annotations"])
            )


@contextmanager
def receiving(port: int) -> Iterator[Receiver]:
    """A receiver on a port of 127.0.0.1 while the block runs; the path is whom it stands for."""
    receiver = Receiver(port)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(self.path.strip("/"), json.loads(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
