"""How much one address, one identity and one connection may ask, and how slowly."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import h2.errors
import h2.events
import h2.settings
import httpx
import pytest
from fastapi import Request

from gateway.identity.callers import cookie_of, key_of
from tests.gateway.conftest import Proxy
from tests.gateway.http2_client import Http2, http2
from tests.gateway.test_proxy import assert_problem

__all__ = ["http2"]

#: Linux answers on all of 127.0.0.0/8, so this is another client of the same machine.
ELSEWHERE = "127.0.0.2"


def client_at(proxy: Proxy, address: str) -> httpx.Client:
    return httpx.Client(
        base_url=proxy.url,
        timeout=20,
        trust_env=False,
        transport=httpx.HTTPTransport(local_address=address),
    )


# ---- by identity and by address ------------------------------------------------------------------


def shown(kind: str, who: str) -> dict[str, str]:
    """How an identity shows itself: by a key, or by the cookie of a session."""
    return {
        "key": {"Authorization": f"Bearer slk_{who}"},
        "session": {"Cookie": f"theme=dark; sightline_session={who}; x=y"},
        "session-under-tls": {"Cookie": f"__Host-sightline_session={who}"},
    }[kind]


@pytest.mark.parametrize("kind", ["key", "session", "session-under-tls"])
def test_one_identity_does_not_use_up_what_others_may_ask(
    start_proxy: Callable[..., Proxy], kind: str
) -> None:
    strict = start_proxy(
        tls="under-tls" in kind, caller_requests_per_second=1, caller_requests_burst=1
    )
    answers = [strict.client.get("/api/v1/x", headers=shown(kind, "anna")) for _ in range(4)]
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    assert_problem(answers[-1], 429)
    assert strict.client.get("/api/v1/x", headers=shown(kind, "ben")).status_code == 200
    assert strict.client.get("/api/v1/x").status_code == 200


@pytest.mark.parametrize("kind", ["key", "session"])
def test_uploads_of_one_identity_have_a_limit_of_their_own(
    start_proxy: Callable[..., Proxy], kind: str
) -> None:
    strict = start_proxy(caller_uploads_per_second=1, caller_uploads_burst=1)
    answers = [strict.client.post("/api/v1/x", headers=shown(kind, "anna")) for _ in range(4)]
    assert_problem(answers[-1], 429)
    assert strict.client.get("/api/v1/x", headers=shown(kind, "anna")).status_code == 200
    assert strict.client.post("/api/v1/x", headers=shown(kind, "ben")).status_code == 200


def test_an_identity_is_limited_wherever_it_asks_from(start_proxy: Callable[..., Proxy]) -> None:
    strict = start_proxy(caller_requests_per_second=1, caller_requests_burst=1)
    anna = shown("key", "anna")
    while strict.client.get("/api/v1/x", headers=anna).status_code == 200:
        pass
    with client_at(strict, ELSEWHERE) as elsewhere:
        assert_problem(elsewhere.get("/api/v1/x", headers=anna), 429)
        assert elsewhere.get("/api/v1/x").status_code == 200


def test_invented_identities_do_not_lift_the_limit_of_an_address(
    start_proxy: Callable[..., Proxy],
) -> None:
    strict = start_proxy(requests_per_second=1, requests_burst=3)
    answers = [
        strict.client.get("/api/v1/x", headers=shown("key", f"invented-{number}"))
        for number in range(8)
    ]
    assert_problem(answers[-1], 429)
    assert len(strict.reached) <= 5
    with client_at(strict, ELSEWHERE) as elsewhere:
        assert elsewhere.get("/api/v1/x").status_code == 200


#: How somebody could show one identity and be counted as others; `%d` is another each time.
SPELLINGS = (
    b"Cookie: sightline_session=real",
    b"Cookie: x=%d;sightline_session=real",
    b"Cookie: sightline_session=real; x=%d",
    b"Cookie: sightline_session=real; __Host-sightline_session=made-up-%d",
    b"Cookie: __Host-sightline_session=made-up-%d; sightline_session=real",
    b"Cookie: sightline_session=made-up-%d; sightline_session=real",
    b"Cookie: sightline_session=made-up-%d\r\nCookie: sightline_session=real",
    b"Cookie: sightline_session=real; sightline_session=made-up-%d",
    b"Cookie: sightline_session=real\r\nCookie: sightline_session=made-up-%d",
    b'Cookie: sightline_session="real"; x=%d',
    b'Cookie: sightline_session="\\162eal"; x=%d',
    b"Cookie: sightline_session =real; x=%d",
    b"Cookie: sightline_session= real; x=%d",
    b"Cookie: x=%d;\tsightline_session=real",
    b"Cookie: SIGHTLINE_SESSION=real; x=%d",
    b"Authorization: Bearer real",
    b"Authorization: bearer   real",
    b"Authorization: Bearer \treal",
    b"Authorization: Bearer \xa0real",
    b"Authorization: Bearer real %d",
    b"Authorization: Bearer real\r\nAuthorization: Bearer made-up-%d",
    b"Authorization: Bearer made-up-%d\r\nAuthorization: Bearer real",
    b"Authorization: Basic %d\r\nCookie: sightline_session=real",
    b"Authorization: \r\nCookie: sightline_session=real; x=%d",
)


def understood(headers: bytes) -> str | None:
    """What the identity service takes for the identity in these lines."""
    lines = [line.split(b":", 1) for line in headers.split(b"\r\n")]
    scope = {"type": "http", "headers": [(name.lower(), value.strip()) for name, value in lines]}
    request = Request(scope)
    if "authorization" in request.headers:
        return key_of(request)
    settings = SimpleNamespace(cookie_name="sightline_session")
    return cookie_of(request, SimpleNamespace(settings=settings))  # type: ignore[arg-type]


def test_whatever_is_understood_as_an_identity_is_counted_as_it(
    start_proxy: Callable[..., Proxy],
) -> None:
    """Else one session has as many limits as there are ways to write it."""
    escaped, known = [], 0
    strict = start_proxy(caller_requests_per_second=1, caller_requests_burst=1)
    for spelling in SPELLINGS:
        statuses = []
        name = f"real{SPELLINGS.index(spelling)}".encode()
        for number in range(4):
            headers = (spelling % number if b"%d" in spelling else spelling).replace(b"real", name)
            text = b"GET /api/v1/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            statuses.append(strict.raw(text + headers + b"\r\n\r\n")[9:12])
        if understood(headers) == name.decode():
            known += 1
            if statuses[-1] != b"429":
                escaped.append((spelling, statuses))
    assert escaped == []
    assert known >= 8, "of these it does understand some"


def test_under_tls_another_name_is_counted(start_proxy: Callable[..., Proxy]) -> None:
    """The cookie of the other name is nobody's there, and would only be a way to be others."""
    strict = start_proxy(tls=True, caller_requests_per_second=1, caller_requests_burst=1)
    answers = []
    for number in range(4):
        cookie = f"__Host-sightline_session=real; sightline_session=made-up-{number}"
        answers.append(strict.client.get("/api/v1/x", headers={"Cookie": cookie}))
    assert_problem(answers[-1], 429)


def test_one_identity_has_so_many_requests_under_way(
    start_proxy: Callable[..., Proxy], dribble: Callable[..., "Dribble"]
) -> None:
    proxy = start_proxy(caller_connections=2, body_seconds=2)
    anna = UPLOAD.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer slk_anna\r\n\r\n")
    slow = [dribble(proxy, anna, pause=0.3) for _ in range(2)]
    time.sleep(0.5)
    assert_problem(proxy.client.get("/api/v1/x", headers=shown("key", "anna")), 429)
    assert proxy.client.get("/api/v1/x", headers=shown("key", "ben")).status_code == 200
    assert proxy.client.get("/api/v1/x").status_code == 200
    slow[0].stop()
    time.sleep(0.2)
    assert proxy.client.get("/api/v1/x", headers=shown("key", "anna")).status_code == 200


# ---- slow clients --------------------------------------------------------------------------------


class Dribble:
    """A client that sends `text` and then a byte at a time, for as long as it is let."""

    def __init__(self, proxy: Proxy, text: bytes, pause: float, byte: bytes = b"x") -> None:
        self.connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
        self.began = time.monotonic()
        self.connection.sendall(text)
        self._pause, self._byte, self._stop = pause, byte, threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stop.wait(self._pause):
                self.connection.sendall(self._byte)

    def seconds_until_let_go(self) -> float:
        with contextlib.suppress(ConnectionError):
            while self.connection.recv(65536):
                pass
        return time.monotonic() - self.began

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.connection.close()


@pytest.fixture
def dribble() -> Iterator[Callable[..., Dribble]]:
    dribbles: list[Dribble] = []

    def begin(*given: object, **options: object) -> Dribble:
        dribbles.append(Dribble(*given, **options))  # type: ignore[arg-type]
        return dribbles[-1]

    yield begin
    for one in dribbles:
        one.stop()


HEAD = b"GET /api/v1/x HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
UPLOAD = b"POST /api/v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n"


def test_headers_that_dribble_have_a_deadline_all_in_all(
    start_proxy: Callable[..., Proxy], dribble: Callable[..., Dribble]
) -> None:
    """A byte now and then does not win more time."""
    hasty = start_proxy(header_seconds=1)
    assert 0.7 < dribble(hasty, HEAD, pause=0.2).seconds_until_let_go() < 3
    assert hasty.reached == []


def test_an_upload_that_pauses_too_long_is_let_go(
    start_proxy: Callable[..., Proxy], dribble: Callable[..., Dribble]
) -> None:
    hasty = start_proxy(body_seconds=1)
    assert 0.7 < dribble(hasty, UPLOAD, pause=2.5).seconds_until_let_go() < 3
    assert hasty.reached == []


def test_uploads_that_dribble_hold_their_own_place_and_nobody_elses(
    start_proxy: Callable[..., Proxy], dribble: Callable[..., Dribble]
) -> None:
    """One that keeps sending may go on; an address has so many of those, and no service waits."""
    proxy = start_proxy(connections=4, body_seconds=2)
    slow = [dribble(proxy, UPLOAD, pause=0.3) for _ in range(4)]
    time.sleep(0.5)
    assert_problem(proxy.client.get("/api/v1/x"), 429)
    assert proxy.reached == []
    with client_at(proxy, ELSEWHERE) as elsewhere:
        assert elsewhere.get("/api/v1/x").status_code == 200
    slow[0].stop()
    time.sleep(0.2)
    assert proxy.client.get("/api/v1/x").status_code == 200


def test_who_does_not_take_an_answer_is_let_go(start_proxy: Callable[..., Proxy]) -> None:
    hasty = start_proxy(send_timeout=1)
    (hasty.static / "large.bin").write_bytes(bytes(16 * 1024 * 1024))
    with socket.socket() as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.settimeout(20)
        lazy.connect(("127.0.0.1", hasty.port))
        lazy.sendall(b"GET /static/large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(2.5)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while part := lazy.recv(1024 * 1024):
                taken += len(part)
    assert taken < 15 * 1024 * 1024


# ---- one connection ------------------------------------------------------------------------------


def test_pipelined_requests_end_with_the_connection(start_proxy: Callable[..., Proxy]) -> None:
    proxy = start_proxy(keepalive_requests=50)
    one = b"GET /api/v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answers = proxy.raw(one * 400)
    assert answers.count(b"HTTP/1.1 200 OK") == 50
    assert len(proxy.reached) == 50
    assert proxy.client.get("/api/v1/x").status_code == 200


def test_pipelined_requests_meet_the_limits_like_others(start_proxy: Callable[..., Proxy]) -> None:
    proxy = start_proxy(requests_per_second=1, requests_burst=10, keepalive_requests=100)
    answers = proxy.raw(b"GET /api/v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400)
    assert answers.count(b"HTTP/1.1 ") == 100
    assert answers.count(b"HTTP/1.1 429 ") >= 88
    assert len(proxy.reached) <= 12


def test_a_connection_of_http_2_has_few_streams_at_once(
    start_proxy: Callable[..., Proxy], http2: Callable[[Proxy], Http2]
) -> None:
    proxy = start_proxy(tls=True, concurrent_streams=8)
    one = http2(proxy)
    one.listen(lambda events: any(isinstance(e, h2.events.SettingsAcknowledged) for e in events))
    assert one.protocol.remote_settings.max_concurrent_streams == 8
    # An ordinary client keeps to that; this one does not, and is told so.
    one.protocol.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
    one.protocol.remote_settings.acknowledge()
    for _ in range(12):
        one.ask("POST", end=False)
    one.flush()

    def refused(events: list[h2.events.Event]) -> list[h2.events.StreamReset]:
        return [
            event
            for event in events
            if isinstance(event, h2.events.StreamReset)
            and event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
        ]

    one.listen(lambda events: len(refused(events)) >= 4)
    assert len(refused(one.events)) == 4


def test_streams_that_are_opened_and_reset_end_with_the_connection(
    start_proxy: Callable[..., Proxy], http2: Callable[[Proxy], Http2]
) -> None:
    """Rapid reset (CVE-2023-44487): resets cost what requests cost, and others are served."""
    proxy = start_proxy(tls=True, keepalive_requests=100, requests_per_second=1, requests_burst=20)
    one = http2(proxy)
    with contextlib.suppress(OSError):
        for _ in range(1000):
            one.protocol.reset_stream(one.ask("GET"), h2.errors.ErrorCodes.CANCEL)
            one.flush()
    one.listen(lambda _: False)
    assert one.is_over
    assert len(proxy.reached) <= 22
    assert len(proxy.logged()) <= 101
    assert proxy.client.get("/static/dist/favicon.svg").status_code == 200


def test_huge_headers_are_refused_over_http_2_too(
    secure: Proxy, http2: Callable[[Proxy], Http2]
) -> None:
    before = len(secure.reached)
    one = http2(secure)
    # Beyond a frame's size, so in frames that continue one another.
    for number in range(4):
        one.ask("GET", *((f"x-filler-{number}-{line}", "x" * 4000) for line in range(12)))
    one.flush()
    one.listen(lambda _: len(one.statuses()) == 4)
    assert one.is_over or set(one.statuses()) <= {"400", "431"}
    assert secure.reached[before:] == []
    assert secure.client.get("/api/v1/x").status_code == 200


def test_many_headers_are_as_large_as_one_large_one(proxy: Proxy) -> None:
    filler = {f"X-Filler-{number}": "x" * 400 for number in range(100)}
    assert_problem(proxy.client.get("/api/v1/x", headers=filler), 431)
