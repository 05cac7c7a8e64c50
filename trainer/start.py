"""The start of a network: weights of its backbone in a file, by the names of its layers."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from diagnosis.durable import replace_file
from trainer.recipes import Built
from trainer.refusals import RecipeRefused
from trainer.runtime import keras

#: Largest array that is read from a file, in numbers.
_MOST = 500_000_000


def backbone(built: Built) -> Any:
    """The network up to its features: the layer of this name, else all but the last layer."""
    names = [one.name for one in built.model.layers]
    end = "features" if "features" in names else names[-2]
    return keras().Model(built.model.input, built.model.get_layer(end).output, name="backbone")


def save_start(model: Any, path: Path, facts: dict[str, Any]) -> None:
    """Write a backbone's weights, one group a layer, and how they were made.

    Raises:
        OSError: the disk is full or not writable; an older file is untouched then.
    """
    with h5py.File.in_memory() as file:
        file.attrs["facts"] = json.dumps(facts)
        for layer in model.layers:
            for number, array in enumerate(layer.get_weights()):
                file[f"layers/{layer.name}/{number}"] = np.asarray(array, np.float32)
        file.flush()
        content = file.id.get_file_image()
    replace_file(path, content)


def load_start(built: Built, path: Path) -> int:
    """Give a network the weights of a file where layers have the same name and shapes.

    Returns:
        How many layers were set.

    Raises:
        RecipeRefused: the file does not exist or is none of `trainer pretrain`, or a layer of the
            backbone that has weights is missing from it or has other shapes.
    """
    if not path.is_file():
        raise RecipeRefused(f"The start {path} does not exist.")
    count = 0
    try:
        with h5py.File(path, "r") as file:
            found = file["layers"]
            for layer in backbone(built).layers:
                shapes = [tuple(one.shape) for one in layer.weights]
                if not shapes:
                    continue
                group = found.get(layer.name)
                arrays = [] if group is None else _arrays(group, len(shapes))
                if [one.shape for one in arrays] != shapes:
                    raise RecipeRefused(
                        f"{path} does not fit {layer.name} of this recipe: pretrain with the same "
                        "recipe, disease and --laptop."
                    )
                layer.set_weights(arrays)
                count += 1
    except (OSError, KeyError, ValueError, AttributeError) as error:
        raise RecipeRefused(f"{path} is no file that `trainer pretrain` wrote: {error}.") from error
    return count


def _arrays(group: Any, most: int) -> list[Any]:
    """The arrays 0, 1, 2 ... of a group, at most so many."""
    return [
        np.asarray(group[str(number)][()], np.float32)
        for number in range(most)
        if str(number) in group and group[str(number)].size <= _MOST
    ]
