"""Those who send images, and send again until each is answered."""

import io
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
from PIL import Image

from diagnosis.images import read_image
from tests.faults.ledger import Ledger, Sent, asked
from tests.fixtures.stack import DISEASE

#: Statuses after which the same is sent again.
AGAIN = {409, 425, 429, 500, 502, 503, 504}
AGAIN_SECONDS = 1.0


def made(demos: Sequence[bytes], count: int, seed: int) -> list[Sent]:
    """Films of demo images, each with noise of its own, and what is to be kept of each."""
    found = []
    smooth = [Image.fromarray(read_image(one).pixels).resize((224, 224)) for one in demos]
    for number in range(count):
        random = np.random.default_rng([seed, number])
        noisy = np.asarray(smooth[number % len(smooth)], np.float32) + random.normal(
            0, 4, (224, 224)
        )
        buffer = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=85)
        data = buffer.getvalue()
        found.append(Sent(number, data, read_image(data).digest))
    return found


class Pace:
    """Lets one image begin every so many seconds, whoever sends it; what was held up comes as fast
    as it can, once it can."""

    def __init__(self, every: float) -> None:
        self._every, self._next = every, time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Until it is the next one's turn."""
        with self._lock:
            turn = self._next = self._next + self._every
        time.sleep(max(0.0, turn - time.monotonic()))


class Senders:
    """Threads that send; see `start`.

    Args:
        client: makes a client.
        ledger: what was answered is written there.
        pace: when the next image begins.
    """

    def __init__(self, client: Callable[[], httpx.Client], ledger: Ledger, pace: Pace) -> None:
        self._client = client
        self._ledger = ledger
        self._pace = pace
        self.threads: list[threading.Thread] = []
        self._ending = threading.Event()
        self.batches: dict[str, list[Sent]] = {}

    def start(self, alone: Sequence[Sent], batches: Sequence[Sequence[Sent]], at_once: int) -> None:
        """Send these by themselves, so many at once, and those as batches."""
        rest = iter(alone)
        lock = threading.Lock()

        def send_alone() -> None:
            with self._client() as client:
                while True:
                    with lock:
                        one = next(rest, None)
                    if one is None or self._ending.is_set():
                        return
                    self._send(client, one)

        def send_batch(images: Sequence[Sent]) -> None:
            with self._client() as client:
                self._send_batch(client, images)

        for _ in range(at_once if alone else 0):
            self.threads.append(threading.Thread(target=send_alone, daemon=True))
        for images in batches:
            self.threads.append(threading.Thread(target=send_batch, args=(images,), daemon=True))
        for thread in self.threads:
            thread.start()

    @property
    def finished(self) -> bool:
        """Whether all was sent and answered."""
        return not any(thread.is_alive() for thread in self.threads)

    def stop(self) -> None:
        """Give up what is not answered yet."""
        self._ending.set()
        for thread in self.threads:
            thread.join(30)

    def _until_answered(self, ask: Callable[[], httpx.Response]) -> httpx.Response | None:
        """The first answer that is not one to try again; None where sending was stopped."""
        while not self._ending.is_set():
            with suppress(httpx.TransportError):
                answer = ask()
                if answer.status_code not in AGAIN:
                    return answer
            self._ending.wait(AGAIN_SECONDS)
        return None

    def _send(self, client: httpx.Client, one: Sent) -> None:
        self._pace.wait()
        self._ledger.begin(one)
        headers = {"Idempotency-Key": str(uuid4())}
        answer = self._until_answered(
            lambda: client.post(
                f"/api/v1/diseases/{DISEASE}/predictions",
                files={"image": ("film", one.data)},
                headers=headers,
            )
        )
        if answer is not None and answer.is_success:
            self._ledger.acknowledge(one, reading=answer.json()["id"])
        elif answer is not None:
            self._ledger.refused.append(answer.text)

    def _send_batch(self, client: httpx.Client, images: Sequence[Sent]) -> None:
        answer = self._until_answered(
            lambda: client.post("/api/v1/batches", json={"disease": DISEASE, "name": "faults"})
        )
        if answer is None or not answer.is_success:
            self._ledger.refused.append("" if answer is None else answer.text)
            return
        batch = answer.json()["id"]
        self.batches[batch] = list(images)
        for place, one in enumerate(images):
            self._pace.wait()
            self._ledger.begin(one)
            one.batch = batch
            address = f"/api/v1/batches/{batch}/files/{place}"
            name = f"film-{place}.jpg"
            answer = self._until_answered(
                lambda one=one, address=address, name=name: client.put(
                    address, data={"name": name}, files={"file": (name, one.data)}
                )
            )
            if answer is not None and answer.is_success:
                self._ledger.acknowledge(one)
            elif answer is not None:
                self._ledger.refused.append(answer.text)
        self._until_answered(lambda: client.post(f"/api/v1/batches/{batch}/close"))

    def collect(self, client: httpx.Client, until: float) -> int:
        """Wait until no file of a batch waits, and write down the reading of each.

        A file that was set aside, because whoever read it was killed three times, is read again,
        as somebody would do it on the page.

        Returns:
            How many were set aside.
        """
        aside = 0
        for batch, images in self.batches.items():
            while True:
                items = _items(client, batch)
                failed = [one for one in items.values() if one["state"] == "failed"]
                if failed:
                    aside += len(failed)
                    client.post(f"/api/v1/batches/{batch}/retry")
                elif all(one["state"] == "done" for one in items.values()):
                    break
                if time.monotonic() > until:
                    break
                time.sleep(0.5)
            for place, one in enumerate(images):
                item = items.get(place)
                if one.acknowledged and item is None:
                    one.reading = "the batch knows nothing of it"
                elif item is not None and item["state"] == "done":
                    one.reading = item["prediction_id"]
        return aside


def _items(client: httpx.Client, batch: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    cursor = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = asked(client, f"/api/v1/batches/{batch}/items", limit=100, **more)
        page.raise_for_status()
        found |= {one["number"]: one for one in page.json()["items"]}
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return found
