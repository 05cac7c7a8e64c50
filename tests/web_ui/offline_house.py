"""The pages under a real server whose network a test can cut, and whose answers it can lose."""

import threading
import time
from pathlib import Path

import httpx
import uvicorn

from diagnosis.identity import Identity, Role
from diagnosis.telemetry import Message, Receive, Scope, Send
from tests.fixtures.identity import PUBLIC_KEY_FILE, Door, somebody
from tests.fixtures.ports import free_port
from tests.web_ui.offline_peer import Peer
from tests.web_ui.stand_in_gateway import StandInGateway
from web_ui.app import create_app
from web_ui.settings import Settings


class House:
    """The pages in front of a peer of the API. `stop` is a network that is gone."""

    def __init__(self, peer: Peer, static_dir: Path) -> None:
        self.peer = peer
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.lose_answers = 0
        """Of so many deliveries the answer is cut off after the reading was made."""
        self.identity: Identity | None = somebody(Role.CLINICIAN)
        """Who has the browser; None: nobody has signed in."""
        self._settings = Settings(
            api_url="http://inference_service",
            identity_key_file=PUBLIC_KEY_FILE,
            identity_socket=Path("/nonexistent/identity.sock"),
            static_dir=static_dir,
            max_upload_bytes=3_000_000,
        )
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """The network is there."""
        # The pages end with their server, so that each has its own.
        self._pages = create_app(
            self._settings,
            transport=httpx.ASGITransport(self.peer.app),
            gateway=httpx.ASGITransport(StandInGateway().app),
        )
        config = uvicorn.Config(
            self, "127.0.0.1", self.port, log_config=None, timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            assert self._thread.is_alive(), "the server stopped while it started"
            assert time.monotonic() < deadline, "the server did not start in 10 s"
            time.sleep(0.01)

    def stop(self) -> None:
        """The network is gone: nobody answers under the address."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(10)
        self._server = self._thread = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        door = Door(self._pages, self.identity)
        delivery = scope["type"] == "http" and scope["path"].startswith("/offline/readings/")
        if not delivery or not self.lose_answers:
            await door(scope, receive, send)
            return
        self.lose_answers -= 1
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        await door(scope, receive, hold)
        # The reading is made; of its answer only the head and a few bytes get through.
        await send(held[0])
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
