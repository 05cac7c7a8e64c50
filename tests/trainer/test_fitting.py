"""The faults that made earlier models call everything positive, each kept out by a test."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from diagnosis.artifacts.card import Input
from diagnosis.catalogue import disease
from diagnosis.judgement import softmax
from diagnosis.preprocess import Array, Preprocessing
from tests.trainer.conftest import MakeImages, train_eagerly
from trainer.augment import Augmenter
from trainer.backbones import squeezenet
from trainer.batches import Batches, Floats, Images, Maps
from trainer.data import Example, read_dataset
from trainer.fitting import Task, example_weights, fit, logistic_head, predict, set_trainable
from trainer.pixels import PixelStore
from trainer.recipes import Built, Descent, Phase, Recipe, load
from trainer.refusals import RecipeRefused
from trainer.runtime import keras

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
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
    one.begin(1)
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


class CountingStore(PixelStore):
    """Counts how often each image is fetched."""

    def __init__(self, folder: Path) -> None:
        steps = [{"op": "greyscale"}, {"op": "resize", "width": 8, "height": 8}, {"op": "scale"}]
        super().__init__(folder, Preprocessing.model_validate({"name": "tiny", "steps": steps}))
        self.fetched: Counter[str] = Counter()

    def stored(self, example: Example) -> Array:
        self.fetched[example.digest] += 1
        return super().stored(example)


@pytest.fixture
def task(tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch) -> Task:
    """Eight films to train on and four to validate on, a store that counts."""
    train_eagerly(monkeypatch)
    counts = {f"{s}/{c}": n for s, n in (("train", 4), ("val", 2)) for c in PNEUMONIA.class_ids}
    data = read_dataset(make_images(tmp_path / "films", counts), PNEUMONIA)
    store = CountingStore(tmp_path / "cache")
    store.prepare(data)
    return Task(
        train=data.of("train").examples,
        val=data.of("val").examples,
        class_ids=PNEUMONIA.class_ids,
        store=store,
        augmenter=Augmenter(PNEUMONIA, PNEUMONIA.augmentations),
        seed=0,
        family_of=lambda _: "one",
    )


def recipe_of(*phases: Phase) -> Recipe:
    return Recipe(
        name="tiny",
        preprocessing=load("cnn5", PNEUMONIA).preprocessing,
        build=lambda _: small_network(),
        phases=phases,
        batch=8,
    )


def test_frozen_maps_are_made_once_for_each_image_and_copy_across_fits(task: Task) -> None:
    assert isinstance(task.store, CountingStore)
    recipe = recipe_of(Descent("tune", epochs=2, learning_rate=1e-3, cut="old_norm", copies=2))
    fit(recipe, small_network(), task)
    fetched = task.store.fetched
    assert {fetched[one.digest] for one in task.train} == {3}
    assert {fetched[one.digest] for one in task.val} == {1}
    assert len(task.frozen) == 3 * 8 + 4
    before = fetched.total()
    fit(recipe, small_network(), replace(task, train=task.train[1:]))
    assert fetched.total() == before
    fit(recipe, small_network(), replace(task, train=[*task.train, *task.val]))
    assert fetched.total() == before + 2 * 4


def test_a_cut_behind_a_layer_that_is_trained_is_refused_whatever_is_kept(task: Task) -> None:
    tune = Descent("tune", epochs=1, learning_rate=1e-3, cut="old_norm", copies=0)
    fit(recipe_of(tune), small_network(), task)
    for phases in (
        (replace(tune, trainable=("old",)),),
        (replace(tune, name="first", trainable=("old",), cut=""), tune),
        (replace(tune, cut="new_conv"),),
    ):
        with pytest.raises(RecipeRefused, match=r"would freeze '(old|new)_conv'"):
            fit(recipe_of(*phases), small_network(), task)
    with pytest.raises(RecipeRefused, match="no layer 'none'"):
        fit(recipe_of(replace(tune, cut="none")), small_network(), task)


def test_training_stops_at_the_least_validation_loss_and_keeps_its_weights(task: Task) -> None:
    """On validation images with the labels exchanged, learning more makes it worse."""
    other = {"normal": "pneumonia", "pneumonia": "normal"}
    exchanged = [replace(one, class_id=other[one.class_id]) for one in task.train]
    task = replace(task, val=exchanged)
    layers = keras().layers
    inputs = layers.Input((8, 8, 1))
    head = layers.Dense(2, kernel_initializer="zeros", name="head")(layers.Flatten()(inputs))
    built = Built(keras().Model(inputs, head))
    phase = Descent("fall", epochs=25, learning_rate=0.01, patience=2)
    history = fit(recipe_of(phase), built, task)
    losses = [one["val_loss"] for one in history]
    best = int(np.argmin(losses))
    assert len(history) == best + 1 + phase.patience < phase.epochs
    assert losses[best] < losses[-1]
    logits = predict(built.model, Images(task.store, task.val), len(task.val)).astype(np.float64)
    loss = -np.log(softmax(logits)[np.arange(len(logits)), task.labels(task.val)]).mean()
    assert loss == pytest.approx(losses[best], abs=1e-5)


def test_an_epoch_that_diverged_leaves_no_record_and_one_that_never_converged_is_refused(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    phase = Descent("fall", epochs=6, learning_rate=1e-3)
    calls = 0

    class Breaking(Augmenter):
        def __call__(self, pixels: Array, seed: Sequence[int]) -> Floats:
            nonlocal calls
            calls += 1
            return super().__call__(pixels, seed) * np.float32(np.nan if seed[1] > 1 else 1)

    breaking = Breaking(PNEUMONIA, PNEUMONIA.augmentations)
    history = fit(recipe_of(phase), small_network(), replace(task, augmenter=breaking))
    assert calls > 2 * len(task.train)
    assert [one["epoch"] for one in history] == [1, 2]
    monkeypatch.setattr(Images, "__call__", lambda *_: np.full((8, 8, 8, 1), np.nan, np.float32))
    with pytest.raises(RecipeRefused, match="never reached a finite loss"):
        fit(recipe_of(phase), small_network(), replace(task, val=task.train))


def test_altered_copies_differ_from_the_images_and_are_the_same_for_the_same_seed(
    task: Task,
) -> None:
    every = np.arange(len(task.train))

    def altered(seed: int, examples: Sequence[Example] = task.train) -> Floats:
        return Images(task.store, examples, task.augmenter, seed=seed)(every, 0)

    plain = Images(task.store, task.train)(every, 0)
    first = altered(5)
    assert all(np.abs(one - two).max() > 0.01 for one, two in zip(first, plain, strict=True))
    assert np.array_equal(first, altered(5))
    assert not np.array_equal(first, altered(6))
    # By what an image is: in another list it is altered in the same way.
    assert np.array_equal(altered(5, task.train[::-1])[::-1], first)


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


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(RecipeRefused, match=r"There are: cnn5, .*small_residual"):
        load("vgg", PNEUMONIA)


def test_the_input_of_a_recipe_follows_its_preprocessing() -> None:
    assert load("cnn5", PNEUMONIA).input == Input(height=150, width=150, channels=1)
    assert load("squeezenet_transfer", disease("skin_lesion")).input.channels == 3
