"""The key that identities are signed with: made at the first start, the gateway's alone."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from diagnosis.keys import make_key, read_private_key


def ensure_key(private: Path, public: Path) -> Ed25519PrivateKey:
    """The private key at `private`, made where there is none; its public key is put at `public`.

    Raises:
        KeyRefused: the private key is there and cannot be used.
    """
    try:
        private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_key(private)
    except FileExistsError:
        pass
    key = read_private_key(private)
    text = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if not public.is_file() or public.read_bytes() != text:
        public.write_bytes(text)
    return key
