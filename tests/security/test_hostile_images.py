"""Hostile files at the real service: each is refused, soon, in little memory, and alone.

`make test` sends one file of each class, `make security` all of them.
"""

import asyncio
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from diagnosis.errors import ImageRefused
from diagnosis.images import read_image
from tests.fixtures.decoders import shared_nursery
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.fixtures.patience import AT_ONCE
from tests.fixtures.stack import Stack
from tests.inference_service.pictures import BRIGHT
from tests.security import disarmed_images
from tests.security.hostile_images import CLASSES, EACH, files

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
TABLE = re.compile(r"<!-- begin hostile-images -->\n(.*?)<!-- end hostile-images -->", re.DOTALL)
#: For all files, on a machine that does nothing else.
SECONDS = 2.0
RISE = 300 * 2**20
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Sent:
    """What came of the files of one class."""

    codes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    memory: int = 0
    """Bytes above those before the first file, at most."""


def resident() -> int:
    """Bytes in memory of this process, in which the service runs, and of those that read images."""
    nursery = vars(shared_nursery())["_process"].pid
    workers = Path(f"/proc/{nursery}/task/{nursery}/children").read_text().split()
    sizes = 0
    for number in (os.getpid(), nursery, *workers):
        with suppress(OSError):
            sizes += int(Path(f"/proc/{number}/statm").read_text().split()[1]) * PAGE
    return sizes


class Watch:
    """How high memory comes while the service works."""

    def __init__(self) -> None:
        self.highest = 0

    async def look(self) -> None:
        """Until cancelled."""
        while True:
            self.highest = max(self.highest, resident())
            await asyncio.sleep(0.01)


def table(found: dict[str, Sent]) -> str:
    """The result as it stands in the document."""
    lines = ["| class | files | answers |", "|---|---|---|"]
    for name, sent in found.items():
        codes = ", ".join(f"{code} {number}" for code, number in sorted(sent.codes.items()))
        lines.append(f"| {name} | {sent.codes.total()} | {codes} |")
    return "\n".join(lines) + "\n"


async def good_readings(live: Live, done: asyncio.Event) -> list[float]:
    """Read a good image again and again beside the others; how long each took."""
    took = []
    while not done.is_set():
        began = time.perf_counter()
        answer = await live.read(BRIGHT)
        took.append(time.perf_counter() - began)
        assert answer.status_code == 201, answer.text
        await asyncio.sleep(0.1)
    return took


async def sent_to(live: Live, corpus: dict[str, list[bytes]]) -> dict[str, Sent]:
    """Send the files of each class; what came of them."""
    found: dict[str, Sent] = {}
    before, watch = resident(), Watch()
    watching = asyncio.create_task(watch.look())
    for name, made in corpus.items():
        sent = found[name] = Sent()
        for data in made:
            began = time.perf_counter()
            answer = await live.read(data)
            sent.slowest = max(sent.slowest, time.perf_counter() - began)
            assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text[:200])
            sent.codes[answer.json()["code"]] += 1
        sent.memory, watch.highest = watch.highest - before, 0
    watching.cancel()
    return found


@pytest.fixture
async def warm(start: Start) -> Live:
    """A service that has read before, so that what it loads once is not counted."""
    live = await start(threads=2)
    await asyncio.gather(*(live.read(BRIGHT) for _ in range(8)))
    return live


@pytest.mark.timeout(1200)
async def test_hostile_files_are_refused_soon_in_little_memory_and_disturb_nobody(
    warm: Live, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = request.config.getoption("--whole")
    seconds = SECONDS if whole else AT_ONCE
    # Made before the clock and the memory are looked at.
    corpus = {name: list(files(name, EACH if whole else 1)) for name in CLASSES}
    done = asyncio.Event()
    beside = asyncio.create_task(good_readings(warm, done))
    try:
        found = await sent_to(warm, corpus)
    finally:
        done.set()
    good = await beside
    text = table(found)
    with capsys.disabled():
        if whole:
            slow = max(found, key=lambda name: found[name].slowest)
            large = max(found, key=lambda name: found[name].memory)
            sys.stdout.write(
                f"\n{text}\nslowest {slow} {found[slow].slowest:.2f} s, memory rose most by"
                f" {large} {found[large].memory / 2**20:.0f} MiB\n"
                f"{len(good)} good readings beside them, the slowest {max(good):.2f} s\n"
            )
    assert {name: one.slowest for name, one in found.items() if one.slowest > seconds} == {}
    assert {name: one.memory for name, one in found.items() if one.memory > RISE} == {}
    assert good
    assert max(good) < seconds
    listed = (await warm.client.get("/api/v1/predictions?limit=1")).json()["items"]
    assert [one["disease"] for one in listed] == [DISEASE]
    written = TABLE.search(DOCUMENT.read_text())
    assert written is not None
    if whole:
        assert written[1].strip() == text.strip(), "docs/security.md has another table"


def test_the_corpus_is_what_the_document_says() -> None:
    assert len(CLASSES) >= 40
    assert len(CLASSES) * EACH >= 1000
    assert 1 / len(CLASSES) <= 0.05
    written = TABLE.search(DOCUMENT.read_text())
    assert written is not None
    rows = re.findall(r"^\| ([a-z0-9-]+) \| (\d+) \|", written[1], flags=re.MULTILINE)
    assert rows == [(name, str(EACH)) for name in CLASSES]


def test_the_corpus_is_the_same_each_time() -> None:
    for name in list(CLASSES)[::5]:
        assert list(files(name, 2)) == list(files(name, 2)), name


@pytest.mark.parametrize("name", disarmed_images.CLASSES)
def test_what_does_no_harm_is_read_and_nothing_of_it_is_kept(name: str) -> None:
    """A payload beside a good image: the image is read, the payload is neither opened nor kept."""
    data, payload = disarmed_images.CLASSES[name]()
    assert payload in data
    began = time.perf_counter()
    image = read_image(data)
    assert time.perf_counter() - began < AT_ONCE
    assert payload not in image.clean
    assert read_image(image.clean).pixels.shape == image.pixels.shape


@pytest.fixture(scope="module")
def public(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the whole stack."""
    with stack.client() as client:
        yield client


def test_through_the_whole_stack_they_are_refused_alike(public: httpx.Client) -> None:
    """One of every ninth class; the proxy's limit of uploads lets no more through at once."""
    for name in list(CLASSES)[::9]:
        data = next(files(name))
        with pytest.raises(ImageRefused) as here:
            read_image(data)
        began = time.perf_counter()
        answer = public.post(
            f"/api/v1/diseases/{DISEASE}/predictions", files={"image": ("film.jpg", data)}
        )
        assert time.perf_counter() - began < AT_ONCE
        assert (answer.status_code, answer.json()["code"]) == (here.value.status, here.value.code)
