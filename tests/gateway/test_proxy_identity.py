"""Whom the proxy lets through, and what it tells the services about who is asking."""

import json
import re
from collections.abc import Callable

import pytest

from diagnosis.identity import HEADER
from tests.gateway.conftest import Proxy
from tests.gateway.test_proxy import assert_headers, assert_problem

NOBODY = {"Authorization": "Bearer nobody"}
NEED_SOMEBODY = ["/", "/history", "/api/v1/diseases", "/api/v1/keys", "/api/v1/users/u_1", "/api"]
NEED_NOBODY = ["/sign-in", "/sign-in/code", "/welcome/token", "/auth/sign-in", "/auth/oidc"]


@pytest.mark.parametrize("path", NEED_SOMEBODY)
def test_a_service_is_told_who_is_asking_and_by_nobody_but_us(proxy: Proxy, path: str) -> None:
    answer = proxy.client.get(path, headers={HEADER: "forged", HEADER.lower(): "forged too"})
    seen = answer.json()["headers"]
    assert answer.status_code == 200
    assert seen[HEADER.lower()].startswith("signed:")
    assert HEADER not in answer.headers
    assert_headers(answer)


@pytest.mark.parametrize("path", NEED_NOBODY)
def test_what_is_open_to_all_carries_no_identity(proxy: Proxy, path: str) -> None:
    answer = proxy.client.get(path, headers=NOBODY | {HEADER: "forged"})
    assert answer.status_code == 200
    assert HEADER.lower() not in answer.json()["headers"]
    assert answer.json()["service"] == ("identity" if path.startswith("/auth/") else "web")


def test_the_files_are_open_to_all(proxy: Proxy) -> None:
    assert proxy.client.get("/static/dist/favicon.svg", headers=NOBODY).status_code == 200


@pytest.mark.parametrize(
    "path", ["/sign-in/", "/sign-in/other", "/welcome", "/welcome/a/b", "/auths", "/Sign-In"]
)
def test_what_is_nearly_open_is_not(proxy: Proxy, path: str) -> None:
    assert proxy.client.get(path, headers=NOBODY).status_code == 303


@pytest.mark.parametrize(
    "path", ["/api/v1/keys", "/api/v1/keys/k_1", "/api/v1/users?x=1", "/api/v1/account/preferences"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_accounts_and_keys_are_the_identity_services(proxy: Proxy, path: str, method: str) -> None:
    answer = proxy.client.request(method, path)
    assert (answer.json()["service"], answer.json()["path"]) == ("identity", path)


@pytest.mark.parametrize("path", ["/api/v1/keysmith", "/api/v1/diseases/keys"])
def test_other_addresses_are_not(proxy: Proxy, path: str) -> None:
    assert proxy.client.get(path).json()["service"] == "inference"


@pytest.mark.parametrize("path", ["/internal/check", "/__identity", "/auth/../internal/check"])
def test_nobody_asks_in_the_proxys_place(proxy: Proxy, path: str) -> None:
    raw = proxy.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert b'"service": "identity"' not in raw
    assert HEADER.encode() not in raw


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/api/v1/diseases", "/api/v1/keys"])
def test_a_program_without_an_identity_gets_a_problem(proxy: Proxy, path: str, method: str) -> None:
    answer = proxy.client.request(method, path, headers=NOBODY)
    assert_problem(answer, 401)


@pytest.mark.parametrize(
    ("path", "back"),
    [
        ("/", "/"),
        ("/history", "/history"),
        ("/readings/0f-1", "/readings/0f-1"),
        ("/history?cursor=ab12", "/history?cursor=ab12"),
        ("/history?a=1&b=2", "/history"),
        ("/history?a=%26next", "/history"),
        ("//elsewhere.example", "/"),
        ("/%2felsewhere.example", "/"),
        ("/a%0d%0aSet-Cookie:x", "/"),
        ("/\\elsewhere.example", "/"),
    ],
)
def test_a_person_is_sent_to_sign_in_and_back(proxy: Proxy, path: str, back: str) -> None:
    raw = proxy.raw(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer nobody\r\n"
        "Connection: close\r\n\r\n".encode()
    )
    head = raw.partition(b"\r\n\r\n")[0].decode()
    assert head.startswith("HTTP/1.1 303 ")
    assert re.findall(r"(?im)^location: (.*)\r?$", head.replace("\r", "")) == [
        f"/sign-in?next={back}"
    ]
    assert "Set-Cookie" not in head


def test_a_person_who_posts_is_sent_to_sign_in(proxy: Proxy) -> None:
    answer = proxy.client.post("/readings/x/delete", headers=NOBODY, content=b"a=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    assert answer.headers["cache-control"] == "no-store"
    assert_headers(answer)


def test_a_script_of_a_page_is_told_to_leave_it(proxy: Proxy) -> None:
    """A redirect would be followed, and the page to sign in shown within the page."""
    for method in ("GET", "POST"):
        answer = proxy.client.request(method, "/history", headers=NOBODY | {"HX-Request": "true"})
        assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")
        assert answer.text == "Sign in again."
        assert_headers(answer)
    assert "hx-redirect" not in proxy.client.get("/history", headers={"HX-Request": "true"}).headers
    api = proxy.client.get("/api/v1/diseases", headers=NOBODY | {"HX-Request": "true"})
    assert_problem(api, 401)
    assert "hx-redirect" not in api.headers


def test_the_identity_service_sees_who_and_what_but_no_body(proxy: Proxy) -> None:
    answer = proxy.client.post(
        "/api/v1/diseases/x/predictions?y=1",
        content=b"image",
        headers={
            "Authorization": "Bearer somebody",
            "Cookie": "c=1",
            "X-Forwarded-For": "10.0.0.1",
        },
    )
    assert answer.json()["body"] == 5
    asked = {
        name.lower(): value
        for name, value in json.loads(
            answer.json()["headers"][HEADER.lower()].removeprefix("signed:")
        ).items()
    }
    assert (asked["authorization"], asked["cookie"]) == ("Bearer somebody", "c=1")
    assert asked["x-forwarded-for"] == "127.0.0.1"
    assert asked["x-request-id"] == answer.headers["x-request-id"]
    assert "content-length" not in asked
    assert HEADER.lower() not in asked


@pytest.mark.parametrize("identity", [True, False])
def test_nobody_gets_in_while_nobody_can_be_told(
    start_proxy: Callable[..., Proxy], identity: bool
) -> None:
    proxy = start_proxy(identity=identity)
    headers = {"Authorization": "Bearer broken"}
    for path in ("/api/v1/diseases", "/api/v1/keys"):
        assert_problem(proxy.client.get(path, headers=headers), 503)
    page = proxy.client.post("/diseases/x/readings", headers=headers, content=b"image")
    assert (page.status_code, page.headers["retry-after"]) == (503, "5")
