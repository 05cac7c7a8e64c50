"""A client of HTTP/2 that says what no ordinary one would."""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

from tests.gateway.conftest import Proxy


class Http2:
    """One connection; nothing of what it is told to send is checked."""

    def __init__(self, proxy: Proxy) -> None:
        context = ssl.create_default_context(cafile=str(proxy.folder / "tls" / "ca.pem"))
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
        self.connection = context.wrap_socket(plain, server_hostname="localhost")
        self.protocol = h2.connection.H2Connection(
            h2.config.H2Configuration(
                validate_outbound_headers=False, normalize_outbound_headers=False
            )
        )
        self.protocol.initiate_connection()
        self.events: list[h2.events.Event] = []
        #: Whether the other side has closed the connection.
        self.is_over = False
        self.flush()

    def flush(self) -> None:
        self.connection.sendall(self.protocol.data_to_send())

    def ask(self, method: str, *more: tuple[str, str], end: bool = True) -> int:
        """Send the headers of a request; the number of its stream."""
        stream: int = self.protocol.get_next_available_stream_id()
        self.protocol.send_headers(
            stream,
            [
                (":method", method),
                (":scheme", "https"),
                (":authority", "localhost"),
                (":path", "/api/v1/x"),
                *more,
            ],
            end_stream=end,
        )
        return stream

    def listen(self, until: Callable[[list[h2.events.Event]], bool]) -> list[h2.events.Event]:
        """All events so far, once `until` holds or the connection has ended."""
        with contextlib.suppress(TimeoutError):
            while not until(self.events):
                data = b""
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    data = self.connection.recv(65536)
                self.is_over = not data
                if self.is_over:
                    break
                # Behind the word that the connection ends, answers may still come.
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    self.events += self.protocol.receive_data(data)
                with contextlib.suppress(ConnectionError, ssl.SSLError):
                    self.flush()
        return self.events

    def statuses(self) -> list[str]:
        return [
            dict(event.headers)[b":status"].decode()
            for event in self.events
            if isinstance(event, h2.events.ResponseReceived)
        ]

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def http2() -> Iterator[Callable[[Proxy], Http2]]:
    opened: list[Http2] = []

    def begin(proxy: Proxy) -> Http2:
        opened.append(Http2(proxy))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()
