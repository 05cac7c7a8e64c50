"""Where networks are cut, the derivative against TensorFlow's, and the report card of heatmaps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diagnosis import heatmap
from diagnosis.artifacts import Card, VerifiedArtifact
from diagnosis.catalogue import disease
from diagnosis.heatmap import Floats, evidence, hirescam
from diagnosis.judgement import as_logits
from trainer import explain_checks as checks
from trainer import recipes
from trainer.data import read_dataset
from trainer.explain import explain, explain_run, locate, why
from trainer.maps import by_gradients, cut_graph, cut_keras, find_layers, layers_of_head
from trainer.pixels import PixelStore
from trainer.precision import Validation
from trainer.publish import _convert
from trainer.recipes import Order
from trainer.refusals import ArtifactMissing
from trainer.runtime import keras, openvino

pytestmark = [
    pytest.mark.xdist_group("trainer-explain"),
    # TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
SIDE = 32
CHEST = disease("chest_xray_pneumonia")
RANDOM = np.random.default_rng(1)


@pytest.fixture(scope="module")
def card(tiny_artifact: Path) -> Card:
    return Card.from_json((tiny_artifact / "card.json").read_bytes())


def network(middle: Callable[[Any, Any], Any]) -> Any:
    layers = keras().layers
    image = layers.Input((SIDE, SIDE, 1), name="image")
    return keras().Model(image, middle(layers, image))


def graph_shaped(layers: Any, image: Any) -> Any:
    """Maps that are pooled and flattened side by side; what comes before splits and meets."""
    left = layers.Conv2D(4, 3, strides=4, padding="same", activation="relu", name="left")(image)
    right = layers.Conv2D(4, 5, strides=4, padding="same", activation="relu", name="right")(image)
    maps = layers.Concatenate(name="both")([left, right])
    pooled = layers.GlobalAveragePooling2D(name="pooled")(maps)
    flat = layers.Dense(6, activation="relu", name="dense")(layers.Flatten(name="flat")(maps))
    normed = layers.BatchNormalization(name="norm")(flat)
    return layers.Dense(2, name="logits")(layers.Concatenate(name="meet")([pooled, normed]))


def with_taps(layers: Any, image: Any) -> Any:
    """Two taps of different depth, put side by side as `maps` before they are pooled."""
    first = layers.Conv2D(3, 3, strides=4, padding="same", activation="relu", name="first")(image)
    second = layers.Conv2D(5, 3, padding="same", activation="relu", name="second")(first)
    maps = layers.Concatenate(name="maps")([first, second])
    middle = layers.AveragePooling2D(5, 1, name="middle")(maps)
    pooled = layers.GlobalAveragePooling2D(name="features")(middle)
    return layers.Dense(2, activation="softmax", name="probabilities")(pooled)


def nested(layers: Any, image: Any) -> Any:
    """A whole network as one layer, as a backbone may be."""
    inner = layers.Input((SIDE, SIDE, 1))
    backbone = keras().Model(
        inner, layers.Conv2D(4, 3, strides=4, activation="relu")(inner), name="backbone"
    )
    pooled = layers.GlobalAveragePooling2D()(backbone(image))
    return layers.Dense(2, name="logits")(pooled)


def no_maps(layers: Any, image: Any) -> Any:
    return layers.Dense(2)(layers.Flatten()(image))


@pytest.mark.parametrize(
    ("middle", "layer"),
    [(graph_shaped, "both"), (with_taps, "maps"), (nested, "backbone"), (no_maps, None)],
)
def test_the_cut_is_found_and_gives_what_tensorflows_gradients_give(
    middle: Callable[[Any, Any], Any], layer: str | None, card: Card
) -> None:
    keras().utils.set_random_seed(1)
    model = network(middle)
    found = find_layers(model)
    assert (found[0] if found else None) == layer
    if layer is None:
        return
    output = "probabilities" if middle is with_taps else "logits"
    _agrees(model, layer, card.model_copy(update={"output": output}), (SIDE, SIDE, 1), 0.02)


@pytest.mark.parametrize("name", ["cnn5", "small_residual", "squeezenet_transfer", "graph_head"])
def test_every_kind_of_recipe_can_be_cut(
    name: str, weights_file: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.load(name, CHEST, laptop=True)
    keras().utils.set_random_seed(1)
    weights = weights_file if name == "squeezenet_transfer" else None
    model = recipe.build(Order(recipe.input, 2, weights)).model
    layer = find_layers(model)[0]
    shape = (recipe.input.height, recipe.input.width, recipe.input.channels)
    _agrees(model, layer, card, shape, 0.4)
    # Units open and close behind an early cut; the smaller the step, the fewer do.
    monkeypatch.setattr(heatmap, "STEP", 1 / 8192)
    _agrees(model, layer, card, shape, 0.15)
    behind = layers_of_head(model, layer)
    assert "head" in behind
    assert layer not in behind


def _agrees(model: Any, layer: str, card: Card, shape: tuple[int, ...], far: float) -> None:
    # Of its own: the order of tests must not decide how near two derivatives come.
    inputs = np.random.default_rng(1).uniform(0, 1, (2, *shape)).astype(np.float32)
    expected = by_gradients(model, layer, card, inputs)
    cut = cut_keras(model, layer)
    for number, maps in enumerate(cut.trunk(inputs)):
        found = hirescam(lambda batch: as_logits(cut.head(batch), card), maps)
        assert found.shape == expected[number].shape
        assert np.abs(expected[number]).max() > 1e-5
        apart = np.linalg.norm(found - expected[number]) / np.linalg.norm(expected[number])
        assert apart <= far


def spot(seed: int, *, ill: bool) -> Image.Image:
    """Dim noise; an ill one has a bright square somewhere."""
    random = np.random.default_rng(seed)
    pixels = random.normal(60, 8, (64, 64))
    if ill:
        top, left = random.integers(4, 44, 2)
        pixels[top : top + 16, left : left + 16] += 150
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory, card: Card) -> Validation:
    root = tmp_path_factory.mktemp("spots")
    for class_id in CHEST.class_ids:
        (root / class_id).mkdir()
        for number in range(14):
            spot(number, ill=class_id == "pneumonia").save(root / class_id / f"{number}.png")
    store = PixelStore(root / "cache", card.preprocessing)
    data = read_dataset(root, CHEST)
    return Validation(store, store.prepare(data.keep(data.examples)).examples)


def bright_spots(layers: Any, image: Any) -> Any:
    """Says pneumonia by how much of the image is brighter than half."""
    blurred = layers.Conv2D(4, 3, padding="same", activation="relu", name="bright")(image)
    maps = layers.AveragePooling2D(4, name="maps")(blurred)
    return layers.Dense(2, name="head")(layers.GlobalAveragePooling2D(name="pooled")(maps))


def without_weights(layers: Any, image: Any) -> Any:
    """Says pneumonia by the brightness alone: there is nothing in it that was learned."""
    maps = layers.AveragePooling2D(4, name="maps")(image)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(maps)
    both = layers.Concatenate(name="both")([layers.Rescaling(-1.0, name="minus")(pooled), pooled])
    return layers.Rescaling(20.0, offset=(5.0, -5.0), name="steep")(both)


def converted(model: Any, card: Card, folder: Path, *, half: bool = False) -> tuple[bytes, bytes]:
    openvino().save_model(_convert(model, card), folder / "model.xml", compress_to_fp16=half)
    return (folder / "model.xml").read_bytes(), (folder / "model.bin").read_bytes()


def test_a_network_that_looks_at_the_spots_passes_for_the_finding_alone(
    card: Card, validation: Validation, tmp_path: Path
) -> None:
    model = network(bright_spots)
    model.get_layer("bright").set_weights(
        [np.full((3, 3, 1, 4), 7 / 64, np.float32), np.full(4, -0.5, np.float32)]
    )
    model.get_layer("head").set_weights(
        [np.array([[-30.0, 30.0]] * 4, np.float32), np.array([1.0, -1.0], np.float32)]
    )
    xml, weights = converted(model, card, tmp_path)
    lines: list[str] = []
    found = explain(card, model, xml, weights, validation, lines.append)
    assert found is not None
    assert (found.layer, found.height, found.width) == ("maps", 8, 8)
    ill, well = found.classes["pneumonia"], found.classes["normal"]
    assert ill.passed, why(ill, found.limits)
    assert ill.images == 14
    assert ill.deletion is not None
    assert ill.deletion.low > 0.1
    assert ill.repeated is not None
    assert ill.repeated.value > 0.8
    # Nothing in an image speaks for its absence, so there is nothing to show.
    assert (well.images, well.passed) == (0, False)
    assert any("normal did not pass: only 0 images" in line for line in lines)
    # What it points at is the square, by the graph as it is served.
    store, examples = validation.store, validation.examples
    cut = cut_graph(xml, weights, found)
    one = next(example for example in examples if example.class_id == "pneumonia")
    inputs = store.inputs([one])
    shares, _ = evidence(hirescam(lambda batch: cut.head(batch), cut.trunk(inputs)[0])[..., 1])
    bright = inputs[0, :, :, 0].reshape(8, 4, 8, 4).mean(axis=(1, 3))
    assert bright[shares > 0.5].min() > 0.5
    assert card.model_copy(update={"explanation": found}).heatmap_classes == ("pneumonia",)
    # Weights that half precision can hold leave the maps where they are.
    halves = locate(card, model, *converted(model, card, tmp_path, half=True))
    assert halves is not None
    assert (halves.layer, halves.height) == ("maps", 8)


def test_heatmaps_that_random_weights_do_not_change_do_not_pass(
    card: Card, validation: Validation, tmp_path: Path
) -> None:
    model = network(without_weights)
    xml, weights = converted(model, card, tmp_path)
    found = explain(card, model, xml, weights, validation)
    assert found is not None
    ill = found.classes["pneumonia"]
    assert ill.randomised is not None
    assert ill.randomised.value > 0.99
    assert not ill.passed
    assert "random weights" in why(ill, found.limits)


def test_a_network_without_maps_or_images_gets_no_heatmaps(
    card: Card, validation: Validation, tmp_path: Path
) -> None:
    model = network(no_maps)
    xml, weights = converted(model, card, tmp_path)
    lines: list[str] = []
    assert explain(card, model, xml, weights, validation, lines.append) is None
    assert explain(card, model, xml, weights, None, lines.append) is None
    assert ["No layer" in lines[0], "not there" in lines[1]] == [True, True]
    assert locate(card, model, xml, weights) is None
    with pytest.raises(ArtifactMissing, match="publish it first"):
        explain_run(VerifiedArtifact(card, b"", None, None, {}), validation)


def test_deleting_what_matters_costs_more_than_deleting_at_random() -> None:
    inputs = RANDOM.normal(0.2, 0.02, (32, 32, 1)).astype(np.float32)
    inputs[8:16, 16:24] = 1

    def of_spot(batch: Floats) -> checks.Values:
        return np.asarray(batch[:, 8:16, 16:24].mean(axis=(1, 2, 3)), np.float64)

    right = np.zeros((8, 8), np.float32)
    right[2:4, 4:6] = 1
    assert checks.deletion(of_spot, inputs, right, seed=1) > 0.3
    assert checks.deletion(of_spot, inputs, 1 - right, seed=1) < -0.1
    found = [
        checks.deletion(of_spot, inputs, np.zeros((8, 8), np.float32), seed=n) for n in range(60)
    ]
    assert abs(np.mean(found)) < 0.06


def test_how_alike_heatmaps_are() -> None:
    first = RANDOM.normal(0.5, 1, (9, 9)).astype(np.float32)
    assert checks.alike(first, 3 * first) == pytest.approx(1)
    assert checks.alike(first, -first) == pytest.approx(-1)
    assert checks.alike(first, np.zeros_like(first)) == 0
    assert abs(checks.alike(first, RANDOM.permutation(first.ravel()).reshape(9, 9))) < 0.5


@pytest.mark.parametrize("shape", [(40, 48, 1), (40, 48, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_altered_copies_show_the_same(shape: tuple[int, ...], kind: Any) -> None:
    ramp = np.broadcast_to(np.linspace(20, 220, 48)[:, np.newaxis], shape).astype(kind)
    copies = list(checks.altered(ramp, seed=0))
    assert len(copies) == 3
    for one in copies:
        assert (one.shape, one.dtype) == (shape, kind)
        assert 0 < np.abs(one.astype(float) - ramp).mean() < 10
    np.testing.assert_array_equal(copies[2][:, 2:], ramp[:, :-2])


def test_random_weights_keep_shapes_and_spread() -> None:
    kernel = RANDOM.normal(0, 0.3, (3, 3, 8, 16)).astype(np.float32)
    bias = np.arange(16, dtype=np.float32)
    made = checks.randomise([kernel, bias], np.random.default_rng(0))
    assert made[0].std() == pytest.approx(kernel.std(), rel=0.1)
    assert abs(np.corrcoef(made[0].ravel(), kernel.ravel())[0, 1]) < 0.1
    assert sorted(made[1]) == sorted(bias)
    assert (made[1] != bias).any()


def test_an_interval_is_of_whole_groups() -> None:
    assert checks.mean_interval([], []) is None
    one_group = checks.mean_interval([0.0, 1.0], ["a", "a"])
    assert one_group is not None
    assert (one_group.low, one_group.value, one_group.high) == (0.5, 0.5, 0.5)
    many = checks.mean_interval([0.0, 1.0] * 50, [str(n) for n in range(100)])
    assert many is not None
    assert (many.low, many.high) == (pytest.approx(0.4, abs=0.03), pytest.approx(0.6, abs=0.03))
