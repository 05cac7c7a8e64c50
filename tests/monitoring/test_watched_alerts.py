"""The whole stack is driven and broken, and the right alert reaches the webhook and clears.

`make test-monitoring` runs it: several minutes. What it took stands in docs/operations.md.
"""

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.fixtures.leftovers import end_leftovers
from tests.fixtures.stack import DISEASE, Stack
from tests.monitoring.stack import Watched, watched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

READ = f"/api/v1/diseases/{DISEASE}/predictions"


@pytest.fixture(scope="module")
def house(stack: Stack, film: bytes) -> Iterator[Watched]:
    """The stack, watched and driven all the while."""
    folder = Path(tempfile.mkdtemp(prefix="watch-"))
    try:
        with watched(stack, folder) as one, driven(stack, film):
            one.until(
                lambda: (one.value(RATE) or 0) > 0.5 and "SightlineWatchdog" in one.alerts(),
                "requests are seen",
            )
            yield one
    finally:
        left = end_leftovers(folder)
        shutil.rmtree(folder)
    assert left == []


#: What may be true of the machine that a test runs on, and is none of the test's.
OF_THIS_MACHINE = {
    "SightlineDiskFills", "SightlineDiskFull", "SightlineMemoryShort", "SightlineClockOff",
}  # fmt: skip
RATE = 'sum(rate(sightline_http_requests_total{service="inference_service"}[30s]))'


@contextmanager
def driven(stack: Stack, film: bytes) -> Iterator[None]:
    """Somebody reads images and looks at lists, whatever happens to the house meanwhile."""
    ended = threading.Event()

    def drive() -> None:
        with stack.client() as client:
            client.timeout = httpx.Timeout(3)
            while not ended.wait(0.2):
                try:
                    client.post(READ, files={"image": ("film.png", film)})
                    client.get("/api/v1/predictions")
                except httpx.HTTPError:
                    continue

    threads = [threading.Thread(target=drive) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        ended.set()
        for one in threads:
            one.join(30)


def tell(what: str, seconds: float) -> None:
    """A line for docs/operations.md; `make test-monitoring` shows it."""
    print(f"{what}: {seconds:.0f} s")  # noqa: T201


@contextmanager
def broken(house: Watched, alert: str, receiver: str) -> Iterator[None]:
    """Whatever the block breaks, and leaves broken: the alert reaches the webhook, once; `mended`
    sees it clear."""
    assert alert not in house.alerts()
    began = time.monotonic()
    yield
    house.until(lambda: house.told(alert, "firing", began), f"{alert} is told", most=120)
    first = house.told(alert, "firing", began)[0]
    tell(f"{alert} reached {receiver} after", first.at - began)
    assert first.receiver == receiver
    assert first.annotations["runbook"].startswith("docs/operations.md#sightline")
    assert {"summary", "description"} <= first.annotations.keys()


def mended(house: Watched, alert: str, since: float) -> None:
    """The alert clears, at Prometheus and at the webhook."""
    house.until(lambda: house.told(alert, "resolved", since), f"{alert} clears", most=180)
    tell(f"{alert} cleared after", time.monotonic() - since)
    assert alert not in house.alerts()


def quiet(house: Watched) -> bool:
    """Nothing fires but what always does."""
    return house.alerts() - OF_THIS_MACHINE == {"SightlineWatchdog"}


@pytest.fixture(autouse=True)
def begins_quiet(house: Watched) -> None:
    """What the test before broke is over."""
    house.until(lambda: quiet(house), "nothing fires", most=240)


def test_while_all_is_well_only_the_watchdog_is_heard(house: Watched) -> None:
    began = time.monotonic()
    house.until(lambda: len(house.told("SightlineWatchdog", "firing", began)) >= 3, "the watchdog")
    assert quiet(house)
    assert all(house.up().values())
    heard = {one.name for one in house.receiver.told if one.at >= began}
    assert heard - OF_THIS_MACHINE == {"SightlineWatchdog"}


def test_redis_stops(house: Watched) -> None:
    """The exporter's alert comes; that of the services, which says the same, is held back."""
    stack = house.stack
    with broken(house, "SightlineRedisDown", "page"):
        since = time.monotonic()
        stack.kill_one("redis")
    # Prometheus knows of both; Alertmanager tells of the cause alone.
    house.until(lambda: "SightlineStoreDown" in house.alerts(), "the services see it too")
    assert house.told("SightlineStoreDown", "firing", since) == []
    assert {one.name for one in house.receiver.of("SightlineServiceDown", since)} == set()
    back = time.monotonic()
    stack.start_one("redis")
    stack.await_ready()
    mended(house, "SightlineRedisDown", back)


def test_the_service_that_reads_hangs(house: Watched) -> None:
    """It is there and does not answer: found by asking it, not by looking for its process."""
    stack = house.stack
    with broken(house, "SightlineServiceDown", "page"):
        stack.signal_one("inference", signal.SIGSTOP)
    down = [one for one in house.receiver.of("SightlineServiceDown") if one.status == "firing"]
    assert {one.labels["role"] for one in down} == {"inference"}
    back = time.monotonic()
    stack.signal_one("inference", signal.SIGCONT)
    stack.await_ready()
    mended(house, "SightlineServiceDown", back)


def test_errors_burn_the_budget(house: Watched) -> None:
    """Every service is up, Redis answers, and no image can be kept: only the objective tells."""
    images = house.stack.places.images
    aside = images.with_name("images-aside")
    with broken(house, "SightlineAnswersBudgetBurns", "page"):
        images.rename(aside)
        images.touch()
    assert all(house.up().values())
    assert house.alerts() - OF_THIS_MACHINE == {"SightlineWatchdog", "SightlineAnswersBudgetBurns"}
    back = time.monotonic()
    images.unlink()
    aside.rename(images)
    mended(house, "SightlineAnswersBudgetBurns", back)


def test_a_live_model_is_damaged(house: Watched) -> None:
    """A byte of its weights changes on the disk: it is refused, and comes back when mended."""
    stack = house.stack
    weights = sorted(stack.places.registry.glob(f"{DISEASE}/*/model.bin"))
    before = {path: path.read_bytes() for path in weights}
    with broken(house, "SightlineModelRefused", "page"):
        for path, data in before.items():
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    told = [one for one in house.receiver.of("SightlineModelRefused") if one.status == "firing"]
    assert {one.labels["disease"] for one in told} == {DISEASE}
    back = time.monotonic()
    for path, data in before.items():
        path.write_bytes(data)
    stack.await_ready()
    mended(house, "SightlineModelRefused", back)
