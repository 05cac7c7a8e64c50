"""`import-h5`: legacy files that these tests write themselves, honest and hostile ones."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from diagnosis.artifacts import open_artifact
from diagnosis.catalogue import disease
from diagnosis.judgement import probabilities
from trainer.cli import app
from trainer.engine import keras_network, load_keras
from trainer.legacy.candidate import Order, import_h5
from trainer.legacy.file import read_legacy
from trainer.refusals import LegacyRefused
from trainer.runtime import keras

pytestmark = [
    pytest.mark.xdist_group("trainer-commands"),
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
Weights = Mapping[str, Mapping[str, np.ndarray[Any, Any]]]
RANDOM = np.random.default_rng(3)
OCT = disease("retinal_oct").class_ids


def entry(
    kind: str, name: str, takes: Sequence[str] | None = None, **config: Any
) -> dict[str, Any]:
    """One layer as Keras 2 wrote it; `takes` makes it one of a functional model."""
    made = {"class_name": kind, "config": {"name": name, "trainable": True, **config}}
    if takes is not None:
        made |= {"name": name, "inbound_nodes": [[[one, 0, 0, {}] for one in takes]]}
    return made


def image(side: int = 16, channels: int = 3) -> dict[str, Any]:
    shape = [None, side, side, channels]
    made = entry("InputLayer", "input_1", batch_input_shape=shape, dtype="float32", sparse=False)
    return made | {"name": "input_1", "inbound_nodes": []}


def normal(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.normal(0, 0.3, shape).astype(np.float32)


def conv(name: str, before: int, filters: int, **more: Any) -> tuple[dict[str, Any], Any]:
    made = entry(
        "Conv2D", name, filters=filters, kernel_size=[3, 3], strides=[1, 1], padding="valid",
        data_format="channels_last", dilation_rate=[1, 1], activation="relu", use_bias=True,
        kernel_initializer={"class_name": "VarianceScaling", "config": {"scale": 1.0}},
        bias_initializer={"class_name": "Zeros", "config": {}}, kernel_regularizer=None,
    )  # fmt: skip
    made["config"] |= more
    return made, {"kernel": normal(3, 3, before, filters), "bias": normal(filters)}


def write(
    path: Path,
    layers: Sequence[dict[str, Any]],
    weights: Weights,
    *,
    functional: tuple[str, str] | None = None,
    change: Callable[[Any], None] = lambda _: None,
) -> Path:
    """A file laid out as Keras 2.2 laid it out."""
    config: dict[str, Any] = {"name": "model", "layers": list(layers)}
    if functional:
        config |= {
            "input_layers": [[functional[0], 0, 0]],
            "output_layers": [[functional[1], 0, 0]],
        }
    text = json.dumps({"class_name": "Model" if functional else "Sequential", "config": config})
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = text.encode()
        file.attrs["keras_version"] = b"2.2.4"
        top = file.create_group("model_weights")
        names = [one["config"]["name"] for one in layers]
        top.attrs["layer_names"] = [one.encode() for one in names]
        for name in names:
            group = top.create_group(name)
            kept = weights.get(name, {})
            group.attrs["weight_names"] = np.array([f"{name}/{one}:0".encode() for one in kept])
            for short, values in kept.items():
                group[f"{name}/{short}:0"] = values
        change(file)
    return path


@pytest.fixture
def sigmoid(tmp_path: Path) -> Path:
    """A sequential CNN with one sigmoid output, as for the malaria cells."""
    first, kernel = conv("conv2d_1", 3, 4)
    first["config"]["batch_input_shape"] = [None, 16, 16, 3]
    layers = [
        first,
        entry("MaxPooling2D", "pool", pool_size=[2, 2], strides=[2, 2], padding="valid"),
        entry("Flatten", "flatten"),
        entry("Dropout", "dropout", rate=0.5, noise_shape=None, seed=None),
        entry("Dense", "dense", units=1, activation="sigmoid", use_bias=True),
    ]
    head = {"kernel": normal(7 * 7 * 4, 1), "bias": normal(1)}
    return write(tmp_path / "cell.h5", layers, {"conv2d_1": kernel, "dense": head})


@pytest.fixture
def softmax(tmp_path: Path) -> Path:
    """A functional network with a branch, every kind of weight, and a softmax of its own."""
    first, kernel = conv("conv", 3, 6)
    vectors = {one: normal(6) for one in ("gamma", "beta", "moving_mean")}
    deep = {"depthwise_kernel": normal(3, 3, 6, 1)}
    split = {
        "depthwise_kernel": normal(3, 3, 6, 1),
        "pointwise_kernel": normal(1, 1, 6, 6),
        "bias": normal(6),
    }
    same = {"kernel_size": [3, 3], "padding": "same"}
    layers = [
        image(),
        entry("ZeroPadding2D", "pad", ["input_1"], padding=[[1, 1], [1, 1]]),
        first | {"name": "conv", "inbound_nodes": [[["pad", 0, 0, {}]]]},
        entry("BatchNormalization", "norm", ["conv"], axis=[3], momentum=0.99, epsilon=0.002),
        entry("ReLU", "relu", ["norm"], max_value=6.0, negative_slope=0.0, threshold=0.0),
        entry("DepthwiseConv2D", "deep", ["relu"], use_bias=False, **same),
        entry("SeparableConv2D", "split", ["relu"], filters=6, activation="relu", **same),
        entry("Add", "add", ["deep", "split"]),
        entry("Concatenate", "both", ["add", "relu"], axis=3),
        entry("AveragePooling2D", "half", ["both"], pool_size=[2, 2], padding="same"),
        entry("GlobalAveragePooling2D", "mean", ["half"], data_format="channels_last"),
        entry("Dense", "dense", ["mean"], units=4, activation="linear"),
        entry("Activation", "softmax", ["dense"], activation="softmax"),
    ]
    weights = {
        "conv": kernel,
        "norm": {**vectors, "moving_variance": np.abs(normal(6)) + 0.5},
        "deep": deep,
        "split": split,
        "dense": {"kernel": normal(12, 4), "bias": normal(4)},
    }
    return write(tmp_path / "oct.h5", layers, weights, functional=("input_1", "softmax"))


def directly_built(file: Path) -> Any:
    """The network of `softmax`, written with Keras by hand."""
    k = keras()
    inputs = value = k.Input((16, 16, 3))
    value = k.layers.ZeroPadding2D(1)(value)
    value = k.layers.Conv2D(6, 3, activation="relu", name="conv")(value)
    value = k.layers.BatchNormalization(epsilon=0.002, name="norm")(value)
    relu = k.layers.ReLU(6.0)(value)
    deep = k.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="deep")(relu)
    split = k.layers.SeparableConv2D(6, 3, padding="same", activation="relu", name="split")(relu)
    value = k.layers.Concatenate()([k.layers.Add()([deep, split]), relu])
    value = k.layers.AveragePooling2D(2, padding="same")(value)
    value = k.layers.GlobalAveragePooling2D()(value)
    model = k.Model(inputs, k.layers.Dense(4, activation="softmax", name="dense")(value))
    with h5py.File(file) as kept:
        for name in ("conv", "norm", "deep", "split", "dense"):
            group = kept["model_weights"][name]
            model.get_layer(name).set_weights(
                [group[one][()] for one in group.attrs["weight_names"]]
            )
    return model


def answers(folder: Path, inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    artifact = open_artifact(folder)
    return probabilities(keras_network(load_keras(artifact.keras))(inputs), artifact.card)


def test_a_softmax_network_answers_as_the_one_built_by_hand(softmax: Path, tmp_path: Path) -> None:
    # From black to bright: alike images would have outputs that tell nothing apart.
    brightness = np.linspace(0, 4, 5, dtype=np.float32)[:, None, None, None]
    inputs = brightness * RANDOM.random((5, 16, 16, 3), dtype=np.float32)
    expected = np.asarray(directly_built(softmax)(inputs, training=False))
    assert np.ptp(expected, axis=0).max() > 1e-3
    same = import_h5(Order(softmax, "retinal_oct", tmp_path / "same"))
    np.testing.assert_allclose(answers(same, inputs), expected, atol=1e-5)
    # The file's outputs in another order than the catalogue's classes.
    turned = Order(softmax, "retinal_oct", tmp_path / "turned", classes=tuple(reversed(OCT)))
    np.testing.assert_allclose(answers(import_h5(turned), inputs), expected[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("of", ["uninfected", "parasitized"])
def test_one_sigmoid_becomes_two_classes(sigmoid: Path, tmp_path: Path, of: str) -> None:
    inputs = RANDOM.random((4, 16, 16, 3), dtype=np.float32)
    k, kept = keras(), read_legacy(sigmoid).weights
    plain = k.Sequential(
        [k.Input((16, 16, 3)), k.layers.Conv2D(4, 3, activation="relu"), k.layers.MaxPooling2D(),
         k.layers.Flatten(), k.layers.Dense(1, activation="sigmoid")]
    )  # fmt: skip
    plain.set_weights([*kept["conv2d_1"].values(), *kept["dense"].values()])
    expected = np.asarray(plain(inputs))[:, 0]
    order = Order(sigmoid, "malaria_cell", tmp_path / "run", probability_of=of)
    found = answers(import_h5(order), inputs)
    place = disease("malaria_cell").class_ids.index(of)
    np.testing.assert_allclose(found[:, place], expected, atol=1e-5)


def test_the_card_says_that_nothing_was_measured(sigmoid: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app,
        ["import-h5", str(sigmoid), "--disease", "malaria_cell", "--probability-of", "Uninfected",
         "--input-scale=-1-1", "--out", str(tmp_path / "run")],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    card = open_artifact(tmp_path / "run").card
    assert "Nothing was measured" in card.summary
    assert "Nothing was measured" in card.calibration.fitted_on
    assert "Nothing was measured" in card.limitations[0]
    assert (card.evaluation.images, card.evaluation.figures) == (0, {})
    point = card.operating_point()
    assert (point.sensitivity.low, point.sensitivity.high) == (0.0, 1.0)
    # Every class is in every conformal set: no reading is called likely.
    assert set(card.conformal.quantiles.values()) == {1.0}
    assert card.training.settings["file_digest"] == read_legacy(sigmoid).digest
    black, white = (np.full((20, 20, 3), shade, np.uint8) for shade in (0, 255))
    assert card.preprocessing.apply(black).min() == pytest.approx(-1)
    assert card.preprocessing.apply(white).max() == pytest.approx(1)


def _linked(file: Any) -> None:
    del file["model_weights/dense"]
    file["model_weights/dense"] = h5py.ExternalLink("other.h5", "/")


def _virtual(file: Any) -> None:
    group = file["model_weights/dense/dense"]
    del group["bias:0"]
    layout = h5py.VirtualLayout((1,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (1,))
    group.create_virtual_dataset("bias:0", layout)


def _packed(file: Any) -> None:
    group = file["model_weights/dense/dense"]
    del group["bias:0"]
    group.create_dataset("bias:0", data=np.zeros(1, np.float32), chunks=(1,), compression="gzip")


def _huge(file: Any) -> None:
    group = file["model_weights/dense/dense"]
    del group["kernel:0"]
    group.create_dataset("kernel:0", shape=(1_000_000, 100_000), dtype="f4")


def _infinite(file: Any) -> None:
    file["model_weights/dense/dense/bias:0"][0] = np.inf


def _layer(**fields: Any) -> Callable[[Any], None]:
    """Changes the last layer of the description."""

    def change(file: Any) -> None:
        config = json.loads(file.attrs["model_config"])
        last = config["config"]["layers"][-1]
        last["class_name"] = fields.pop("class_name", last["class_name"])
        last["config"] |= fields
        file.attrs["model_config"] = json.dumps(config)

    return change


def _attribute(text: str | None) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file.attrs["model_config"]
        if text is not None:
            file.attrs["model_config"] = text

    return change


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "external link": (_linked, "is a link to somewhere else"),
    "virtual data set": (_virtual, "keeps its values in another file"),
    "compressed": (_packed, "compressed"),
    "huge declared shape": (_huge, "which is not there"),
    "infinite weight": (_infinite, "no finite number"),
    "Lambda": (_layer(class_name="Lambda", function=["4wEAAAA", None, None]), "holds code"),
    "own layer": (_layer(class_name="os.system"), "not imported"),
    "unknown field": (_layer(function="x"), "field 'function'"),
    "more units than weights": (_layer(units=60_000), "asks for weights"),
    "unheard-of units": (_layer(units=10**12), "no whole number"),
    "code as activation": (_layer(activation={"class_name": "function"}), "is not imported"),
    "deep JSON": (_attribute("[" * 100_000), "not JSON"),
    "no description": (_attribute(None), "weights without the network"),
    "other model": (_attribute('{"class_name": "TFSMLayer", "config": {}}'), "TFSMLayer"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_leaves_nothing(
    name: str, sigmoid: Path, tmp_path: Path
) -> None:
    change, sentence = HOSTILE[name]
    with h5py.File(sigmoid, "r+") as file:
        change(file)
    order = Order(sigmoid, "malaria_cell", tmp_path / "runs" / "run", probability_of="uninfected")
    with pytest.raises(LegacyRefused, match=sentence):
        import_h5(order)
    assert not list((tmp_path / "runs").glob("*")) + list((tmp_path / "runs").glob(".*"))


BAD = {
    "--disease retinal_oct": "only a sigmoid that tells two classes apart",
    "--disease malaria_cell": "--probability-of",
    "--disease malaria_cell --probability-of cat": "'cat' is no class",
    "--disease malaria_cell --classes uninfected": "must stand there once",
    "--disease malaria_cell --input-scale 2": "no input scale '2'",
    "--disease no_disease": "catalogue has no disease",
}


@pytest.mark.parametrize("options", BAD)
def test_what_was_asked_wrongly_gets_a_sentence(
    options: str, sigmoid: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = CliRunner().invoke(
        app, ["import-h5", str(sigmoid), *options.split(), "--out", str(out)]
    )
    assert result.exit_code == 2, result.output
    assert BAD[options] in result.stderr
    assert not out.exists()


def test_outputs_that_are_not_one_a_class_are_refused(softmax: Path, tmp_path: Path) -> None:
    with pytest.raises(LegacyRefused, match=r"4 outputs and there are 3 classes"):
        import_h5(Order(softmax, "breast_ultrasound", tmp_path / "run"))
    for content in (b"text", b"\x89HDF\r\n\x1a\n" + bytes(100), softmax.read_bytes()[:5000]):
        (tmp_path / "bad.h5").write_bytes(content)
        with pytest.raises(LegacyRefused, match=r"not an HDF5 file|cannot read"):
            read_legacy(tmp_path / "bad.h5")
