"""Signed cards: Ed25519 (RFC 8032) over the bytes of `card.json`, beside it as `card.sig`.

The seal inside a card shows damage; the signature shows who published it. The card names the
digest of every file, so a signature over the card holds for the whole artifact. A card without
one stays valid wherever no key is asked for.
"""

import base64
import binascii
import hashlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from diagnosis.errors import SignatureRefused

SIGNATURE_NAME = "card.sig"
#: 64 bytes in base64, and a line's end; anything longer is no signature.
MAX_SIGNATURE_BYTES = 200
#: Only what is signed for this purpose counts, whatever else the key is used for.
_PURPOSE = b"sightline-card-v1\n"


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
