"""A reading's page in a real Chromium: by keyboard alone, without scripts, reading first."""

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from diagnosis.identity import Role
from tests.fixtures.identity import PUBLIC_KEY_FILE, Door, somebody
from tests.fixtures.serving import served
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, MIDDLE
from tests.web_ui.test_browser import NARROWEST, Site, opened
from web_ui.app import create_app
from web_ui.settings import Settings


class Room(Site):
    """The pages for somebody who may read first."""

    def __init__(self, address: str, stand_in: StandIn, door: Door) -> None:
        super().__init__(address, stand_in)
        self.door = door

    def reads_first(self, wanted: bool) -> None:
        """Whether the person who looks does."""
        self.door.identity = somebody(*Role, read_first=wanted)


@pytest.fixture(scope="module")
def house(built_assets: Path) -> Iterator[Room]:
    """The pages under a real uvicorn."""
    stand_in = StandIn()
    settings = Settings(
        api_url="http://inference_service",
        identity_key_file=PUBLIC_KEY_FILE,
        identity_socket=Path("/nonexistent/identity.sock"),
        static_dir=built_assets,
    )
    app = create_app(settings, transport=httpx.ASGITransport(stand_in.app))
    door = Door(app, somebody(*Role))
    with served(door) as address:
        yield Room(address, stand_in, door)


@pytest.fixture
def room(house: Room) -> Room:
    """The same, with no reading yet, for somebody who does not read first."""
    house.stand_in.readings.clear()
    house.stand_in.reviews.clear()
    house.reads_first(False)
    return house


def said_of(room: Room, path: str) -> list[tuple[str | None, str | None, str]]:
    kept = room.stand_in.reviews.get(UUID(path.rpartition("/")[2]), [])
    return [(one.verdict, one.class_id, one.note) for one in kept]


def test_one_key_disagrees_and_the_page_stays(chromium: Browser, room: Room) -> None:
    path = room.read(BRIGHT)
    with opened(chromium, room, path) as page:
        page.evaluate("window.stayed = true")
        page.keyboard.press("d")
        expect(page.locator("#reading-said")).to_have_text("Recorded: you disagree.")
        expect(page.locator(".review-verdict")).to_have_text(["Disagreed"])
        # The list has the reader's own time, as the rest of the page.
        expect(page.locator("#review time[data-local]")).to_have_count(0)
        page.keyboard.press("a")
        expect(page.locator("#reading-said")).to_have_text("Recorded: you agree.")
        expect(page.locator(".review-verdict")).to_have_text(["Agreed", "Disagreed"])
        assert page.evaluate("window.stayed")
    assert said_of(room, path) == [("disagree", None, ""), ("agree", None, "")]


def test_a_note_is_typed_and_sent_by_key_alone(chromium: Browser, room: Room) -> None:
    path = room.read(BRIGHT)
    with opened(chromium, room, path) as page:
        page.get_by_label("Note, if you wish").focus()
        page.keyboard.type("adc")
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name="Agree", exact=True)).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator(".review-note")).to_have_text("adc")
        # The button that was pressed is still the one with the focus.
        expect(page.get_by_role("button", name="Agree", exact=True)).to_be_focused()
    assert said_of(room, path) == [("agree", None, "adc")]


def test_a_correction_by_key_asks_for_the_class(chromium: Browser, room: Room) -> None:
    path = room.read(BRIGHT)
    with opened(chromium, room, path, refused=2) as page:
        page.keyboard.press("c")
        expect(page.get_by_label("What it is")).to_be_focused()
        page.get_by_role("button", name="Correct", exact=True).press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("Choose the class that it is.")
        page.get_by_label("What it is").select_option("normal")
        page.get_by_role("button", name="Correct", exact=True).press("Enter")
        expect(page.locator(".review-verdict")).to_have_text(["Corrected to Normal"])
    assert said_of(room, path) == [("correct", "normal", "")]


def test_keys_lead_along_the_worklist(chromium: Browser, room: Room) -> None:
    oldest, middle, newest = (room.read(image) for image in (DARK, MIDDLE, BRIGHT))
    query = "?sort=newest"
    with opened(chromium, room, middle + query) as page:
        page.keyboard.press("j")
        expect(page).to_have_url(room.address + oldest + query)
        page.keyboard.press("j")
        expect(page.locator("#reading-said")).to_have_text("This is the last reading of the list.")
        page.keyboard.press("k")
        expect(page).to_have_url(room.address + middle + query)
        page.keyboard.press("p")
        expect(page).to_have_url(room.address + newest + query)


def test_a_review_without_scripts(chromium: Browser, room: Room) -> None:
    path = room.read(BRIGHT)
    with opened(chromium, room, path, java_script_enabled=False) as page:
        page.get_by_label("Note, if you wish").fill("Clear lungs.")
        page.locator("[data-correct] summary").click()
        page.get_by_label("What it is").select_option("normal")
        page.get_by_role("button", name="Correct", exact=True).click()
        expect(page.locator("#reading-said")).to_have_text("Recorded: your correction.")
        expect(page.locator(".review-item")).to_contain_text("Clear lungs.")
    assert said_of(room, path) == [("correct", "normal", "Clear lungs.")]


def test_reading_first_by_keyboard_and_what_axe_finds(chromium: Browser, room: Room) -> None:
    path = room.read(MIDDLE)
    room.reads_first(True)
    with opened(chromium, room, path, viewport=NARROWEST, reduced_motion="reduce") as page:
        expect(page).to_have_title(re.compile("^Your opinion first"))
        assert "57.0" not in page.content()
        assert "ikely" not in page.inner_text("main")
        assert_axe_finds_nothing(page)
        page.get_by_label("Normal").focus()
        page.keyboard.press("Space")
        page.get_by_role("button", name="Record it and show the answer").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Uncertain: Pneumonia")
        expect(page.locator("#reading-said")).to_contain_text("Your opinion is recorded.")
        expect(page.locator(".review-verdict")).to_have_text(["First opinion: Normal"])
        page.keyboard.press("d")
        expect(page.locator(".review-verdict")).to_have_count(2)
        for details in page.locator("details").all():
            details.evaluate("node => node.open = true")
        assert_axe_finds_nothing(page)


def assert_axe_finds_nothing(page: Page) -> None:
    """In both themes, and nothing is wider than the window."""
    whole = Axe().run(page)
    page.emulate_media(color_scheme="dark")
    colours = Axe().run(page, options={"runOnly": ["color-contrast"]})
    page.emulate_media(color_scheme="light")
    found = whole.violations_count + colours.violations_count
    assert found == 0, whole.generate_report() + colours.generate_report()
    beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(beyond) <= 0
