"""A certificate authority of one's own, for TLS on the machine where `make run` runs.

The authority may vouch for this machine's names and no others (name constraints), so that whoever
trusts it trusts it with nothing else. Both are made where they are missing, and anew before they
end or when other names are asked for.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from diagnosis.durable import replace_file

AUTHORITY_DAYS = 3650
SERVER_DAYS = 365
#: At a start with fewer days left, a certificate is made anew; a longer run ends it.
RENEWED_WITH_DAYS_LEFT = 90

#: Clocks differ.
_BACKDATED = timedelta(hours=1)


@dataclass(frozen=True)
class TlsFiles:
    """Where the files lie: what to trust, and what the proxy shows and signs with."""

    authority: Path
    authority_key: Path
    certificate: Path
    key: Path

    @classmethod
    def under(cls, folder: Path) -> "TlsFiles":
        """The places in this folder. Nothing is created yet."""
        return cls(
            authority=folder / "ca.pem",
            authority_key=folder / "ca.key",
            certificate=folder / "server.pem",
            key=folder / "server.key",
        )


def ensure_certificates(folder: Path, names: Sequence[str], now: datetime | None = None) -> bool:
    """Make sure that `folder` holds a certificate for these names that is good for a while.

    Args:
        names: host names and IP addresses, as a browser is given them.
        now: the time to count from; the present by default.

    Returns:
        True where the authority is new, so that it has to be trusted anew.
    """
    now = now or datetime.now(UTC)
    files = TlsFiles.under(folder)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority = _read(files.authority, files.authority_key)
    new = authority is None or not _is_good(authority.certificate, names, now, SERVER_DAYS)
    if authority is None or new:
        authority = _make_authority(names, now)
        _write(files.authority_key, authority.key_bytes())
        _write(files.authority, authority.certificate.public_bytes(Encoding.PEM))
    server = _read(files.certificate, files.key)
    if (
        server is None
        or not server.issued_by(authority)
        or not _is_good(server.certificate, names, now, RENEWED_WITH_DAYS_LEFT)
    ):
        server = _make_server(names, authority, now)
        _write(files.key, server.key_bytes())
        _write(files.certificate, server.certificate.public_bytes(Encoding.PEM))
    return new


@dataclass(frozen=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def key_bytes(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def issued_by(self, authority: "_Pair") -> bool:
        try:
            self.certificate.verify_directly_issued_by(authority.certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def _read(certificate: Path, key: Path) -> _Pair | None:
    """The pair in these files; None where it is missing, broken or not one pair."""
    try:
        shown = x509.load_pem_x509_certificate(certificate.read_bytes())
        held = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None
    if not isinstance(held, ec.EllipticCurvePrivateKey):
        return None
    return _Pair(shown, held) if held.public_key() == shown.public_key() else None


def _is_good(
    certificate: x509.Certificate, names: Sequence[str], now: datetime, days_left: int
) -> bool:
    """Whether it is for exactly these names and has more than so many days left."""
    if certificate.not_valid_before_utc > now:
        return False
    if certificate.not_valid_after_utc - now <= timedelta(days=days_left):
        return False
    wanted = set(_general_names(names))
    constraints = [
        one.value.permitted_subtrees or []
        for one in certificate.extensions
        if isinstance(one.value, x509.NameConstraints)
    ]
    if constraints:
        return set(constraints[0]) == {_subtree(one) for one in wanted}
    alternatives = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(alternatives.value) == wanted


def _general_names(names: Sequence[str]) -> list[x509.DNSName | x509.IPAddress]:
    found: list[x509.DNSName | x509.IPAddress] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name.strip("[]"))))
        except ValueError:
            found.append(x509.DNSName(name.lower()))
    return found


def _subtree(name: x509.DNSName | x509.IPAddress) -> x509.DNSName | x509.IPAddress:
    """The narrowest constraint that permits this name."""
    if isinstance(name, x509.IPAddress):
        return x509.IPAddress(ipaddress.ip_network(str(name.value)))
    return name


def _named(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Sightline"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _make_authority(names: Sequence[str], now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    # The time tells one authority from an earlier one in a browser's list.
    subject = _named(f"Sightline on this machine, {now:%Y-%m-%d %H:%M:%S}")
    certificate = (
        _builder(subject, key, now, AUTHORITY_DAYS)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(
            x509.NameConstraints([_subtree(name) for name in _general_names(names)], None),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return _Pair(certificate, key)


def _make_server(names: Sequence[str], authority: _Pair, now: datetime) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.key.public_key()
    certificate = (
        _builder(_named("Sightline"), key, now, SERVER_DAYS)
        .issuer_name(authority.certificate.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        .sign(authority.key, hashes.SHA256())
    )
    return _Pair(certificate, key)


def _key_usage(**used: bool) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in every})


def _write(path: Path, text: bytes) -> None:
    """Put a file in place whole, for its owner alone, keys and certificates alike."""
    replace_file(path, text, private=True)
