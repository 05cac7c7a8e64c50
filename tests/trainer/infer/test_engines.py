"""Blocks of files: computed ahead of whoever takes their answers, handed over in their order."""

import threading
from collections.abc import Sequence

from trainer.infer.engines import Feeding, _ahead
from trainer.infer.predictor import Answer

NAMES = [f"{number:02}.png" for number in range(50)]


def test_what_is_ready_is_handed_over_together_and_in_order() -> None:
    computed: list[str] = []
    enough = threading.Event()

    def predict(names: Sequence[str]) -> list[Answer]:
        computed.extend(names)
        if len(computed) >= 24:
            enough.set()
        return [Answer(name) for name in names]

    blocks = _ahead(predict, NAMES, Feeding(block=4, calls=3, processes=0))
    sizes, found = [], []
    for block in blocks:
        # Whoever posts a block is slower than what computes the next.
        assert enough.wait(60)
        sizes.append(len(block))
        found += [one.name for one in block]
    assert found == NAMES
    assert max(sizes) > 4
    # Never so far ahead that much is done again after a kill.
    assert max(sizes) <= 2 * 3 * 4


def test_what_fails_ends_the_batch_and_is_not_passed_over() -> None:
    def predict(names: Sequence[str]) -> list[Answer]:
        if "08.png" in names:
            raise MemoryError
        return [Answer(name) for name in names]

    found: list[str] = []
    try:
        for block in _ahead(predict, NAMES, Feeding(block=4, calls=1, processes=0)):
            found += [one.name for one in block]
    except MemoryError:
        pass
    else:
        raise AssertionError(found)
    assert found == NAMES[: len(found)]
    assert len(found) <= 8
