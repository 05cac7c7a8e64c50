"""The worklist in a real Chromium: searched while typing, walked by key, told of new readings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from diagnosis.identity import Role
from tests.fixtures.identity import PUBLIC_KEY_FILE, Door, somebody
from tests.fixtures.serving import served
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, MIDDLE, coloured_picture
from tests.web_ui.test_worklist import made, say
from web_ui.app import create_app
from web_ui.settings import Settings

NARROWEST = {"width": 320, "height": 640}


@pytest.fixture(scope="module")
def stand_in() -> StandIn:
    """Five readings of two diseases; those of the skin are of one patient."""
    stand_in = StandIn()
    for image in (DARK, MIDDLE, coloured_picture()):
        made(stand_in, image)
    for image in (BRIGHT, MIDDLE):
        last = made(stand_in, image, "mole", patient="7")
        say(stand_in, last, kind="first_opinion", class_id="naevus")
        say(stand_in, last, verdict="agree")
    return stand_in


@pytest.fixture(scope="module")
def address(built_assets: Path, stand_in: StandIn) -> Iterator[str]:
    """The pages in front of the stand-in, for a clinician."""
    settings = Settings(
        api_url="http://inference_service",
        identity_key_file=PUBLIC_KEY_FILE,
        identity_socket=Path("/nonexistent/identity.sock"),
        static_dir=built_assets,
    )
    pages = create_app(settings, transport=httpx.ASGITransport(stand_in.app))
    with served(Door(pages, somebody(Role.CLINICIAN))) as found:  # type: ignore[arg-type]
        yield found


@contextmanager
def opened(chromium: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page in a context of its own, in which nothing may be complained about."""
    context = chromium.new_context(reduced_motion="reduce", **options)  # type: ignore[arg-type]
    complaints: list[str] = []
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    try:
        page.goto(url)
        yield page
    finally:
        context.close()
    assert complaints == []


def test_the_list_is_searched_while_typing_and_narrowed_in_place(
    chromium: Browser, address: str
) -> None:
    with opened(chromium, f"{address}/worklist") as page:
        rows = page.locator("[data-reading]")
        search = page.get_by_role("searchbox", name="Search")
        search.press_sequentially("skin")
        expect(rows).to_have_count(2)
        expect(search).to_be_focused()
        expect(page).to_have_url(re.compile(r"/worklist\?q=skin$"))
        expect(page.locator("[data-worklist-status]")).to_have_text("2 readings on this page")
        search.fill("")
        expect(rows.nth(4)).to_be_visible()
        page.get_by_label("Disease").select_option("mole")
        expect(rows).to_have_count(2)
        page.get_by_label("Likeliest class").select_option("melanoma")
        expect(page).to_have_url(re.compile(r"/worklist\?disease=mole&class_id=melanoma$"))
        page.get_by_label("Disease").select_option("")
        page.get_by_label("Order").select_option("urgent")
        expect(rows.first).to_contain_text("Likely positive")
        page.get_by_label("Band").select_option("not_judged")
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("Not judged")


def test_the_list_goes_by_keyboard_alone(chromium: Browser, address: str) -> None:
    with opened(chromium, f"{address}/worklist") as page:
        links = page.locator("[data-row-link]")
        page.keyboard.press("ArrowDown")
        expect(links.nth(0)).to_be_focused()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("j")
        expect(links.nth(2)).to_be_focused()
        page.keyboard.press("ArrowUp")
        expect(links.nth(1)).to_be_focused()
        page.keyboard.press("End")
        expect(links.nth(4)).to_be_focused()
        page.keyboard.press("ArrowDown")
        expect(links.nth(4)).to_be_focused()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowUp")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/readings/*")
        # Coming back begins where one left.
        page.go_back()
        expect(links.nth(1)).to_be_focused()
        page.keyboard.press("/")
        expect(page.get_by_role("searchbox")).to_be_focused()
        page.keyboard.type("?j")
        expect(page.get_by_role("searchbox")).to_have_value("?j")
        page.get_by_role("heading", name="Worklist").click()
        page.keyboard.press("?")
        sheet = page.get_by_role("dialog", name="Keys of this page")
        expect(sheet.get_by_text("Next reading of the list")).to_be_visible()


def test_a_new_reading_is_told_and_shown_when_asked_for(
    chromium: Browser, address: str, stand_in: StandIn
) -> None:
    fresh = []
    try:
        with opened(chromium, f"{address}/worklist?disease=chest_xray_pneumonia") as page:
            rows = page.locator("[data-reading]")
            before = rows.count()
            fresh += [made(stand_in, DARK), made(stand_in, BRIGHT, "mole")]
            expect(page.get_by_role("button", name="1 new reading, show it")).to_be_visible()
            fresh.append(made(stand_in, MIDDLE))
            button = page.get_by_role("button", name="2 new readings, show them")
            expect(button).to_be_visible()
            expect(rows).to_have_count(before)
            assert Axe().run(page).violations_count == 0
            page.keyboard.press(".")
            expect(rows).to_have_count(before + 2)
            expect(button).to_have_count(0)
    finally:
        # Once the page is gone: it may still ask for the small images of its new rows.
        for one in [key for key in stand_in.readings if str(key) in fresh]:
            del stand_in.readings[one]


@pytest.mark.parametrize("path", ["/worklist", "/opinions"])
def test_axe_finds_nothing_and_a_phone_shows_it_whole(
    chromium: Browser, address: str, path: str
) -> None:
    with opened(chromium, f"{address}{path}", viewport=NARROWEST) as page:
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.emulate_media(color_scheme="dark")
        colours = Axe().run(page, options={"runOnly": ["color-contrast"]})
        assert colours.violations_count == 0, colours.generate_report()
        beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(beyond) <= 0
