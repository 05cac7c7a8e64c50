"""The authority of `make run TLS=1`: for this machine alone, renewed in time, private."""

import ssl
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from gateway.certificates import (
    RENEWED_WITH_DAYS_LEFT,
    SERVER_DAYS,
    TlsFiles,
    ensure_certificates,
)

NAMES = ("127.0.0.1", "localhost", "reading-room.example.org")
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def digests(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def verified(files: TlsFiles, *, name: str = "", address: str = "") -> bool:
    """Whether OpenSSL accepts the server's certificate for this name, trusting the authority."""
    wanted = ("-verify_hostname", name) if name else ("-verify_ip", address)
    checked = subprocess.run(
        [
            *("openssl", "verify", "-x509_strict", "-purpose", "sslserver", *wanted),
            *("-CAfile", files.authority, files.certificate),
        ],
        capture_output=True,
        check=False,
    )
    return checked.returncode == 0


@pytest.fixture
def files(tmp_path: Path) -> TlsFiles:
    return TlsFiles.under(tmp_path / "tls")


def test_it_is_for_these_names_and_no_others(files: TlsFiles) -> None:
    assert ensure_certificates(files.authority.parent, NAMES)
    for name in ("localhost", "reading-room.example.org"):
        assert verified(files, name=name)
    assert verified(files, address="127.0.0.1")
    assert not verified(files, name="example.org")
    assert not verified(files, address="127.0.0.2")


def test_the_authority_can_vouch_for_nothing_else(files: TlsFiles, tmp_path: Path) -> None:
    """Even with its key, nobody can make a certificate that a browser takes for another name."""
    ensure_certificates(files.authority.parent, ("127.0.0.1", "localhost"))
    request, forged = tmp_path / "request", tmp_path / "forged.pem"
    extension = tmp_path / "extension"
    extension.write_text("subjectAltName=DNS:www.example.org\nextendedKeyUsage=serverAuth\n")
    subprocess.run(
        [
            *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-subj", "/O=Forged", "-keyout", tmp_path / "key", "-out", request),
        ],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [
            *("openssl", "x509", "-req", "-in", request, "-CA", files.authority),
            *("-CAkey", files.authority_key, "-extfile", extension, "-out", forged),
        ],
        check=True,
        capture_output=True,
    )
    said = subprocess.run(
        ["openssl", "verify", "-CAfile", files.authority, forged],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode != 0
    assert "permitted subtree violation" in said.stderr


def test_only_the_owner_reads_the_keys(files: TlsFiles) -> None:
    ensure_certificates(files.authority.parent, NAMES)
    assert stat.S_IMODE(files.authority.parent.stat().st_mode) == 0o700
    for key in (files.authority_key, files.key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert {path.name for path in files.authority.parent.iterdir()} == {
        *("ca.pem", "ca.key", "server.pem", "server.key")
    }


def test_what_is_good_stays(files: TlsFiles) -> None:
    folder = files.authority.parent
    assert ensure_certificates(folder, NAMES, NOW)
    before = digests(folder)
    later = NOW + timedelta(days=SERVER_DAYS - RENEWED_WITH_DAYS_LEFT - 1)
    assert not ensure_certificates(folder, tuple(reversed(NAMES)), later)
    assert digests(folder) == before


def test_the_certificate_is_renewed_before_it_ends_and_the_authority_stays(
    files: TlsFiles,
) -> None:
    folder = files.authority.parent
    ensure_certificates(folder, NAMES, NOW)
    before = digests(folder)
    later = NOW + timedelta(days=SERVER_DAYS - RENEWED_WITH_DAYS_LEFT + 1)
    assert not ensure_certificates(folder, NAMES, later)
    after = digests(folder)
    assert after["ca.pem"] == before["ca.pem"]
    assert after["server.pem"] != before["server.pem"]
    assert certificate(files.certificate).not_valid_after_utc > later + timedelta(days=300)


def test_an_authority_near_its_end_is_made_anew_and_said(files: TlsFiles) -> None:
    folder = files.authority.parent
    ensure_certificates(folder, NAMES, NOW)
    before = certificate(files.authority)
    assert ensure_certificates(folder, NAMES, NOW + timedelta(days=3650 - 100))
    assert certificate(files.authority) != before
    server = certificate(files.certificate)
    server.verify_directly_issued_by(certificate(files.authority))


def test_other_names_need_another_authority(files: TlsFiles) -> None:
    folder = files.authority.parent
    ensure_certificates(folder, NAMES)
    assert ensure_certificates(folder, (*NAMES, "second.example.org"))
    assert verified(files, name="second.example.org")


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "server.pem", "server.key"])
@pytest.mark.parametrize("damage", ["gone", "broken"])
def test_a_missing_or_broken_file_is_made_anew(files: TlsFiles, name: str, damage: str) -> None:
    folder = files.authority.parent
    ensure_certificates(folder, NAMES)
    if damage == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_text("not a certificate")
    assert ensure_certificates(folder, NAMES) is name.startswith("ca.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    assert verified(files, name="localhost")
