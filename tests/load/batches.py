"""`make bench`: how many images a second a batch reads, beside a plain loop and the earlier system.

All read the same files on the same cores in the same run, one after the other. The plain loop
decodes, preprocesses and infers, a thread a core, and does nothing else: no gate, no reading, no
store. The workers are those that `make run` starts, with the whole stack beside them; the files
wait in the queue before they begin. The earlier system's loop is load_img, model.predict and hset,
image by image.
"""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from pydantic import SecretStr
from redis import Redis
from rich.console import Console
from rich.table import Table

from diagnosis.artifacts import VerifiedArtifact, open_artifact
from diagnosis.contracts import Batch
from diagnosis.identity import Role
from diagnosis.images import read_image
from diagnosis.keys import read_private_key
from gateway.stack import redis_url
from tests.fixtures.identity import Acting
from tests.fixtures.redis import RedisServer
from tests.fixtures.stack import DISEASE, Stack, models_with_a_live_one
from tests.load.films import SIZES, film
from trainer.engine import compile_streams, load_keras
from trainer.infer.predictor import Answer, Predictor
from trainer.infer.running import Asked, infer
from trainer.runtime import Precision
from trainer.settings import Settings

IMAGES = 600
#: Of the earlier system's loop, which is slow.
FEWER = 40


@dataclass(frozen=True)
class Pace:
    """How fast a loop went."""

    rate: float
    """Images a second."""
    processor_ms: float | None = None
    """Processor time an image, where all of it is this process's."""


class Clock:
    """Times some images, from when it is made."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def pace(self, images: int) -> Pace:
        """Of so many images until now."""
        processor = time.process_time() - self._processor
        return Pace(images / (time.perf_counter() - self._wall), 1000 * processor / images)


def cores() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0))


def plain_loop(
    artifact: VerifiedArtifact, paths: Sequence[Path], precision: Precision = "f32"
) -> Pace:
    """Decode, preprocess and infer, a thread a core."""
    assert artifact.ir_xml is not None
    assert artifact.ir_bin is not None
    network = compile_streams(artifact.ir_xml, artifact.ir_bin, artifact.card, cores(), precision)
    spec = artifact.card.preprocessing

    def one(path: Path) -> object:
        pixels = read_image(path.read_bytes(), decode_at_least=spec.decode_at_least).pixels
        return network(spec.apply(pixels)[np.newaxis])

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, paths[: 4 * cores()]))
        clock = Clock()
        list(pool.map(one, paths))
        return clock.pace(len(paths))


def earlier_loop(artifact: VerifiedArtifact, paths: Sequence[Path], url: str) -> Pace:
    """load_img, model.predict and hset, one after the other."""
    import keras

    model = load_keras(artifact.keras)
    card = artifact.card
    size = (card.input.height, card.input.width)
    with Redis.from_url(url) as client:

        def one(path: Path) -> None:
            image = keras.utils.load_img(path, color_mode="grayscale", target_size=size)
            array = keras.utils.img_to_array(image)[np.newaxis]
            scores = model.predict(array, verbose=0)[0]
            client.hset(f"earlier:{path.name}", mapping={"score": float(scores.max())})

        for path in paths[:3]:
            one(path)
        clock = Clock()
        for path in paths:
            one(path)
        return clock.pace(len(paths))


def workers(stack: Stack, paths: Sequence[Path], precision: Precision) -> Pace:
    """A batch in the queue, until the last of it is done; the workers are ready before."""
    names = [f"worker-{number}" for number in range(1, stack.settings.workers + 1)]
    for name in names:
        stack.kill_one(name)
        stack.start_one(name, SIGHTLINE_INFERENCE_PRECISION=precision)
    for name in names:
        _await_ready(stack.places.worker_socket(int(name.rpartition("-")[2])))
        stack.signal_one(name, signal.SIGSTOP)

    def let_go() -> None:
        for name in names:
            stack.signal_one(name, signal.SIGCONT)

    key = read_private_key(stack.places.identity_key)
    with (
        ExitStack() as last,
        httpx.Client(
            transport=httpx.HTTPTransport(uds=str(stack.places.inference_socket)),
            base_url="http://inference",
            auth=Acting(Role.CLINICIAN, via="key", key=key),
            timeout=120,
        ) as client,
    ):
        # A process that is held up cannot be told to stop.
        last.callback(let_go)

        def asked(method: str, path: str, **more: object) -> Batch:
            answer = client.request(method, f"/api/v1/batches{path}", **more)  # type: ignore[arg-type]
            assert answer.is_success, answer.text
            return Batch.model_validate_json(answer.content)

        batch = asked("POST", "", json={"disease": DISEASE, "name": "bench"})

        def put(number: int) -> None:
            file = ("film.jpg", paths[number].read_bytes())
            url = f"/api/v1/batches/{batch.id}/files/{number}"
            assert client.put(url, files={"file": file}).is_success

        with ThreadPoolExecutor(2 * cores()) as pool:
            list(pool.map(put, range(len(paths))))
        asked("POST", f"/{batch.id}/close")
        began = time.perf_counter()
        let_go()
        while not (found := asked("GET", f"/{batch.id}")).over:
            time.sleep(0.1)
        took = time.perf_counter() - began
    assert found.counts.done == len(paths), found.counts
    assert not found.bands.not_judged, "refused images"
    return Pace(len(paths) / took)


def _await_ready(socket: Path) -> None:
    """Until the worker behind a socket can read, its models loaded."""
    until = time.monotonic() + 60
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket))) as client:
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                if client.get("http://worker/readyz").is_success:
                    return
            time.sleep(0.2)
    raise SystemExit("a worker is not ready after a minute")


class Quiet:
    """Watches nothing."""

    def begin(self, done: int, total: int) -> None:
        """See `Watcher`."""

    def advance(self, files: int) -> None:
        """See `Watcher`."""


def trainer_infer(films: Path, models: Path, url: str, folder: Path, precision: Precision) -> Pace:
    """`trainer infer`, from its first image to its last word in Redis.

    Opening the engine is left out, as in the other loops.
    """
    begun: list[Clock] = []
    predict: Callable[[Predictor, Sequence[str]], list[Answer]] = Predictor.predict_batch

    def noted(self: Predictor, names: Sequence[str]) -> list[Answer]:
        begun.append(Clock())
        return predict(self, names)

    settings = Settings(
        registry=str(folder / "registry"),
        models_dir=models,
        runs_dir=folder / "runs",
        redis_url=SecretStr(url),
        workers=cores(),
    )
    Predictor.predict_batch = noted  # type: ignore[method-assign]
    try:
        name = f"{films.name} {precision}"
        asked = Asked(DISEASE, str(films), name, "openvino", precision=precision)
        ran = infer(asked, settings, Quiet(), lambda _: None)
    finally:
        Predictor.predict_batch = predict  # type: ignore[method-assign]
    assert all(one.outputs is not None for one in ran.journal.lines.values()), "refused images"
    return begun[0].pace(ran.files)


def main() -> None:
    """Measure and print a table for each size of film and each precision that the card allows."""
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="b-"))
    models = models_with_a_live_one(folder / "models")
    artifact = open_artifact(sorted((models / DISEASE).glob("*/"))[-1])
    demos = list(artifact.demo_images.values())
    (folder / "redis").mkdir()
    server = RedisServer(folder / "redis")
    stack = Stack(folder / "run", models)
    try:
        server.start()
        stack.start()
        for width, height in SIZES:
            films = folder / f"{width}x{height}"
            films.mkdir()
            for seed in range(IMAGES):
                data = film(demos[seed % len(demos)], width, height, seed)
                (films / f"{seed:04}.jpg").write_bytes(data)
            paths = sorted(films.iterdir())
            earlier = earlier_loop(artifact, paths[:FEWER], server.admin_url)
            for precision in precisions(artifact):
                before = plain_loop(artifact, paths, precision)
                url = redis_url(stack.places, "trainer")
                batch = trainer_infer(films, models, url, folder, precision)
                between = plain_loop(artifact, paths, precision)
                queued = workers(stack, paths, precision)
                after = plain_loop(artifact, paths, precision)
                rows = (
                    ("plain loop, first", before, before),
                    ("trainer infer", batch, mean(before, between)),
                    ("plain loop, again", between, between),
                    ("queue and workers", queued, mean(between, after)),
                    ("plain loop, last", after, after),
                    ("earlier system's loop (f32)", earlier, after),
                )
                title = f"{IMAGES} films of {width} x {height}, {cores()} cores, {precision}"
                console.print(as_table(title, rows, earlier))
    finally:
        stack.stop()
        server.stop()
        shutil.rmtree(folder)


def precisions(artifact: VerifiedArtifact) -> list[Precision]:
    """That the card allows."""
    lower: Precision = "bf16"
    check = artifact.card.precisions.get(lower)
    return ["f32"] if check is None or not check.allowed else ["f32", lower]


def as_table(title: str, rows: Sequence[tuple[str, Pace, Pace]], earlier: Pace) -> Table:
    """Of each row its name, its pace, and that of the plain loop beside it."""
    table = Table(title=title)
    for column in ("what", "a second", "of the plain loop", "times earlier", "ms processor"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, pace, plain in rows:
        table.add_row(
            name,
            f"{pace.rate:.1f}",
            f"{pace.rate / plain.rate:.2f}",
            f"{pace.rate / earlier.rate:.1f}",
            "" if pace.processor_ms is None else f"{pace.processor_ms:.1f}",
        )
    return table


def mean(one: Pace, other: Pace) -> Pace:
    """What was before and what was after."""
    return Pace((one.rate + other.rate) / 2)


if __name__ == "__main__":
    main()
