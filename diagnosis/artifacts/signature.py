"""Signed cards: Ed25519 (RFC 8032) over the bytes of `card.json`, beside it as `card.sig`.

The seal inside a card shows damage; the signature shows who published it. The card names the
digest of every file, so a signature over the card holds for the whole artifact. A card without
one stays valid wherever no key is asked for.
"""

import base64
import binascii
import hashlib
import os
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from diagnosis.errors import KeyRefused, SignatureRefused

SIGNATURE_NAME = "card.sig"
#: 64 bytes in base64, and a line's end; anything longer is no signature.
MAX_SIGNATURE_BYTES = 200
_MAX_KEY_BYTES = 10_000
#: Only what is signed for this purpose counts, whatever else the key is used for.
_PURPOSE = b"sightline-card-v1\n"


def make_key(path: Path) -> str:
    """Make a private key at `path`, readable by its owner only; returns the public key (PEM).

    Raises:
        FileExistsError: there is a file of this name; a key is never overwritten.
        OSError: the file cannot be written; nothing is left then.
    """
    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return _pem(key.public_key())


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """The private key of a PEM file without a password.

    Raises:
        KeyRefused: it cannot be read, others may read it too, or it is no Ed25519 private key.
    """
    content = _read_key(path)
    if path.stat().st_mode & 0o077:
        raise KeyRefused(
            f"{path.name} may be read by others than its owner.",
            remedy=f"chmod 600 {path.name}; if others had access, make a new key.",
        )
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyRefused(cause=f"key: {path.name} holds no private key in PEM") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused(cause=f"key: {path.name} is not an Ed25519 key")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """The public key of a PEM file.

    Raises:
        KeyRefused: it cannot be read, or is no Ed25519 public key.
    """
    content = _read_key(path)
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyRefused(cause=f"key: {path.name} holds no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise KeyRefused(cause=f"key: {path.name} is not an Ed25519 key")
    return key


def sign(card: bytes, key: Ed25519PrivateKey) -> bytes:
    """The content of `card.sig` for the bytes of a `card.json`: base64 and a line's end."""
    return base64.b64encode(key.sign(_signed(card))) + b"\n"


def verify_signature(card: bytes, signature: bytes | None, key: Ed25519PublicKey) -> None:
    """Check that the owner of the private key signed exactly these bytes of a `card.json`.

    Args:
        card: the bytes as they were read.
        signature: the content of `card.sig`, or None where there is none.
        key: the public key that the service or the trainer trusts.

    Raises:
        SignatureRefused: there is no signature, or it is not of this card by this key.
    """
    if signature is None:
        raise SignatureRefused(cause=f"signature-missing: the artifact has no {SIGNATURE_NAME}")
    try:
        raw = base64.b64decode(signature.strip(), validate=True)
        key.verify(raw, _signed(card))
    except (InvalidSignature, binascii.Error, ValueError) as error:
        raise SignatureRefused(
            cause=f"signature-wrong: {SIGNATURE_NAME} is not of this card by the key asked for"
        ) from error


def _signed(card: bytes) -> bytes:
    return _PURPOSE + hashlib.sha256(card).digest()


def _pem(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _read_key(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise KeyRefused(
            cause=f"key: {path.name} cannot be read ({type(error).__name__})"
        ) from error
