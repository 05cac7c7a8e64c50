"""Ed25519 keys in PEM files: made, and read with care.

One signs cards, for who publishes artifacts; another signs identities, for the door.
"""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from diagnosis.errors import KeyRefused

_MAX_KEY_BYTES = 10_000


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
