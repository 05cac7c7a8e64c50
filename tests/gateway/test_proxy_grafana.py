"""The door to Grafana, and what Nginx tells its exporter."""

from collections.abc import Callable

import httpx
import pytest

from diagnosis.identity import HEADER
from tests.gateway.conftest import Proxy
from tests.gateway.test_proxy import assert_headers

SESSION = {"Cookie": "sightline_session=secret; theme=dark"}


def test_grafana_is_told_the_account_by_us_and_by_nobody_else(proxy: Proxy) -> None:
    forged = {"X-WEBAUTH-USER": "admin", "x-webauth-user": "admin", HEADER: "forged"}
    answer = proxy.client.get("/grafana/d/sightline-service?from=now-1h", headers=forged)
    seen = answer.json()
    assert (seen["service"], seen["path"]) == (
        "grafana",
        "/grafana/d/sightline-service?from=now-1h",
    )
    assert seen["headers"]["x-webauth-user"] == "u_ops"
    assert HEADER.lower() not in seen["headers"]
    assert_headers(answer)


def test_grafana_sees_no_session_and_no_key_and_gives_none(proxy: Proxy) -> None:
    answer = proxy.client.get(
        "/grafana/sets-a-cookie", headers=SESSION | {"Authorization": "Bearer somebody"}
    )
    assert not {"cookie", "authorization"} & set(answer.json()["headers"])
    assert "set-cookie" not in answer.headers


def test_grafana_may_bring_the_policy_that_its_pages_need(proxy: Proxy) -> None:
    assert proxy.client.get("/grafana/page").headers["content-security-policy"] == (
        "default-src 'self'"
    )


def test_who_is_not_ops_is_told_so_and_never_gets_there(proxy: Proxy) -> None:
    reader = {"Authorization": "Bearer reader"}
    before = len(proxy.reached)
    for path in ("/grafana/", "/grafana/api/datasources", "/grafana/%2e%2e/grafana/x"):
        answer = proxy.client.get(path, headers=reader)
        assert answer.status_code == 403
        assert "page of 403" in answer.text
        assert_headers(answer)
    assert len(proxy.reached) == before


def test_who_is_nobody_is_shown_the_way_in(proxy: Proxy) -> None:
    answer = proxy.client.get("/grafana/d/x", headers={"Authorization": "Bearer nobody"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/grafana/d/x")


@pytest.mark.parametrize("path", ["/__ops", "/internal/check/ops", "/grafana/../__ops"])
def test_nobody_asks_in_the_proxys_place(proxy: Proxy, path: str) -> None:
    raw = proxy.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert b'"service": "identity"' not in raw
    assert b"u_ops" not in raw


def test_without_a_grafana_the_address_is_a_page_like_others(
    start_proxy: Callable[..., Proxy],
) -> None:
    one = start_proxy(grafana_upstream=None, status_listen=None)
    assert one.client.get("/grafana/").json()["service"] == "web"
    assert not (one.folder / "status.sock").exists()


def test_the_exporter_is_told_how_many_connections_there_are_and_nobody_else(proxy: Proxy) -> None:
    transport = httpx.HTTPTransport(uds=str(proxy.folder / "status.sock"))
    lines = len(proxy.logged())
    with httpx.Client(transport=transport) as exporter:
        said = exporter.get("http://nginx/stub_status")
        assert said.text.startswith("Active connections: ")
        assert exporter.get("http://nginx/").status_code == 404
    assert len(proxy.logged()) == lines
    assert proxy.client.get("/stub_status").json()["service"] == "web"
