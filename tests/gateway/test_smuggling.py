"""Requests that two readers could take for different ones: refused, or handed on as one."""

from collections.abc import Callable

import h2.events
import pytest

from tests.gateway.conftest import Proxy
from tests.gateway.http2_client import Http2, http2
from tests.gateway.test_proxy import parsed

__all__ = ["http2"]

#: What an attacker would have the service take for a request of its own.
SMUGGLED = b"GET /api/v1/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def post(*lines: bytes, body: bytes = b"0\r\n\r\n" + SMUGGLED, end: bytes = b"\r\n") -> bytes:
    head = (b"POST /api/v1/x HTTP/1.1", b"Host: localhost", *lines)
    return end.join((*head, b"", b"")) + body


REFUSED = {
    "both-lengths": post(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "both-the-other-way-round": post(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "two-lengths": post(b"Content-Length: 5", b"Content-Length: 55"),
    "two-lengths-in-one": post(b"Content-Length: 5, 55"),
    "the-same-length-twice": post(b"Content-Length: 5", b"Content-Length: 5"),
    "signed-length": post(b"Content-Length: +5"),
    "negative-length": post(b"Content-Length: -1"),
    "length-in-hex": post(b"Content-Length: 0x5"),
    "length-with-a-space-inside": post(b"Content-Length: 5 5"),
    "two-encodings": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "encoding-list": post(b"Transfer-Encoding: gzip, chunked"),
    "chunked-twice": post(b"Transfer-Encoding: chunked, chunked"),
    "disguised-encoding": post(b"Transfer-Encoding: xchunked"),
    "encoding-with-a-tab": post(b"Transfer-Encoding:\tchunked\x0b"),
    "space-before-the-colon": post(b"Transfer-Encoding : chunked"),
    "space-before-the-colon-of-a-length": post(b"Content-Length : 5"),
    "obs-fold": post(b"X-Folded: a", b" Transfer-Encoding: chunked", b"Content-Length: 5"),
    "obs-fold-of-an-encoding": post(b"Transfer-Encoding:", b" chunked"),
    "obs-fold-with-a-tab": post(b"X-Folded: a", b"\tb", b"Content-Length: 5"),
    "first-line-folded": post(b" X: y").replace(b"Host: localhost\r\n", b""),
    "null-in-a-value": post(b"X-Null: a\x00b", b"Content-Length: 5"),
    "null-in-a-name": post(b"X-Nu\x00ll: a", b"Content-Length: 5"),
    "control-character-in-a-name": post(b"X-\x0bName: a", b"Content-Length: 5"),
    "two-hosts": post(b"Host: 127.0.0.1", b"Content-Length: 5"),
    "host-with-a-path": post(b"Content-Length: 5").replace(b"localhost", b"localhost/x"),
    "chunk-size-is-no-number": post(b"Transfer-Encoding: chunked", body=b"zz\r\n\r\n" + SMUGGLED),
    "chunk-size-overflows": post(
        b"Transfer-Encoding: chunked", body=b"ffffffffffffffff1\r\n\r\n" + SMUGGLED
    ),
    "chunk-longer-than-it-says": post(
        b"Transfer-Encoding: chunked", body=b"1\r\nabc\r\n0\r\n\r\n" + SMUGGLED
    ),
    "encoding-in-http-1.0": post(b"Transfer-Encoding: chunked").replace(
        b"HTTP/1.1", b"HTTP/1.0", 1
    ),
    "version-of-the-future": post(b"Content-Length: 5").replace(b"HTTP/1.1", b"HTTP/9.9", 1),
    "space-in-the-address": b"GET /api/v1/x y HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED,
    "connect": b"CONNECT localhost:22 HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED.keys())
def test_what_can_be_read_in_two_ways_is_refused(proxy: Proxy, request_bytes: bytes) -> None:
    before = len(proxy.reached)
    raw = proxy.raw(request_bytes)
    answer = parsed(raw)
    assert answer.status_code in (400, 405, 421, 501, 505), raw
    assert raw.count(b"HTTP/1.1 ") == 1, "the connection ends there"
    assert proxy.reached[before:] == []


def test_two_requests_in_a_row_would_have_been_seen(proxy: Proxy) -> None:
    """What the tests above look at does count a request that got through."""
    before = len(proxy.reached)
    one = post(b"Content-Length: 5", body=b"hello")
    raw = proxy.raw(one + SMUGGLED.replace(b"localhost\r\n", b"localhost\r\nConnection: close\r\n"))
    assert raw.count(b"HTTP/1.1 200 ") == 2
    assert [path for *_, path in proxy.reached[before:]] == ["/api/v1/x", "/api/v1/smuggled"]


CLOSE = b"Connection: close"
HANDED_ON = {
    # RFC 9112 lets a recipient take a bare LF for a line's end. Nginx does, and writes the request
    # that a service gets anew, with whole line ends.
    "bare-lf": post(CLOSE, b"Content-Length: 5", body=b"hello", end=b"\n"),
    "bare-lf-in-chunks": post(
        CLOSE, b"Transfer-Encoding: chunked", body=b"5\nhello\n0\n\n" + SMUGGLED
    ),
    "chunk-extension": post(
        CLOSE, b"Transfer-Encoding: chunked", body=b"5;a=b\r\nhello\r\n0\r\n\r\n" + SMUGGLED
    ),
    "trailer": post(
        CLOSE,
        b"Transfer-Encoding: chunked",
        body=b"5\r\nhello\r\n0\r\nX-Sightline-Identity: forged\r\n\r\n" + SMUGGLED,
    ),
    "upper-case-encoding": post(
        CLOSE, b"TRANSFER-ENCODING: Chunked", body=b"5\r\nhello\r\n0\r\n\r\n" + SMUGGLED
    ),
    "underscores": post(
        CLOSE,
        b"Content-Length: 5",
        b"X_Sightline_Identity: forged",
        b"Content_Length: 500",
        body=b"hello" + SMUGGLED,
    ),
    "more-than-the-length": post(CLOSE, b"Content-Length: 5", body=b"hello" + SMUGGLED),
}


@pytest.mark.parametrize("request_bytes", HANDED_ON.values(), ids=HANDED_ON.keys())
def test_what_is_odd_but_clear_is_handed_on_as_one_request(
    proxy: Proxy, request_bytes: bytes
) -> None:
    before = len(proxy.reached)
    answer = parsed(proxy.raw(request_bytes))
    assert answer.status_code == 200
    assert proxy.reached[before:] == [("inference", "POST", "/api/v1/x")]
    said = answer.json()
    assert said["body"] == 5
    assert said["headers"]["content-length"] == "5"
    assert "transfer-encoding" not in said["headers"]
    assert not any("forged" in value for value in said["headers"].values())


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"X-Bare: a\rTransfer-Encoding: chunked", b"Content-Length: 5"),
        post(b"Content-Length: 5\rTransfer-Encoding: chunked"),
    ],
    ids=["in-a-value", "after-a-length"],
)
def test_a_bare_cr_ends_no_line(proxy: Proxy, request_bytes: bytes) -> None:
    before = len(proxy.reached)
    assert parsed(proxy.raw(request_bytes)).status_code == 400
    assert proxy.reached[before:] == []


# ---- HTTP/2 --------------------------------------------------------------------------------------

HTTP_2_REFUSED = {
    "length-too-short": (("content-length", "3"),),
    "length-too-long": (("content-length", "50"),),
    "two-lengths": (("content-length", "5"), ("content-length", "50")),
    "both-lengths": (("content-length", "5"), ("transfer-encoding", "chunked")),
    "line-end-in-a-value": (("x-a", "b\r\nTransfer-Encoding: chunked"),),
    "line-feed-in-a-value": (("x-a", "b\nTransfer-Encoding: chunked"),),
    "line-end-in-a-name": (("x-a: b\r\ntransfer-encoding", "chunked"),),
    "upper-case-name": (("Content-Length", "5"),),
    "two-paths": ((":path", "/api/v1/smuggled"),),
    "two-methods": ((":method", "GET"),),
    "unknown-pseudo-header": ((":smuggled", "x"),),
}


def over(events: list[h2.events.Event]) -> bool:
    kinds = h2.events.StreamReset | h2.events.StreamEnded | h2.events.ConnectionTerminated
    return any(isinstance(event, kinds) for event in events)


def send(one: Http2, headers: tuple[tuple[str, str], ...]) -> None:
    stream = one.ask("POST", *headers, end=False)
    one.protocol.send_data(stream, b"hello", end_stream=True)
    one.flush()
    assert over(one.listen(over)) or one.is_over


@pytest.mark.parametrize("headers", HTTP_2_REFUSED.values(), ids=HTTP_2_REFUSED.keys())
def test_http_2_is_not_translated_into_something_else(
    secure: Proxy, http2: Callable[[Proxy], Http2], headers: tuple[tuple[str, str], ...]
) -> None:
    before = len(secure.reached)
    one = http2(secure)
    send(one, headers)
    assert all(status.startswith("4") for status in one.statuses())
    assert secure.reached[before:] == []


def test_http_2_as_it_should_be_reaches_the_service(
    secure: Proxy, http2: Callable[[Proxy], Http2]
) -> None:
    before = len(secure.reached)
    one = http2(secure)
    send(one, (("content-length", "5"), ("x-ordinary", "b")))
    assert one.statuses() == ["200"]
    assert secure.reached[before:] == [("inference", "POST", "/api/v1/x")]
