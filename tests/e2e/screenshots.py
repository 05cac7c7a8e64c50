"""Make the screenshots of the documents anew: `make screenshots`.

It starts a Sightline of its own with the models that ship, reads their synthetic demo images, and
photographs each screen. No other image is ever shown, so that no picture can be of a patient.
"""

import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from diagnosis.identity import Role
from gateway.settings import PROJECT
from tests.fixtures.chromium import FLAGS, NAMES
from tests.fixtures.leftovers import end_leftovers
from tests.fixtures.stack import DISEASE, Stack

FOLDER = PROJECT / "docs" / "screenshots"
WIDE, TABLET, PHONE = (1440, 900), (1024, 768), (390, 844)
#: Of WebP: small, and true to the colours of a heatmap.
_QUALITY = 82


@dataclass(frozen=True)
class Screen:
    """One picture: where, as whom, how large, and what is done before the shutter."""

    name: str
    path: str
    size: tuple[int, int] = WIDE
    dark: bool = False
    roles: tuple[Role, ...] = (Role.CLINICIAN,)
    before: Callable[[Page], object] = lambda _: None
    read_first: bool = False


class Demo:
    """The readings that the pictures show."""

    def __init__(self, stack: Stack) -> None:
        self.latest: dict[str, str] = {}
        with stack.client(Role.CLINICIAN) as client:
            # First, so that in the worklist its like readings stand after the others.
            self.batch = self._batch(client)
            listed = client.get("/api/v1/diseases").json()["items"]
            for disease in listed:
                if disease["status"] != "live":
                    continue
                for place, demo in enumerate(disease["model"]["demo_images"]):
                    self._read(client, disease["id"], demo["name"], patient=str(place % 2))
            self._review(client)

    def _batch(self, client: httpx.Client) -> str:
        """A batch of synthetic images and one file that is none; its id once it is read."""
        address = f"/api/v1/diseases/{DISEASE}"
        demos = client.get(address).json()["model"]["demo_images"]
        images = [client.get(f"{address}/demo-images/{one['name']}").content for one in demos]
        made = client.post("/api/v1/batches", json={"disease": DISEASE, "name": "Night shift"})
        made.raise_for_status()
        batch = f"/api/v1/batches/{made.json()['id']}"
        for number in range(24):
            name, image = f"synthetic/film {number:02}.png", images[number % len(images)]
            if number == 7:
                name, image = "synthetic/letter.txt", b"no image"
            sent = client.put(
                f"{batch}/files/{number}", data={"name": name}, files={"file": ("image", image)}
            )
            sent.raise_for_status()
        client.post(f"{batch}/close").raise_for_status()
        for _look in range(300):
            found = client.get(batch).json()
            if found["state"] == "done":
                break
            time.sleep(0.2)
        return str(found["id"])

    def _read(self, client: httpx.Client, disease: str, name: str, patient: str) -> None:
        image = client.get(f"/api/v1/diseases/{disease}/demo-images/{name}").content
        made = client.post(
            f"/api/v1/diseases/{disease}/predictions",
            files={"image": ("image", image, "image/png")},
            data={"patient_reference": f"demo {disease} {patient}"},
        )
        made.raise_for_status()
        reading = made.json()
        if reading["outcome"] == "judged":
            self.latest[disease] = reading["id"]

    def _review(self, client: httpx.Client) -> None:
        """Some first opinions and reviews, so that the list and the chart show each kind."""
        readings = client.get("/api/v1/predictions", params={"limit": 100}).json()["items"]
        judged = [one for one in readings if one["outcome"] == "judged"]
        for place, one in enumerate(judged[2:14]):
            first, second = (item["id"] for item in one["probabilities"][:2])
            address = f"/api/v1/predictions/{one['id']}/reviews"
            opinion = {"kind": "first_opinion", "class_id": (first, second)[place % 2]}
            client.post(address, json=opinion).raise_for_status()
            verdict = ("agree", "agree", "disagree", "correct")[place % 4]
            said = {"verdict": verdict, "class_id": second if verdict == "correct" else None}
            client.post(address, json=said).raise_for_status()


def screens(demo: Demo) -> Iterator[Screen]:
    """Every screen of the pages."""
    film = f"/readings/{demo.latest[DISEASE]}"

    def keys(page: Page) -> None:
        page.keyboard.press("?")
        page.locator("dialog[data-key-sheet]").wait_for()

    def heatmap(page: Page) -> None:
        page.keyboard.press("Space")
        page.locator("[data-heatmap-status]").get_by_text("shown").wait_for(state="attached")
        page.wait_for_timeout(1500)

    def tour(page: Page) -> None:
        page.get_by_role("button", name="Take the tour").click()

    def in_language(code: str) -> Callable[[Page], object]:
        def choose(page: Page) -> None:
            page.locator("#language").select_option(code)
            page.locator(".language button").click()
            page.wait_for_load_state()
            page.wait_for_timeout(1500)

        return choose

    def not_again(page: Page) -> None:
        page.evaluate("localStorage.setItem('sightline-tour', 'had')")
        page.reload()

    yield Screen("start", "/", before=not_again)
    yield Screen("first-visit", "/")
    yield Screen("examination-french", f"/diseases/{DISEASE}", TABLET, before=in_language("fr"))
    yield Screen("start-phone", "/", PHONE, dark=True, before=not_again)
    yield Screen("tour", "/", TABLET, before=tour)
    yield Screen("examination", f"/diseases/{DISEASE}")
    yield Screen("worklist", "/worklist?sort=urgent", dark=True)
    yield Screen("worklist-tablet", "/worklist", TABLET)
    yield Screen("worklist-phone", "/worklist", PHONE, dark=True)
    yield Screen("batches", "/batches", TABLET)
    yield Screen("batch", f"/batches/{demo.batch}", dark=True)
    yield Screen("batch-phone", f"/batches/{demo.batch}", PHONE)
    yield Screen("keys", "/worklist", TABLET, before=keys)
    yield Screen("reading", film, dark=True)
    yield Screen("reading-light", film)
    yield Screen("heatmap", film, dark=True, before=heatmap)
    yield Screen("reading-tablet", film, TABLET, dark=True)
    yield Screen("reading-phone", film, PHONE, dark=True)
    yield Screen("reading-spanish", film, TABLET, before=in_language("es"))
    yield Screen("reading-french", film, TABLET, before=in_language("fr"))
    yield Screen("reading-hindi", film, TABLET, dark=True, before=in_language("hi"))
    yield Screen("read-first", film, dark=True, read_first=True)
    yield Screen("minds-changed", "/opinions", TABLET)
    yield Screen("card", f"/diseases/{DISEASE}/card")
    yield Screen("versions", f"/diseases/{DISEASE}/versions", TABLET)
    yield Screen("offline", "/offline", PHONE)
    yield Screen("about", "/about", TABLET)
    yield Screen("account", "/account", TABLET)
    yield Screen("users", "/users", roles=(Role.ADMIN,))
    yield Screen("audit", "/audit", roles=(Role.AUDITOR,))
    yield Screen("sign-in", "/sign-in", TABLET, roles=())
    yield Screen("api", "/api", TABLET)


def photograph(browser: Browser, stack: Stack, screen: Screen, folder: Path) -> None:
    """Take one picture and keep it small."""
    width, height = screen.size
    context = browser.new_context(
        base_url=stack.url,
        viewport={"width": width, "height": height},
        color_scheme="dark" if screen.dark else "light",
        reduced_motion="reduce",
        timezone_id="UTC",
        is_mobile=screen.size is PHONE,
        has_touch=screen.size is PHONE,
    )
    try:
        if screen.roles:
            value = stack.session(*screen.roles)
            context.add_cookies([{"name": "sightline_session", "value": value, "url": stack.url}])
        page = context.new_page()
        if screen.read_first:
            switch_read_first(page, on=True)
        answer = page.goto(screen.path)
        assert answer is not None, screen.name
        assert answer.ok, f"{screen.name}: {answer.status}"
        page.wait_for_timeout(1500)
        screen.before(page)
        page.wait_for_timeout(500)
        taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        taken.save(folder / f"{screen.name}.webp", quality=_QUALITY, method=6)
        if screen.read_first:
            switch_read_first(page, on=False)
    finally:
        context.close()


def switch_read_first(page: Page, *, on: bool) -> None:
    """Turn reading first on or off for the person of this page."""
    page.goto("/account")
    button = page.get_by_role(
        "button", name="Read first from now on" if on else "Show the answer at once"
    )
    if button.count():
        button.click()
        page.wait_for_load_state()


@contextmanager
def a_stack() -> Iterator[Stack]:
    """A Sightline with the models that ship, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="stack-"))
    one = Stack(folder, PROJECT / "models")
    try:
        one.start()
        yield one
        one.stop()
    finally:
        end_leftovers(folder)
        shutil.rmtree(folder)


def main(wanted: list[str]) -> None:
    """Make the pictures of these names; without one, all."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with a_stack() as stack, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        for screen in screens(Demo(stack)):
            if not wanted or screen.name in wanted:
                photograph(browser, stack, screen, FOLDER)
                sys.stdout.write(f"{screen.name}\n")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
