"""Work without a network in a real Chromium: the same answers as the service, none lost or doubled.

The service is a peer that reads with the artifacts that ship; its network is a server that stops.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FilePayload, Page, expect

from diagnosis.identity import Role
from tests.fixtures.identity import somebody
from tests.web_ui.offline_house import House
from tests.web_ui.offline_peer import Peer

CHEST, SKIN = "chest_xray_pneumonia", "skin_lesion"
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def peer() -> Peer:
    """The artifacts that ship, opened once."""
    return Peer()


@pytest.fixture
def house(peer: Peer, built_assets: Path) -> Iterator[House]:
    """The pages with a network, and no reading yet."""
    peer.readings.clear()
    peer.by_key.clear()
    peer.received.clear()
    one = House(peer, built_assets)
    one.start()
    yield one
    one.stop()


@contextmanager
def opened(chromium: Browser, house: House) -> Iterator[tuple[BrowserContext, Page]]:
    """The page in a fresh browser; at the end, no script failed and no stranger was asked."""
    context = chromium.new_context(base_url=house.address)
    page = context.new_page()
    failed: list[str] = []
    strangers: list[str] = []
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on(
        "console",
        lambda message: failed.append(message.text) if "Policy" in message.text else None,
    )
    context.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((house.address, "blob:", "data:"))
            else strangers.append(request.url)
        ),
    )
    try:
        page.goto("/offline")
        ready(page)
        yield context, page
    finally:
        context.close()
    assert failed == []
    assert strangers == []


def ready(page: Page) -> None:
    expect(page.locator("body[data-ready]")).to_be_attached(timeout=20_000)


def keep(page: Page, disease: str) -> float:
    """Keep a model; how far its probabilities are from the service's on the golden images."""
    row = page.locator(f"[data-models] [data-disease={disease}]")
    row.locator("[data-keep]").click()
    expect(row.locator("[data-remove]")).to_be_visible(timeout=60_000)
    return float(row.get_attribute("data-difference") or "nan")


def read(page: Page, disease: str, files: list[FilePayload]) -> None:
    rows = page.locator("[data-queue] > li")
    before = rows.count()
    page.select_option("[data-examination]", disease)
    page.set_input_files("[data-images]", files)
    page.click("[data-read-button]")
    expect(rows).to_have_count(before + len(files), timeout=60_000)


def cut(context: BrowserContext, house: House) -> None:
    house.stop()
    context.set_offline(True)


def mend(context: BrowserContext, house: House) -> None:
    house.start()
    context.set_offline(False)


def sent(page: Page, count: int) -> None:
    expect(page.locator("[data-queue] > [data-at=sent]")).to_have_count(count, timeout=60_000)


def png(pixels: np.ndarray, kind: str = "PNG", **options: object) -> FilePayload:
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind, **options)
    return {
        "name": "Mrs Example.png",
        "mimeType": f"image/{kind.lower()}",
        "buffer": held.getvalue(),
    }


def demos(peer: Peer, disease: str) -> list[FilePayload]:
    found = peer.models[disease].artifact.demo_images
    return [
        {"name": name, "mimeType": "image/png", "buffer": data}
        for name, data in sorted(found.items())
    ]


def odd_shapes(peer: Peer) -> list[FilePayload]:
    """A film in shapes that resizing treats in different ways, and as JPEGs."""
    name = sorted(peer.models[CHEST].artifact.demo_images)[0]
    film = Image.open(io.BytesIO(peer.models[CHEST].artifact.demo_images[name])).convert("L")
    sides = ((233, 400), (640, 300), (150, 170))
    shapes = [np.asarray(film.resize(size, Image.Resampling.BICUBIC)) for size in sides]
    colour = np.stack([shapes[1]] * 3, axis=2)
    framed = np.pad(shapes[2], 30)
    return [
        *map(png, shapes),
        png(colour),
        png(framed),
        png(shapes[1], "JPEG", quality=90),
        png(colour, "JPEG", quality=85),
    ]


def test_every_model_that_ships_answers_on_the_device_as_the_service_does(
    chromium: Browser, house: House
) -> None:
    with opened(chromium, house) as (context, page):
        apart = {disease: keep(page, disease) for disease in house.peer.models}
        assert len(apart) == 6
        assert max(apart.values()) <= TOLERANCE, apart
        # And images that no golden output was made for, gate and all, without a network.
        cut(context, house)
        films = [*demos(house.peer, CHEST), *odd_shapes(house.peer)]
        read(page, CHEST, films)
        read(page, SKIN, demos(house.peer, SKIN))
        mend(context, house)
        count = len(films) + 3
        sent(page, count)
        rows = page.locator("[data-queue] > li").all()
        judged = [row for row in rows if not row.locator("[data-verdict=refused]").is_visible()]
        assert len(judged) >= 6
        found = [float(row.get_attribute("data-apart") or "nan") for row in judged]
        assert max(found) <= TOLERANCE, found
        # What the service does not judge had no figures on the device either.
        outcomes = [one.outcome for one in house.peer.readings.values()]
        assert outcomes.count("judged") == len(judged)
        for row in rows:
            if row.locator("[data-verdict=refused]").is_visible():
                assert row.locator("[data-comparison]").is_hidden()
                assert row.locator("tbody tr").count() == 0


def test_images_read_without_a_network_are_sent_when_it_returns_none_lost_none_doubled(
    chromium: Browser, house: House
) -> None:
    with opened(chromium, house) as (context, page):
        keep(page, CHEST)
        cut(context, house)
        films = demos(house.peer, CHEST)
        read(page, CHEST, films)
        first = page.locator("[data-queue] > li").last
        expect(first).to_contain_text("Read on this device, not yet sent")
        expect(first).to_contain_text("A clinician decides.")
        expect(first.locator("[data-figure]")).to_contain_text("%")
        # The page, opened again without a network, is the worker's; the queue is still there.
        page.reload()
        ready(page)
        expect(page.locator("[data-connection]")).to_contain_text("No network")
        expect(page.locator("[data-queue] > li")).to_have_count(len(films))
        assert house.peer.received == []
        # Of the first two deliveries the reading is made and its answer is lost.
        house.lose_answers = 2
        mend(context, house)
        for _ in range(3):
            page.wait_for_timeout(300)
            # In one step: it goes away once the last one is sent.
            page.evaluate(
                """() => {
                  const sending = document.querySelector("[data-send]");
                  if (sending?.checkVisibility()) sending.click();
                }"""
            )
        sent(page, len(films))
        assert len(house.peer.readings) == len(films)
        assert len(house.peer.received) == len(films) + 2
        assert len(set(house.peer.received)) == len(films)
        addresses = [
            str(link.get_attribute("href"))
            for link in page.locator("[data-queue] [data-link]").all()
        ]
        assert sorted(addresses) == sorted(f"/readings/{one}" for one in house.peer.readings)
        # The images are gone from the device; the answers of both stand side by side.
        expect(page.locator("[data-queue] [data-image]:visible")).to_have_count(0)
        expect(first).to_contain_text("answer is the same.")
        page.reload()
        ready(page)
        sent(page, len(films))
        assert len(house.peer.received) == len(films) + 2


def test_what_waits_is_sent_for_nobody_but_the_person_who_took_it(
    chromium: Browser, house: House
) -> None:
    with opened(chromium, house) as (_, page):
        house.identity = None
        page.reload()
        ready(page)
        expect(page.locator("[data-connection]")).to_contain_text("Not signed in")
        expect(page.get_by_role("link", name="Sign in").last).to_be_visible()
        read(page, CHEST, demos(house.peer, CHEST)[:1])
        row = page.locator("[data-queue] > li")
        expect(row).to_contain_text("Waits on this device, not yet sent")
        # Another person signs in: nothing is shown or sent.
        house.identity = somebody(Role.CLINICIAN, sub="u_another")
        page.reload()
        ready(page)
        expect(row).to_contain_text("Waits for the person who took it")
        expect(row.locator("[data-image]")).to_be_hidden()
        assert house.peer.received == []
        house.identity = somebody(Role.CLINICIAN)
        page.reload()
        sent(page, 1)
        assert len(house.peer.readings) == 1


def test_who_reads_first_is_shown_no_answer(chromium: Browser, house: House) -> None:
    with opened(chromium, house) as (context, page):
        house.identity = somebody(Role.CLINICIAN, read_first=True)
        page.reload()
        ready(page)
        keep(page, CHEST)
        cut(context, house)
        read(page, CHEST, demos(house.peer, CHEST)[:1])
        row = page.locator("[data-queue] > li")
        expect(row).to_contain_text("You read first")
        expect(row.locator("[data-figures]")).to_be_hidden()
        assert "Pneumonia" not in (row.locator("[data-figures]").text_content() or "")
        mend(context, house)
        sent(page, 1)
        expect(row.get_by_role("link", name="Open the reading")).to_be_visible()
        expect(row.locator("[data-comparison]")).to_be_hidden()


def test_the_worker_keeps_the_shell_and_nothing_else(chromium: Browser, house: House) -> None:
    with opened(chromium, house) as (context, page):
        # Another release was here before.
        page.evaluate("navigator.serviceWorker.ready.then((one) => one.unregister())")
        page.evaluate("caches.open('sightline-shell-of-another-release')")
        page.reload()
        ready(page)
        page.evaluate("navigator.serviceWorker.ready")
        keep(page, CHEST)
        page.goto("/about")
        page.goto("/account")
        page.goto("/offline")
        ready(page)
        kept: dict[str, list[str]] = page.evaluate(
            """async () => {
                const found = {};
                for (const name of await caches.keys()) {
                    const keys = await (await caches.open(name)).keys();
                    found[name] = keys.map((one) => new URL(one.url).pathname).sort();
                }
                return found;
            }"""
        )
        (shell,) = [name for name in kept if name.startswith("sightline-shell-")]
        assert set(kept) == {"sightline-models", shell}
        assert all(one == "/offline" or one.startswith("/static/dist/") for one in kept[shell])
        assert "/offline" in kept[shell]
        assert not [one for one in kept[shell] if one.endswith(".wasm")]
        assert [one.rpartition("/")[2] for one in kept["sightline-models"]][:2] == [
            "gate.bin", "model.onnx",
        ]  # fmt: skip
        assert len(kept["sightline-models"]) == 3
        held = page.evaluate("caches.match('/offline').then((one) => one.text())")
        assert "Test Person" not in held
        # Any page, without a network, is the one that needs none.
        cut(context, house)
        page.goto("/about")
        ready(page)
        expect(page.get_by_role("heading", level=1)).to_have_text("Work without a network")
        # A model that is let go takes its files along.
        page.locator(f"[data-models] [data-disease={CHEST}] [data-remove]").click()
        expect(page.locator("[data-announce]")).to_have_text(
            "The model was removed from this device."
        )
        left = page.evaluate("caches.open('sightline-models').then((one) => one.keys())")
        assert left == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_is_reachable_for_everybody(chromium: Browser, house: House, theme: str) -> None:
    with opened(chromium, house) as (context, page):
        page.emulate_media(color_scheme="dark" if theme == "dark" else "light")
        if theme == "light":
            keep(page, CHEST)
        cut(context, house)
        read(page, CHEST, demos(house.peer, CHEST)[:1])
        page.set_viewport_size({"width": 320, "height": 640})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
        # Deleting asks first, by keyboard, and the focus stays in the list.
        page.locator("[data-delete]").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_role("button", name="Keep it").press("Enter")
        expect(page.locator("[data-queue] > li")).to_have_count(1)
        page.locator("[data-delete]").press("Enter")
        page.get_by_role("button", name="Delete it").press("Enter")
        expect(page.locator("[data-queue] > li")).to_have_count(0)
        expect(page.locator("[data-queue-heading]")).to_be_focused()
