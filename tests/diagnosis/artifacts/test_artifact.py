"""An artifact's folder: read once, verified against its card, or refused with the reason."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from diagnosis.artifacts import check_against, open_artifact
from diagnosis.artifacts.card import Card, CardClass
from diagnosis.artifacts.ir import inspect_ir
from diagnosis.catalogue import disease
from diagnosis.errors import ArtifactRefused, CardRefused, DigestMismatch, FormatRefused
from tests.diagnosis.artifacts.hostile import with_config
from tests.fixtures.artifacts import change_card, digest, replace_keras


@pytest.fixture
def folder(tiny_artifact: Path, tmp_path: Path) -> Path:
    """A copy of the good artifact, to be spoiled."""
    return Path(shutil.copytree(tiny_artifact, tmp_path / "artifact"))


def test_a_good_artifact_comes_out_as_verified_bytes(folder: Path) -> None:
    artifact = open_artifact(folder)
    shutil.rmtree(folder)
    assert digest(artifact.keras) == artifact.digest
    assert artifact.ir_xml is not None
    assert artifact.ir_xml.startswith(b"<?xml")
    assert artifact.ir_bin
    assert {one.file for one in artifact.card.demo_images} == set(artifact.demo_images)
    check_against(artifact.card, disease("chest_xray_pneumonia"))


def _append(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes() + b"x")


def _same_size(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[-1] ^= 1
        (folder / name).write_bytes(content)

    return change


def _link(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return change


def _pipe(folder: Path) -> None:
    (folder / "model.keras").unlink()
    os.mkfifo(folder / "model.keras")


def _named(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        def rename(card: Card) -> Card:
            record = card.files.keras.model_copy(update={"name": name})
            return card.model_copy(
                update={"files": card.files.model_copy(update={"keras": record})}
            )

        change_card(folder, rename)

    return change


def _other_folder(name: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        (folder / "card.json").unlink()
        (folder / name).write_bytes(b"x")

    return change


def _same_names(folder: Path) -> None:
    def change(card: Card) -> Card:
        return card.model_copy(
            update={"files": card.files.model_copy(update={"ir_xml": card.files.ir_bin})}
        )

    change_card(folder, change)


def _promise_more(folder: Path) -> None:
    path = folder / "card.json"
    text = path.read_text()
    start = text.index('"operating_points"')
    threshold = text.index('"threshold": 0.', start) + len('"threshold": 0.')
    path.write_text(text[:threshold] + "0" + text[threshold:])


def _unseal(folder: Path) -> None:
    content = json.loads((folder / "card.json").read_text())
    del content["seal"]
    (folder / "card.json").write_text(json.dumps(content))


CASES: dict[str, tuple[type[ArtifactRefused], str, Callable[[Path], object]]] = {
    "model changed": (DigestMismatch, "digest", _same_size("model.keras")),
    "model longer": (DigestMismatch, "file-size", _append("model.keras")),
    "model missing": (DigestMismatch, "file-unreadable", lambda f: (f / "model.keras").unlink()),
    "model a link": (DigestMismatch, "file-unreadable", _link("model.keras")),
    "model a pipe": (DigestMismatch, "file-not-regular", _pipe),
    "IR changed": (DigestMismatch, "digest", _same_size("model.xml")),
    "constants changed": (DigestMismatch, "digest", _same_size("model.bin")),
    "demo image changed": (DigestMismatch, "digest", _same_size("demo/demo-0.png")),
    "card changed": (DigestMismatch, "card-seal", _promise_more),
    "card unsealed": (DigestMismatch, "card-seal", _unseal),
    "card missing": (CardRefused, "card-missing", lambda f: (f / "card.json").unlink()),
    "card a link": (CardRefused, "card-missing", _link("card.json")),
    "one name twice": (CardRefused, "card-names", _same_names),
    "weights of Keras 2": (FormatRefused, "format-name", _named("model.h5")),
    "pickle": (FormatRefused, "format-name", _named("model.pkl")),
    "HDF5 without card": (FormatRefused, "format-other", _other_folder("vgg16.h5")),
    "SavedModel": (FormatRefused, "format-other", _other_folder("saved_model.pb")),
    "PyTorch": (FormatRefused, "format-other", _other_folder("model.pt")),
}


@pytest.mark.parametrize(("error", "rule", "spoil"), CASES.values(), ids=CASES)
def test_a_spoiled_artifact_is_refused(
    folder: Path, error: type[ArtifactRefused], rule: str, spoil: Callable[[Path], object]
) -> None:
    spoil(folder)
    with pytest.raises(error) as refused:
        open_artifact(folder)
    assert str(refused.value.cause).startswith(f"{rule}: ")


def test_a_card_that_vouches_for_a_hostile_model_does_not_help(folder: Path) -> None:
    hostile = with_config(
        (folder / "model.keras").read_bytes(),
        lambda config: config["config"]["layers"][1].update(class_name="Lambda"),
    )
    replace_keras(folder, hostile)
    with pytest.raises(ArtifactRefused, match="config-class"):
        open_artifact(folder)


def test_a_card_must_fit_the_catalogue(tiny_artifact: Path) -> None:
    card = open_artifact(tiny_artifact).card
    chest = disease("chest_xray_pneumonia")
    with pytest.raises(CardRefused, match="catalogue-disease"):
        check_against(card, disease("malaria_cell"))
    turned = card.model_copy(update={"classes": card.classes[::-1]})
    with pytest.raises(CardRefused, match="catalogue-classes"):
        check_against(turned, chest)
    more = (*card.classes, CardClass(id="other", name="Other"))
    with pytest.raises(CardRefused, match="catalogue-classes"):
        check_against(card.model_copy(update={"classes": more}), chest)
    with pytest.raises(CardRefused, match="catalogue-finding"):
        check_against(card.model_copy(update={"finding": "normal"}), chest)


def test_a_disease_with_open_classes_takes_those_of_the_artifact(tiny_artifact: Path) -> None:
    card = open_artifact(tiny_artifact).card.model_copy(
        update={"disease": "everyday_object", "finding": None}
    )
    check_against(card, disease("everyday_object"))
    with pytest.raises(CardRefused, match="catalogue-finding"):
        check_against(card.model_copy(update={"finding": "normal"}), disease("everyday_object"))


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("ir-xml", lambda xml: xml[:-20]),
        ("ir-network", lambda xml: b"<graph/>"),
        ("ir-network", lambda xml: b"<net/>"),
        ("ir-doctype", lambda xml: b'<!DOCTYPE net [<!ENTITY a "b">]>' + xml.split(b"?>", 1)[1]),
        ("ir-operation", lambda xml: xml.replace(b'version="opset1"', b'version="extension"')),
        ("ir-constant", lambda xml: xml.replace(b'offset="0"', b'offset="99999999"')),
        ("ir-constant", lambda xml: xml.replace(b'offset="0"', b'offset="-1"')),
    ],
)
def test_an_odd_ir_is_refused(
    tiny_artifact: Path, rule: str, change: Callable[[bytes], bytes]
) -> None:
    xml = (tiny_artifact / "model.xml").read_bytes()
    constants = (tiny_artifact / "model.bin").read_bytes()
    inspect_ir(xml, constants)
    with pytest.raises(ArtifactRefused, match=rf"\({rule}: "):
        inspect_ir(change(xml), constants)
