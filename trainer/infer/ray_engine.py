"""`predict_batch` over Ray Data: on this machine's cores, or on every machine of a cluster.

Each process of the cluster gets the artifact's verified bytes and makes a `Predictor` of its own;
the images lie in a folder that all machines share, or in a bucket. Answers come back here, to be
posted and written down as those of any engine are. Ray is imported by this module alone.
"""

import logging
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import ExitStack
from typing import Any

from pydantic import TypeAdapter

from trainer.infer.engines import Setup
from trainer.infer.predictor import Answer
from trainer.refusals import TrainerRefused
from trainer.runtime import hush

_ANSWER = TypeAdapter(Answer)
#: Files of one piece of work that Ray hands out; it hands each out again when its process dies.
_PIECE = 512
_STARTS = 4


def answers(
    setup: Setup, names: Sequence[str], address: str | None
) -> Generator[list[Answer], None, None]:
    """The answers of some files block by block, in the order in which they come.

    Args:
        setup: what makes a `Predictor`.
        names: of the files.
        address: of a cluster, `HOST:6379` or `ray://HOST:10001`; None starts one here, for as
            long as this takes, with a process for each of the set-up's cores.

    Raises:
        TrainerRefused: Ray is not installed, or the cluster cannot be reached.
    """
    ray = _ray()
    with ExitStack() as closing:
        _start(ray, address, setup.workers, closing)
        found = ray.cluster_resources()
        gpus = int(found.get("GPU", 0)) if setup.engine == "keras" else 0
        processes = gpus or max(1, int(found.get("CPU", 1)))
        fed = setup.feeding
        pieces = max(processes, len(names) // _PIECE)
        rows = ray.data.from_items([{"name": one} for one in names], override_num_blocks=pieces)
        done = rows.map_batches(
            _Process,
            fn_constructor_args=(setup,),
            batch_size=fed.block,
            compute=ray.data.ActorPoolStrategy(size=min(processes, pieces)),
            num_gpus=1 if gpus else None,
            num_cpus=None if gpus else 1,
        )
        for block in done.iter_batches(batch_size=fed.block, batch_format="numpy"):
            yield [_ANSWER.validate_json(one) for one in block["answer"]]


class _Process:
    """One process of the cluster, with a predictor that it keeps."""

    def __init__(self, setup: Setup) -> None:
        # Cores are Ray's to give out: each process has one, or a GPU and those beside it.
        alone = setup.alone() if setup.engine == "openvino" else setup
        self._predict = alone.predictor(ExitStack()).predict_batch

    def __call__(self, rows: dict[str, Any]) -> dict[str, list[bytes]]:
        """A column of names to a column of answers."""
        found = self._predict([str(name) for name in rows["name"]])
        return {"answer": [_ANSWER.dump_json(one) for one in found]}


def _ray() -> Any:
    hush()
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise TrainerRefused("Ray is not installed: `make ray` installs it.") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    return ray


def _start(ray: Any, address: str | None, cores: int, closing: ExitStack) -> None:
    given: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        # Not Ray's own folder, which it shares with whoever else uses Ray on this machine.
        folder = tempfile.mkdtemp(prefix="ray-")
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        given |= {"num_cpus": cores, "include_dashboard": False, "_temp_dir": folder}
    closing.callback(ray.shutdown)
    for left in reversed(range(_STARTS)):
        try:
            ray.init(address or "local", **given)
            break
        except Exception as error:
            # Ray gives its own processes 30 seconds, raises a bare Exception after them, and a
            # machine that is busy just then needs more.
            ray.shutdown()
            if not left:
                raise TrainerRefused(f"Ray does not start, or is not there: {error}") from error
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
