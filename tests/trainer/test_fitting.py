"""The faults that made earlier models call everything positive, each kept out by a test."""

from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from diagnosis.artifacts.card import Input
from diagnosis.catalogue import disease
from trainer.backbones import squeezenet
from trainer.batches import Batches, Maps
from trainer.fitting import example_weights, logistic_head, set_trainable
from trainer.recipes import Built, Order, load, names
from trainer.refusals import RecipeRefused
from trainer.runtime import keras

PNEUMONIA = disease("chest_xray_pneumonia")


def small_network() -> Built:
    layers = keras().layers
    inputs = layers.Input((8, 8, 1))
    value = layers.Conv2D(2, 3, name="old_conv")(inputs)
    value = layers.BatchNormalization(name="old_norm")(value)
    value = layers.Conv2D(2, 3, name="new_conv")(value)
    value = layers.BatchNormalization(name="new_norm")(value)
    outputs = layers.Dense(2, name="head")(layers.GlobalAveragePooling2D()(value))
    return Built(keras().Model(inputs, outputs), frozenset({"old_conv", "old_norm"}))


def trainable(built: Built) -> set[str]:
    return {layer.name for layer in built.model.layers if layer.trainable and layer.weights}


def test_layers_with_random_weights_are_never_frozen() -> None:
    built = small_network()
    set_trainable(built, ())
    assert trainable(built) == {"new_conv", "new_norm", "head"}


def test_a_pretrained_batch_norm_keeps_its_statistics_when_its_layers_are_unfrozen() -> None:
    built = small_network()
    set_trainable(built, ("old",))
    assert trainable(built) == {"old_conv", "new_conv", "new_norm", "head"}
    norm = built.model.get_layer("old_norm")
    before = [np.array(one) for one in norm.get_weights()]
    built.model.compile("sgd", keras().losses.CategoricalCrossentropy(from_logits=True))
    random = np.random.default_rng(0)
    built.model.train_on_batch(
        random.normal(5, 3, (16, 8, 8, 1)).astype(np.float32), np.eye(2)[[0, 1] * 8]
    )
    for was, now in zip(before, norm.get_weights(), strict=True):
        assert np.array_equal(was, now)


def test_the_head_equals_scikit_learns_logistic_regression() -> None:
    random = np.random.default_rng(0)
    features = random.normal(0, 1, (300, 5)).astype(np.float32)
    labels = (features @ [1, -2, 0, 0.5, 0] + random.normal(0, 1, 300) > 0).astype(np.int64)
    kernel, bias = logistic_head(features, labels, np.ones(300, np.float32), classes=2, l2=0.05)
    reference = LogisticRegression(C=1 / (0.05 * 300), tol=1e-8).fit(features, labels)
    assert kernel[:, 1] - kernel[:, 0] == pytest.approx(reference.coef_[0], abs=2e-3)
    assert bias[1] - bias[0] == pytest.approx(reference.intercept_[0], abs=2e-3)


def test_a_rare_class_and_a_rare_family_weigh_as_much_as_common_ones() -> None:
    classes = ["n"] * 2 + ["p"] * 8
    families = ["a", "b"] + ["v"] * 6 + ["w"] * 2
    by_class = example_weights(classes, families, "class")
    assert by_class[:2].sum() == pytest.approx(by_class[2:].sum())
    by_family = example_weights(classes, families, "family")
    assert by_family[2:8].sum() == pytest.approx(by_family[8:].sum())
    assert by_family[:2].sum() == pytest.approx(by_family[2:].sum())
    for weights in (by_class, by_family, example_weights(classes, families, "none")):
        assert weights.mean() == pytest.approx(1)


def test_batches_hold_every_image_once_and_are_dealt_anew_each_epoch() -> None:
    def batches() -> Batches:
        return Batches(
            lambda chosen, _epoch: chosen[:, np.newaxis].astype(np.float32),
            np.arange(10) % 2,
            np.ones(10, np.float32),
            classes=2,
            batch=4,
            seed=3,
        )

    one = batches()
    first = [one[i][0].ravel().tolist() for i in range(len(one))]
    one.on_epoch_end()
    second = [one[i][0].ravel().tolist() for i in range(len(one))]
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(10))
    assert first != second
    again = batches()
    assert [again[i][0].ravel().tolist() for i in range(len(again))] == first


def test_maps_draw_copies_but_never_another_image() -> None:
    versions = [np.full((5, 1, 1, 1), 10 * v, np.float16) for v in range(3)]
    for version in versions:
        version[:, 0, 0, 0] += np.arange(5, dtype=np.float16)
    source = Maps([list(version) for version in versions], seed=0)
    drawn = np.stack([source(np.array([0, 3]), epoch) for epoch in range(20)])
    assert set((drawn % 10)[:, 0].ravel()) == {0.0}
    assert set((drawn % 10)[:, 1].ravel()) == {3.0}
    assert len(set(drawn[:, 0].ravel())) == 3


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file laid out as the published weights are, with random values."""
    path = tmp_path_factory.mktemp("weights") / "squeezenet.h5"
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for name in sorted(squeezenet.layer_names()):
            shape = squeezenet._shape(name)
            group = name if name == "conv1" else f"{name[:5]}/{name[6:]}/{name[:5]}"
            scale = np.sqrt(2 / np.prod(shape[:3]))
            file[f"{group}/kernel"] = random.normal(0, scale, shape).astype(np.float32)
            file[f"{group}/bias"] = random.normal(0, 0.1, shape[-1:]).astype(np.float32)
    return path


def test_a_grey_image_and_its_three_equal_channels_give_the_same_maps(weights_file: Path) -> None:
    weights = squeezenet.read_weights(weights_file)
    grey = np.random.default_rng(1).uniform(0, 255, (1, 64, 64, 1)).astype(np.float32)
    outputs = []
    for channels in (1, 3):
        inputs = keras().layers.Input((64, 64, channels))
        model = keras().Model(inputs, squeezenet.build(weights, inputs, last=3)[3])
        outputs.append(np.asarray(model(np.repeat(grey, channels, axis=3))))
    assert np.allclose(outputs[0], outputs[1], rtol=1e-3, atol=1e-2)
    assert outputs[0].std() > 0


def test_weights_that_are_missing_or_foreign_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeRefused, match="--weights"):
        squeezenet.read_weights(None)
    with pytest.raises(RecipeRefused, match="do not exist"):
        squeezenet.read_weights(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    with pytest.raises(RecipeRefused, match=r"SqueezeNet v1\.1"):
        squeezenet.read_weights(tmp_path / "text.h5")


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize("disease_id", ["chest_xray_pneumonia", "skin_lesion"])
def test_every_recipe_builds_a_network_that_gives_logits(
    name: str, disease_id: str, weights_file: Path
) -> None:
    recipe = load(name, disease(disease_id), laptop=True)
    classes = len(disease(disease_id).classes)
    built = recipe.build(Order(recipe.input, classes, weights_file))
    shape = recipe.input
    assert built.model.output_shape == (None, classes)
    assert built.model.input_shape == (None, shape.height, shape.width, shape.channels)
    assert built.model.layers[-1].get_config()["activation"] == "linear"
    assert built.pretrained <= {layer.name for layer in built.model.layers}
    maker_doc = __import__(f"trainer.recipes.{name}", fromlist=["__doc__"]).__doc__
    for word in ("Purpose:", "xpected", "trainer train"):
        assert word in maker_doc


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(RecipeRefused, match="cnn5, small_residual"):
        load("vgg", PNEUMONIA)


def test_the_input_of_a_recipe_follows_its_preprocessing() -> None:
    assert load("cnn5", PNEUMONIA).input == Input(height=150, width=150, channels=1)
    assert load("squeezenet_transfer", disease("skin_lesion")).input.channels == 3
