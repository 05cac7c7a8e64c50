"""How `predict_batch` is fed: what runs the network, on how many images, how many calls at once."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from diagnosis.artifacts import VerifiedArtifact
from diagnosis.catalogue import disease as disease_of
from trainer.engine import Network, compile_streams, load_keras, whole_batches
from trainer.infer.predictor import (
    Answer,
    Job,
    OneAtATime,
    Predictor,
    Prepare,
    Prepared,
    Preparer,
    one_by_one,
)
from trainer.infer.sources import Source
from trainer.refusals import PrecisionMissing, PrecisionRefused, TrainerRefused
from trainer.runtime import Precision, exact_arithmetic, keras

EngineName = Literal["openvino", "keras"]
#: From names to their answers.
PredictBatch = Callable[[Sequence[str]], list[Answer]]

_NVIDIA = Path("/dev/nvidia0")


@dataclass(frozen=True)
class Feeding:
    """How an engine is kept busy."""

    block: int
    """Images of one call of `predict_batch`."""
    calls: int
    """Calls at once: one computes while others decode."""
    processes: int
    """That prepare images; 0: each call prepares its own, one after the other."""


def feeding(engine: EngineName, workers: int) -> Feeding:
    """How to feed an engine on so many cores.

    On a CPU every core decodes and computes in turn, on small blocks so that all end together; two
    calls more than cores go on while others wait for the interpreter. A GPU takes large batches
    while processes of their own decode the next.
    """
    if engine == "openvino":
        return Feeding(block=8, calls=workers + 2, processes=0)
    return Feeding(block=256, calls=3, processes=workers)


@dataclass(frozen=True)
class Setup:
    """All that makes a `Predictor`, in this process or, pickled, in another one.

    Args:
        engine: what runs the network.
        workers: cores to use.
        artifact: verified bytes.
        source: where the files lie.
        job: what the readings are of.
        images: see `Preparer`.
    """

    engine: EngineName
    workers: int
    artifact: VerifiedArtifact
    source: Source
    job: Job
    images: Path | None = None

    @property
    def feeding(self) -> Feeding:
        """How its engine is fed."""
        return feeding(self.engine, self.workers)

    def alone(self) -> "Setup":
        """The same on one core."""
        return replace(self, workers=1)

    def predictor(self, closing: ExitStack) -> Predictor:
        """Open the engine, and what prepares images until the stack is closed.

        Raises:
            TrainerRefused, ArtifactRefused: the engine cannot run the artifact.
        """
        return Predictor(
            self.artifact,
            disease_of(self.artifact.card.disease),
            open_engine(self.engine, self.artifact, self.workers, self.job.precision),
            self.source,
            self.job,
            images=self.images,
            prepare=preparing(self.feeding, closing),
        )


def open_engine(
    engine: EngineName, artifact: VerifiedArtifact, workers: int, precision: Precision
) -> Network:
    """What runs an artifact, safe to call from many threads.

    Raises:
        TrainerRefused: the artifact has no graph for OpenVINO, or nothing here may or can run it
            at that precision.
    """
    check = artifact.card.precisions.get(precision)
    if precision != "f32" and (check is None or not check.allowed):
        raise PrecisionRefused(
            f"The card does not allow {precision}: its answers differ too much from f32."
        )
    if engine == "keras":
        if precision != "f32":
            raise PrecisionMissing("Keras computes in full 32 bit: use --engine openvino.")
        exact_arithmetic()
        block = feeding(engine, workers).block
        return OneAtATime(whole_batches(load_keras(artifact.keras), block))
    if artifact.ir_xml is None or artifact.ir_bin is None:
        raise TrainerRefused("This artifact has no OpenVINO graph: use --engine keras.")
    return compile_streams(artifact.ir_xml, artifact.ir_bin, artifact.card, workers, precision)


def chosen_engine() -> EngineName:
    """Keras where it sees a GPU, else OpenVINO. Keras is imported only where there may be one."""
    if not _NVIDIA.exists():
        return "openvino"
    found = keras().distribution.list_devices()
    return "keras" if any(one.startswith(("gpu", "cuda")) for one in found) else "openvino"


class Pool:
    """Processes that prepare images; `prepare` is what a `Predictor` is given."""

    def __init__(self, processes: int) -> None:
        # Not forked: a runtime that has threads does not survive that.
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))
        self._processes = processes

    def prepare(self, preparer: Preparer, names: Sequence[str]) -> Iterable[Prepared]:
        """See `Prepare`."""
        chunk = max(1, len(names) // (4 * self._processes))
        return self._pool.map(partial(_prepare, preparer), names, chunksize=chunk)

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


def _prepare(preparer: Preparer, name: str) -> Prepared:
    return preparer(name)


def preparing(fed: Feeding, closing: ExitStack) -> Prepare:
    """What prepares images, until the stack is closed."""
    if not fed.processes:
        return one_by_one
    pool = Pool(fed.processes)
    closing.callback(pool.close)
    return pool.prepare


def answers(setup: Setup, names: Iterable[str]) -> Generator[list[Answer], None, None]:
    """The answers of some files block by block, in their order, computed ahead in threads.

    Args:
        setup: what makes a `Predictor`.
        names: of the files.
    """
    with ExitStack() as closing:
        predict = setup.predictor(closing).predict_batch
        yield from _ahead(predict, names, setup.feeding)


def _ahead(
    predict: PredictBatch, names: Iterable[str], fed: Feeding
) -> Generator[list[Answer], None, None]:
    left = iter(names)
    pool: Executor = ThreadPoolExecutor(fed.calls, thread_name_prefix="predicting")
    ahead: deque[Future[list[Answer]]] = deque()
    try:
        while True:
            # As many again wait as are at work, so that none is idle while answers are posted.
            while len(ahead) < 2 * fed.calls and (block := list(islice(left, fed.block))):
                ahead.append(pool.submit(predict, block))
            if not ahead:
                return
            ready = ahead.popleft().result()
            # What is ready goes with it: the disk takes as long for one block as for several.
            while ahead and ahead[0].done():
                ready += ahead.popleft().result()
            yield ready
    finally:
        pool.shutdown(cancel_futures=True)
