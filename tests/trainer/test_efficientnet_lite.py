"""EfficientNet-Lite0: the layout of its weights, and that the network is put together rightly."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from diagnosis.preprocess import Resize
from trainer.backbones import efficientnet_lite
from trainer.refusals import RecipeRefused
from trainer.runtime import keras

# TensorFlow's variables and NumPy 2 disagree on a keyword; nothing of ours.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
DAISY = 985


@pytest.fixture(scope="module")
def weights() -> efficientnet_lite.Weights:
    return efficientnet_lite.read_weights(None)


def test_the_packaged_weights_know_a_flower(weights: efficientnet_lite.Weights) -> None:
    """With the published top behind it, the network names a photograph rightly."""
    inputs = keras().layers.Input((224, 224, 3))
    maps = efficientnet_lite.build(weights, inputs)
    value = efficientnet_lite._conv(
        maps[efficientnet_lite.BLOCKS - 1],
        "top",
        weights["_conv_head.weight"].transpose(2, 3, 1, 0),
        efficientnet_lite._norm(weights, "_bn1"),
    )
    value = keras().layers.ReLU(6.0)(value)
    model = keras().Model(inputs, keras().layers.GlobalAveragePooling2D()(value))
    photograph = load_sample_image("flower.jpg")[:, 106:533]
    pixels = Resize(width=224, height=224, filter="bicubic").apply(photograph)
    features = np.asarray(model(pixels[np.newaxis].astype(np.float32)))[0]
    logits = weights["_fc.weight"] @ features + weights["_fc.bias"]
    assert np.argmax(logits) == DAISY
    carrying = {layer.name for layer in model.layers if layer.weights} - {"top"}
    assert carrying == efficientnet_lite.layer_names()


def test_a_grey_image_and_its_three_equal_channels_give_the_same_maps(
    weights: efficientnet_lite.Weights,
) -> None:
    grey = np.random.default_rng(1).uniform(0, 255, (1, 32, 32, 1)).astype(np.float32)
    outputs = []
    for channels in (1, 3):
        inputs = keras().layers.Input((32, 32, channels))
        maps = efficientnet_lite.build(weights, inputs, last=2)
        assert sorted(maps) == [0, 1, 2]
        model = keras().Model(inputs, maps[2])
        carrying = {layer.name for layer in model.layers if layer.weights}
        assert carrying == efficientnet_lite.layer_names(2)
        outputs.append(np.asarray(model(np.repeat(grey, channels, axis=3))))
    assert np.allclose(outputs[0], outputs[1], rtol=1e-3, atol=1e-3)
    assert outputs[0].std() > 0


def test_weights_that_are_missing_or_foreign_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeRefused, match="cannot be read"):
        efficientnet_lite.read_weights(tmp_path / "none.pth")
    monkeypatch.setattr(
        efficientnet_lite, "read_arrays", lambda _: {"_conv_stem.weight": np.ones(3)}
    )
    with pytest.raises(RecipeRefused, match="EfficientNet-Lite0 weights"):
        efficientnet_lite.read_weights(tmp_path / "other.pth")
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package")
    assert efficientnet_lite.packaged_weights() is None
    with pytest.raises(RecipeRefused, match="--weights"):
        efficientnet_lite.read_weights(None)
