"""Fits a recipe's network to training images, phase by phase. Keras only; any backend."""

from trainer.checkpoints import assign, values
from trainer.descent import History, descend
from trainer.head import fit_head, logistic_head
from trainer.network import predict, refuse_unsound_layers, set_trainable
from trainer.recipes import Built, HeadFit, Recipe
from trainer.task import FamilyOf, FrozenMaps, Log, Task, example_weights

__all__ = [
    "FamilyOf",
    "FrozenMaps",
    "History",
    "Log",
    "Task",
    "example_weights",
    "fit",
    "logistic_head",
    "predict",
    "set_trainable",
]
#: The checkpoint between two phases; inside one, see `trainer.descent`.
_PHASES = "phases"


def fit(recipe: Recipe, built: Built, task: Task) -> History:
    """Run a recipe's phases on a freshly built network, in place.

    Where the task keeps checkpoints, phases and epochs that they hold are not run again.

    Returns:
        One record an epoch: phase, epoch, loss, accuracy, val_loss, val_accuracy, and the metric
        that picks the best epoch.

    Raises:
        RecipeRefused: a phase names a layer that the network does not have, unfreezes nothing but
            batch norms, trains what another takes as frozen, or diverges.
        CheckpointRefused: the disk is full, or the checkpoints are of another network.
    """
    refuse_unsound_layers(recipe, built)
    history: History = []
    done = 0
    saved = task.checkpoints.read(_PHASES) if task.checkpoints else None
    if saved is not None:
        done, history = saved.state["done"], saved.state["history"]
        assign(built.model.variables, saved.arrays)
        names = ", ".join(phase.name for phase in recipe.phases[:done])
        task.log(f"Already done: {names}.")
    for place, phase in enumerate(recipe.phases[done:], start=done):
        if isinstance(phase, HeadFit):
            fit_head(phase, recipe, built, task)
        else:
            history += descend(phase, recipe, built, task, place)
        if task.checkpoints is not None:
            state = {"done": place + 1, "history": history}
            task.checkpoints.save(_PHASES, state, values(built.model.variables))
            task.checkpoints.forget("latest")
            task.checkpoints.forget_beginning("best-", but="")
    return history
