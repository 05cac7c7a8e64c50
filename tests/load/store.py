"""`make bench-store`: 100,000 readings in Redis, their memory, their list, their backup.

The readings are those of the stack's own models of their demo images, each with an id, digests,
probabilities, a patient and times of its own; one in ten is reviewed. The list is asked through
Nginx, as a program with an API key does it. Figures are of this machine in this run.
"""

import asyncio
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

# The proxy's limits are for people; they would only measure themselves here.
os.environ["SIGHTLINE_GATEWAY_REQUESTS_PER_SECOND"] = "100000"
os.environ["SIGHTLINE_GATEWAY_REQUESTS_BURST"] = "100000"
os.environ["SIGHTLINE_GATEWAY_CALLER_REQUESTS_PER_SECOND"] = "100000"
os.environ["SIGHTLINE_GATEWAY_CALLER_REQUESTS_BURST"] = "100000"

import httpx
from redis import Redis
from rich.console import Console
from rich.progress import track
from rich.table import Table

from diagnosis.contracts import URGENCY, Band, Prediction, Review, new_prediction_id, now
from diagnosis.errors import StoreUnavailable
from diagnosis.results import RedisResults, connect
from gateway.backup import back_up, restore
from gateway.stack import Places, redis_url
from tests.fixtures.predictions import make_review
from tests.fixtures.stack import READER, Stack, models_with_a_live_one

READINGS = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
ASKED = 60
GROUP, AT_ONCE = 25, 4
BANDS: tuple[Band, ...] = ("likely_positive", "uncertain", "likely_negative")


def templates(client: httpx.Client, models: Path) -> list[Prediction]:
    """What the live models say of their demo images, and of one that none of them judges."""
    found = []
    for folder in sorted(one for one in models.iterdir() if one.is_dir()):
        demos = sorted(folder.glob("*/demo/*"))
        for demo in demos:
            answer = client.post(
                f"/api/v1/diseases/{folder.name}/predictions",
                files={"image": ("demo", demo.read_bytes())},
            )
            assert answer.status_code == 201, answer.text
            found.append(Prediction.model_validate_json(answer.content))
    return found


def another(template: Prediction, number: int) -> Prediction:
    """A reading of somebody else, as large as the template."""
    share = random.random()
    judged: dict[str, Any] = {}
    if template.band is not None:
        judged = {"band": random.choices(BANDS, (2, 1, 4))[0]}
    if template.probabilities:
        rest = [one.probability for one in template.probabilities[1:]]
        scale = (1 - share) / (sum(rest) or 1)
        judged["probabilities"] = tuple(
            one.model_copy(
                update={"probability": round(share if place == 0 else one.probability * scale, 6)}
            )
            for place, one in enumerate(template.probabilities)
        )
        ranked = sorted(judged["probabilities"], key=lambda of: -of.probability)
        judged["top"] = tuple(ranked[: len(template.top)])
    image = template.image.model_copy(
        update={"digest": f"sha256:{random.randbytes(32).hex()}", "demo": False}
    )
    patients = max(1, READINGS // 5)
    return template.model_copy(
        update={
            "id": new_prediction_id(),
            "created_at": now() - timedelta(seconds=random.random()),
            "image": image,
            "timings_ms": {name: round(random.uniform(0.01, 50), 3) for name in template.timings_ms}
            | {"store": round(random.uniform(1, 9), 3)},
            # Half of them have a patient, who has about two and a half.
            "patient_reference": (
                random.Random(random.randrange(patients)).randbytes(32).hex()
                if number % 2
                else None
            ),
            # Half of them came in batches of five hundred.
            "batch": UUID(int=1 + number // 1000) if number % 1000 < 500 else None,
            **judged,
        }
    )


async def kept(work: Awaitable[None]) -> None:
    """What a machine that is busy with other things did not do in time does not count."""
    with suppress(StoreUnavailable):
        await work


async def fill(store: RedisResults, of: Sequence[Prediction]) -> None:
    """Add them all in groups, as batches do, some groups at once."""
    groups = iter(track(range(0, READINGS, GROUP), "Storing readings"))

    async def add() -> None:
        for start in groups:
            numbers = range(start, min(start + GROUP, READINGS))
            readings = [another(of[number % len(of)], number) for number in numbers]
            await kept(store.add_many(readings))
            for reading in readings[::10]:
                await kept(store.add_review(reading.unit, reviewed(reading)))

    await asyncio.gather(*(add() for _ in range(AT_ONCE)))


def reviewed(reading: Prediction) -> Review:
    """What somebody says of it."""
    verdict = random.choice(("agree", "disagree", "correct"))
    return make_review(
        reading, verdict=verdict, class_id="normal" if verdict == "correct" else None
    )


def used(stack: Stack) -> int:
    """Bytes of memory that Redis uses."""
    with Redis.from_url(redis_url(stack.places, "exporter"), driver_info=None) as client:
        return int(client.info("memory")["used_memory"])


async def depths(store: RedisResults) -> dict[str, str]:
    """Cursors into the middle of the list, in both orders."""
    found = {}
    walked = await store.since("default", UUID(int=0), max(1, READINGS // 2))
    found["newest"] = walked[-1].id.hex
    found["oldest"] = walked[min(100, len(walked) - 1)].id.hex
    found["urgent"] = f"{URGENCY.index('likely_negative')}-{walked[-1].id.hex}"
    return found


def questions(deep: dict[str, str], patient: str) -> dict[str, dict[str, Any]]:
    """What the list is asked, by a name for the table."""
    chest = {"disease": "chest_xray_pneumonia"}
    positive, urgent = {"band": "likely_positive"}, {"sort": "urgent"}
    return {
        "newest": {},
        "newest, 100 rows": {"limit": 100},
        "newest, from the middle": {"cursor": deep["newest"]},
        "newest, the last ones": {"cursor": deep["oldest"]},
        "one disease": chest,
        "one class": {"class_id": "pneumonia"},
        "one band": positive,
        "not reviewed yet": {"review": "open"},
        "not reviewed yet, from the middle": {"review": "open", "cursor": deep["newest"]},
        "corrected": {"review": "corrected"},
        "one batch": {"batch": str(UUID(int=1))},
        "one batch, most urgent": {"batch": str(UUID(int=1)), **urgent},
        "one patient": {"same_patient_as": patient},
        "disease, class, band, corrected": {
            **chest,
            **positive,
            "class_id": "pneumonia",
            "review": "corrected",
        },
        "most urgent": urgent,
        "most urgent, 100 rows": {**urgent, "limit": 100},
        "most urgent, deep": {**urgent, "cursor": deep["urgent"]},
        "most urgent, one disease": {**urgent, **chest},
        "most urgent, disease, corrected": {**urgent, **chest, "review": "corrected"},
        "most urgent, not reviewed yet": {**urgent, "review": "open"},
        "words": {"q": "pneumonia"},
        "words that no reading has": {"q": "nowhere"},
        "most urgent, words, disease": {**urgent, **chest, "q": "normal"},
    }


def ask(client: httpx.Client, parameters: dict[str, Any]) -> tuple[float, float, int]:
    """Median and 95th percentile in milliseconds, and the rows of a page."""
    times, rows = [], 0
    for number in range(ASKED + 5):
        began = time.perf_counter()
        answer = client.get("/api/v1/predictions", params=parameters)
        took = (time.perf_counter() - began) * 1000
        assert answer.status_code == 200, answer.text
        rows = len(answer.json()["items"])
        if number >= 5:
            times.append(took)
    return statistics.median(times), statistics.quantiles(times, n=20)[-1], rows


def patient_of(client: httpx.Client) -> str:
    """A reading whose patient has others."""
    listed = client.get("/api/v1/predictions", params={"limit": 100}).json()["items"]
    return str(next((one for one in listed if one["patient_readings"] > 1), listed[0])["id"])


async def whole(places: Places) -> set[str]:
    """The ids of all readings, each of which was read."""
    store, found = connect(redis_url(places, "inference")), set()
    after = UUID(int=0)
    try:
        while page := await store.since("default", after, 1000):
            found |= {one.id.hex for one in page}
            after = page[-1].id
    finally:
        await store.close()
    return found


def timed(work: Any, *arguments: Any) -> tuple[Any, float]:
    """What some work gave, and its seconds."""
    began = time.perf_counter()
    return work(*arguments), time.perf_counter() - began


def main() -> None:
    """Store, measure, back up, restore, compare, and print."""
    console = Console(width=100)
    folder = Path(tempfile.mkdtemp(prefix="store-"))
    models = models_with_a_live_one(folder / "models")
    stack, restored = Stack(folder / "run", models), Stack(folder / "new", models)
    running = stack
    try:
        stack.start()
        with stack.client() as client:
            of = templates(client, models)
            before, began = used(stack), time.perf_counter()

            async def filled() -> dict[str, str]:
                store = connect(redis_url(stack.places, "inference"))
                try:
                    # As on the first day: from then on every reading is entered as it is stored.
                    await store.list("default", band="uncertain", limit=1)
                    await fill(store, of)
                    return await depths(store)
                finally:
                    await store.close()

            deep = asyncio.run(filled())
            took = time.perf_counter() - began
            each = (used(stack) - before) / READINGS
            console.print(
                f"{READINGS:,} readings stored in {took:.0f} s ({READINGS / took:.0f} a second),"
                f" {GROUP} at a time, on the disk before the answer."
            )
            console.print(
                f"Memory in Redis: {each:.0f} bytes a reading, indexes and reviews in it."
            )
            table = Table(title=f"A page of the list of {READINGS:,} readings, through Nginx, ms")
            for column in ("question", "rows", "median", "95th percentile"):
                table.add_column(column, justify="left" if column == "question" else "right")
            worst = 0.0
            for name, parameters in questions(deep, patient_of(client)).items():
                median, p95, rows = ask(client, parameters)
                worst = max(worst, p95)
                table.add_row(name, str(rows), f"{median:.1f}", f"{p95:.1f}")
            console.print(table)
            console.print(f"The slowest 95th percentile is {worst:.1f} ms.")
        file = folder / "backup.tar"
        kept, backing = timed(back_up, stack.places, file)
        wanted = asyncio.run(whole(stack.places))
        stack.stop()
        _, restoring = timed(restore, file, restored.places)
        running = restored
        _, starting = timed(restored.start)
        missing = wanted - asyncio.run(whole(restored.places))
        console.print(
            f"Backup: {kept.size / 1e6:.0f} MB in {backing:.1f} s, while it ran. Restored in"
            f" {restoring:.1f} s, ready after {starting:.1f} s more. Of {len(wanted):,} readings"
            f" {len(missing)} are missing."
        )
        with httpx.Client(
            base_url=restored.url,
            headers={"Authorization": f"Bearer {stack.key(*READER)}"},
            trust_env=False,
            timeout=60,
        ) as client:
            answer = client.get("/api/v1/predictions")
            assert answer.status_code == 200, answer.text
        if missing:
            raise SystemExit(1)
    finally:
        running.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
