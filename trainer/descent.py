"""A phase of gradient descent: epoch by epoch, the best kept, its state on the disk after each."""

import math
from typing import Any

from trainer.batches import Batches, Images, Maps, Source
from trainer.checkpoints import Arrays, Checkpoints, assign, values
from trainer.network import behind, frozen_maps, set_trainable
from trainer.objective import is_better, loss_of, metrics_of, optimiser_of
from trainer.recipes import Built, Descent, Recipe
from trainer.refusals import RecipeRefused
from trainer.runtime import devices, keras
from trainer.task import Task

History = list[dict[str, Any]]
_LATEST = "latest"
_Callback: Any = keras().callbacks.Callback


def descend(phase: Descent, recipe: Recipe, built: Built, task: Task, place: int) -> History:
    """Run the phase that stands at `place` in the recipe; the best epoch's weights stay.

    Returns:
        One record an epoch: phase, epoch, loss, accuracy, val_loss, val_accuracy, and the metric
        that picks the best epoch.

    Raises:
        RecipeRefused: the phase diverged.
        CheckpointRefused: the disk is full, or a checkpoint is of another network.
    """
    set_trainable(built, phase.trainable)
    part, train, val = _prepared(phase, recipe, built, task)
    steps = phase.epochs * len(train)
    model = _tethered(part, phase.tether)
    model.compile(
        optimizer=optimiser_of(phase, steps),
        loss=loss_of(phase),
        **metrics_of(phase, len(task.class_ids)),
    )
    k = keras()
    swap = k.callbacks.SwapEMAWeights(swap_on_epoch=True) if phase.average else None
    keeper = Keeper(phase, part, place, swap, task.checkpoints)
    keeper.resume(model)
    if keeper.epochs_done:
        task.log(f"{phase.name}: going on after epoch {keeper.epochs_done}.")
    if not keeper.is_finished:
        model.fit(
            train,
            validation_data=val,
            epochs=phase.epochs,
            initial_epoch=keeper.epochs_done,
            # The batches are dealt already; Keras would shuffle them by a state that is not kept.
            shuffle=False,
            callbacks=[
                Deal(train),
                # Before the keeper, which then sees the averaged weights that were validated.
                *([swap] if swap else []),
                k.callbacks.TerminateOnNaN(),
                *task.callbacks(phase.name, phase.epochs),
                # Last: what is shown of an epoch is shown before its checkpoint is written.
                keeper,
            ],
            verbose=0,
        )
    if keeper.best is None:
        raise RecipeRefused(
            f"The phase {phase.name} never reached a finite loss; lower its learning rate."
        )
    assign(part.weights, keeper.best)
    return keeper.history


class Deal(_Callback):  # type: ignore[misc]
    """Tells the batches the number of the epoch, so that a resumed run deals the same."""

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, _logs: Any = None) -> None:
        """Deal the images of this epoch."""
        self._batches.begin(epoch)


class Keeper(_Callback):  # type: ignore[misc]
    """Keeps the best epoch's weights, stops when nothing gets better, and saves the state.

    Keras has a callback for each of these, but none of them remembers its own state, and its
    BackupAndRestore overwrites the only checkpoint in place.
    """

    def __init__(
        self,
        phase: Descent,
        part: Any,
        place: int,
        swap: Any | None,
        checkpoints: Checkpoints | None,
    ) -> None:
        super().__init__()
        self.history: History = []
        self.best: Arrays | None = None
        self.epochs_done = 0
        self._phase, self._part, self._place = phase, part, place
        self._swap, self._checkpoints = swap, checkpoints
        self._best_value: float | None = None
        self._best_name = ""
        self._waited = 0

    @property
    def is_finished(self) -> bool:
        """Whether no epoch is left, or nothing got better for as long as the phase waits."""
        return self.epochs_done >= self._phase.epochs or self._waited >= self._phase.patience

    def resume(self, model: Any) -> None:
        """Take up the state of an earlier run of the same phase, where there is one."""
        saved = self._checkpoints.read(_LATEST) if self._checkpoints else None
        if saved is None or self._checkpoints is None or saved.state["place"] != self._place:
            return
        model.optimizer.build(model.trainable_variables)
        assign([*self._part.variables, *model.optimizer.variables], saved.arrays)
        self.history = saved.state["history"]
        self.epochs_done = saved.state["epoch"]
        self._waited = saved.state["waited"]
        self._best_value = saved.state["best_value"]
        self._best_name = saved.state["best"]
        best = self._checkpoints.read(self._best_name) if self._best_name else None
        self.best = best.arrays if best else None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Judge the epoch, and write it down."""
        figures = {key: float(value) for key, value in (logs or {}).items()}
        value = figures.get(self._phase.best, math.nan)
        improved = is_better(self._phase.best, value, self._best_value)
        if improved:
            self._best_value, self._waited = value, 0
            self.best = values(self._part.weights)
        else:
            self._waited += 1
        self.epochs_done = epoch + 1
        # An epoch that diverged has no figures, and a report could not hold them.
        whole = all(map(math.isfinite, figures.values()))
        if whole:
            kept = ("loss", "accuracy", "val_loss", "val_accuracy", self._phase.best)
            record = {key: figures[key] for key in dict.fromkeys(kept)}
            self.history.append({"phase": self._phase.name, "epoch": epoch + 1, **record})
        if self._swap is not None:
            # Back to the weights that are trained: a checkpoint goes on from them.
            self._swap.on_epoch_begin(epoch + 1)
        if whole and self._checkpoints is not None:
            self._save(self._checkpoints, improved)
        if self._waited >= self._phase.patience:
            self.model.stop_training = True

    def _save(self, checkpoints: Checkpoints, improved: bool) -> None:
        if improved and self.best is not None:
            self._best_name = f"best-{self._place}-{self.epochs_done}"
            checkpoints.save(self._best_name, {}, self.best)
        state = {
            "place": self._place,
            "epoch": self.epochs_done,
            "waited": self._waited,
            "best": self._best_name,
            "best_value": self._best_value,
            "history": self.history,
        }
        variables = [*self._part.variables, *self.model.optimizer.variables]
        checkpoints.save(_LATEST, state, values(variables))
        # Only now: until it was replaced, the last state spoke of the last best.
        checkpoints.forget_beginning("best-", but=self._best_name)


def _prepared(
    phase: Descent, recipe: Recipe, built: Built, task: Task
) -> tuple[Any, Batches, Batches]:
    """What is trained, and the batches of both sides."""
    train_source: Source
    val_source: Source
    if phase.cut:
        part = behind(built, phase.cut, built.model.output)
        versions = [
            frozen_maps(phase.cut, built, task, task.train, copy)
            for copy in range(phase.copies + 1)
        ]
        train_source = Maps(versions, seed=task.seed)
        val_source = Maps([frozen_maps(phase.cut, built, task, task.val, 0)])
    else:
        part = built.model
        train_source = Images(task.store, task.train, task.augmenter, seed=task.seed)
        val_source = Images(task.store, task.val)
    common: dict[str, Any] = {
        "classes": len(task.class_ids),
        "batch": recipe.batch,
        "seed": task.seed,
        "workers": task.store.workers,
        "multiple": devices(),
    }
    train = Batches(
        train_source,
        task.labels(task.train),
        task.weights(task.train, recipe.weighting),
        **common,
    )
    val = Batches(
        val_source,
        task.labels(task.val),
        # By class only: a family may be missing among the few validation images.
        task.weights(task.val, "class"),
        shuffle=False,
        **common,
    )
    return part, train, val


def _tethered(part: Any, strength: float) -> Any:
    """A model of the same weights whose loss pulls each back to where it stands now."""
    k = keras()

    class Tethered(k.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.part = part
            self.start = [k.ops.convert_to_numpy(one) for one in part.trainable_variables]

        def call(self, inputs: Any, training: bool = False) -> Any:
            return self.part(inputs, training=training)

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            if not strength:
                return loss
            pulls = [
                k.ops.sum(k.ops.square(now - start))
                for now, start in zip(self.part.trainable_variables, self.start, strict=True)
            ]
            return loss + strength * sum(pulls)

    return Tethered()
