"""Handing a reading on, in a real Chromium."""

import json

from playwright.sync_api import Browser, expect

from tests.web_ui.stand_in_catalogue import BRIGHT
from tests.web_ui.test_browser import Site, opened, site

__all__ = ["site"]


def test_the_link_on_the_clipboard_opens_the_same_reading(chromium: Browser, site: Site) -> None:
    path = site.read(BRIGHT)
    granted = ["clipboard-read", "clipboard-write"]
    with opened(chromium, site, path, permissions=granted) as page:
        button = page.get_by_role("button", name="Copy the link")
        button.focus()
        page.keyboard.press("Enter")
        expect(page.locator("[data-copy-status]")).to_contain_text("The link is on the clipboard")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == f"{site.address}{path}"
        page.goto(copied)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Likely positive")


def test_a_browser_that_does_not_allow_it_says_so(chromium: Browser, site: Site) -> None:
    path = site.read(BRIGHT)
    with opened(chromium, site, path) as page:
        page.evaluate(
            "Object.defineProperty(navigator, 'clipboard',"
            " {value: {writeText: () => Promise.reject(new Error('no'))}})"
        )
        page.get_by_role("button", name="Copy the link").click()
        expect(page.locator("[data-copy-status]")).to_contain_text("The address of this page")


def test_the_data_is_a_file_and_without_scripts_there_is_no_dead_button(
    chromium: Browser, site: Site
) -> None:
    path = site.read(BRIGHT)
    with opened(chromium, site, path, java_script_enabled=False) as page:
        expect(page.get_by_role("button", name="Copy the link")).to_have_count(0)
        expect(page.get_by_role("link", name="Report (PDF)")).to_be_visible()
        with page.expect_download() as taken:
            page.get_by_role("link", name="Data (JSON)").click()
        assert taken.value.suggested_filename == f"reading-{path.rpartition('/')[2]}.json"
        told = json.loads(taken.value.path().read_text())
        assert path.endswith(told["prediction"]["id"])
