"""`make load`: drive the Sightline that `make run` has started, so that its dashboards move.

It reads synthetic demo images of every live disease, looks at the list, and hands batches in, at a
rate that is set, and deletes in the end what it made. Requests begin when they are due, whether the
ones before have ended or not, and their time counts from then: a service that falls behind shows.
It drives what it is told and nothing else, and ends by itself.

python -m tests.load.drive [--rate 5] [--seconds 60] [--mix reading=8,list=3,batch=1]
                           [--run-dir FOLDER | --url URL --key-file FILE] [--keep]
"""

import argparse
import asyncio
import itertools
import math
import random
import ssl
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from diagnosis.identity import Role
from gateway.identity import commands
from gateway.settings import PROJECT
from gateway.stack import CannotStart, Places, redis_url, running_url

MIX = "reading=8,list=3,batch=1"
#: Files of each batch.
FILES = 6
#: Requests under way at once; one more is not sent, and counted so.
MOST_UNDER_WAY = 200
#: Seconds after which an action has failed.
PATIENCE = 60.0

Action = Callable[[], Awaitable[None]]


@dataclass
class Seen:
    """What became of one kind of action."""

    seconds: list[float] = field(default_factory=list)
    """Of those that went well, from when they were due."""
    errors: Counter[str] = field(default_factory=Counter)
    """Of the others, by the code of the problem, or by what went wrong."""

    @property
    def done(self) -> int:
        return len(self.seconds) + self.errors.total()

    def quantile(self, share: float) -> float:
        """The time within which this share went well, in seconds; nan where none did."""
        ordered = sorted(self.seconds)
        return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.nan


class Refused(Exception):
    """An answer that is an error; the text is its code."""


class Driver:
    """Does what users do.

    Args:
        client: of the public side, with a key of a clinician's.
        seed: of the order and the choice of images.
        patience: seconds after which an action has failed.
    """

    def __init__(
        self, client: httpx.AsyncClient, seed: int = 0, patience: float = PATIENCE
    ) -> None:
        self._client = client
        self._patience = patience
        self._random = random.Random(seed)
        self._images: list[tuple[str, bytes]] = []
        self._readings: list[str] = []
        self._batches: list[str] = []
        self.seen: defaultdict[str, Seen] = defaultdict(Seen)
        self.actions: Mapping[str, Action] = {
            "reading": self._read,
            "list": self._list,
            "batch": self._batch,
        }

    async def prepare(self) -> None:
        """Fetch the demo images of every disease that can be read.

        Raises:
            Refused: there are none, or the key may not see them.
        """
        for one in (await self._ask("GET", "/api/v1/diseases")).json()["items"]:
            if one["status"] == "live":
                view = (await self._ask("GET", f"/api/v1/diseases/{one['id']}")).json()
                for image in view["model"]["demo_images"]:
                    data = await self._ask("GET", image["url"])
                    self._images.append((one["id"], data.content))
        if not self._images:
            raise Refused("no live model has a demo image")

    async def drive(
        self, rate: float, seconds: float, mix: Mapping[str, int], tick: Callable[[float], None]
    ) -> float:
        """Begin so many actions a second for so long, and wait for those that are under way.

        Args:
            rate: actions a second.
            seconds: for how long they begin.
            mix: how often each, beside the others.
            tick: told the seconds that went by.

        Returns:
            The seconds that it all took.
        """
        names = self._random.choices([*mix], [*mix.values()], k=max(1, round(rate * seconds)))
        began = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        try:
            for number, name in enumerate(names):
                due = began + number / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                tick(time.monotonic() - began)
                if len(under_way) >= MOST_UNDER_WAY:
                    self.seen[name].errors["not sent: too many were under way"] += 1
                    continue
                task = asyncio.create_task(self._one(name, due))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
            while under_way:
                await asyncio.wait(under_way, timeout=0.2)
                tick(time.monotonic() - began)
        finally:
            # Of somebody who does not wait for it.
            for task in under_way:
                task.cancel()
        return time.monotonic() - began

    async def clean(self) -> tuple[int, int]:
        """Delete the readings and batches that it was told of; how many went, and how many not."""
        gone = 0
        addresses = [f"/api/v1/predictions/{one}" for one in self._readings]
        addresses += [f"/api/v1/batches/{one}" for one in self._batches]
        for address in addresses:
            while True:
                answer = await self._client.delete(address)
                if answer.status_code not in {429, 503}:
                    break
                await asyncio.sleep(1)
            gone += answer.status_code == 204
        return gone, len(addresses) - gone

    async def _one(self, name: str, due: float) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self.actions[name]()
        except (Refused, TimeoutError, httpx.HTTPError) as error:
            told = str(error) if isinstance(error, Refused) else type(error).__qualname__
            self.seen[name].errors[told] += 1
        else:
            self.seen[name].seconds.append(time.monotonic() - due)

    async def _read(self) -> None:
        disease, image = self._random.choice(self._images)
        made = await self._ask(
            "POST", f"/api/v1/diseases/{disease}/predictions", files={"image": ("demo", image)}
        )
        self._readings.append(made.json()["id"])

    async def _list(self) -> None:
        await self._ask("GET", "/api/v1/predictions", params={"limit": 20})

    async def _batch(self) -> None:
        """Hand a batch in and wait until it is read."""
        disease, _ = self._random.choice(self._images)
        images = itertools.cycle([image for of, image in self._images if of == disease])
        files = [("files", (f"demo-{n}", next(images))) for n in range(FILES)]
        made = await self._ask(
            "POST", "/api/v1/batches", data={"disease": disease, "name": "make load"}, files=files
        )
        batch = made.json()
        self._batches.append(batch["id"])
        while batch["state"] not in {"done", "cancelled"}:
            await asyncio.sleep(0.5)
            batch = (await self._ask("GET", f"/api/v1/batches/{batch['id']}")).json()
        if batch["counts"]["failed"]:
            raise Refused("a file failed")

    async def _ask(self, method: str, path: str, **sent: object) -> httpx.Response:
        answer = await self._client.request(method, path, **sent)  # type: ignore[arg-type]
        if answer.is_success:
            return answer
        kind = answer.headers.get("content-type", "")
        code = answer.json().get("code") if "json" in kind else None
        raise Refused(f"{answer.status_code} {code or ''}".strip())


def parts_of(mix: str) -> dict[str, int]:
    """How often each action: `reading=8,list=3,batch=1`.

    Raises:
        ValueError: it names something else, or nothing.
    """
    found = {}
    for part in mix.split(","):
        name, _, often = part.partition("=")
        if name not in {"reading", "list", "batch"} or not often.isdecimal():
            raise ValueError(f"{part!r} is not reading=N, list=N or batch=N")
        found[name] = int(often)
    if not any(found.values()):
        raise ValueError("at least one action must be asked for")
    return found


def table_of(seen: Mapping[str, Seen], seconds: float) -> Table:
    """Rates, times and errors of each action."""
    table = Table("action", "done", "a second", "p50", "p95", "p99", "errors")
    for name, one in seen.items():
        times = (f"{1000 * one.quantile(share):.0f} ms" for share in (0.5, 0.95, 0.99))
        errors = ", ".join(f"{count} {what}" for what, count in one.errors.most_common())
        table.add_row(name, str(one.done), f"{one.done / seconds:.1f}", *times, errors or "none")
    return table


@asynccontextmanager
async def client_of(
    url: str, key: str, authority: Path | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the public side.

    Args:
        url: where it is.
        key: a clinician's.
        authority: whose certificate is believed; None: those that the system believes.
    """
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {key}"},
        timeout=PATIENCE,
        limits=httpx.Limits(max_connections=64),
        trust_env=False,
        verify=ssl.create_default_context(cafile=authority),
    ) as client:
        yield client


@contextmanager
def _bar(console: Console, seconds: float) -> Iterator[Callable[[float, str], None]]:
    """A line of progress on a terminal, and a line every ten seconds elsewhere."""
    columns = (TextColumn("Driving"), BarColumn(), TextColumn("{task.fields[note]}"))
    last = 0
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=seconds, note="")

        def show(gone: float, note: str) -> None:
            nonlocal last
            progress.update(task, completed=min(gone, seconds), note=note)
            if not console.is_terminal and gone >= last + 10:
                last = int(gone) // 10 * 10
                console.print(f"{last} s: {note}", highlight=False)

        yield show


async def run(
    asked: argparse.Namespace,
    url: str,
    key: str,
    console: Console,
    authority: Path | None = None,
) -> int:
    """Drive, and say how it went; 1 where something failed."""
    async with client_of(url, key, authority) as client:
        driver = Driver(client, asked.seed, asked.patience)
        try:
            await driver.prepare()
        except (Refused, httpx.HTTPError) as error:
            console.print(f"{url} cannot be driven: {error}", style="red", highlight=False)
            return 1
        console.print(
            f"{asked.rate:g} a second for {asked.seconds:g} s at {url}: {asked.mix}",
            highlight=False,
        )
        with _bar(console, asked.seconds) as show:

            def tick(gone: float) -> None:
                done = sum(one.done for one in driver.seen.values())
                wrong = sum(one.errors.total() for one in driver.seen.values())
                show(gone, f"{done} done, {wrong} errors, {done / max(gone, 0.1):.1f} a second")

            try:
                took = await driver.drive(asked.rate, asked.seconds, parts_of(asked.mix), tick)
            finally:
                if not asked.keep:
                    # Also after Ctrl-C.
                    gone, stayed = await driver.clean()
                    told = f"{gone} readings and batches were deleted again"
                    console.print(f"{told}; {stayed} stayed." if stayed else f"{told}.")
        console.print(table_of(driver.seen, took))
    return int(any(one.errors for one in driver.seen.values()))


def _arguments(given: list[str]) -> argparse.Namespace:
    asked = argparse.ArgumentParser(prog="make load", description="Drive a running Sightline.")
    asked.add_argument("--rate", type=float, default=5.0, help="actions a second")
    asked.add_argument("--seconds", type=float, default=60.0, help="for how long they begin")
    asked.add_argument("--mix", default=MIX, help=f"how often each, {MIX}")
    asked.add_argument("--run-dir", type=Path, default=PROJECT / ".run", help="of `make run`")
    asked.add_argument("--url", help="of another Sightline, which needs --key-file")
    asked.add_argument("--key-file", type=Path, help="with a clinician's API key")
    asked.add_argument("--keep", action="store_true", help="keep what it makes")
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--patience", type=float, default=PATIENCE, help="seconds for an action")
    asks = asked.parse_args(given)
    if not 0 < asks.rate <= 1000 or not 0 < asks.seconds <= 86400:
        asked.error("the rate is above 0 and at most 1000, the time at most a day")
    if (asks.url is None) != (asks.key_file is None):
        asked.error("--url and --key-file come together")
    try:
        parts_of(asks.mix)
    except ValueError as error:
        asked.error(str(error))
    return asks


def main(given: list[str]) -> int:
    """The command."""
    asked, console = _arguments(given), Console(stderr=True)
    # The key outlives the drive and the deleting, and not by much.
    days = (3 * asked.seconds + 600) / 86400
    authority: Path | None = None
    try:
        if asked.url is not None:
            url, key = asked.url, asked.key_file.read_text().strip()
        else:
            places = Places.under(asked.run_dir)
            url = running_url(places)
            authority = places.tls.authority if url.startswith("https") else None
            key = commands.with_store(
                redis_url(places, "identity"),
                lambda store, audit: commands.create_key(
                    store, audit, (Role.CLINICIAN,), name="make load", days=days
                ),
            )
    except (CannotStart, OSError) as error:
        console.print(str(error), style="red", highlight=False)
        return 1
    return asyncio.run(run(asked, url, key, console, authority))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
