"""`make bench`: how long a reading takes, where the time goes, and how many a second.

Everything is measured in one run on one machine, so that the figures can be compared with each
other: the bare decode and network in a loop, the service on its socket, and the whole stack as
`make run` starts it. Requests go to a stack of this program's own on 127.0.0.1 and end by
themselves.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# The proxy's limits are for people; they would only measure themselves here.
os.environ["SIGHTLINE_GATEWAY_UPLOADS_PER_SECOND"] = "100000"
os.environ["SIGHTLINE_GATEWAY_UPLOADS_BURST"] = "100000"

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from diagnosis.artifacts import open_artifact
from diagnosis.catalogue import catalogue
from diagnosis.gate import look
from diagnosis.identity import Role
from diagnosis.images import read_image
from diagnosis.keys import read_private_key
from inference_service.engines.openvino_engine import OpenVinoEngine
from inference_service.settings import usable_cores
from tests.fixtures.decoders import shared
from tests.fixtures.identity import Acting
from tests.fixtures.stack import DISEASE, Stack, models_with_a_live_one
from tests.load.films import SIZES, film

READINGS = 60
HEATMAPS = 10
ADDRESS = f"/api/v1/diseases/{DISEASE}/predictions"


def milliseconds(work: Callable[[bytes], object], films: list[bytes]) -> float:
    """Median time of one call, after a few to warm up."""
    for one in films[:5]:
        work(one)
    times = []
    for one in films:
        began = time.perf_counter()
        work(one)
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def a_second(work: Callable[[bytes], object], films: list[bytes], workers: int) -> float:
    """Calls a second by so many workers at once."""
    with ThreadPoolExecutor(workers) as pool:
        began = time.perf_counter()
        list(pool.map(work, films))
        return len(films) / (time.perf_counter() - began)


def post(client: httpx.Client) -> Callable[[bytes], dict[str, Any]]:
    """A function that makes one reading through a client."""

    def one(data: bytes) -> dict[str, Any]:
        answer = client.post(ADDRESS, files={"image": ("film", data)})
        assert answer.status_code == 201, answer.text
        reading: dict[str, Any] = answer.json()
        assert reading["outcome"] == "judged", reading["reason"]
        return reading

    return one


def heatmap(client: httpx.Client) -> Callable[[bytes], object]:
    """A function that asks for a heatmap of a reading, whose id it is given."""

    def one(reading: bytes) -> object:
        answer = client.get(f"/api/v1/predictions/{reading.decode()}/heatmap")
        assert answer.status_code == 200, answer.text
        return answer.content

    return one


def main() -> None:
    """Measure and print the two tables."""
    console = Console()
    cores = usable_cores()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    models = models_with_a_live_one(folder / "models")
    artifact = open_artifact(sorted((models / DISEASE).glob("*/"))[-1])
    spec = artifact.card.preprocessing
    demos = list(artifact.demo_images.values())
    gate = artifact.open_gate(catalogue()[DISEASE])
    assert gate is not None
    assert artifact.ir_xml is not None
    assert artifact.ir_bin is not None
    engine = OpenVinoEngine(
        artifact.ir_xml, artifact.ir_bin, card=artifact.card, precision="f32", threads=cores
    )

    def decode(data: bytes) -> object:
        return read_image(data, decode_at_least=spec.decode_at_least).pixels

    def here(data: bytes) -> object:
        pixels = read_image(data, decode_at_least=spec.decode_at_least).pixels
        return look(pixels), spec.apply(pixels)

    def in_a_worker(data: bytes) -> object:
        return workers.read(data, preprocessing=spec, look=True)

    def all_but_the_service(data: bytes) -> object:
        pixels = read_image(data, decode_at_least=spec.decode_at_least).pixels
        return engine.predict(spec.apply(pixels)[np.newaxis])

    workers = shared()
    stack = Stack(folder / "run", models)
    stack.start()
    try:
        socket = httpx.HTTPTransport(uds=str(stack.places.inference_socket))
        with (
            httpx.Client(
                transport=socket,
                base_url="http://inference",
                auth=Acting(
                    Role.CLINICIAN, via="key", key=read_private_key(stack.places.identity_key)
                ),
                timeout=60,
            ) as direct,
            stack.client() as public,
        ):
            for width, height in SIZES:
                films = [
                    film(demos[seed % len(demos)], width, height, seed) for seed in range(READINGS)
                ]
                seen = read_image(films[0], decode_at_least=spec.decode_at_least).pixels
                ready = spec.apply(seen)[np.newaxis]
                figures = {
                    "decode": milliseconds(decode, films),
                    "gate": milliseconds(lambda _, seen=seen: gate.judge(look(seen)), films),
                    "decode, look, preprocess here": milliseconds(here, films),
                    "the same in a worker": milliseconds(in_a_worker, films),
                    "network": milliseconds(lambda _, ready=ready: engine.predict(ready), films),
                    "decode + preprocess + network": milliseconds(all_but_the_service, films),
                    "reading, at the service": milliseconds(post(direct), films),
                    "reading, through Nginx": milliseconds(post(public), films),
                }
                whole = figures["reading, through Nginx"]
                read = post(public)
                ids = [str(read(one)["id"]).encode() for one in films[:HEATMAPS]]
                figures["heatmap, through Nginx"] = milliseconds(heatmap(public), ids)
                table = Table(title=f"One {width} x {height} film, one after the other")
                for column in ("what", "ms (median)", "share of a reading"):
                    table.add_column(column, justify="left" if column == "what" else "right")
                for name, value in figures.items():
                    table.add_row(name, f"{value:.1f}", f"{value / whole:.0%}")
                console.print(table)
                bare = a_second(all_but_the_service, films, cores)
                served = a_second(post(public), films, 2 * cores)
                console.print(
                    f"On {cores} cores: {served:.1f} readings a second through Nginx, "
                    f"{bare:.1f} by a bare loop: {served / bare:.0%}.\n"
                )
    finally:
        stack.stop()
        engine.close()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
