"""Every query of every dashboard is asked of a real Prometheus that watches the whole house.

The house is run as it is, driven through each thing that a panel shows, and looked at by the rules
that are deployed. Only what needs a GPU answers nothing here (`NOT_HERE`).
"""

import io
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from diagnosis.drift.null import WINDOW
from gateway.stack import redis_url
from monitoring.dashboards import BOARDS
from monitoring.dashboards.making import ANNOTATIONS, queries
from monitoring.dashboards.metrics import metrics_in
from monitoring.dashboards.work import GPU
from monitoring.dashboards.work import TRAINING_RUNS as TRAINING
from tests.fixtures.leftovers import end_leftovers
from tests.fixtures.ports import free_port
from tests.fixtures.stack import DISEASE, Stack
from tests.monitoring.stack import Watched, watched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

#: What of `Panel.only_with` this machine has not, so that such panels stay empty here.
NOT_HERE = {GPU}
#: Seconds since 1970 at which to ask, by `Panel.only_with`; else it is asked at the end.
WHEN: dict[str, float] = {}
#: What Grafana would put in.
GRAFANAS = {"$__rate_interval": "30s", "$__range": "10m"}
READ = f"/api/v1/diseases/{DISEASE}/predictions"


@pytest.fixture(scope="module")
def house(stack: Stack, film: bytes) -> Iterator[Watched]:
    """The stack, watched, with a training beside it, after everything has happened once."""
    folder = Path(tempfile.mkdtemp(prefix="boards-"))
    try:
        with (
            training(folder / "training") as port,
            watched(stack, folder, short=False, more={"trainer": port}) as one,
        ):
            one.until(lambda: figures(one, "sightline_training_loss"), "it trains", most=400)
            # It may be done before the rest is.
            WHEN[TRAINING] = time.time()
            drive(one, film)
            yield one
    finally:
        left = end_leftovers(folder)
        shutil.rmtree(folder)
    assert left == []


@contextmanager
def training(folder: Path) -> Iterator[int]:
    """`trainer train` on made images, for longer than the test; the port of its metrics."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, name in product(("train", "val", "test"), ("NORMAL", "PNEUMONIA")):
        (folder / "films" / split / name).mkdir(parents=True)
        for number in range(6):
            pixels = rng.integers(0, 256, (64, 64), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "films" / split / name / f"{number}.png")
    command = [
        Path(sys.executable).with_name("trainer"),
        *("train", DISEASE, "--data", folder / "films", "--recipe", "cnn5", "--laptop"),
        *("--epochs", "1000", "--licence", "Made for tests; CC0-1.0", "--out", folder / "run"),
    ]
    environment = os.environ | {"SIGHTLINE_TRAINER_CACHE_DIR": str(folder / "cache")}
    for _ in range(3):
        # It listens seconds later, and then somebody else may.
        port = free_port()
        told = environment | {"SIGHTLINE_TRAINER_METRICS_PORT": str(port)}
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen([*map(str, command)], env=told, stdout=log, stderr=log)
        try:
            if listens(process, port):
                yield port
                return
        finally:
            process.kill()
            process.wait(10)
    pytest.fail(f"it does not train: {(folder / 'log').read_text()[-2000:]}")


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether a process answers on a port, in the end."""
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if "sightline_training" in httpx.get(f"http://127.0.0.1:{port}/metrics").text:
                return True
        time.sleep(0.5)
    return False


def drive(house: Watched, film: bytes) -> None:
    """Everything that a panel shows, each at least once, and seen by Prometheus at least twice."""
    stack = house.stack
    with stack.client() as client:
        # A window of readings that drift is judged by, of films that differ and are no demo images.
        made = [read(client, variant(film, number)) for number in range(WINDOW + 10)]
        # What the gate turns away, what is no image, and what is nobody's.
        noise = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        picture = Path(house.folder / "noise.png")
        Image.fromarray(noise).save(picture)
        assert read(client, picture.read_bytes())["outcome"] == "not_judged"
        assert client.post(READ, files={"image": ("x.png", b"no image")}).status_code == 415
        # Looked at, and agreed and disagreed with.
        first = f"/api/v1/predictions/{made[0]['id']}"
        assert client.get(f"{first}/heatmap").status_code == 200
        for one, verdict in zip(made, ("agree", "disagree"), strict=False):
            review(client, one["id"], verdict)
        hurry(stack.pid("worker-1"))
        batch(client, film)
        posted(house, film)
    with stack.stranger() as stranger:
        wrong = {"name": "nobody", "password": "not a password of anybody"}
        assert stranger.post("/auth/sign-in", json=wrong).status_code == 401
    # A process that reads images is killed, and images cannot be kept for a moment.
    killed = children(stack.pid("inference"))
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    with stack.client() as client:
        images = stack.places.images
        aside = images.with_name("images-aside")
        images.rename(aside)
        images.touch()
        try:
            assert client.post(READ, files={"image": ("film.png", film)}).status_code >= 500
        finally:
            images.unlink()
            aside.rename(images)

        def again() -> None:
            one = read(client, film)
            review(client, one["id"], "agree")

        # Twice the time between two looks, and rules that stand on others.
        ends = time.monotonic() + 15
        house.until(lambda: time.monotonic() > ends, "everything is seen", doing=again)
    house.until(lambda: figures(house, "sightline_drift"), "drift is measured", most=240)


def variant(film: bytes, number: int) -> bytes:
    """The film a little darker, and with a mark of its own."""
    with Image.open(io.BytesIO(film)) as opened:
        picture = opened.convert("L").point(lambda level: max(0, level - number // 8))
    picture.putpixel((number % 100, number // 100), 255)
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


def review(client: httpx.Client, reading: str, verdict: str) -> None:
    said = client.post(f"/api/v1/predictions/{reading}/reviews", json={"verdict": verdict})
    assert said.is_success, said.text


def read(client: httpx.Client, image: bytes) -> dict[str, str]:
    answer = client.post(READ, files={"image": ("film.png", image)})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def batch(client: httpx.Client, film: bytes) -> None:
    """A batch of two, from its beginning to its end."""
    made = client.post("/api/v1/batches", json={"disease": DISEASE, "name": "watched"})
    path = f"/api/v1/batches/{made.json()['id']}"
    for number in range(2):
        put = client.put(f"{path}/files/{number}", files={"file": ("film.png", film)})
        assert put.is_success, put.text
    assert client.post(f"{path}/close").is_success
    deadline = time.monotonic() + 300
    while client.get(path).json()["counts"]["done"] < 2:
        assert time.monotonic() < deadline, client.get(path).json()["counts"]
        time.sleep(0.2)


def posted(house: Watched, film: bytes) -> None:
    """A batch of `trainer infer`: a film, and what is none."""
    films = house.folder / "posted"
    films.mkdir()
    (films / "film.png").write_bytes(film)
    (films / "notes.txt").write_text("no image")
    command = [
        Path(sys.executable).with_name("trainer"),
        *("infer", "--disease", DISEASE, "--input", films, "--batch", "watched"),
    ]
    environment = os.environ | {
        "SIGHTLINE_TRAINER_REDIS_URL": redis_url(house.stack.places, "trainer"),
        "SIGHTLINE_TRAINER_REGISTRY": str(house.folder / "trainers-registry"),
        "SIGHTLINE_TRAINER_RUNS_DIR": str(house.folder / "runs"),
    }
    subprocess.run([*map(str, command)], env=environment, check=True, timeout=300)


def hurry(worker: int) -> None:
    """Workers give way to whatever else runs; on a machine with much else they would not read."""
    for pid in (worker, *children(worker)):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(PermissionError):
                os.setpriority(os.PRIO_PROCESS, int(thread.name), 0)


def children(parent: int) -> list[int]:
    """The processes that read images for a service or a worker."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            begun_by = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if begun_by == parent and b"inference_service.decoding_worker" in words:
            found.append(int(folder.name))
    return found


def asked(expr: str, variables: tuple[str, ...]) -> str:
    """What Prometheus is asked where everything is chosen."""
    for name, value in GRAFANAS.items():
        expr = expr.replace(name, value)
    for name in variables:
        expr = re.sub(rf"\${name}\b", ".*", expr)
    assert "$" not in expr, expr
    return expr


def figures(house: Watched, expr: str, at: float | None = None) -> list[float]:
    """The values of a query that are figures at all."""
    values = [float(one["value"][1]) for one in house.query(expr, at)]
    return [one for one in values if not math.isnan(one)]


def test_every_query_of_every_panel_answers_with_data(house: Watched) -> None:
    silent = []
    every = queries(BOARDS)
    for board, panel, query in every:
        # Nothing that would answer without data.
        assert not re.search(r"\bvector\(|\babsent", query.expr), query.expr
        assert metrics_in(query.expr) or "sightline:" in query.expr, query.expr
        names = tuple(one.name for one in board.variables)
        if panel.only_with in NOT_HERE:
            continue
        if not figures(house, asked(query.expr, names), WHEN.get(panel.only_with)):
            silent.append(f"{board.title} {panel.title}: {query.expr}")
    assert silent == []
    here = sum(panel.only_with not in NOT_HERE for _, panel, _ in every)
    print(f"queries: {here} of {len(every)} answered with data")  # noqa: T201


def test_variables_have_something_to_choose_from(house: Watched) -> None:
    for board in BOARDS:
        for one in board.variables:
            assert house.query(f'count by ({one.of}) ({one.metric}{{{one.of}!=""}})'), one


@pytest.mark.parametrize(
    ("name", "expr"),
    [(name, expr) for name, _, expr in ANNOTATIONS],
    ids=[name for name, _, _ in ANNOTATIONS],
)
def test_a_deployment_and_a_promotion_are_seen(house: Watched, name: str, expr: str) -> None:
    """They are drawn for five minutes from when Prometheus first saw a version."""
    looks = house.query("min_over_time(timestamp(sightline_build_info)[1h:2s])")
    first = min(float(one["value"][1]) for one in looks)
    found = house.query(expr, at=first + 10)
    assert found, name
    assert all(one["metric"]["alertname"] for one in found)
