"""What the proxy lets through, adds, limits and answers by itself."""

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterable

import httpx
import pytest

from gateway.proxy_problems import PROXY_PROBLEMS
from tests.fixtures.patience import AT_ONCE
from tests.gateway.conftest import Proxy

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def assert_headers(answer: httpx.Response) -> None:
    """Every answer carries the headers, each once, and says nothing of the software's version."""
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value], name
    assert answer.headers["permissions-policy"].startswith("camera=(self)")
    assert len(answer.headers.get_list("content-security-policy")) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])
    assert "cache-control" in answer.headers
    assert answer.headers["server"] == "nginx"


def assert_problem(answer: httpx.Response, status: int) -> None:
    expected = next(problem for problem in PROXY_PROBLEMS if problem.status == status)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert said == {
        "type": f"/problems/{expected.code}",
        "title": expected.title,
        "status": status,
        "detail": expected.detail,
        "code": expected.code,
        "remedy": expected.remedy,
        "request_id": answer.headers["x-request-id"],
        "errors": [],
    }
    retry_after = expected.retry_after
    assert answer.headers.get("retry-after") == (str(retry_after) if retry_after else None)
    assert_headers(answer)


def assert_page(answer: httpx.Response, status: int) -> None:
    expected = next(problem for problem in PROXY_PROBLEMS if problem.status == status)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == f"<h1>page of {status}</h1>"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    retry_after = expected.retry_after
    assert answer.headers.get("retry-after") == (str(retry_after) if retry_after else None)
    assert_headers(answer)


def parsed(raw: bytes) -> httpx.Response:
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = [tuple(line.split(": ", 1)) for line in lines]
    return httpx.Response(int(first.split()[1]), headers=headers, content=body)  # type: ignore[arg-type]


# ---- routes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "web"),
        ("/history?disease=x", "web"),
        ("/api", "web"),
        ("/api/v1/diseases", "inference"),
        ("/api/v1/diseases/a%2Fb/predictions", "inference"),
    ],
)
def test_each_address_reaches_its_service_unchanged(proxy: Proxy, path: str, service: str) -> None:
    answer = proxy.client.get(path)
    assert answer.status_code == 200
    assert (answer.json()["service"], answer.json()["path"]) == (service, path)
    assert_headers(answer)


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/healthz", "/readyz", "/metrics/", "//metrics", "/%6detrics", "/x/../readyz"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_private_side_is_nowhere(proxy: Proxy, path: str, method: str) -> None:
    raw = proxy.raw(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    assert_page(parsed(raw), 404)


@pytest.mark.parametrize("path", ["/api/v2/diseases", "/api/metrics", "/api/"])
def test_there_is_no_other_api(proxy: Proxy, path: str) -> None:
    assert_problem(proxy.client.get(path), 404)


@pytest.mark.parametrize("path", ["/__answers/page/404", "/__answers/problem/404"])
def test_the_answers_have_no_address_of_their_own(proxy: Proxy, path: str) -> None:
    assert_page(proxy.client.get(path), 404)


def test_a_service_gets_our_request_id_and_our_view_of_the_client(proxy: Proxy) -> None:
    lies = {
        "X-Request-ID": "forged",
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=10.0.0.1",
    }
    answer = proxy.client.get("/api/v1/diseases", headers=lies)
    seen = answer.json()["headers"]
    assert answer.headers.get_list("x-request-id") == [seen["x-request-id"]]
    assert seen["x-request-id"] != "forged"
    assert seen["x-forwarded-for"] == "127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["host"] == f"127.0.0.1:{proxy.port}"
    assert "forwarded" not in seen


def test_two_requests_have_two_ids(proxy: Proxy) -> None:
    ids = {proxy.client.get("/").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5


@pytest.mark.parametrize("path", ["/", "/api/v1/diseases", "/static/dist/favicon.svg"])
def test_a_foreign_host_name_is_refused(proxy: Proxy, path: str) -> None:
    answer = proxy.client.get(path, headers={"Host": "evil.example.org"})
    (assert_problem if path.startswith("/api/") else assert_page)(answer, 421)


def test_without_server_names_every_host_is_served(start_proxy: Callable[..., Proxy]) -> None:
    anywhere = start_proxy(server_names=())
    answer = anywhere.client.get("/", headers={"Host": "reading-room.example.org:8443"})
    assert answer.status_code == 200
    assert answer.json()["headers"]["host"] == "reading-room.example.org:8443"


# ---- headers and caching -------------------------------------------------------------------------


def test_a_page_keeps_its_own_policy_and_caching(proxy: Proxy) -> None:
    answer = proxy.client.get("/page")
    assert answer.headers.get_list("content-security-policy") == ["default-src 'self'"]
    assert answer.headers.get_list("cache-control") == ["private"]
    assert_headers(answer)


def test_what_a_service_does_not_say_is_kept_nowhere(proxy: Proxy) -> None:
    answer = proxy.client.get("/api/v1/predictions")
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_hashed_assets_are_kept_for_ever_and_compressed(proxy: Proxy) -> None:
    answer = proxy.client.get("/static/dist/assets/app-1a2b3c.js")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.text.startswith("// xxx")
    assert_headers(answer)


def test_an_unchanged_asset_is_not_sent_again(proxy: Proxy) -> None:
    first = proxy.client.get("/static/dist/favicon.svg")
    assert first.headers["cache-control"] == "public, max-age=3600"
    again = proxy.client.get(
        "/static/dist/favicon.svg", headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "/static/dist/assets/app-gone.js",
        "/static/",
        "/static/dist",
        "/static/dist/assets/",
        "/static../nginx.conf",
        "/static/..%2fnginx.conf",
    ],
)
def test_there_is_nothing_else_among_the_files(proxy: Proxy, path: str) -> None:
    raw = proxy.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = parsed(raw)
    assert b"worker_processes" not in raw
    if path == "/static/dist":
        assert answer.status_code == 301
    elif answer.status_code == 200:
        # Not one of the files: an address of the pages.
        assert answer.json()["service"] == "web"
    else:
        assert_page(answer, 404)


def test_a_folder_redirects_on_the_same_host(proxy: Proxy) -> None:
    answer = proxy.client.get("/static/dist")
    assert answer.headers["location"] in (
        "/static/dist/",
        f"http://127.0.0.1:{proxy.port}/static/dist/",
    )


# ---- what Nginx answers by itself ----------------------------------------------------------------


def test_a_malformed_request(proxy: Proxy) -> None:
    assert_page(parsed(proxy.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")), 400)
    bad = b"GET /api/v1/diseases HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert_problem(parsed(proxy.raw(bad)), 400)


def test_a_method_of_no_use(proxy: Proxy) -> None:
    api = proxy.client.request("TRACE", "/api/v1/diseases")
    assert_problem(api, 405)
    assert "GET" in api.headers["allow"]
    assert_page(proxy.client.request("TRACE", "/history"), 405)
    file = proxy.client.post("/static/dist/favicon.svg")
    assert_page(file, 405)
    assert file.headers["allow"] == "GET, HEAD"


def test_an_address_too_long(proxy: Proxy) -> None:
    long = "x" * 9000
    assert_problem(proxy.client.get(f"/api/v1/{long}"), 414)
    assert_page(proxy.client.get(f"/{long}"), 414)


def test_headers_too_large(proxy: Proxy) -> None:
    large = {"X-Filler": "x" * 9000}
    assert_problem(proxy.client.get("/api/v1/diseases", headers=large), 431)
    assert_page(proxy.client.get("/", headers=large), 431)


def test_a_transfer_that_is_not_understood(proxy: Proxy) -> None:
    request = (
        "POST {} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: magic\r\n"
        "Connection: close\r\n\r\n"
    )
    assert_problem(parsed(proxy.raw(request.format("/api/v1/x").encode())), 501)
    assert_page(parsed(proxy.raw(request.format("/x").encode())), 501)


def test_the_largest_image_passes_with_its_form_and_the_next_does_not(proxy: Proxy) -> None:
    limit = proxy.variables.body_limit_bytes
    assert limit > 25 * 1024 * 1024
    body = bytes(limit)
    answer = proxy.client.post("/api/v1/diseases/x/predictions", content=body)
    assert (answer.status_code, answer.json()["body"]) == (200, limit)
    body += b"0"
    assert_problem(proxy.client.post("/api/v1/diseases/x/predictions", content=body), 413)
    assert_page(proxy.client.post("/diseases/x/readings", content=body), 413)


def test_the_files_of_a_batch_pass_where_they_come_together(
    start_proxy: Callable[..., Proxy],
) -> None:
    small = start_proxy(body_limit_bytes=100_000, batch_limit_bytes=300_000)
    for path in (
        "/batches",
        "/batches/01/archive",
        "/api/v1/batches",
        "/api/v1/batches/01/archive",
    ):
        assert small.client.post(path, content=bytes(300_000)).json()["body"] == 300_000
        refused = small.client.post(path, content=bytes(300_001))
        (assert_problem if path.startswith("/api/") else assert_page)(refused, 413)
    for path in ("/batches/01/files/1", "/batches/01/close", "/batches/01/archive/x"):
        assert_page(small.client.post(path, content=bytes(100_001)), 413)
        assert_problem(small.client.put(f"/api/v1{path}", content=bytes(100_001)), 413)


def test_a_body_without_a_length_meets_the_same_limit(
    start_proxy: Callable[..., Proxy],
) -> None:
    small = start_proxy(body_limit_bytes=100_000)

    def chunks() -> Iterable[bytes]:
        return (bytes(10_000) for _ in range(11))

    assert_problem(small.client.post("/api/v1/x", content=chunks()), 413)
    assert_page(small.client.post("/x", content=chunks()), 413)


def test_too_many_requests(start_proxy: Callable[..., Proxy]) -> None:
    strict = start_proxy(requests_per_second=1, requests_burst=1)
    answers = [strict.client.get("/api/v1/diseases") for _ in range(4)]
    assert answers[0].status_code == 200
    assert_problem(answers[-1], 429)
    assert_page(strict.client.get("/"), 429)
    assert strict.client.get("/static/dist/favicon.svg").status_code == 200


def test_too_many_uploads_leave_the_pages_readable(start_proxy: Callable[..., Proxy]) -> None:
    strict = start_proxy(uploads_per_second=1, uploads_burst=1)
    answers = [strict.client.post("/api/v1/diseases/x/predictions") for _ in range(4)]
    assert answers[0].status_code == 200
    assert_problem(answers[-1], 429)
    assert_page(strict.client.post("/diseases/x/readings"), 429)
    assert strict.client.get("/history").status_code == 200


def test_no_service_there(start_proxy: Callable[..., Proxy]) -> None:
    alone = start_proxy(services=False)
    assert_problem(alone.client.get("/api/v1/diseases"), 502)
    assert_page(alone.client.get("/"), 502)
    assert_page(alone.client.post("/diseases/x/readings", content=b"image"), 502)
    whole_batch = bytes(alone.variables.body_limit_bytes + 1)
    assert_page(alone.client.post("/batches", content=whole_batch), 502)
    assert alone.client.head("/").status_code == 502
    assert alone.client.get("/static/dist/favicon.svg").status_code == 200


def test_a_service_that_hangs_up_is_asked_for_a_reading_once(proxy: Proxy) -> None:
    assert_problem(proxy.client.post("/api/v1/hangs-up", content=b"image"), 502)
    assert_page(proxy.client.post("/hangs-up", content=b"image"), 502)


def test_a_service_that_takes_too_long(start_proxy: Callable[..., Proxy]) -> None:
    hasty = start_proxy(answer_timeout=1)
    assert_problem(hasty.client.post("/api/v1/slow", content=b"image"), 504)
    assert_page(hasty.client.get("/slow"), 504)


def test_a_service_says_itself_when_to_come_back(proxy: Proxy) -> None:
    answer = proxy.client.get("/api/v1/busy")
    assert answer.status_code == 503
    assert answer.headers.get_list("retry-after") == ["77"]
    assert answer.json()["service"] == "inference"


@pytest.mark.parametrize(
    "unfinished",
    [
        b"POST /api/v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc",
        b"GET /api/v1/x HTTP/1.1\r\nHost: loc",
    ],
    ids=["body", "headers"],
)
def test_a_client_that_sends_too_slowly_is_let_go(
    start_proxy: Callable[..., Proxy], unfinished: bytes
) -> None:
    """Without an answer: Nginx hangs up, which is what 408 stands for in its log."""
    hasty = start_proxy(header_seconds=1, body_seconds=1)
    began = time.monotonic()
    with contextlib.suppress(ConnectionResetError):
        assert hasty.raw(unfinished) == b""
    assert 0.5 < time.monotonic() - began < AT_ONCE
    hasty.stop()
    assert hasty.logged()[-1]["status"] == 408


# ---- the log -------------------------------------------------------------------------------------


def test_the_logs_tell_what_happened_and_nothing_about_whom(
    start_proxy: Callable[..., Proxy],
) -> None:
    quiet = start_proxy(requests_burst=2, requests_per_second=1, body_limit_bytes=2048)
    secrets = {"User-Agent": "agent-4711", "Referer": "http://referrer-4711/", "Cookie": "c=4711"}
    first = quiet.client.get("/readings/id-4711?name=4711", headers=secrets)
    quiet.client.request("X-4711", "/id-4711", headers=secrets)
    quiet.client.get("/static/id-4711.js?x=4711", headers=secrets)
    quiet.client.post("/api/v1/id-4711", content=bytes(4000), headers=secrets)
    quiet.client.post("/api/v1/id-4711/hangs-up", headers=secrets)
    for _ in range(4):
        quiet.client.get("/api/v1/id-4711?x=4711", headers=secrets)
    quiet.raw(b"GET /id-4711 HTTP/1.1\r\nConnection: close\r\n\r\n")
    quiet.stop()

    lines = quiet.logged()
    assert [line["area"] for line in lines[:5]] == ["page", "page", "static", "api", "api"]
    assert {200, 400, 404, 413, 429, 502} <= {line["status"] for line in lines}
    assert lines[0]["request_id"] == first.headers["x-request-id"]
    assert lines[1]["method"] == "OTHER"
    text = json.dumps(lines) + (quiet.folder / "stderr").read_text()
    assert "4711" not in text.replace(first.headers["x-request-id"], "")
    assert "127.0.0.1" not in text
