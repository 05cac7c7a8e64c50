"""The everyday object: VGG16 with its top, a card that claims nothing, and ten classes stored."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from diagnosis.artifacts import Registry, open_artifact
from diagnosis.artifacts.card import Evaluation
from diagnosis.contracts import Interval
from trainer import everyday
from trainer.cli import app
from trainer.publish import publish
from trainer.refusals import RecipeRefused, TrainerRefused
from trainer.runtime import keras
from trainer.settings import Settings

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def class_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("index") / "imagenet_class_index.json"
    named = {str(n): [f"n{n:08}", f"great_thing_{n}"] for n in range(1000)}
    path.write_text(json.dumps(named))
    return path


def tiny(_weights: Path | None) -> Any:
    """A network with a thousand logits in VGG16's place."""
    layers = keras().layers
    return keras().Sequential(
        [
            layers.Input((224, 224, 3)),
            layers.AveragePooling2D(32),
            layers.Flatten(),
            layers.Dense(1000),
        ]
    )


def test_vgg16_gives_a_thousand_logits() -> None:
    network = everyday.vgg16(None, side=32)
    assert network.output_shape == (None, 1000)
    assert network.layers[-1].get_config()["activation"] == "linear"
    dense = [one.units for one in network.layers if isinstance(one, keras().layers.Dense)]
    assert dense == [4096, 4096, 1000]
    outputs = np.asarray(network(np.ones((1, 32, 32, 3), np.float32)))
    assert np.isfinite(outputs).all()


def test_the_candidate_is_published_and_its_card_claims_nothing(
    tmp_path: Path, settings: Settings, class_index: Path
) -> None:
    weights = tmp_path / "vgg16.h5"
    run = everyday.make(tmp_path / "run", weights, class_index, build=tiny)
    registry = Registry(tmp_path / "registry")
    done = publish(run, registry, settings)
    registry.promote("everyday_object", done.card.version)
    card = open_artifact(done.folder).card
    assert len(card.classes) == 1000
    assert (card.classes[7].id, card.classes[7].name) == ("n00000007", "great thing 7")
    assert (card.evaluation.images, card.evaluation.figures) == (0, {})
    assert card.training.images == 0
    assert "Nothing was measured" in card.evaluation.dataset
    assert "not calibrated" in card.calibration.fitted_on
    assert set(card.conformal.quantiles.values()) == {1.0}
    assert card.files.ir_xml is not None
    with pytest.raises(TrainerRefused, match="exists already"):
        everyday.make(run, weights, class_index, build=tiny)


def test_a_card_cannot_hold_figures_that_were_measured_on_no_image() -> None:
    one = Interval(value=0.9, low=0.8, high=1.0)
    with pytest.raises(ValueError, match="measured on no image"):
        Evaluation(dataset="none", images=0, groups=0, per_class={}, figures={"auc": one})


def test_classes_are_named_by_the_index_by_keras_or_by_their_numbers(
    tmp_path: Path, class_index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbered = everyday.class_names(None, downloaded=False)
    assert [numbered[3].id, numbered[3].name] == ["imagenet_3", "ImageNet class 3"]
    index = [(f"n{n:08}", f"thing_{n}") for n in range(1000)]

    def decoded(values: Any, top: int) -> Any:
        order = np.argsort(-values[0], kind="stable")[:top]
        return [[(*index[place], values[0][place]) for place in order]]

    tools = keras().applications.imagenet_utils
    monkeypatch.setattr(tools, "decode_predictions", decoded)
    assert [one.name for one in everyday.class_names(None, downloaded=True)] == [
        f"thing {n}" for n in range(1000)
    ]

    def no_internet(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure")  # noqa: TRY002

    monkeypatch.setattr(tools, "decode_predictions", no_internet)
    with pytest.raises(RecipeRefused, match="--class-index"):
        everyday.class_names(None, downloaded=True)
    for text in ("[]", "{}", '{"0": 3}', "text", "[" * 100_000):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(RecipeRefused, match="is not Keras's imagenet_class_index"):
            everyday.class_names(tmp_path / "bad.json", downloaded=False)


def test_weights_that_are_not_there_are_refused(tmp_path: Path) -> None:
    command = ["make-everyday-object", "--weights", str(tmp_path / "none.h5"), "--out"]
    result = CliRunner().invoke(app, [*command, str(tmp_path / "run")])
    assert result.exit_code == 2
    assert "do not exist" in result.output
    assert list(tmp_path.iterdir()) == []
