"""Preprocessed images, made once and kept by the digest of their steps and of the file.

A preprocessing is cut in two. What comes up to the first resize is stored, mostly as 8 bit; all
later steps run after the augmentation, so that an augmented image goes through them as a real one
does.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from diagnosis.errors import EmptyFile, ImageRefused, NotAnImage
from diagnosis.images import read_image
from diagnosis.preprocess import AnyStep, Array, Preprocessing
from trainer.data import DataSet, Example, Skipped
from trainer.refusals import DataRefused

#: Of all files; more unreadable ones than this say that something is wrong with the copy.
LARGEST_UNREADABLE_SHARE = 0.02
Progress = Callable[[int, int], None]

#: NumPy reads a header with Python's own parser, and CPython before 3.11.9 raises a SystemError now
#: and then where two threads are in it at once.
_PARSING = Lock()


def load_array(path: Path) -> Array:
    """An array that was kept as `.npy`; one thread at a time.

    Raises:
        OSError, EOFError, ValueError: it is not there, or cut short.
    """
    with _PARSING:
        return np.asarray(np.load(path, allow_pickle=False))


def cut(preprocessing: Preprocessing) -> tuple[tuple[AnyStep, ...], tuple[AnyStep, ...]]:
    """The steps up to the first resize, whose result is stored, and those of every use."""
    place = [step.op for step in preprocessing.steps].index("resize") + 1
    return preprocessing.steps[:place], preprocessing.steps[place:]


class PixelStore:
    """Gives the images of a data set as arrays; decodes and resizes each file only once."""

    def __init__(self, folder: Path, preprocessing: Preprocessing, *, workers: int = 2) -> None:
        self.preprocessing = preprocessing
        self.workers = workers
        self._first, self._last = cut(preprocessing)
        steps = [step.model_dump(mode="json") for step in self._first]
        text = json.dumps(steps, sort_keys=True, separators=(",", ":"))
        self._folder = folder / hashlib.sha256(text.encode()).hexdigest()[:32]

    def prepare(self, data: DataSet, progress: Progress | None = None) -> DataSet:
        """Make what is not stored yet; the files that are no readable images become `skipped`.

        Raises:
            DataRefused: no readable image is left.
        """
        reasons: list[str | None] = []
        with ThreadPoolExecutor(self.workers) as pool:
            for number, reason in enumerate(pool.map(self._make, data.examples), start=1):
                reasons.append(reason)
                if progress is not None:
                    progress(number, len(data.examples))
        kept, skipped = [], list(data.skipped)
        for one, reason in zip(data.examples, reasons, strict=True):
            if reason is None:
                kept.append(one)
            else:
                skipped.append(Skipped(one.path, reason))
        if not kept:
            raise DataRefused(f"{data.root} holds no readable image.")
        return replace(data, examples=tuple(kept), skipped=tuple(skipped))

    def stored(self, example: Example) -> Array:
        """The image after its first resize, (H, W, C): uint8, or float32 in 0 to 255."""
        try:
            return load_array(self._place(example))
        except (OSError, EOFError, ValueError):
            # Swept away or cut short since `prepare`: made again.
            self._place(example).unlink(missing_ok=True)
            reason = self._make(example)
            if reason is not None:
                raise DataRefused(f"{example.path} cannot be read any more ({reason}).") from None
            return load_array(self._place(example))

    def finish(self, stored: Array) -> NDArray[np.float32]:
        """The network's input, float32 (H, W, C), from a stored or an augmented image."""
        array = stored[..., 0] if stored.shape[-1] == 1 else stored
        for step in self._last:
            array = step.apply(array)
        if array.ndim == 2:
            array = array[..., np.newaxis]
        return np.ascontiguousarray(array, dtype=np.float32)

    def inputs(self, examples: Sequence[Example]) -> NDArray[np.float32]:
        """The network's inputs, float32 (N, H, W, C), exactly as the service would make them."""
        with ThreadPoolExecutor(self.workers) as pool:
            return np.stack(list(pool.map(lambda one: self.finish(self.stored(one)), examples)))

    def _make(self, example: Example) -> str | None:
        """Store one image; the refusal's code where it is none."""
        place = self._place(example)
        if place.exists():
            return None
        try:
            image = read_image(
                example.path.read_bytes(), decode_at_least=self.preprocessing.decode_at_least
            )
        except ImageRefused as error:
            return error.code
        except OSError:
            return "unreadable-file"
        array: Array = image.pixels
        if array.dtype == np.uint16:
            array = (array.astype(np.float32) / 257.0).astype(np.float32)
        for step in self._first:
            array = step.apply(array)
        if array.ndim == 2:
            array = array[..., np.newaxis]
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f"{place.name}.{uuid4().hex}")
        with draft.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        os.replace(draft, place)  # noqa: PTH105 - the atomic one, by its name
        return None

    def _place(self, example: Example) -> Path:
        return self._folder / example.digest[:2] / f"{example.digest}.npy"


def refuse_many_unreadable(data: DataSet) -> None:
    """Stop where more than 2 % of the files are damaged; files that are no images do not count.

    Raises:
        DataRefused: names how many there are, and one of them.
    """
    harmless = {NotAnImage.code, EmptyFile.code, "not-in-manifest", "outside-class-folders"}
    damaged = [one for one in data.skipped if one.reason not in harmless]
    total = len(data.examples) + len(damaged)
    if len(damaged) > LARGEST_UNREADABLE_SHARE * total:
        raise DataRefused(
            f"{len(damaged)} of {total} images cannot be read, for example {damaged[0].path} "
            f"({damaged[0].reason}); at most 2 % may be left out. `trainer audit` lists them."
        )
