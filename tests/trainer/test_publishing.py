"""`publish`: what is measured before an artifact is stored or run at less than 32 bit."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from diagnosis.artifacts import Registry, inspect_keras, open_artifact
from diagnosis.catalogue import disease
from inference_service.loading import loader
from tests.fixtures.artifacts import (
    PREPROCESSING,
    change_card,
    make_artifact,
    replace_keras,
    save_model,
    tiny_cnn,
    unpack,
)
from tests.fixtures.decoders import shared
from tests.fixtures.live_service import settings_in
from tests.trainer.conftest import MakeImages
from trainer.candidate import RunRecord, file_record
from trainer.data import Example
from trainer.engine import load_keras
from trainer.half import half_precision
from trainer.precision import compare
from trainer.publish import Published, publish
from trainer.refusals import PrecisionRefused, TrainerRefused
from trainer.runtime import openvino
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
        registry=str(home / "registry"), models_dir=home / "models", cache_dir=home / "cache"
    )


@pytest.fixture(scope="module")
def candidate(home: Path, make_images: MakeImages) -> Path:
    """A whole candidate that was never trained: its images are labelled as it answers.

    So its figures are perfect, and no rounding can do harm by chance.
    """
    pool = make_images(home / "pool", {"normal": 20, "pneumonia": 20})
    folder = make_artifact(home / "run", with_ir=False)
    model = tiny_cnn()
    paths = sorted(pool.rglob("*.png"))
    inputs = np.stack([PREPROCESSING.apply(np.asarray(Image.open(one))) for one in paths])
    margins = np.asarray(model(inputs)) @ [-1, 1]
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, bias + np.array([np.median(margins), 0])])
    replace_keras(folder, save_model(model))
    films = home / "films"
    # The clearest eight at each end are for validation; all others were trained on.
    for place, number in enumerate(np.argsort(margins)):
        split = "val" if place < 8 or place >= 32 else "train"
        target = films / split / ("NORMAL" if place < 20 else "PNEUMONIA") / f"{number:03}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        paths[number].rename(target)
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
    return publish(candidate, Registry(home / "registry"), kept, half=True, int8=True)


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
    # Biases too; the statistics of batch norms stay whole.
    assert kinds[False] == {"float16", "float32"}
    assert artifact.ir_xml is not None
    assert b'element_type="f16"' in artifact.ir_xml
    assert artifact.int8_xml is not None
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


def test_int8_is_compared_and_travels_only_where_it_is_asked_for_and_allowed(
    half: Published, candidate: Path, kept: Settings, tmp_path: Path
) -> None:
    artifact = open_artifact(half.folder)
    check = artifact.card.precisions["int8"]
    assert (check.images, check.allowed) == (16, True)
    assert check.largest_probability_change > 0
    assert artifact.int8_xml is not None
    assert b'element_type="i8"' in artifact.int8_xml
    service = loader(settings_in(tmp_path / "service", precision="int8"), shared())
    model = service(disease("chest_xray_pneumonia"), half.folder)
    assert model.engine.precision == "int8"
    model.engine.close()
    # Not asked for: compared all the same, and left at home.
    quiet = publish(candidate, Registry(tmp_path / "registry"), kept)
    assert quiet.card.precisions["int8"].allowed
    assert quiet.card.files.int8_xml is None
    assert not list(quiet.folder.glob("*int8*"))
    model = service(disease("chest_xray_pneumonia"), quiet.folder)
    assert model.engine.precision == "f32"
    model.engine.close()


def test_an_8_bit_graph_that_answers_otherwise_here_is_passed_over_for_f32(
    half: Published, tmp_path: Path
) -> None:
    """As on a processor that adds 8-bit products up in another way."""
    other = make_artifact(tmp_path / "other", seed=7)
    folder = tmp_path / "swapped"
    shutil.copytree(half.folder, folder)
    records = {}
    for part, source in (("xml", "model.xml"), ("bin", "model.bin")):
        path = folder / f"model_int8.{part}"
        path.write_bytes((other / source).read_bytes())
        records[f"int8_{part}"] = file_record(path)
    change_card(
        folder,
        lambda card: card.model_copy(update={"files": card.files.model_copy(update=records)}),
    )
    service = loader(settings_in(tmp_path / "service", precision="int8"), shared())
    model = service(disease("chest_xray_pneumonia"), folder)
    assert model.engine.precision == "f32"
    model.engine.close()


def test_a_processor_without_bf16_publishes_and_does_not_allow_it(
    candidate: Path, kept: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There OpenVINO passes the wish over and computes at f32: nothing would be compared."""
    compiled = openvino().CompiledModel
    asked = compiled.get_property
    monkeypatch.setattr(
        compiled,
        "get_property",
        lambda self, name: (
            openvino().Type.f32 if name == "INFERENCE_PRECISION_HINT" else asked(self, name)
        ),
    )
    lines: list[str] = []
    done = publish(candidate, Registry(tmp_path / "registry"), kept, lines.append)
    assert set(done.card.precisions) == {"int8"}
    assert any("does not compute at bf16" in line for line in lines)


@pytest.mark.parametrize(
    ("wrong", "allowed"), [(0, True), (1, True), (2, False)], ids=["none", "0.5 %", "1 %"]
)
def test_a_precision_is_allowed_by_what_it_changes(
    candidate: Path, wrong: int, allowed: bool
) -> None:
    """Of 200 images: one flipped decision is allowed, two are not; an AUC loss is neither."""
    card = open_artifact(candidate).card
    examples = tuple(
        Example(Path(f"{number}.png"), "pneumonia" if number % 2 else "normal", "", str(number))
        for number in range(200)
    )
    sign = np.where(np.arange(200) % 2, 1.0, -1.0)
    high = np.stack([-sign, sign], axis=1).astype(np.float32)
    low = high.copy()
    low[:wrong] *= -0.01
    check = compare(card, examples, high, low)
    assert (check.flipped_decisions, check.allowed) == (wrong, allowed)
    assert check.auc_change <= 0
    worse = high.copy()
    # One image far on the wrong side of all others: an AUC loss of 0.01, one flip.
    worse[0] *= -5
    assert not compare(card, examples, high, worse).allowed


def test_the_quantiser_sends_nothing_and_brings_no_torch(tmp_path: Path) -> None:
    """In a process of its own: under pytest NNCF switches its telemetry off by itself."""
    code = """
import sys
from trainer.runtime import nncf
nncf()
from nncf.telemetry import wrapper
assert not isinstance(wrapper.telemetry, getattr(wrapper, "NNCFTelemetry", ()))
assert sys.modules["openvino_telemetry"] is None
assert not {"torch", "tensorflow"} & set(sys.modules)
"""
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert not list(tmp_path.iterdir())
