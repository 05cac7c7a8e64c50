"""The tables of "TLS and headers": what was tried with each protocol and suite, what is sent."""

import socket
import ssl
import subprocess
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.fixtures.tables import documented_table
from tests.gateway.conftest import Proxy
from tests.gateway.test_proxy import parsed
from web_ui.security import CONTENT_SECURITY_POLICY

pytestmark = pytest.mark.xdist_group("tls-table")

EVERYTHING = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"


def client_context(version: ssl.TLSVersion, suites: str, *, server: bool = False) -> ssl.SSLContext:
    """One version and these suites, with nothing forbidden that OpenSSL still can."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.set_ciphers(suites)
        context.minimum_version = context.maximum_version = version
    if not server:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def agreed(port: int, context: ssl.SSLContext) -> str | None:
    """The suite that the server agrees to; None where it refuses."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                cipher = connection.cipher()
                return cipher[0] if cipher else None
        except (ssl.SSLError, ConnectionError):
            return None


def works_at_all(client: ssl.SSLContext, server: ssl.SSLContext) -> bool:
    """Whether these two agree, in memory: that a refusal is the proxy's, and not OpenSSL's."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, True))
    done = [False, False]
    for _ in range(10):
        for index, end in enumerate(ends):
            try:
                end.do_handshake()
                done[index] = True
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
        if all(done):
            return True
    return False


@pytest.fixture(scope="module")
def rsa_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate with an RSA key, for the suites that need one."""
    folder = tmp_path_factory.mktemp("rsa")
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = folder / "server.pem", folder / "server.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@pytest.fixture(scope="module")
def servers(
    secure: Proxy, start_proxy: Callable[..., Proxy], rsa_files: tuple[Path, Path]
) -> tuple[tuple[Proxy, Path, Path], ...]:
    """The proxy with an ECDSA and with an RSA certificate."""
    certificate, key = rsa_files
    other = start_proxy(tls=True, tls_certificate=certificate, tls_certificate_key=key)
    own = secure.folder / "tls"
    return ((secure, own / "server.pem", own / "server.key"), (other, certificate, key))


#: Kinds of suites of TLS 1.2, the first that fits: what its name holds, and how it is called.
KINDS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("without encryption", lambda name: "NULL" in name),
    ("without a certificate", lambda name: name.startswith(("ADH", "AECDH"))),
    ("a shared password or key", lambda name: "PSK" in name or "SRP" in name),
    ("CBC", lambda name: not any(word in name for word in ("GCM", "CCM", "CHACHA20"))),
    ("CCM", lambda name: "CCM" in name),
    ("without forward secrecy", lambda name: "DHE" not in name),
    ("DHE", lambda name: name.startswith("DHE")),
    ("ECDHE with ARIA-GCM", lambda name: "ARIA" in name),
    ("ECDHE with AES-GCM or ChaCha20-Poly1305", lambda name: name.startswith("ECDHE")),
)


def kind_of(suite: str) -> str:
    return next(kind for kind, fits in KINDS if fits(suite))


def tls_1_3_suite(port: int, suite: str) -> bool:
    said = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3"),
            *("-ciphersuites", suite),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    return f"Cipher is {suite}" in said.stdout


def test_tls_is_what_the_document_says(
    servers: tuple[tuple[Proxy, Path, Path], ...],
) -> None:
    tls_1_0, tls_1_1, tls_1_2, tls_1_3 = (
        ssl.TLSVersion.TLSv1,
        ssl.TLSVersion.TLSv1_1,
        ssl.TLSVersion.TLSv1_2,
        ssl.TLSVersion.TLSv1_3,
    )
    rows = []
    proxy, certificate, key = servers[0]
    for version, name in (
        (tls_1_0, "TLS 1.0"),
        (tls_1_1, "TLS 1.1"),
        (tls_1_2, "TLS 1.2"),
        (tls_1_3, "TLS 1.3"),
    ):
        client = client_context(version, EVERYTHING)
        taker = client_context(version, EVERYTHING, server=True)
        taker.load_cert_chain(certificate, key)
        assert works_at_all(client, taker), f"this OpenSSL cannot try {name}"
        rows.append([name, "all at once", "accepted" if agreed(proxy.port, client) else "refused"])

    suites = sorted(
        str(one["name"])
        for one in client_context(tls_1_2, EVERYTHING).get_ciphers()
        if not str(one["name"]).startswith("TLS_")
    )
    assert len(suites) > 50
    accepted: dict[str, set[str]] = {kind: set() for kind, _ in KINDS}
    tried: dict[str, set[str]] = {kind: set() for kind, _ in KINDS}
    for suite in suites:
        client = client_context(tls_1_2, f"{suite}:@SECLEVEL=0")
        tried[kind_of(suite)].add(suite)
        for proxy, _, _ in servers:
            if agreed(proxy.port, client) is not None:
                accepted[kind_of(suite)].add(suite)
    for kind, _ in KINDS:
        assert tried[kind], f"no suite was tried: {kind}"
        # A kind is taken or refused as a whole.
        assert accepted[kind] in (set(), tried[kind]), kind
        rows.append(["TLS 1.2", kind, "accepted" if accepted[kind] else "refused"])
    for suite in (
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_AES_128_CCM_SHA256",
        "TLS_AES_128_CCM_8_SHA256",
    ):
        taken = tls_1_3_suite(servers[0][0].port, suite)
        rows.append(["TLS 1.3", f"`{suite}`", "accepted" if taken else "refused"])
    documented_table("tls", ("protocol", "suites", "result"), rows)


@pytest.mark.parametrize(
    "suite",
    ["AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES128-SHA"],
)
def test_a_suite_that_is_refused_would_work_elsewhere(
    rsa_files: tuple[Path, Path], suite: str
) -> None:
    client = client_context(ssl.TLSVersion.TLSv1_2, f"{suite}:@SECLEVEL=0")
    taker = client_context(ssl.TLSVersion.TLSv1_2, EVERYTHING, server=True)
    taker.load_cert_chain(*rsa_files)
    assert works_at_all(client, taker)


# ---- headers -------------------------------------------------------------------------------------

HEADERS = (
    "Strict-Transport-Security",
    "Content-Security-Policy",
    "Cache-Control",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Permissions-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "X-Request-ID",
    "Server",
)


def shown(name: str, values: list[str], policies: dict[str, str]) -> str:
    """A header's value as the table shows it: once or not at all, long ones by a word."""
    if not values:
        return "-"
    assert len(values) == 1, f"{name} is there {len(values)} times"
    if name == "X-Request-ID":
        assert len(values[0]) == 32
        return "yes"
    return policies.get(values[0], f"`{values[0]}`")


def test_headers_are_what_the_document_says(secure: Proxy) -> None:
    def in_the_clear(method: str) -> httpx.Response:
        line = f"{method} /api/v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
        return parsed(secure.raw(f"{line}Connection: close\r\n\r\n".encode()))

    answers = {
        "page": secure.client.get("/of-web-ui"),
        "API": secure.client.get("/api/v1/x"),
        "file": secure.client.get("/static/dist/favicon.svg"),
        "hashed file": secure.client.get("/static/dist/assets/app-1a2b3c.js"),
        "error page": secure.client.get("/metrics"),
        "problem": secure.client.get("/api/none"),
        "redirect to HTTPS": in_the_clear("GET"),
        "refused": in_the_clear("POST"),
    }
    statuses = [answer.status_code for answer in answers.values()]
    assert statuses == [200, 200, 200, 200, 404, 404, 308, 403]
    policies = {
        CONTENT_SECURITY_POLICY: "of pages",
        secure.variables.static_policy: "of files",
        secure.variables.hsts: "two years, subdomains too",
        answers["page"].headers["permissions-policy"]: "camera for pages, nothing else",
    }
    rows = [
        [name, *(shown(name, one.headers.get_list(name), policies) for one in answers.values())]
        for name in HEADERS
    ]
    for line in rows:
        if len(set(line[1:])) == 1:
            line[1:] = [line[1], *(["same"] * (len(line) - 2))]
    documented_table("headers", ("header", *answers), rows)
    documented_table(
        "policies",
        ("policy", "Content-Security-Policy"),
        [
            ["of pages", f"`{CONTENT_SECURITY_POLICY}`"],
            ["of files", f"`{secure.variables.static_policy}`"],
        ],
    )
