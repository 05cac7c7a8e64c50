"""Pages that are read from the right: nothing is cut, no figure or scale changes its meaning."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web_ui.test_browser import Site, addresses, opened, site
from web_ui import languages
from web_ui.views import percent

__all__ = ["addresses", "site"]

STYLES = Path(__file__).parents[2] / "web_ui" / "assets" / "src"
_SIDES = re.compile(
    r"(margin|padding|border|inset)-(left|right)|(text-align|float): (left|right)|^\s*(left|right):"
)
#: Its lens follows the pointer, in coordinates of the screen.
_OF_THE_SCREEN = {"_viewer.scss"}
#: The right edge of what is out of the window, by its element.
_OUTSIDE = """() => document.documentElement.scrollWidth > innerWidth
  || [...document.querySelectorAll("main *")].some((one) => one.getBoundingClientRect().left < -1
    && one.checkVisibility() && !one.closest(".visually-hidden, .table-room, .term-text, svg"))"""


@pytest.fixture
def from_the_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every language is written from the right."""
    monkeypatch.setattr(languages, "_direction", lambda code: "rtl")


def test_styles_know_start_and_end_and_no_left_and_right() -> None:
    found = [
        f"{path.name}: {line.strip()}"
        for path in sorted(STYLES.glob("_*.scss"))
        if path.name not in _OF_THE_SCREEN
        for line in path.read_text().splitlines()
        if _SIDES.search(line)
    ]
    assert found == []


@pytest.mark.usefixtures("from_the_right")
def test_a_figure_keeps_its_order_among_words_from_the_right() -> None:
    assert percent(0.9999) == "\u2066>\u00a099.9\u00a0%\u2069"


def test_a_figure_holds_no_hidden_sign_where_none_is_needed() -> None:
    assert percent(0.9999) == ">\u00a099.9\u00a0%"


@pytest.mark.usefixtures("from_the_right")
@pytest.mark.parametrize("width", [320, 1440])
def test_pages_read_from_the_right_are_whole(
    chromium: Browser, site: Site, addresses: dict[str, str], width: int
) -> None:
    broken = []
    for name in ("start", "disease", "likely positive", "worklist", "card", "batches", "about"):
        size = {"width": width, "height": 800}
        with opened(chromium, site, addresses[name], viewport=size) as page:
            expect(page.locator("html")).to_have_attribute("dir", "rtl")
            if page.evaluate(_OUTSIDE):
                broken.append(name)
            if name == "likely positive":
                scale_goes_from_little_to_most(page)
            if name == "worklist":
                arrow = "one => getComputedStyle(one).backgroundPosition"
                assert page.locator(".form-select").first.evaluate(arrow).startswith("12px")
    assert broken == []


def scale_goes_from_little_to_most(page: Page) -> None:
    """The colours do, whichever way the page is written."""
    ends = page.locator(".heatmap-scale > span")
    little, most = ends.first.bounding_box(), ends.last.bounding_box()
    assert little is not None
    assert most is not None
    assert little["x"] < most["x"]
