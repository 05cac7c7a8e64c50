"""Networks of `keras.applications` without their tops, their own preprocessing told as steps.

`--weights` says what they start from: a local file (.h5, as Keras publishes them without the top),
the word `imagenet` (Keras downloads its published file and keeps it), or nothing, which is random
weights. With nothing there is nothing to keep: the recipe trains every layer.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnosis.catalogue import Disease
from diagnosis.preprocess import Preprocessing
from trainer.recipes import GREY, Built, Descent, Order
from trainer.refusals import RecipeRefused
from trainer.runtime import keras

#: What `--weights` says instead of a file.
IMAGENET = "imagenet"
#: Of Keras's published networks; an average over a thousand batches of a long training. A short
#: training from random weights would be validated with statistics that it never had.
_QUICK_MOMENTUM = 0.9

Steps = tuple[Mapping[str, Any], ...]
#: ImageNet's means and deviations a channel, for pixels of 0 to 255.
_STANDARD: Steps = (
    {"op": "normalise", "mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
)
#: ImageNet's means only. The networks want blue first: see `Application.blue_first`.
_CENTRED: Steps = ({"op": "normalise", "mean": (123.68, 116.779, 103.939), "std": (1, 1, 1)},)


@dataclass(frozen=True)
class Application:
    """A network of `keras.applications`."""

    function: str
    """Its name there."""
    licence: str
    """Name and licence of the published ImageNet weights, for the card."""
    steps: Steps
    """What its `preprocess_input` does to RGB pixels of 0 to 255, as steps of a card."""
    options: Mapping[str, Any] = field(default_factory=dict)
    blue_first: str = ""
    """The first convolution, where the published weights expect blue, green, red. Its kernel is
    turned round, so that the network takes red, green, blue; the outputs are the same."""

    def preprocessing(self, disease: Disease, side: int) -> Preprocessing:
        """The steps from an image to the network's input, `side` x `side` x 3.

        Grey images are kept and augmented as one channel, and repeated afterwards.
        """
        resize = {"op": "resize", "width": side, "height": side}
        grey = disease.modality in GREY
        first = ({"op": "greyscale"}, resize, {"op": "rgb"}) if grey else ({"op": "rgb"}, resize)
        return Preprocessing.model_validate(
            {
                "name": f"{self.function.lower()}-{'grey' if grey else 'colour'}",
                "steps": [*first, *self.steps],
            }
        )

    def start(self, order: Order) -> "Start":
        """Build the network without its top and load the weights that were ordered.

        Raises:
            RecipeRefused: the weights are missing, foreign, or cannot be downloaded.
        """
        k = keras()
        inputs = k.layers.Input(
            (order.input.height, order.input.width, order.input.channels), name="image"
        )
        settings = {"include_top": False, "input_tensor": inputs, **self.options}
        network = load(self, settings, order.weights)
        if order.weights is None:
            for layer in network.layers:
                if isinstance(layer, k.layers.BatchNormalization):
                    layer.momentum = min(layer.momentum, _QUICK_MOMENTUM)
            return Start(inputs, network, frozenset())
        return Start(inputs, network, frozenset(one.name for one in network.layers if one.weights))


@dataclass(frozen=True)
class Start:
    """The input, the network behind it, and which of its layers bring pretrained weights."""

    inputs: Any
    network: Any
    pretrained: frozenset[str]

    def built(self, outputs: Any, name: str) -> Built:
        """The whole network, from the input to the logits."""
        return Built(keras().Model(self.inputs, outputs, name=name), self.pretrained)


def load(application: Application, settings: Mapping[str, Any], weights: Path | None) -> Any:
    """The Keras network with what `weights` names; it takes red, green, blue.

    Raises:
        RecipeRefused: the weights are missing, foreign, or cannot be downloaded.
    """
    downloads = str(weights) == IMAGENET and not Path(IMAGENET).exists()
    if weights is not None and not downloads:
        _refuse_other_files(weights)
    make = getattr(keras().applications, application.function)
    if weights is None:
        return make(weights=None, **settings)
    if downloads:
        try:
            network = make(weights=IMAGENET, **settings)
        except Exception as error:
            raise RecipeRefused(
                f"Keras could not download the ImageNet weights of {application.function} "
                f"({_first_line(error)}). Fetch the file elsewhere and name it with --weights."
            ) from error
    else:
        network = make(weights=None, **settings)
        _load_file(application, network, weights)
    if application.blue_first:
        layer = network.get_layer(application.blue_first)
        kernel, *others = layer.get_weights()
        layer.set_weights([kernel[:, :, ::-1], *others])
    return network


def _refuse_other_files(weights: Path) -> None:
    if not weights.is_file():
        raise RecipeRefused(
            f"The weights {weights} do not exist; name a file, or say --weights {IMAGENET}."
        )
    if weights.suffix != ".h5":
        raise RecipeRefused(f"{weights} is no .h5 file, in which Keras publishes its weights.")


def _load_file(application: Application, network: Any, weights: Path) -> None:
    try:
        # Keras only warns where a file lacks layers, and leaves random weights in them.
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            network.load_weights(str(weights))
    except (
        OSError, ValueError, KeyError, AttributeError, IndexError, TypeError, UserWarning,
    ) as error:  # fmt: skip
        raise RecipeRefused(
            f"{weights} does not hold the weights of {application.function} that this needs "
            f"({_first_line(error)})."
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


def phases(laptop: bool, trainable: tuple[str, ...], rate: float = 1e-4) -> tuple[Descent, ...]:
    """The head first, on the network as it is; then the named last layers with it, gently.

    Without pretrained weights nothing is ever frozen: both phases train every layer.
    """
    return (
        Descent("head", epochs=1 if laptop else 10, learning_rate=1e-3, warmup=0.1, patience=4),
        Descent(
            "fine-tuning",
            epochs=1 if laptop else 20,
            learning_rate=rate,
            trainable=trainable,
            warmup=0.1,
            patience=5,
            label_smoothing=0.05,
        ),
    )


RESNET50 = Application(
    "ResNet50", "ResNet50, ImageNet weights (MIT)", _CENTRED, blue_first="conv1_conv"
)
VGG16 = Application(
    "VGG16", "VGG16, ImageNet weights (CC BY 4.0)", _CENTRED, blue_first="block1_conv1"
)
MOBILENET_V3 = Application(
    "MobileNetV3Large",
    "MobileNetV3-Large, ImageNet weights (Apache-2.0)",
    ({"op": "scale", "divisor": 127.5, "offset": 1.0},),
    options={"include_preprocessing": False},
)
DENSENET121 = Application("DenseNet121", "DenseNet121, ImageNet weights (BSD-3-Clause)", _STANDARD)
EFFICIENTNET_V2_B0 = Application(
    "EfficientNetV2B0",
    "EfficientNetV2-B0, ImageNet weights (Apache-2.0)",
    _STANDARD,
    options={"include_preprocessing": False},
)
