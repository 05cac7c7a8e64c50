"""The test's own count: every image that was answered with 2xx, against what the API returns then.

Nothing here asks the system how many there are, waiting or done: it asks for each image.
"""

import hashlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import httpx

#: How long the API may take until it answers when nothing is done to it any more.
ANSWER_SECONDS = 60.0


@dataclass(slots=True)
class Sent:
    """One image, no other image being like it."""

    number: int
    data: bytes = field(repr=False)
    kept: str
    """`sha256:` of what is to be kept of it, as the test itself computed it."""
    batch: str | None = None
    """The batch it was accepted in."""
    began: float | None = None
    acknowledged: float | None = None
    """When it was answered with 2xx."""
    reading: str | None = None
    """The id that the answer gave, or that the batch gives in the end."""
    faults: set[str] = field(default_factory=set)
    """What struck between the first try and the end."""

    @property
    def sha256(self) -> str:
        """Of the bytes as they were sent."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of all images."""

    images: int
    lost: tuple[Sent, ...]
    """Acknowledged, and the reading or its image is not there, or is another's."""
    doubled: tuple[Sent, ...]
    """There are several readings of it."""
    stuck: tuple[Sent, ...]
    """Sent, and not acknowledged or not read in the end."""

    @property
    def line(self) -> str:
        """The last line of `make faults`."""
        return (
            f"faults: {self.images} images, lost {len(self.lost)},"
            f" doubled {len(self.doubled)}, stuck {len(self.stuck)}"
        )

    @property
    def good(self) -> bool:
        """Whether all is as it has to be."""
        return not (self.lost or self.doubled or self.stuck)


class Ledger:
    """Written by many threads."""

    def __init__(self, images: list[Sent]) -> None:
        self.images = images
        self._lock = threading.Lock()
        self.refused: list[str] = []

    def begin(self, one: Sent) -> None:
        """It is sent for the first time."""
        one.began = one.began or time.monotonic()

    def acknowledge(self, one: Sent, *, reading: str | None = None) -> None:
        """It was answered with 2xx."""
        with self._lock:
            one.acknowledged = time.monotonic()
            one.reading = reading

    def strike(self, fault: str) -> int:
        """A fault begins; how many images were under way."""
        with self._lock:
            under_way = [one for one in self.images if one.began and one.reading is None]
            for one in under_way:
                one.faults.add(fault)
        return len(under_way)

    @property
    def all_begun(self) -> bool:
        """Whether every image was sent at least once."""
        return all(one.began is not None for one in self.images)

    @property
    def done(self) -> bool:
        """Whether every image was answered."""
        return all(one.acknowledged is not None for one in self.images)

    def verdict(self, client: httpx.Client) -> Verdict:
        """Compare with what the API returns; its list and each reading with its image."""
        listed: dict[str, list[str]] = {}
        for reading in every_reading(client):
            listed.setdefault(reading["image"]["digest"], []).append(reading["id"])
        lost, doubled, stuck = [], [], []
        for one in self.images:
            if one.acknowledged is None or one.reading is None:
                stuck.append(one)
            elif not _there(client, one):
                lost.append(one)
            if len(listed.get(one.kept, ())) > 1:
                doubled.append(one)
        return Verdict(len(self.images), tuple(lost), tuple(doubled), tuple(stuck))


def asked(client: httpx.Client, address: str, **parameters: object) -> httpx.Response:
    """An answer to a question; a service that is just coming back is asked again."""
    until = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            answer = client.get(address, params=parameters)  # type: ignore[arg-type]
            if answer.status_code not in (429, 500, 502, 503, 504):
                return answer
        except httpx.TransportError:
            pass
        if time.monotonic() > until:
            raise TimeoutError(address)
        time.sleep(0.3)


def _there(client: httpx.Client, one: Sent) -> bool:
    reading = asked(client, f"/api/v1/predictions/{one.reading}")
    image = asked(client, f"/api/v1/predictions/{one.reading}/image")
    return (
        reading.status_code == 200
        and reading.json()["image"]["digest"] == one.kept
        and image.status_code == 200
        and f"sha256:{hashlib.sha256(image.content).hexdigest()}" == one.kept
    )


def every_reading(client: httpx.Client) -> list[dict[str, Any]]:
    """All that the list shows, page by page."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        more = {} if cursor is None else {"cursor": cursor}
        page = asked(client, "/api/v1/predictions", limit=100, **more)
        page.raise_for_status()
        found += page.json()["items"]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return found
