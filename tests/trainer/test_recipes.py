"""Every recipe: builds, is accepted by the loader's closed list, and answers alike in OpenVINO.

The faults of earlier systems are looked for in the networks of `keras.applications` too: their own
preprocessing, batch norms in inference mode, random layers never frozen, no mirrored chest.
"""

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diagnosis.artifacts import inspect_keras
from diagnosis.catalogue import catalogue, disease
from tests.trainer.conftest import train_eagerly
from trainer.augment import usable
from trainer.backbones import applications
from trainer.backbones.applications import Application
from trainer.engine import compile_ir
from trainer.fitting import set_trainable
from trainer.recipes import Built, Descent, Order, load, names
from trainer.recipes.resnet50 import UNFROZEN
from trainer.refusals import RecipeRefused
from trainer.runtime import keras, openvino

pytestmark = [
    # TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # The conversion passes its one input in a tuple, on which Keras remarks.
    pytest.mark.filterwarnings("ignore:[\\s\\S]*The structure of `inputs`:UserWarning"),
]
LESIONS = disease("skin_lesion")
#: The cheapest to convert that differ most: a branch that is enlarged again, wide dense layers.
CONVERTED = {"residual_attention", "vgg16"}
APPLICATIONS = {
    one: getattr(applications, one)
    for one in ("RESNET50", "VGG16", "MOBILENET_V3", "DENSENET121", "EFFICIENTNET_V2_B0")
}


def made(name: str, weights: Path | None = None) -> Built:
    recipe = load(name, LESIONS, laptop=True)
    return recipe.build(Order(recipe.input, len(LESIONS.classes), weights))


def answers(model: Any, inputs: Any) -> Any:
    return np.asarray(model(inputs, training=False))


@pytest.mark.parametrize("name", names())
def test_every_recipe_builds_logits_and_is_accepted_when_saved(
    name: str, tmp_path: Path, weights_file: Path
) -> None:
    needs_file = load(name, LESIONS).weights_named
    built = made(name, weights_file if needs_file else None)
    shape = load(name, LESIONS, laptop=True).input
    assert built.model.input_shape == (None, shape.height, shape.width, shape.channels)
    assert built.model.output_shape == (None, len(LESIONS.classes))
    assert built.model.layers[-1].get_config()["activation"] == "linear"
    assert built.pretrained <= {layer.name for layer in built.model.layers}
    # Published networks have one of .99 or .999: a short training would never fill them.
    norms = [
        one for one in built.model.layers if isinstance(one, keras().layers.BatchNormalization)
    ]
    assert all(one.momentum <= 0.9 for one in norms if one.name not in built.pretrained)
    built.model.save(tmp_path / "model.keras")
    inspect_keras((tmp_path / "model.keras").read_bytes())
    if name in CONVERTED:
        one = np.random.default_rng(0).normal(0, 1, (2, *built.model.input_shape[1:]))
        inputs = one.astype(np.float32)
        ov = openvino()
        converted = ov.convert_model(built.model, input=[[-1, *built.model.input_shape[1:]]])
        ov.save_model(converted, tmp_path / "model.xml", compress_to_fp16=False)
        xml, weights = ((tmp_path / f"model.{end}").read_bytes() for end in ("xml", "bin"))
        network = compile_ir(xml, weights, "f32")
        expected = answers(built.model, inputs)
        assert np.abs(expected[0] - expected[1]).max() > 1e-4, "it answers to the image"
        assert network(inputs) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", names())
def test_every_recipe_says_what_it_is_for(name: str) -> None:
    text = importlib.import_module(f"trainer.recipes.{name}").__doc__ or ""
    for word in ("Purpose:", "xpected", f"--recipe {name}"):
        assert word in text
    whole = load(name, LESIONS)
    assert whole.name == name
    assert whole.input.height > load(name, LESIONS, laptop=True).input.height


@pytest.mark.parametrize("name", names())
def test_no_recipe_mirrors_a_chest(name: str) -> None:
    chests = [one for one in catalogue().values() if one.modality == "chest X-ray"]
    assert chests
    for one in chests:
        used = usable(one, load(name, one).augmentations)
        assert "rotate" in used
        assert not {"flip_horizontal", "flip_vertical", "rotate_right_angles"} & set(used)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_the_steps_of_a_card_are_keras_own_preprocessing(name: str) -> None:
    """As `preprocess_input` does it, or the network's own first layers where it does nothing."""
    application: Application = APPLICATIONS[name]
    pixels = np.random.default_rng(3).integers(0, 256, (40, 40, 3), np.uint8)
    steps = application.preprocessing(LESIONS, 40).apply(pixels)
    reference = pixels[np.newaxis].astype(np.float32)
    if application.options:
        k = keras()
        own = getattr(k.applications, application.function)(
            weights=None, include_top=False, input_shape=(40, 40, 3)
        )
        convolution = next(one for one in own.layers if isinstance(one, k.layers.Conv2D))
        reference = answers(k.Model(own.input, convolution.input), reference)
    else:
        module = {"ResNet50": "resnet50", "VGG16": "vgg16", "DenseNet121": "densenet"}
        preprocess = getattr(keras().applications, module[application.function]).preprocess_input
        reference = preprocess(reference.copy())
    expected = reference[0][..., ::-1] if application.blue_first else reference[0]
    assert steps == pytest.approx(expected, abs=2e-4)
    grey = application.preprocessing(disease("chest_xray_pneumonia"), 40).apply(pixels)
    assert grey.shape == (40, 40, 3)


@cache
def published(folder: Path) -> tuple[Any, Path]:
    """A VGG16 as Keras builds it, and its weights in a file; random, but as a file is laid out."""
    k = keras()
    k.utils.set_random_seed(5)
    own = k.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    path = folder / "vgg16_notop.weights.h5"
    own.save_weights(path)
    return own, path


@pytest.fixture(scope="module")
def vgg16_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    return published(tmp_path_factory.mktemp("published"))


def test_a_local_file_gives_keras_own_answers_to_keras_own_preprocessing(
    vgg16_file: tuple[Any, Path],
) -> None:
    own, path = vgg16_file
    built = made("vgg16", path)
    body = keras().Model(built.model.input, built.model.get_layer("flat").input)
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    ours = load("vgg16", LESIONS, laptop=True).preprocessing.apply(pixels)[np.newaxis]
    theirs = keras().applications.vgg16.preprocess_input(pixels[np.newaxis].astype(np.float32))
    expected = answers(own, theirs)
    assert expected.std() > 0
    assert answers(body, ours) == pytest.approx(expected, rel=1e-3, abs=1e-3 * expected.max())
    assert np.abs(answers(body, ours[..., ::-1]) - expected).max() > 1e-2 * expected.max()
    carrying = {layer.name for layer in own.layers if layer.weights}
    assert built.pretrained == carrying


def test_pretrained_layers_are_frozen_first_and_random_ones_never(
    vgg16_file: tuple[Any, Path],
) -> None:
    built = made("vgg16", vgg16_file[1])
    head, tuning = load("vgg16", LESIONS, laptop=True).phases
    assert isinstance(head, Descent)
    assert isinstance(tuning, Descent)
    ours = {"dense1", "dense2", "features", "head"}
    set_trainable(built, head.trainable)
    assert {one.name for one in built.model.layers if one.trainable_weights} == ours
    set_trainable(built, tuning.trainable)
    block = {f"block5_conv{number}" for number in (1, 2, 3)}
    assert {one.name for one in built.model.layers if one.trainable_weights} == ours | block
    from_scratch = made("vgg16")
    set_trainable(from_scratch, head.trainable)
    assert all(one.trainable for one in from_scratch.model.layers)


def test_resnet50_unfreezes_its_last_15_layers_but_no_batch_norm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train_eagerly(monkeypatch)
    k = keras()
    built = made("resnet50")
    layers = built.model.layers
    backbone = layers[: layers.index(built.model.get_layer("pooled"))]
    assert len(backbone) == 175
    # As if its weights had been loaded.
    pretrained = Built(built.model, frozenset(one.name for one in backbone if one.weights))
    set_trainable(pretrained, UNFROZEN)
    trained = {one.name for one in built.model.layers if one.trainable and one.weights}
    ours = {"features", "features_norm", "head"}
    assert trained - ours == {
        one.name for one in backbone[-15:] if isinstance(one, k.layers.Conv2D)
    }
    assert ours <= trained
    norm = built.model.get_layer("conv5_block3_3_bn")
    before = [np.array(one) for one in norm.get_weights()]
    inputs = np.random.default_rng(0).normal(9, 5, (4, 48, 48, 3)).astype(np.float32)
    for one in (norm, built.model.get_layer("features_norm")):
        statistics = np.array(one.moving_mean)
        built.model(inputs, training=True)
        assert np.array_equal(statistics, np.array(one.moving_mean)) == (one is norm)
    assert all(np.array_equal(a, b) for a, b in zip(before, norm.get_weights(), strict=True))
    assert built.model.losses, "the dense layer is regularised"


def test_weights_that_cannot_be_used_are_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vgg16_file: tuple[Any, Path]
) -> None:
    with pytest.raises(
        RecipeRefused, match=r"do not exist; name a file, or say --weights imagenet"
    ):
        made("vgg16", tmp_path / "none.h5")
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(RecipeRefused, match=r"is no \.h5 file"):
        made("vgg16", tmp_path / "model.pkl")
    for content in (b"text", vgg16_file[1].read_bytes()[:4000]):
        (tmp_path / "bad.h5").write_bytes(content)
        with pytest.raises(RecipeRefused, match="does not hold the weights of VGG16"):
            made("vgg16", tmp_path / "bad.h5")
    foreign = keras().Sequential([keras().layers.Input((4,)), keras().layers.Dense(2)])
    foreign.save_weights(tmp_path / "foreign.weights.h5")
    with pytest.raises(RecipeRefused, match="does not hold the weights of VGG16"):
        made("vgg16", tmp_path / "foreign.weights.h5")

    def no_internet(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure on https://example.org: no route")  # noqa: TRY002

    monkeypatch.setattr(keras().applications, "VGG16", no_internet)
    with pytest.raises(RecipeRefused, match=r"could not download .*name it with --weights"):
        made("vgg16", Path("imagenet"))
