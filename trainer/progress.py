"""What a person sees while a command works: bars with the epoch, the loss and the time left."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from trainer.runtime import keras


class Bars:
    """Progress bars on standard error; lines of text where that is no terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._files: Any = None

    @contextmanager
    def shown(self) -> Iterator["Bars"]:
        """Show the bars while the block runs."""
        with self._progress:
            yield self

    def log(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, highlight=False, markup=False)

    def files(self, done: int, total: int) -> None:
        """Files that were read."""
        if self._files is None:
            self._files = self._progress.add_task("Reading images", total=total, note="")
        self._progress.update(self._files, completed=done, total=total)
        if done >= total:
            self._progress.remove_task(self._files)
            self._files = None

    def callbacks(self, name: str, epochs: int) -> Sequence[Any]:
        """The Keras callback that draws a phase of training."""
        bars, progress = self, self._progress

        class Epochs(keras().callbacks.Callback):  # type: ignore[misc]
            def on_train_begin(self, _logs: Any = None) -> None:
                self.steps = self.params.get("steps") or 1
                self.task = progress.add_task(name, total=epochs * self.steps, note="")
                self.epoch = 0

            def on_epoch_begin(self, epoch: int, _logs: Any = None) -> None:
                self.epoch = epoch
                # A resumed phase begins in the middle.
                progress.update(self.task, completed=epoch * self.steps)

            def on_train_batch_end(self, _batch: int, logs: Any = None) -> None:
                loss = (logs or {}).get("loss")
                shown = "" if loss is None else f" loss {float(loss):.3f}"
                progress.update(
                    self.task, advance=1, note=f"epoch {self.epoch + 1}/{epochs}{shown}"
                )

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
                parts = " ".join(f"{key} {float(value):.4f}" for key, value in (logs or {}).items())
                bars.log(f"{name}, epoch {epoch + 1} of {epochs}: {parts}")

            def on_train_end(self, _logs: Any = None) -> None:
                progress.remove_task(self.task)

        return [Epochs()]
