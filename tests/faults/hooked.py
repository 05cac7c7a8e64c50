"""The services that keep readings, made to die at a named step of their work.

A step is asked for by a file `die-PROCESS-STEP` in the control folder; whoever comes to it first
removes the file and dies of SIGKILL. While there is a file `mutant`, they answer, or acknowledge,
before they write: the test has to catch it.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from diagnosis.contracts import Prediction
from diagnosis.queue import Finished, redis_work
from diagnosis.queue.redis_work import RedisWork
from diagnosis.results import RedisResults, redis_store
from inference_service.engines.openvino_engine import OpenVinoEngine

CONTROL = Path(os.environ.get("FAULTS_CONTROL", "/nonexistent"))
MUTANT = CONTROL / "mutant"
#: How much later the mutant writes.
MUTANT_SECONDS = 3.0


def step(process: str, name: str) -> None:
    """Die here, if somebody asked for it."""
    try:
        (CONTROL / f"die-{process}-{name}").unlink()
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def during_inference(process: str) -> None:
    """A step in the middle of the network's work."""
    predict = OpenVinoEngine.predict

    @wraps(predict)
    def dying(self: OpenVinoEngine, *given: Any) -> Any:
        outputs = predict(self, *given)
        step(process, "during-inference")
        return outputs

    OpenVinoEngine.predict = dying  # type: ignore[method-assign]


def around(process: str, write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Steps before and after something is written."""

    @wraps(write)
    async def dying(*given: Any, **named: Any) -> Any:
        step(process, "before-write")
        done = await write(*given, **named)
        step(process, "after-write")
        return done

    return dying


def later(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """The mutant: says that it is written, and writes a little later."""
    tasks = set()

    async def write_later(*given: Any, **named: Any) -> None:
        await asyncio.sleep(MUTANT_SECONDS)
        await write(*given, **named)

    @wraps(write)
    async def mutant(*given: Any, **named: Any) -> Any:
        if not MUTANT.exists():
            return await write(*given, **named)
        task = asyncio.create_task(write_later(*given, **named))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return None

    return mutant


def create_app() -> FastAPI:
    """inference_service as it is, with steps to die at."""
    from inference_service.app import create_app as real

    during_inference("inference")
    add = later(around("inference", RedisResults.add))
    RedisResults.add = add  # type: ignore[method-assign]
    shorten_claims()
    return real()


def create_worker() -> FastAPI:
    """A worker as it is, with steps to die at."""
    hook_worker()
    from inference_service.worker import create_app as real

    return real()


def hook_worker() -> None:
    """Steps around each of the worker's."""
    during_inference("worker")
    claim, finish = RedisWork.claim, RedisWork.finish

    @wraps(claim)
    async def claiming(*given: Any, **named: Any) -> Any:
        step("worker", "before-claim")
        taken = await claim(*given, **named)
        if taken:
            # It is claimed in Redis, and nobody here knows of it yet.
            step("worker", "after-claim")
        return taken

    @wraps(finish)
    async def finishing(self: RedisWork, finished: Sequence[Finished]) -> Any:
        step("worker", "before-write")
        done = await finish(self, finished)
        step("worker", "after-write")
        if MUTANT.exists():
            for one in finished:
                if one.prediction is not None:
                    tasks.add(asyncio.create_task(written_later(self, one.prediction)))
        return done

    async def written_later(work: RedisWork, prediction: Prediction) -> None:
        await asyncio.sleep(MUTANT_SECONDS)
        await RedisResults(work._client).add(prediction)

    def entering(transaction: Any, predictions: Iterable[Prediction]) -> None:
        if not MUTANT.exists():
            enter(transaction, predictions)

    tasks: set[asyncio.Task[None]] = set()
    enter = redis_work.enter
    RedisWork.claim = claiming  # type: ignore[method-assign]
    RedisWork.finish = finishing  # type: ignore[method-assign,assignment]
    redis_work.enter = entering


def shorten_claims() -> None:
    """In the small form a claim of a process that died is not waited for so long."""
    short = CONTROL / "claim-seconds"
    if short.exists():
        redis_store._CLAIM_SECONDS = int(short.read_text())
