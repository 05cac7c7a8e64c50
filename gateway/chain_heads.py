"""Signed heads: at a time, the chain ended with this record, says the gateway's key.

A chain alone does not show that its end was cut off. A head does: the record that it names must
be there, with its hash. Heads are signed within a minute of a record, at each export and when the
chainer stops, and an export carries one away, out of the reach of whoever can write here.
"""

import base64
import binascii
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gateway.chain import Record, canonical, lines_forwards

HEADS = "heads.jsonl"

#: Only what is signed for this purpose counts, whatever else the key is used for.
_PURPOSE = b"sightline-audit-head-v1\n"


@dataclass(frozen=True)
class Head:
    """The end of the chain at a time."""

    at: str
    """ISO 8601, UTC."""
    seq: int
    hash: str
    signature: str
    """Ed25519, in base64."""

    @classmethod
    def sign(cls, last: Record, at: datetime, key: Ed25519PrivateKey) -> Self:
        """The head of a chain that ends with this record now."""
        when = at.isoformat(timespec="seconds")
        signature = key.sign(_signed(when, last.seq, last.hash))
        return cls(when, last.seq, last.hash, base64.b64encode(signature).decode())

    @classmethod
    def read(cls, line: bytes) -> "Head | None":
        """The head of a line; None where it is not exactly what `line` writes."""
        try:
            content = json.loads(line)
            head = cls(**content)
        except (ValueError, TypeError, RecursionError):
            return None
        fits = type(head.seq) is int and all(
            isinstance(one, str) for one in (head.at, head.hash, head.signature)
        )
        return head if fits and canonical(content) == line else None

    def line(self) -> bytes:
        """The head as its file holds it, without the line's end."""
        return canonical(vars(self))

    def is_signed_by(self, keys: Sequence[Ed25519PublicKey]) -> bool:
        """Whether one of these keys signed exactly this."""
        return any(self._is_signed_by(key) for key in keys)

    def _is_signed_by(self, key: Ed25519PublicKey) -> bool:
        try:
            raw = base64.b64decode(self.signature, validate=True)
            key.verify(raw, _signed(self.at, self.seq, self.hash))
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def add_head(folder: Path, head: Head) -> None:
    """Write a head down, durably, after those that are there.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(
        folder / HEADS, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        # One write, so that the chainer's and an export's do not mix.
        os.write(descriptor, head.line() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_heads(folder: Path) -> list[tuple[int, Head | None]]:
    """The heads that were written down, each with the number of its line; None for a line that is
    none."""
    path = folder / HEADS
    if not path.exists():
        return []
    return [
        (number, Head.read(line.removesuffix(b"\n")))
        for number, line in enumerate(lines_forwards(path), start=1)
    ]


def _signed(at: str, seq: int, digest: str) -> bytes:
    content: dict[str, Any] = {"at": at, "seq": seq, "hash": digest}
    return _PURPOSE + canonical(content)
