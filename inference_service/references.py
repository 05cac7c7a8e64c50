"""The keyed hash that stands in for a patient reference, and the key's file."""

import contextlib
import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

import structlog

KEY_BYTES = 32

log = structlog.get_logger("inference_service")


class PatientReferences:
    """Hashes references with the key in `path`, which is made where it is missing.

    Without the key nobody can find out by trying which patient a reading is of.

    Raises:
        OSError: the file can be neither read nor made.
        ValueError: it holds no key.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _make_key(path)
        self._key = path.read_bytes().strip()
        if len(self._key) < KEY_BYTES:
            raise ValueError(f"the patient reference key file holds less than {KEY_BYTES} bytes")
        if path.stat().st_mode & 0o077:
            log.warning("key", cause="others may read the patient reference key: chmod 600 it")

    def hashed(self, reference: str, unit: str) -> str:
        """HMAC-SHA256 in hexadecimal; the same reference differs from unit to unit."""
        message = f"{unit}\0{reference}".encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()


def _make_key(path: Path) -> None:
    """Write a new key, whole or not at all, for its owner's eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp makes the file with mode 600.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # Where another process was quicker, its key is the key.
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        Path(name).unlink()
