"""Signed cards: what is signed stays usable; what is not is refused where a key is asked for."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from diagnosis.artifacts import (
    Registry,
    open_artifact,
    sign,
)
from diagnosis.errors import KeyRefused, SignatureRefused
from diagnosis.keys import make_key, read_private_key, read_public_key
from tests.fixtures.artifacts import change_card, variant

CHEST = "chest_xray_pneumonia"


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    public.write_text(make_key(private))
    return private, public


def signed(folder: Path, private: Path) -> Path:
    card = (folder / "card.json").read_bytes()
    (folder / "card.sig").write_bytes(sign(card, read_private_key(private)))
    return folder


def test_a_signed_artifact_goes_through_the_registry_whole(
    tiny_artifact: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    private, public = keys
    key = read_public_key(public)
    folder = signed(variant(tiny_artifact, tmp_path / "v1", version="1"), private)
    registry = Registry(tmp_path / "registry", key)
    registry.publish(folder)
    registry.promote(CHEST, "1")
    there = registry.folder(CHEST, "1")
    assert open_artifact(there, key).signature == (folder / "card.sig").read_bytes()
    assert (there / "card.json").read_bytes() == (folder / "card.json").read_bytes()
    # A signature asks nothing of those who have no key.
    assert open_artifact(there).card.version == "1"


def test_an_unsigned_artifact_is_refused_only_where_a_key_is_asked_for(
    tiny_artifact: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    key = read_public_key(keys[1])
    with pytest.raises(SignatureRefused) as refused:
        open_artifact(tiny_artifact, key)
    assert "signature-missing" in str(refused.value.cause)
    Registry(tmp_path / "registry").publish(tiny_artifact)
    asking = Registry(tmp_path / "registry", key)
    with pytest.raises(SignatureRefused):
        asking.promote(CHEST, "1")
    assert asking.state(CHEST).live is None


def test_a_card_sealed_anew_by_another_is_refused(
    tiny_artifact: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    """The seal does not notice; the signature does."""
    folder = signed(variant(tiny_artifact, tmp_path / "v1", version="1"), keys[0])
    change_card(folder, lambda card: card.model_copy(update={"summary": "Perfect."}))
    assert open_artifact(folder).card.summary == "Perfect."
    with pytest.raises(SignatureRefused) as refused:
        open_artifact(folder, read_public_key(keys[1]))
    assert "signature-wrong" in str(refused.value.cause)


def test_the_signature_of_another_key_is_refused(
    tiny_artifact: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    make_key(tmp_path / "other.pem")
    folder = signed(variant(tiny_artifact, tmp_path / "v1", version="1"), tmp_path / "other.pem")
    with pytest.raises(SignatureRefused):
        open_artifact(folder, read_public_key(keys[1]))


@pytest.mark.parametrize("content", [b"", b"AAAA", b"\xff\xfe", b"not base64!"])
def test_what_is_no_signature_is_refused(
    tiny_artifact: Path, tmp_path: Path, keys: tuple[Path, Path], content: bytes
) -> None:
    folder = variant(tiny_artifact, tmp_path / "v1", version="1")
    (folder / "card.sig").write_bytes(content)
    with pytest.raises(SignatureRefused):
        open_artifact(folder, read_public_key(keys[1]))


def test_a_private_key_is_its_owners_and_is_never_overwritten(keys: tuple[Path, Path]) -> None:
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    before = private.read_bytes()
    with pytest.raises(FileExistsError):
        make_key(private)
    assert private.read_bytes() == before
    private.chmod(0o644)
    with pytest.raises(KeyRefused, match="others"):
        read_private_key(private)
    assert b"PRIVATE" not in public.read_bytes()


def test_what_is_no_key_of_this_kind_is_refused(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    other = tmp_path / "curve.pem"
    other.write_bytes(
        generate_private_key(SECP256R1()).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    other.chmod(0o600)
    public.chmod(0o600)
    for path in (other, public, tmp_path / "missing"):
        with pytest.raises(KeyRefused):
            read_private_key(path)
    for path in (other, private, tmp_path / "missing"):
        with pytest.raises(KeyRefused):
            read_public_key(path)
