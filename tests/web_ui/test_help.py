"""Help that fits: explained words, the sheet of keys, the tour, in a real Chromium."""

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
from web_ui.app import create_app
from web_ui.glossary import glossary, term_of
from web_ui.settings import PACKAGE, Settings

TEMPLATES = PACKAGE / "templates"


@pytest.fixture(scope="module")
def address(built_assets: Path) -> Iterator[str]:
    """The pages in front of a stand-in, for a clinician."""
    settings = Settings(
        api_url="http://inference_service",
        identity_key_file=PUBLIC_KEY_FILE,
        identity_socket=Path("/nonexistent/identity.sock"),
        static_dir=built_assets,
    )
    pages = create_app(settings, transport=httpx.ASGITransport(StandIn().app))
    with served(Door(pages, somebody(Role.CLINICIAN))) as found:  # type: ignore[arg-type]
        yield found


@contextmanager
def opened(chromium: Browser, url: str, **options: object) -> Iterator[Page]:
    """A page of a browser that was never here."""
    context = chromium.new_context(reduced_motion="reduce", **options)  # type: ignore[arg-type]
    page = context.new_page()
    try:
        page.goto(url)
        yield page
    finally:
        context.close()


def test_every_word_that_a_page_marks_is_explained() -> None:
    names = [one.id for one in glossary()]
    assert len(set(names)) == len(names)
    marked = [
        (path.name, name)
        for path in TEMPLATES.rglob("*.html")
        for name in re.findall(r'\{\{-? *term\("(\w+)"', path.read_text("utf-8"))
        if path.name != "terms.html"
    ]
    assert marked
    assert [one for one in marked if one[1] not in names] == []
    assert term_of("auc").name == "AUC"


def test_every_key_that_a_script_binds_stands_in_the_table() -> None:
    table = (TEMPLATES / "partials" / "keys.html").read_text("utf-8")
    known = re.findall(r'data-name="([\w.]+)"', table)
    assert len(set(known)) == len(known)
    bound = {
        name
        for path in (PACKAGE / "assets" / "src").rglob("*.ts")
        for name in re.findall(r'onKey\(\s*"([\w.]+)"', path.read_text("utf-8"))
    }
    assert bound
    assert bound - set(known) == set()


def test_a_word_explains_itself_on_hover_and_focus_and_escape_puts_it_away(
    chromium: Browser, address: str
) -> None:
    with opened(chromium, f"{address}/") as page:
        word = page.get_by_role("button", name="AUC").first
        text = page.get_by_role("tooltip").first
        expect(text).to_be_hidden()
        word.hover()
        expect(text).to_be_visible()
        page.keyboard.press("Escape")
        expect(text).to_be_hidden()
        page.mouse.move(0, 0)
        word.focus()
        expect(text).to_be_visible()
        assert word.get_attribute("aria-describedby") == text.get_attribute("id")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_the_sheet_lists_the_keys_of_the_page_and_single_ones_can_be_turned_off(
    chromium: Browser, address: str
) -> None:
    with opened(chromium, f"{address}/about") as page:
        sheet = page.get_by_role("dialog", name="Keys of this page")
        page.keyboard.press("?")
        expect(sheet).to_be_visible()
        expect(sheet.get_by_text("Show or close this list")).to_be_visible()
        # What no script of this page has bound is not listed.
        expect(sheet.get_by_text("Disagree with the model")).to_have_count(0)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        sheet.get_by_role("checkbox").uncheck()
        page.keyboard.press("Escape")
        expect(sheet).to_be_hidden()
        page.keyboard.press("?")
        expect(sheet).to_be_hidden()
        page.get_by_role("button", name="Keys of this page").click()
        expect(sheet.get_by_role("checkbox")).not_to_be_checked()


def test_the_tour_is_offered_once_and_goes_by_keyboard(chromium: Browser, address: str) -> None:
    with opened(chromium, f"{address}/", viewport={"width": 390, "height": 800}) as page:
        panel = page.get_by_role("region", name="Tour of Sightline")
        page.get_by_role("button", name="Take the tour").press("Enter")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        steps = []
        for _ in range(9):
            head = panel.locator(".tour-head:visible")
            expect(head).to_be_focused()
            steps.append(head.inner_text())
            following = panel.locator("[data-tour-next]")
            last = following.inner_text() == "Done"
            following.press("Enter")
            if last:
                break
        assert steps[0] == "Begin with an image"
        assert len(steps) >= 4
        expect(panel).to_be_hidden()
        expect(page.locator(".tour-target")).to_have_count(0)
        page.reload()
        page.wait_for_load_state()
        expect(panel).to_be_hidden()
        page.goto(f"{address}/about")
        page.get_by_role("link", name="Take the tour of the start page").click()
        expect(panel).to_be_visible()
        page.keyboard.press("Escape")
        expect(panel).to_be_hidden()


def test_a_newcomer_s_first_reading_is_one_press(chromium: Browser, address: str) -> None:
    with opened(chromium, address) as page:
        page.get_by_role("button", name="Read a synthetic image").click()
        page.wait_for_url("**/readings/*")
        expect(page.get_by_role("heading", level=1)).to_contain_text("Pneumonia")
        expect(page.get_by_text("Synthetic: shows no patient")).to_be_visible()
