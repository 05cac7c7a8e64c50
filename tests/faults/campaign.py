"""What is done to a Sightline while images are sent, in random order, and what came of it."""

import heapq
import random
import signal
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.house import House
from tests.faults.ledger import Ledger, Sent, Verdict
from tests.faults.sending import Pace, Senders

#: All has to be read so many seconds after the last fault.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is done to one process."""

    kind: str
    """killed, stopped, cut off, answers lost, disk full, or the step it dies at."""
    target: str
    seconds: float = 0.0
    """How long it lasts."""

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.target}: {self.kind}"


KILLED, STOPPED = "killed", "stopped"
STEPS = {
    "inference": ("during-inference", "before-write", "after-write"),
    "worker": ("before-claim", "after-claim", "during-inference", "before-write", "after-write"),
}
#: How long a process may take to come to the step that it is to die at.
STEP_SECONDS = 8.0


def faults(house: House, *, stop: float, cut: float) -> list[Fault]:
    """Everything that can be done to this house, once."""
    names = [one for one in ("worker", "inference", "redis", "nginx") if house.names(one)]
    found = [Fault(KILLED, one) for one in (*names, "identity")]
    found += [Fault(STOPPED, one, stop) for one in names]
    found += [
        Fault("cut off", "redis", cut),
        Fault("answers lost", "redis", cut),
        Fault("cut off", "inference", cut),
    ]
    if house.mounted:
        found.append(Fault("disk full", "all", cut))
    found += [
        Fault(f"dies {step}", one, STEP_SECONDS)
        for one, steps in STEPS.items()
        if house.names(one)
        for step in steps
    ]
    return found


def begin(house: House, fault: Fault, chance: random.Random) -> Callable[[], bool]:
    """Do it; what is given back undoes it, and says whether it has struck at all."""

    def struck(undo: Callable[[], object]) -> Callable[[], bool]:
        def end() -> bool:
            undo()
            return True

        return end

    one = house.one_of(fault.target, chance)
    if fault.kind == KILLED:
        house.signal(one, signal.SIGKILL)
        return lambda: True
    if fault.kind == STOPPED:
        return struck(house.halt(one))
    if fault.kind == "cut off" and fault.target == "redis":
        house.cable.cut()
        return struck(house.cable.mend)
    if fault.kind == "answers lost":
        house.cable.mute()
        return struck(house.cable.mend)
    if fault.kind == "cut off":
        house.hide_api()
        return struck(house.show_api)
    if fault.kind == "disk full":
        house.fill_disk()
        return struck(house.free_disk)
    asked = house.ask_to_die(fault.target, fault.kind.removeprefix("dies "))

    def withdraw() -> bool:
        waiting = asked.exists()
        asked.unlink(missing_ok=True)
        return not waiting

    return withdraw


@dataclass(slots=True)
class Struck:
    """One row of the matrix."""

    times: int = 0
    under_way: int = 0
    """Images that were under way when it struck, all times together."""
    waits: list[float] = field(default_factory=list)
    """Seconds from its beginning to the next answer to anybody."""


@dataclass(slots=True)
class Outcome:
    """What came of it all."""

    verdict: Verdict
    rows: dict[str, Struck]
    seed: int
    seconds: float
    """From the first fault to the end of the last one."""
    settled: float
    """Seconds after the last one's end until every image was read."""
    aside: int
    refused: list[str]

    def table(self) -> str:
        """The matrix, as Markdown."""
        heads = ("what was done", "times", "images under way", "lost", "doubled", "stuck")
        heads += ("next answer after, median", "longest")
        lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
        for name, row in sorted(self.rows.items()):
            counts = [
                sum(name in one.faults for one in of)
                for of in (self.verdict.lost, self.verdict.doubled, self.verdict.stuck)
            ]
            median = f"{statistics.median(row.waits):.1f} s" if row.waits else ""
            longest = f"{max(row.waits):.1f} s" if row.waits else ""
            cells = (name, row.times, row.under_way, *counts, median, longest)
            lines.append("| " + " | ".join(map(str, cells)) + " |")
        return "\n".join(lines)


def run(
    house: House,
    ledger: Ledger,
    plan: Iterable[Fault],
    *,
    every: float,
    pace: float,
    alone: Sequence[Sent],
    batches: Sequence[Sequence[Sent]],
    seed: int,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Send, do one fault of the plan every so many seconds, and see that all is read then.

    Args:
        house: which runs.
        ledger: of all images.
        plan: the faults, in order.
        every: seconds from one to the next.
        pace: seconds from one image to the next, while nothing holds them up.
        alone: images that are sent by themselves.
        batches: images that are sent as batches.
        seed: of the choice between several processes.
        say: told how far it is.
    """
    chance = random.Random(seed)
    rows: dict[str, Struck] = {}
    began_at: list[tuple[str, float]] = []
    senders = Senders(house.client, ledger, Pace(pace))
    senders.start(alone, batches, at_once=12)
    first = time.monotonic()
    ends: list[tuple[float, int, Fault, Callable[[], bool]]] = []

    def end_due(now: float) -> None:
        while ends and ends[0][0] <= now:
            _, _, fault, undo = heapq.heappop(ends)
            if not undo():
                rows[fault.name].times -= 1

    time.sleep(every / 2)
    for number, fault in enumerate(plan):
        turn = first + (number + 0.5) * every
        while (now := time.monotonic()) < turn:
            end_due(now)
            time.sleep(0.02)
        row = rows.setdefault(fault.name, Struck())
        row.times += 1
        row.under_way += ledger.strike(fault.name)
        began_at.append((fault.name, time.monotonic()))
        undo = begin(house, fault, chance)
        heapq.heappush(ends, (time.monotonic() + fault.seconds, number, fault, undo))
        if number % 10 == 9:
            answered = sum(one.acknowledged is not None for one in ledger.images)
            say(f"{number + 1} faults, {answered} of {len(ledger.images)} images answered")
    while ends:
        end_due(time.monotonic())
        time.sleep(0.02)
    last = time.monotonic()
    say(f"no more faults; all has to be read within {PATIENCE:.0f} s")
    while not senders.finished and time.monotonic() < last + PATIENCE:
        time.sleep(0.1)
    senders.stop()
    with house.client(30) as client:
        aside = senders.collect(client, last + PATIENCE)
        settled = time.monotonic() - last
        say(f"all was read {settled:.0f} s later, {aside} set aside; now they are counted")
        verdict = ledger.verdict(client)
    answers = sorted(one.acknowledged for one in ledger.images if one.acknowledged)
    for name, at in began_at:
        following = next((answer for answer in answers if answer > at), None)
        if following is not None:
            rows[name].waits.append(following - at)
    return Outcome(
        verdict,
        {name: row for name, row in rows.items() if row.times},
        seed,
        last - first,
        settled,
        aside,
        ledger.refused,
    )


def demo_films(models: Path, disease: str) -> list[bytes]:
    """The demo images of the artifact that ships."""
    return [path.read_bytes() for path in sorted((models / disease).glob("*/demo/*"))]
