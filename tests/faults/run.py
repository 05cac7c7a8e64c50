"""`make faults`: 1,000 images while everything is killed, stopped, cut off and starved.

The last line says what came of it, and the exit status is 1 unless nothing was lost, doubled or
stuck. Seed and matrix are printed; the same seed does the same in the same order.
"""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.faults.campaign import STOPPED, Fault, demo_films, faults, run
from tests.faults.house import House
from tests.faults.ledger import Ledger
from tests.faults.sending import made
from tests.fixtures.stack import DISEASE, models_with_a_live_one

#: How often each is done in a round. What nothing works without and takes seconds to come back is
#: killed less often: between two faults something has to get through, or nothing is tried.
TIMES = {"worker": 3, "redis": 3, "nginx": 3, "inference": 1, "identity": 1, "all": 2}
#: Rounds go on until every image was sent at least once.
LEAST_ROUNDS, MOST_ROUNDS = 4, 7
STOP_SECONDS = 30.0
CUT_SECONDS = 5.0
EVERY_SECONDS = 3.0
#: From one of 1,000 images to the next: so they last for the first rounds.
PACE_SECONDS = 0.45
BATCHES = 4


def plan_of(house: House, chance: random.Random, ledger: Ledger, rounds: int) -> Iterator[Fault]:
    """Every fault as often as it is to be in a round, in random order, round after round; what
    lasts half a minute once in every other round."""
    each = faults(house, stop=STOP_SECONDS, cut=CUT_SECONDS)
    for number in range(MOST_ROUNDS):
        if number >= rounds and ledger.all_begun:
            return
        found = [one for one in each if one.kind == STOPPED and number % 2 == 0]
        found += [one for one in each if one.kind != STOPPED for _ in range(TIMES[one.target])]
        chance.shuffle(found)
        yield from found


def main() -> int:
    """Run it; the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--every", type=float, default=EVERY_SECONDS, help="seconds a fault")
    parser.add_argument("--rounds", type=int, default=LEAST_ROUNDS, help="at least so many")
    given = parser.parse_args()
    # As Ctrl-C: then all is stopped and put away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chance = random.Random(given.seed)
    folder = Path(tempfile.mkdtemp(prefix="faults-models-"))
    models = models_with_a_live_one(folder)
    images = made(demo_films(models, DISEASE), given.images, given.seed)
    ledger = Ledger(images)
    house = House(models)
    began = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - began:5.0f} s  {line}\n")
        sys.stdout.flush()

    try:
        house.start()
        plan = plan_of(house, chance, ledger, given.rounds)
        # A quarter by themselves, the rest as batches, where there are any.
        alone = images if not house.names("worker") else images[::4]
        rest = [one for one in images if one not in alone] if len(alone) < len(images) else []
        batches = [rest[start::BATCHES] for start in range(BATCHES)] if rest else []
        say(f"seed {given.seed}: {given.rounds} rounds at least, {given.every:g} s a fault")
        say(f"{len(alone)} images by themselves, {len(rest)} in {len(batches)} batches")
        if not house.mounted:
            say("no disk is filled: only root may mount one")
        outcome = run(
            house,
            ledger,
            plan,
            every=given.every,
            pace=PACE_SECONDS * 1000 / given.images * given.rounds / LEAST_ROUNDS,
            alone=alone,
            batches=batches,
            seed=given.seed,
            say=say,
        )
        say("killed as a whole, and started from its append-only file")
        house.die()
        house.start()
        with house.client(30) as client:
            again = ledger.verdict(client)
        for answer in outcome.refused[:5]:
            say(f"refused: {answer}")
        for one in (*outcome.verdict.lost, *outcome.verdict.doubled, *outcome.verdict.stuck)[:20]:
            say(f"image {one.number}, batch {one.batch}, reading {one.reading}")
            say(f"  struck by {', '.join(sorted(one.faults))}")
        sys.stdout.write(f"\n{outcome.table()}\n\n")
        good = outcome.verdict.good and again.good
        sys.stdout.write(f"{(again if outcome.verdict.good else outcome.verdict).line}\n")
    finally:
        output = house.output.read_bytes() if house.output.exists() else b""
        kept = Path("build") / "faults.log"
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(output)
        left = house.close()
        shutil.rmtree(folder)
    if left:
        sys.stdout.write(f"left running: {left}\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
