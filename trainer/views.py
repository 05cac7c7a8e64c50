"""Two altered views of each image: what self-supervised pretraining teaches to be the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.augment import Augmenter
from trainer.batches import Ahead, Floats
from trainer.data import Example
from trainer.pixels import PixelStore
from trainer.runtime import keras

#: Share of an image's area that a view shows, at least.
LEAST_AREA = 0.4

_Base: Any = keras().utils.PyDataset


class Views(_Base):  # type: ignore[misc]
    """Batches of two views of each image, float32 (N, 2, H, W, C); the same for the same seed."""

    def __init__(
        self,
        store: PixelStore,
        examples: Sequence[Example],
        augmenter: Augmenter,
        *,
        batch: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._store, self._examples, self._augmenter = store, examples, augmenter
        self._batch, self._seed = min(batch, len(examples)), seed
        self._ahead: Ahead[tuple[Floats, Floats]] = Ahead(store.workers)
        self.begin(0)

    def __len__(self) -> int:
        # Only whole batches: the loss compares the images of a batch with each other.
        return len(self._examples) // self._batch

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        epoch, order = self._dealt

        def made(number: int) -> tuple[Floats, Floats]:
            chosen = order[number * self._batch : (number + 1) * self._batch]
            views = [[self._view(int(one), epoch, side) for side in range(2)] for one in chosen]
            # Keras asks for a target; the loss has none.
            return np.asarray(views, np.float32), np.zeros((len(chosen), 1), np.float32)

        return self._ahead.get(epoch, index, len(self), made)

    def begin(self, epoch: int) -> None:
        """Deal the images of an epoch, the first of which is 0."""
        random = np.random.default_rng([self._seed, epoch])
        self._dealt = epoch, random.permutation(len(self._examples))

    def _view(self, index: int, epoch: int, side: int) -> Floats:
        example = self._examples[index]
        seed = (self._seed, epoch, side, int(example.digest[:12], 16))
        altered = self._augmenter(self._store.stored(example), seed)
        return self._store.finish(cropped(altered, np.random.default_rng([*seed, 1])))


def cropped(pixels: Floats, random: np.random.Generator) -> Floats:
    """A part of an image (H, W, C) of nearly its own shape, enlarged to the whole."""
    height, width = pixels.shape[:2]
    area, stretch = random.uniform(LEAST_AREA, 1), np.exp(random.uniform(-0.2, 0.2))
    tall = min(1.0, float(np.sqrt(area) * stretch)) * height
    wide = min(1.0, float(np.sqrt(area) / stretch)) * width
    top, left = random.uniform(0, height - tall), random.uniform(0, width - wide)
    box = (left, top, left + wide, top + tall)
    channels: list[NDArray[Any]] = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels[..., channel], np.float32)).resize(
                (width, height), Image.Resampling.BILINEAR, box=box
            )
        )
        for channel in range(pixels.shape[2])
    ]
    return np.stack(channels, axis=2).astype(np.float32)
