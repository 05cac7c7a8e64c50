"""The heatmap of a reading in a real Chromium."""

import re

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.web_ui.stand_in_catalogue import BRIGHT, MIDDLE
from tests.web_ui.test_browser import Site, opened, site

__all__ = ["site"]


def test_a_heatmap_is_laid_over_the_image(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, site.read(MIDDLE, "mole")) as page:
        layer = page.locator("[data-layer]")
        status = page.locator("[data-heatmap-status]")
        expect(layer).to_be_hidden()
        switch = page.get_by_role("button", name="Heatmap")
        with page.expect_request("**/heatmap?class=melanoma"):
            switch.click()
        expect(layer).to_be_visible()
        expect(status).to_have_text("Heatmap shown for Melanoma.")
        assert switch.get_attribute("aria-pressed") == "true"
        film = page.locator(".film-frame img").bounding_box()
        assert layer.bounding_box() == film
        page.get_by_label("Basal cell carcinoma").check()
        expect(status).to_have_text("Heatmap shown for Basal cell carcinoma.")
        page.get_by_label("Vascular lesion").check()
        expect(status).to_have_text("Nothing in this image speaks for Vascular lesion.")
        page.get_by_label("Opacity").fill("30")
        assert layer.get_attribute("opacity") == "0.3"
        assert Axe().run(page).violations_count == 0
        switch.click()
        expect(layer).to_be_hidden()


def test_the_space_key_turns_the_heatmap_on_and_off(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, site.read(BRIGHT)) as page:
        layer = page.locator("[data-layer]")
        page.keyboard.press("Space")
        expect(layer).to_be_visible()
        # A button takes the key for itself, and only once.
        page.get_by_role("button", name="Heatmap").focus()
        page.keyboard.press("Space")
        expect(layer).to_be_hidden()
        # So does what opens and shuts.
        page.locator(".viewer-more summary").focus()
        page.keyboard.press("Space")
        expect(page.locator(".viewer-more")).to_have_attribute("open", "")
        expect(layer).to_be_hidden()


def test_a_heatmap_that_cannot_be_made_says_so(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, site.read(BRIGHT), refused=1) as page:
        page.route("**/heatmap?*", lambda route: route.abort())
        page.get_by_role("button", name="Heatmap").click()
        expect(page.get_by_text("The heatmap cannot be shown")).to_be_visible()


def test_without_scripts_a_heatmap_is_a_link(chromium: Browser, site: Site) -> None:
    path = site.read(BRIGHT)
    # What shows a picture alone is the browser's own, and our policy forbids its three styles.
    with opened(chromium, site, path, refused=3, java_script_enabled=False) as page:
        expect(page.get_by_role("button", name="Heatmap")).to_be_hidden()
        page.get_by_role("link", name="Heatmap for Pneumonia").click()
        expect(page).to_have_url(re.compile("/heatmap[?]class=pneumonia$"))
