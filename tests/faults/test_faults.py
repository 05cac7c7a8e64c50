"""The small form of `make faults`, and that it would catch a service that lies."""

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import demo_films, faults, run
from tests.faults.house import House
from tests.faults.ledger import Ledger
from tests.faults.sending import Pace, Senders, made
from tests.fixtures.stack import DISEASE, need_pages

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

IMAGES = 36
#: Of each kind one; the long form does all, again and again.
CHOSEN = (
    "redis: killed",
    "redis: stopped",
    "redis: cut off",
    "redis: answers lost",
    "nginx: killed",
    "all: disk full",
    "inference: dies after-write",
    "worker: killed",
    "worker: dies after-write",
)


@pytest.fixture(scope="module")
def house(models_dir: Path) -> Iterator[House]:
    need_pages()
    one = House(models_dir, hasty=True)
    try:
        one.start()
        yield one
    finally:
        left = one.close()
    assert left == []


def test_nothing_is_lost_doubled_or_stuck(house: House, models_dir: Path) -> None:
    seed = random.randrange(10**6)
    plan = [one for one in faults(house, stop=1.0, cut=0.8) if one.name in CHOSEN]
    random.Random(seed).shuffle(plan)
    images = made(demo_films(models_dir, DISEASE), IMAGES, seed)
    alone = images[::3] if house.names("worker") else images
    batch = [one for one in images if one not in alone]
    outcome = run(
        house,
        Ledger(images),
        plan,
        every=0.7,
        pace=0.15,
        alone=alone,
        batches=[batch] if batch else [],
        seed=seed,
    )
    assert outcome.refused == []
    assert outcome.verdict.good, f"seed {seed}\n{outcome.table()}\n{outcome.verdict.line}"


@pytest.mark.parametrize("liar", ["inference", "worker"])
def test_a_process_that_acknowledges_before_it_writes_is_caught(
    house: House, models_dir: Path, liar: str
) -> None:
    """By itself the service answers 201 too early, in a batch the worker says `done` too early."""
    images = made(demo_films(models_dir, DISEASE), 6, random.randrange(10**6))
    ledger = Ledger(images)
    senders = Senders(house.client, ledger, Pace(0.0))
    alone, batches = (images, []) if liar == "inference" else ([], [images])
    mutant = house.control / "mutant"
    mutant.touch()
    try:
        senders.start(alone, batches, at_once=2)
        for thread in senders.threads:
            thread.join(60)
        with house.client(30) as client:
            senders.collect(client, time.monotonic() + 60)
        for name in house.names(liar):
            house.signal(name, signal.SIGKILL)
    finally:
        mutant.unlink()
    assert all(one.reading for one in images), "all was acknowledged"
    with house.client(30) as client:
        verdict = ledger.verdict(client)
    assert verdict.lost
    assert not verdict.good
    assert verdict.line.startswith("faults: 6 images, lost ")
