"""A reading in each language, through Nginx, in a real browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from diagnosis import WARNING
from tests.e2e.test_reading_room import press_demo
from tests.fixtures.stack import Stack
from web_ui.languages import LANGUAGES, speaking, translated

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_clinician_reads_in_each_language(
    stack: Stack, open_page: Callable[..., Page], code: str
) -> None:
    page = open_page()
    page.goto("/about")
    page.locator("#language").select_option(code)
    page.locator(".language button").click()
    expect(page.locator("html")).to_have_attribute("lang", code)
    expect(page).to_have_url(stack.url + "/about")
    with speaking(code):
        warning, agree = translated(WARNING), translated("Agree")
        worklist, agreed = translated("Worklist"), translated("Agreed")
    press_demo(page)
    expect(page.locator("main")).to_contain_text(warning)
    page.get_by_role("button", name=agree).first.click()
    expect(page.locator("#review")).to_contain_text(agreed)
    page.goto("/worklist")
    expect(page.get_by_role("heading", level=1)).to_have_text(worklist)
    if code != "en":
        assert WARNING not in page.content()
