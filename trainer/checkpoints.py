"""The state of a fit on the disk, so that training goes on after a kill from its last epoch.

A checkpoint is one `.npz`: a JSON state and arrays by number. It is written beside the old one
and then takes its name, so a kill or a full disk leaves the old one whole.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from diagnosis.durable import INCOMING
from trainer.refusals import CheckpointRefused
from trainer.runtime import keras

Arrays = list[NDArray[Any]]
_SUFFIX = ".npz"


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was read: what it says and its arrays, in their order."""

    state: dict[str, Any]
    arrays: Arrays


class Checkpoints:
    """The checkpoints of one fit, a folder; it is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, name: str, state: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> None:
        """Write a checkpoint in one step, in place of the one of this name.

        Raises:
            CheckpointRefused: the disk is full or not writable; the old checkpoint is untouched.
        """
        path = self.folder / f"{name}{_SUFFIX}"
        incoming = path.with_name(f"{INCOMING}{path.name}")
        content: dict[str, Any] = {"state": np.array(json.dumps(state))}
        content |= {f"array{number}": one for number, one in enumerate(arrays)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with incoming.open("wb") as file:
                np.savez(file, **content)
                file.flush()
                os.fsync(file.fileno())
            incoming.replace(path)
        except OSError as error:
            incoming.unlink(missing_ok=True)
            raise CheckpointRefused(
                f"The checkpoint {path} could not be written: {error.strerror or error}. Make room "
                "and give the same command again; it goes on from the last checkpoint."
            ) from error
        except BaseException:
            incoming.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> Saved | None:
        """The checkpoint of this name; None where there is none.

        Raises:
            CheckpointRefused: it is there and cannot be read.
        """
        path = self.folder / f"{name}{_SUFFIX}"
        try:
            with np.load(path, allow_pickle=False) as file:
                state = json.loads(str(file["state"]))
                arrays = [file[f"array{number}"] for number in range(len(file.files) - 1)]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise CheckpointRefused(
                f"{path} cannot be read ({error}); remove {self.folder} to begin anew."
            ) from error
        return Saved(state, arrays)

    def forget(self, *names: str) -> None:
        """Remove checkpoints that are needed no more."""
        for name in names:
            (self.folder / f"{name}{_SUFFIX}").unlink(missing_ok=True)

    def forget_beginning(self, beginning: str, *, but: str) -> None:
        """Remove the checkpoints whose names begin so, but one."""
        for path in self.folder.glob(f"{beginning}*{_SUFFIX}"):
            if path.name != f"{but}{_SUFFIX}":
                path.unlink(missing_ok=True)


def values(variables: Sequence[Any]) -> Arrays:
    """The values of Keras variables, copied."""
    return [np.array(keras().ops.convert_to_numpy(one)) for one in variables]


def assign(variables: Sequence[Any], arrays: Sequence[NDArray[Any]]) -> None:
    """Give Keras variables their values back.

    Raises:
        CheckpointRefused: they are of another network.
    """
    if [tuple(one.shape) for one in variables] != [one.shape for one in arrays]:
        raise CheckpointRefused(
            "The checkpoint is of another network than the recipe builds now: remove the run's "
            "`.partial` folder, or go back to the version that wrote it."
        )
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
