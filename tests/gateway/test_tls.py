"""TLS as a client meets it, and what becomes of a request that comes without it."""

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.fixtures.ports import free_port
from tests.gateway.conftest import Proxy
from tests.gateway.test_proxy import assert_headers, assert_page, assert_problem, parsed

KEY = "Bearer slk_4711"


def clear(method: str, path: str, *lines: str) -> bytes:
    head = (f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", *lines)
    return "\r\n".join((*head, "", "")).encode()


@pytest.fixture(scope="module")
def own_address() -> Iterator[str]:
    """An address of this machine that is not loopback; where it has none, one is lent to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Nothing is sent: it only asks which address would be used.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pass
        else:
            yield str(probe.getsockname()[0])
            return
    lent = ("198.51.100.7/32", "dev", "lo")
    try:
        subprocess.run(["ip", "address", "add", *lent], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine has no network but loopback, and may be lent no address")
    yield "198.51.100.7"
    subprocess.run(["ip", "address", "del", *lent], check=True, capture_output=True)


@pytest.fixture(scope="module")
def open_to_all(
    start_proxy: Callable[..., Proxy], tmp_path_factory: pytest.TempPathFactory
) -> Proxy:
    """As on a server: every address, a port that redirects, and certbot's folder."""
    folder = tmp_path_factory.mktemp("acme")
    challenge = folder / ".well-known" / "acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token_1-a").write_text("proof")
    (folder / "secret").write_text("secret")
    return start_proxy(
        tls=True, listen_address="0.0.0.0", redirect_port=free_port(), acme_dir=folder
    )


# ---- TLS -----------------------------------------------------------------------------------------


def test_pages_and_api_are_served_under_tls(secure: Proxy) -> None:
    for path, service in (("/", "web"), ("/api/v1/diseases", "inference")):
        answer = secure.client.get(path)
        assert (answer.status_code, answer.json()["service"]) == (200, service)
        assert answer.json()["headers"]["x-forwarded-proto"] == "https"
        assert_headers(answer)


def test_hsts_is_sent_under_tls_alone(secure: Proxy, proxy: Proxy) -> None:
    for path in ("/", "/api/v1/x", "/static/dist/favicon.svg", "/api/none", "/metrics"):
        answer = secure.client.get(path)
        assert answer.headers.get_list("strict-transport-security") == [secure.variables.hsts]
        assert "strict-transport-security" not in proxy.client.get(path).headers
    in_the_clear = parsed(secure.raw(clear("GET", "/")))
    assert "strict-transport-security" not in in_the_clear.headers


def test_a_browser_is_offered_http_2(secure: Proxy) -> None:
    assert secure.trust is not None
    context = ssl.create_default_context()
    context.load_verify_locations(secure.folder / "tls" / "ca.pem")
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", secure.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"


def test_no_session_ticket_is_given(secure: Proxy) -> None:
    """With TLS 1.2 none; with TLS 1.3 what is given is a number in our memory, and no ticket."""
    for version in ("-tls1_2", "-tls1_3"):
        said = subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{secure.port}", "-ign_eof", version],
            input=clear("GET", "/static/dist/favicon.svg"),
            capture_output=True,
            check=False,
            timeout=20,
        ).stdout.decode(errors="replace")
        assert "<svg/>" in said
        lines = said.split("TLS session ticket:")[1:]
        if version == "-tls1_2":
            assert not lines
        # A ticket holds the session, encrypted: more than 100 bytes. A number has 32.
        assert all("0020 -" not in ticket.split("Start Time")[0] for ticket in lines)


def test_curl_trusts_it_as_the_start_says(secure: Proxy) -> None:
    curl = ["curl", "--silent", "--show-error", "--noproxy", "*", f"{secure.url}/"]
    without = subprocess.run(curl, capture_output=True, text=True, check=False)
    assert without.returncode == 60, "an authority that nobody was told to trust"
    trusting = [*curl, "--cacert", secure.folder / "tls" / "ca.pem"]
    assert b'"service": "web"' in subprocess.run(trusting, capture_output=True, check=True).stdout


def test_a_foreign_host_name_is_refused_under_tls(secure: Proxy) -> None:
    assert_page(secure.client.get("/", headers={"Host": "evil.example.org"}), 421)
    assert_problem(secure.client.get("/api/v1/x", headers={"Host": "evil.example.org"}), 421)


# ---- without TLS, on the port of TLS and on the port that redirects ------------------------------


@pytest.fixture(params=["the-port-of-tls", "the-port-that-redirects"])
def port(request: pytest.FixtureRequest, open_to_all: Proxy) -> int | None:
    if request.param == "the-port-of-tls":
        return open_to_all.port
    return open_to_all.variables.redirect_port


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/", "/history?disease=x&a=%0d%0ab", "/api/v1/diseases", "/metrics"]
)
def test_who_opens_a_page_without_tls_is_shown_the_way(
    open_to_all: Proxy, port: int, method: str, path: str
) -> None:
    before = len(open_to_all.reached)
    answer = parsed(open_to_all.raw(clear(method, path), port=port))
    assert answer.status_code == 308
    assert answer.headers["location"] == f"https://localhost:{open_to_all.port}{path}"
    assert answer.headers["cache-control"] == "no-store"
    assert len(open_to_all.reached) == before


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT"])
def test_what_changes_something_is_refused_and_not_redirected(
    open_to_all: Proxy, port: int, method: str
) -> None:
    before = len(open_to_all.reached)
    for path, check in (("/api/v1/x", assert_refused), ("/x", assert_refused_page)):
        check(open_to_all.raw(clear(method, path, "Content-Length: 0"), port=port))
    assert len(open_to_all.reached) == before


def assert_refused(raw: bytes) -> None:
    answer = parsed(raw)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert (said["status"], said["code"]) == (403, "https-needed")
    assert "https" in said["remedy"]
    assert "location" not in answer.headers
    assert_headers(answer)


def assert_refused_page(raw: bytes) -> None:
    answer = parsed(raw)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == "<h1>page of 497</h1>"
    assert "location" not in answer.headers
    assert_headers(answer)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_a_key_that_crossed_a_network_is_refused(
    open_to_all: Proxy, port: int, own_address: str, method: str
) -> None:
    before = len(open_to_all.reached)
    request = clear(method, "/api/v1/x", f"Authorization: {KEY}", "Content-Length: 0")
    raw = open_to_all.raw(request, own_address, port)
    if method == "HEAD":
        assert parsed(raw).status_code == 403
    else:
        assert_refused(raw)
    assert b"slk_" not in raw
    assert len(open_to_all.reached) == before


@pytest.mark.parametrize("value", ["Basic dTpw", "Bearer slk_1|", "|", ":"])
def test_whatever_is_in_that_header_counts_as_a_key(
    open_to_all: Proxy, port: int, own_address: str, value: str
) -> None:
    request = clear("GET", "/api/v1/x", f"Authorization: {value}")
    assert_refused(open_to_all.raw(request, own_address, port))


@pytest.mark.parametrize("first", ["Authorization:", "authorization: ", "Authorization: Bearer a"])
def test_a_second_key_does_not_hide_behind_a_first(
    open_to_all: Proxy, port: int, own_address: str, first: str
) -> None:
    before = len(open_to_all.reached)
    request = clear("GET", "/api/v1/x", first, f"Authorization: {KEY}")
    answer = parsed(open_to_all.raw(request, own_address, port))
    assert answer.status_code in (400, 403)
    assert open_to_all.reached[before:] == []


def test_a_key_on_loopback_is_shown_the_way(open_to_all: Proxy, port: int) -> None:
    raw = open_to_all.raw(clear("GET", "/api/v1/x", f"Authorization: {KEY}"), port=port)
    assert parsed(raw).status_code == 308


def test_a_redirect_leads_to_our_names_alone(open_to_all: Proxy, port: int) -> None:
    foreign = b"GET / HTTP/1.1\r\nHost: evil.example.org\r\nConnection: close\r\n\r\n"
    answer = parsed(open_to_all.raw(foreign, port=port))
    assert answer.status_code in (403, 421)
    assert "location" not in answer.headers


def test_the_authority_finds_its_proof_and_nothing_else(open_to_all: Proxy) -> None:
    port = open_to_all.variables.redirect_port
    assert port is not None
    where = "/.well-known/acme-challenge"
    proof = parsed(open_to_all.raw(clear("GET", f"{where}/token_1-a"), port=port))
    assert (proof.status_code, proof.text) == (200, "proof")
    for path in (f"{where}/none", f"{where}/", where, f"{where}/../../secret"):
        answer = open_to_all.raw(clear("GET", path), port=port)
        assert parsed(answer).status_code in (301, 308, 404)
        assert b"secret" not in answer.partition(b"\r\n\r\n")[2]


def test_the_port_of_a_redirect_is_the_one_the_world_sees(
    start_proxy: Callable[..., Proxy],
) -> None:
    behind = start_proxy(tls=True, public_port=443)
    answer = parsed(behind.raw(clear("GET", "/a")))
    assert answer.headers["location"] == "https://localhost/a"


# ---- where there is no TLS at all ----------------------------------------------------------------


def test_without_tls_a_key_is_taken_on_loopback_and_refused_on_a_network(
    start_proxy: Callable[..., Proxy], own_address: str
) -> None:
    careless = start_proxy(listen_address="0.0.0.0", server_names=("localhost", own_address))
    request = clear("GET", "/api/v1/x", f"Authorization: {KEY}")
    assert parsed(careless.raw(request)).status_code == 200
    assert len(careless.reached) == 1
    assert_refused(careless.raw(request, own_address))
    assert_refused(careless.raw(clear("GET", "/api/x", f"Authorization: {KEY}"), own_address))
    assert_refused_page(careless.raw(clear("GET", "/", f"Authorization: {KEY}"), own_address))
    assert len(careless.reached) == 1
    assert parsed(careless.raw(clear("GET", "/"), own_address)).status_code == 200


def test_nothing_of_a_key_is_written_down(start_proxy: Callable[..., Proxy]) -> None:
    quiet = start_proxy(tls=True)
    quiet.client.get("/api/v1/x", headers={"Authorization": KEY})
    quiet.raw(clear("POST", "/api/v1/x", f"Authorization: {KEY}"))
    quiet.raw(b"\x16\x03\x01\x00\x05hello")
    quiet.stop()
    lines = quiet.logged()
    assert [line["tls"] for line in lines[:2]] == ["TLSv1.3", ""]
    text = (quiet.folder / "access.log").read_text() + (quiet.folder / "stderr").read_text()
    assert "4711" not in text
    assert "127.0.0.1" not in text
