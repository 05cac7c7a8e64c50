"""`publish`: what is measured before an artifact is stored or run at less than 32 bit."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from diagnosis.artifacts import Registry, inspect_keras, open_artifact
from tests.fixtures.artifacts import make_artifact, replace_keras, save_model, tiny_cnn, unpack
from tests.trainer.conftest import MakeImages
from trainer.candidate import RunRecord
from trainer.engine import load_keras
from trainer.half import half_precision
from trainer.publish import Published, publish
from trainer.refusals import PrecisionRefused, TrainerRefused
from trainer.settings import Settings

pytestmark = [
    pytest.mark.xdist_group("trainer-commands"),
    # TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("publishing")


@pytest.fixture(scope="module")
def kept(home: Path) -> Settings:
    return Settings(
        registry_dir=home / "registry", models_dir=home / "models", cache_dir=home / "cache"
    )


@pytest.fixture(scope="module")
def candidate(home: Path, make_images: MakeImages) -> Path:
    """A whole candidate with its validation images, though nothing was trained."""
    films = make_images(home / "films", {"val/NORMAL": 8, "val/PNEUMONIA": 8})
    folder = make_artifact(home / "run", with_ir=False)
    record = RunRecord(
        data=str(films),
        manifest=None,
        recipe="tiny",
        seed=0,
        val=tuple(str(one) for one in sorted(films.glob("val/*/*.png"))),
    )
    record.write(folder)
    return folder


def without_images(candidate: Path, folder: Path) -> Path:
    """The same candidate, whose validation images have gone."""
    folder.mkdir()
    for path in candidate.rglob("*"):
        target = folder / path.relative_to(candidate)
        if path.is_file():
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    found = RunRecord.read(candidate)
    assert found is not None
    replace(found, data=str(folder / "gone")).write(folder)
    return folder


@pytest.fixture(scope="module")
def half(home: Path, kept: Settings, candidate: Path) -> Published:
    return publish(candidate, Registry(home / "registry"), kept, half=True)


def test_half_precision_rounds_kernels_and_nothing_else() -> None:
    whole = save_model(tiny_cnn())
    halved = half_precision(whole)
    inspect_keras(halved)
    assert halved == half_precision(whole)
    before, after = load_keras(whole), load_keras(halved)
    for one, other in zip(before.get_weights(), after.get_weights(), strict=True):
        assert other.dtype == np.float32
        expected = one.astype(np.float16).astype(np.float32) if one.ndim > 1 else one
        np.testing.assert_array_equal(other, expected)
    assert any((one.astype(np.float16) != one).any() for one in before.get_weights())


def test_a_weight_too_large_for_half_precision_is_refused() -> None:
    model = tiny_cnn()
    model.set_weights([one * 1e8 if one.ndim > 1 else one for one in model.get_weights()])
    with pytest.raises(TrainerRefused, match="above 65,504"):
        half_precision(save_model(model))


def test_a_half_artifact_is_small_opens_and_says_what_rounding_changed(
    half: Published, candidate: Path, tmp_path: Path
) -> None:
    artifact = open_artifact(half.folder)
    check = artifact.card.half_precision_storage
    assert check is not None
    assert (check.images, check.allowed) == (16, True)
    assert 0 < check.largest_probability_change <= 5e-3
    path = tmp_path / "model.weights.h5"
    path.write_bytes(unpack(artifact.keras)["model.weights.h5"])
    kinds: dict[bool, set[str]] = {True: set(), False: set()}
    with h5py.File(path) as file:
        file.visititems(
            lambda _, one: (
                kinds[one.ndim > 1].add(str(one.dtype)) if isinstance(one, h5py.Dataset) else None
            )
        )
    assert kinds[True] == {"float16"}
    assert "float16" not in kinds[False]
    assert artifact.ir_xml is not None
    assert b'element_type="f16"' in artifact.ir_xml
    # What the card holds as golden is the answer of the stored model, not of the candidate's.
    assert artifact.digest != open_artifact(candidate).digest


def test_half_precision_that_changes_answers_is_refused_and_nothing_is_published(
    home: Path, kept: Settings, candidate: Path, tmp_path: Path
) -> None:
    folder = without_images(candidate, tmp_path / "run")
    with pytest.raises(PrecisionRefused, match="validation images are not there"):
        publish(folder, Registry(tmp_path / "none"), kept, half=True)
    # Two columns that half precision cannot tell apart, and on whose difference all depends.
    record = RunRecord.read(candidate)
    assert record is not None
    record.write(folder)
    model = tiny_cnn()
    head = model.get_layer("logits")
    columns = np.ones(head.kernel.shape, np.float32) * np.float32([32 * 1.0004, 32])
    head.set_weights([columns, np.zeros(2)])
    replace_keras(folder, save_model(model))
    with pytest.raises(PrecisionRefused, match="Half precision changes a probability by"):
        publish(folder, Registry(tmp_path / "none"), kept, half=True)
    assert not list((tmp_path / "none").rglob("card.json"))
