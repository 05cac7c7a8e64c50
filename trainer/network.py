"""What is done with a network while it is fitted: frozen, run, and its maps kept."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.batches import Floats, Source
from trainer.data import Example
from trainer.frozen import frozen_outputs
from trainer.recipes import Built, Descent, Recipe
from trainer.refusals import RecipeRefused
from trainer.runtime import keras
from trainer.task import Task


def set_trainable(built: Built, beginnings: Sequence[str]) -> None:
    """Freeze the pretrained layers but those whose names begin so; leave random ones trainable.

    A pretrained batch norm stays frozen in any case: unfrozen, Keras would replace its statistics
    by those of small batches and undo the pretraining.
    """
    norm = keras().layers.BatchNormalization
    for one in built.model.layers:
        wanted = any(one.name.startswith(name) for name in beginnings)
        pretrained = one.name in built.pretrained
        one.trainable = not pretrained or (wanted and not isinstance(one, norm))


def predict(model: Any, source: Source, count: int) -> Floats:
    """Outputs of a model for the first `count` images of a source, float32."""
    parts = []
    for start in range(0, count, 64):
        chosen = np.arange(start, min(start + 64, count))
        outputs = model(source(chosen, 0), training=False)
        parts.append(np.asarray(keras().ops.convert_to_numpy(outputs), np.float32))
    return np.concatenate(parts)


def layer(built: Built, name: str) -> Any:
    """A layer by its name.

    Raises:
        RecipeRefused: the network has none of this name.
    """
    try:
        return built.model.get_layer(name)
    except ValueError as error:
        raise RecipeRefused(f"The network has no layer {name!r}, which a phase names.") from error


def before(built: Built, cut: str) -> Any:
    """The network up to a cut: from images to the maps there, of several layers as one vector."""
    k = keras()
    maps = [layer(built, name).output for name in cut.split()]
    if len(maps) == 1:
        return k.Model(built.model.input, maps[0])
    flat = k.layers.Concatenate()([k.layers.Flatten()(one) for one in maps])
    return k.Model(built.model.input, flat)


def behind(built: Built, cut: str, outputs: Any) -> Any:
    """The network from the maps of a cut, as `before` gives them, to some outputs."""
    k = keras()
    maps = [layer(built, name).output for name in cut.split()]
    if len(maps) == 1:
        return k.Model(maps[0], outputs)
    sizes = [math.prod(one.shape[1:]) for one in maps]
    flat = k.Input((sum(sizes),))
    ends = np.cumsum(sizes).tolist()
    parts = [
        k.ops.reshape(flat[:, end - size : end], (-1, *one.shape[1:]))
        for one, size, end in zip(maps, sizes, ends, strict=True)
    ]
    return k.Model(flat, k.Model(maps, outputs)(parts))


def refuse_unsound_layers(recipe: Recipe, built: Built) -> None:
    """Check the layers that the phases name against the network.

    Raises:
        RecipeRefused: a phase unfreezes layers that are not there or nothing but batch norms, or
            trains a layer whose outputs another phase keeps as frozen maps.
    """
    norm = keras().layers.BatchNormalization
    for phase in recipe.phases:
        for beginning in phase.trainable if isinstance(phase, Descent) else ():
            found = [one for one in built.model.layers if one.name.startswith(beginning)]
            if not found:
                raise RecipeRefused(
                    f"{phase.name} unfreezes {beginning!r}, but no layer's name begins so."
                )
            if built.pretrained and all(isinstance(one, norm) for one in found):
                raise RecipeRefused(
                    f"{phase.name} would unfreeze the batch norm {found[0].name!r}; small batches "
                    "would replace its pretrained statistics. Name convolutions or dense layers."
                )
    for cut in {phase.cut for phase in recipe.phases if phase.cut}:
        body = before(built, cut)
        for phase in recipe.phases:
            set_trainable(built, phase.trainable if isinstance(phase, Descent) else ())
            trained = [one.name for one in body.layers if one.weights and one.trainable]
            if trained:
                raise RecipeRefused(
                    f"The cut {cut!r} would freeze {trained[0]!r}, which {phase.name} trains."
                )


def frozen_maps(
    cut: str, built: Built, task: Task, examples: Sequence[Example], copy: int
) -> list[NDArray[np.float16]]:
    """The frozen part's outputs for a version of each example; copy 0 is the image itself."""
    missing = [one for one in examples if (cut, copy, one.digest) not in task.frozen]
    if missing:
        task.log(f"Maps at {cut} of {len(missing)} images, version {copy + 1}")
        body = before(built, cut)
        left = iter(missing)
        # Block by block: all maps in 32 bit at once would take gigabytes.
        for maps in frozen_outputs(body, task.images(missing, copy), len(missing)):
            for value in np.clip(maps, -6e4, 6e4).astype(np.float16):
                task.frozen[cut, copy, next(left).digest] = value
    return [task.frozen[cut, copy, one.digest] for one in examples]
