"""Batches for Keras: images that are augmented and finished, or feature maps made beforehand."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from trainer.augment import Augmenter
from trainer.data import Example
from trainer.pixels import PixelStore
from trainer.runtime import keras

Floats = NDArray[np.float32]
#: Gives the inputs of some examples, float32 (N, H, W, C), in a given epoch.
Source = Callable[[NDArray[np.int64], int], Floats]

T = TypeVar("T")
_Base: Any = keras().utils.PyDataset


class Batches(_Base):  # type: ignore[misc]
    """Shuffled batches of inputs, one-hot labels and weights; the same for the same seed."""

    def __init__(
        self,
        source: Source,
        labels: NDArray[np.int64],
        weights: Floats,
        *,
        classes: int,
        batch: int,
        seed: int,
        shuffle: bool = True,
        workers: int = 2,
        multiple: int = 1,
    ) -> None:
        """Take a source of inputs, and for each image its label and its weight.

        Args:
            multiple: every batch is a multiple of it: images of weight 0 fill the last one up,
                where each of several devices gets its share of a batch.
        """
        super().__init__()
        self._source = source
        self._targets = np.eye(classes, dtype=np.float32)[labels]
        self._weights = weights
        self._batch = -(-batch // multiple) * multiple
        self._multiple = multiple
        self._seed = seed
        self._shuffle = shuffle
        self._ahead: Ahead[tuple[Floats, Floats, Floats]] = Ahead(workers)
        self.begin(0)

    def __len__(self) -> int:
        return -(-len(self._targets) // self._batch)

    def __getitem__(self, index: int) -> tuple[Floats, Floats, Floats]:
        epoch, order = self._dealt
        return self._ahead.get(
            epoch, index, len(self), lambda number: self._made(epoch, order, number)
        )

    def begin(self, epoch: int) -> None:
        """Deal the images of an epoch, the first of which is 0."""
        self._dealt = epoch, self._deal(epoch)

    def _made(self, epoch: int, order: NDArray[np.int64], index: int) -> Any:
        chosen = order[index * self._batch : (index + 1) * self._batch]
        lacking = -len(chosen) % self._multiple
        weights = np.append(self._weights[chosen], np.zeros(lacking, np.float32))
        chosen = np.append(chosen, np.resize(chosen, lacking))
        return self._source(chosen, epoch), self._targets[chosen], weights

    def _deal(self, epoch: int) -> NDArray[np.int64]:
        count = len(self._targets)
        if not self._shuffle:
            return np.arange(count)
        return np.random.default_rng([self._seed, epoch]).permutation(count)


class Ahead(Generic[T]):
    """Makes the next few batches of an epoch in threads while one is trained on.

    Keras's own queue hands what an epoch left over to the next one, so that what a batch holds
    would depend on which thread was first; here it depends on epoch and number alone.
    """

    def __init__(self, workers: int) -> None:
        self._pool = ThreadPoolExecutor(workers)
        self._depth = workers + 1
        self._epoch = -1
        self._made: dict[int, Future[T]] = {}
        self._lock = Lock()

    def get(self, epoch: int, index: int, count: int, make: Callable[[int], T]) -> T:
        """Batch `index` of `count` in an epoch; `make` makes one by its number."""
        with self._lock:
            if epoch != self._epoch:
                for left in self._made.values():
                    left.cancel()
                self._epoch, self._made = epoch, {}
            for number in range(index, min(index + self._depth, count)):
                if number not in self._made:
                    self._made[number] = self._pool.submit(make, number)
            wanted = self._made.pop(index)
        return wanted.result()


class Images:
    """The inputs of a list of examples, as they are or augmented."""

    def __init__(
        self,
        store: PixelStore,
        examples: Sequence[Example],
        augmenter: Augmenter | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self._store = store
        self._examples = examples
        self._augmenter = augmenter
        self._seed = seed

    def __call__(self, chosen: NDArray[np.int64], epoch: int) -> Floats:
        return np.stack([self._one(int(index), epoch) for index in chosen])

    def _one(self, index: int, epoch: int) -> Floats:
        example = self._examples[index]
        stored = self._store.stored(example)
        if self._augmenter is None:
            return self._store.finish(stored)
        # By what the image is, not by its place: it is changed alike in whichever list it stands.
        which = int(example.digest[:12], 16)
        return self._store.finish(self._augmenter(stored, (self._seed, epoch, which)))


class Maps:
    """Feature maps made once, of each image and of its copies; an epoch draws one of them."""

    def __init__(self, versions: Sequence[Sequence[NDArray[np.float16]]], *, seed: int = 0) -> None:
        """Take a list for each version, which holds the maps (H, W, C) of all images in order."""
        self._versions = versions
        self._seed = seed

    def __call__(self, chosen: NDArray[np.int64], epoch: int) -> Floats:
        random = np.random.default_rng([self._seed, epoch, int(chosen[0])])
        which = random.integers(0, len(self._versions), len(chosen))
        return np.stack(
            [self._versions[version][index] for version, index in zip(which, chosen, strict=True)]
        ).astype(np.float32)
