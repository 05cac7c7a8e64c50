"""The whole stack is driven and broken, and the right alert reaches the webhook and clears.

`make test-monitoring` runs it: several minutes. What it took stands in docs/operations.md.
"""

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.fixtures.leftovers import end_leftovers
from tests.fixtures.stack import DISEASE, Stack
from tests.monitoring.receiver import Told
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


#: What may be true of the machine that a test runs on, and is none of the test's: that it is slow,
#: too.
OF_THIS_MACHINE = {
    "SightlineDiskFills", "SightlineDiskFull", "SightlineMemoryShort", "SightlineClockOff",
    "SightlineReadingsBudgetBurns",
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
def broken(
    house: Watched, alert: str, harm: Callable[[], object], mend: Callable[[], object]
) -> Iterator[Told]:
    """Break something and see the alert reach who is paged; inside it is broken, and afterwards it
    is mended, and seen to clear at Prometheus and at the webhook."""
    began = time.monotonic()
    try:
        harm()
        house.until(lambda: house.told(alert, "firing", began), f"{alert} is told", most=180)
        first = house.told(alert, "firing", began)[0]
        tell(f"{alert} reached whoever is paged after", first.at - began)
        assert first.receiver == "page"
        assert first.annotations["runbook"].startswith("docs/operations.md#sightline")
        assert {"summary", "description"} <= first.annotations.keys()
        yield first
    finally:
        mend()
        house.stack.await_ready()
    back = time.monotonic()
    # Of an objective each window may tell; it is over when none does.
    house.until(
        lambda: house.told(alert, "resolved", back) and alert not in house.alerts(),
        f"{alert} clears",
        most=300,
    )
    tell(f"{alert} cleared after", time.monotonic() - back)


def fires(house: Watched) -> set[str]:
    """What fires beside what always does."""
    return house.alerts() - OF_THIS_MACHINE - {"SightlineWatchdog"}


@pytest.fixture(autouse=True)
def begins_quiet(house: Watched) -> None:
    """What the test before broke is over."""
    house.until(lambda: not fires(house), "nothing fires", most=240)


def test_while_all_is_well_only_the_watchdog_is_heard(house: Watched) -> None:
    began = time.monotonic()
    house.until(lambda: len(house.told("SightlineWatchdog", "firing", began)) >= 3, "the watchdog")
    assert fires(house) == set()
    assert all(house.up().values())
    # That something is over may still be told of what the test before broke, window by window.
    heard = {one.name for one in house.receiver.told if one.at >= began and one.status == "firing"}
    assert heard - OF_THIS_MACHINE == {"SightlineWatchdog"}


def test_redis_stops(house: Watched) -> None:
    """The exporter's alert comes; that of the services, which says the same, is held back."""
    stack = house.stack
    since = time.monotonic()
    with broken(
        house,
        "SightlineRedisDown",
        harm=lambda: stack.kill_one("redis"),
        mend=lambda: stack.start_one("redis"),
    ):
        # Prometheus knows of both; Alertmanager tells of the cause alone.
        house.until(lambda: "SightlineStoreDown" in house.alerts(), "the services see it too")
        assert house.told("SightlineStoreDown", "firing", since) == []


def test_the_service_that_reads_hangs(house: Watched) -> None:
    """It is there and does not answer: found by asking it, not by looking for its process."""
    stack = house.stack
    with broken(
        house,
        "SightlineServiceDown",
        harm=lambda: stack.signal_one("inference", signal.SIGSTOP),
        mend=lambda: stack.signal_one("inference", signal.SIGCONT),
    ) as told:
        assert told.labels["role"] == "inference"


def test_errors_burn_the_budget(house: Watched) -> None:
    """Every service is up, Redis answers, and no image can be kept: only the objective tells."""
    images = house.stack.places.images
    aside = images.with_name("images-aside")

    def harm() -> None:
        images.rename(aside)
        images.touch()

    def mend() -> None:
        images.unlink()
        aside.rename(images)

    with broken(house, "SightlineAnswersBudgetBurns", harm, mend):
        assert all(house.up().values())
        assert fires(house) == {"SightlineAnswersBudgetBurns"}


def test_a_live_model_is_damaged(house: Watched) -> None:
    """A bit of its weights changes on the disk: it is refused, and comes back when mended."""
    weights = sorted(house.stack.places.registry.glob(f"{DISEASE}/*/model.bin"))
    before = {path: path.read_bytes() for path in weights}

    def harm() -> None:
        for path, data in before.items():
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])

    def mend() -> None:
        for path, data in before.items():
            path.write_bytes(data)

    with broken(house, "SightlineModelRefused", harm, mend) as told:
        assert told.labels["disease"] == DISEASE
