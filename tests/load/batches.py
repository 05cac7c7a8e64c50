"""`make bench`: how many images a second a batch reads, beside a plain loop and the earlier system.

All read the same files on the same cores in the same run, one after the other. The plain loop
decodes, preprocesses and infers, a thread a core, and does nothing else: no gate, no reading, no
store. The earlier system's loop is load_img, model.predict and hset, image by image.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pydantic import SecretStr
from redis import Redis
from rich.console import Console
from rich.table import Table

from diagnosis.artifacts import VerifiedArtifact, open_artifact
from diagnosis.images import read_image
from tests.fixtures.redis import RedisServer
from tests.fixtures.stack import DISEASE, models_with_a_live_one
from tests.load.films import SIZES, film
from trainer.engine import compile_streams, load_keras
from trainer.infer.predictor import Answer, Predictor
from trainer.infer.running import Asked, infer
from trainer.settings import Settings

IMAGES = 400
#: Of the earlier system's loop, which is slow.
FEWER = 40


def cores() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0))


def plain_loop(artifact: VerifiedArtifact, paths: Sequence[Path]) -> float:
    """Images a second of decode, preprocess and infer, a thread a core."""
    assert artifact.ir_xml is not None
    assert artifact.ir_bin is not None
    network = compile_streams(artifact.ir_xml, artifact.ir_bin, artifact.card, cores())
    spec = artifact.card.preprocessing

    def one(path: Path) -> object:
        pixels = read_image(path.read_bytes(), decode_at_least=spec.decode_at_least).pixels
        return network(spec.apply(pixels)[np.newaxis])

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, paths[: 4 * cores()]))
        began = time.perf_counter()
        list(pool.map(one, paths))
        return len(paths) / (time.perf_counter() - began)


def earlier_loop(artifact: VerifiedArtifact, paths: Sequence[Path], url: str) -> float:
    """Images a second of load_img, model.predict and hset, one after the other."""
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
        began = time.perf_counter()
        for path in paths:
            one(path)
        return len(paths) / (time.perf_counter() - began)


class Quiet:
    """Watches nothing."""

    def begin(self, done: int, total: int) -> None:
        """See `Watcher`."""

    def advance(self, files: int) -> None:
        """See `Watcher`."""


def trainer_infer(films: Path, models: Path, url: str, folder: Path) -> float:
    """Images a second of `trainer infer`, from its first image to its last word in Redis.

    Opening the engine is left out, as in the other loops.
    """
    begun: list[float] = []
    predict: Callable[[Predictor, Sequence[str]], list[Answer]] = Predictor.predict_batch

    def noted(self: Predictor, names: Sequence[str]) -> list[Answer]:
        begun.append(time.perf_counter())
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
        asked = Asked(DISEASE, str(films), films.name, "openvino")
        ran = infer(asked, settings, Quiet(), lambda _: None)
    finally:
        Predictor.predict_batch = predict  # type: ignore[method-assign]
    assert all(one.outputs is not None for one in ran.journal.lines.values()), "refused images"
    return ran.files / (time.perf_counter() - begun[0])


def main() -> None:
    """Measure and print a table for each size of film."""
    console = Console()
    folder = Path(tempfile.mkdtemp(prefix="b-"))
    models = models_with_a_live_one(folder / "models")
    artifact = open_artifact(sorted((models / DISEASE).glob("*/"))[-1])
    demos = list(artifact.demo_images.values())
    (folder / "redis").mkdir()
    server = RedisServer(folder / "redis")
    server.start()
    try:
        for width, height in SIZES:
            films = folder / f"{width}x{height}"
            films.mkdir()
            for seed in range(IMAGES):
                data = film(demos[seed % len(demos)], width, height, seed)
                (films / f"{seed:04}.jpg").write_bytes(data)
            paths = sorted(films.iterdir())
            bare = plain_loop(artifact, paths)
            batch = trainer_infer(films, models, server.url_for("trainer"), folder)
            again = plain_loop(artifact, paths)
            earlier = earlier_loop(artifact, paths[:FEWER], server.admin_url)
            mean = (bare + again) / 2
            table = Table(title=f"{IMAGES} films of {width} x {height}, {cores()} cores")
            for column in ("what", "images a second", "of the plain loop", "times the earlier"):
                table.add_column(column, justify="left" if column == "what" else "right")
            for name, rate in (
                ("plain loop, before", bare),
                ("plain loop, after", again),
                ("trainer infer", batch),
                ("earlier system's loop", earlier),
            ):
                table.add_row(name, f"{rate:.1f}", f"{rate / mean:.2f}", f"{rate / earlier:.1f}")
            console.print(table)
    finally:
        server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
