"""A clinician's day in the reading room, through Nginx, in a real browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from diagnosis import WARNING
from diagnosis.identity import Role
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

READING = re.compile(r"/readings/([0-9a-f-]{36})([?].*)?$")
#: Presses of Tab after which something counts as out of reach.
_FAR = 80


def reading_of(page: Page) -> str:
    """The id of the reading that a page shows, once it does."""
    page.wait_for_url(READING)
    found = READING.search(page.url)
    assert found
    return found[1]


def press_demo(page: Page) -> str:
    """Have the first synthetic image read; the id of its reading."""
    page.goto(f"/diseases/{DISEASE}")
    page.locator('button[name="demo"]').first.click()
    return reading_of(page)


def tab_to(page: Page, wanted: Locator) -> None:
    """Reach something with the Tab key alone."""
    for _ in range(_FAR):
        page.keyboard.press("Tab")
        if wanted.evaluate("node => node === document.activeElement"):
            return
    pytest.fail(f"not reached by the keyboard: {wanted}")


def test_a_first_visit_leads_to_a_review_and_its_place_in_the_worklist(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    page.goto("/")
    expect(page.get_by_role("button", name="Take the tour")).to_be_visible()
    page.get_by_role("button", name="Read a synthetic image").click()
    reading = reading_of(page)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Pneumonia")
    expect(page.locator("main")).to_contain_text(WARNING)
    with page.expect_response("**/heatmap?*") as answer:
        page.keyboard.press("Space")
    assert answer.value.ok
    page.get_by_label("Note").fill("the base of the lung")
    page.get_by_role("button", name="Disagree").click()
    said = page.locator("#review")
    expect(said).to_contain_text("Disagreed")
    expect(said).to_contain_text("the base of the lung")
    with page.expect_download(timeout=60_000) as report:
        page.get_by_role("link", name="Report").click()
    assert report.value.path().read_bytes().startswith(b"%PDF-")

    page.get_by_role("link", name="Worklist", exact=True).first.click()
    row = page.locator(f'[data-reading="{reading}"]')
    expect(row).to_contain_text("Disagreed")
    thumbnail = page.request.get(f"/readings/{reading}/thumbnail")
    assert (thumbnail.status, thumbnail.headers["content-type"]) == (200, "image/jpeg")
    page.get_by_label("Review").select_option("agreed")
    expect(row).to_have_count(0)
    page.get_by_label("Review").select_option("disagreed")
    expect(row).to_have_count(1)
    page.get_by_role("searchbox").fill(reading)
    expect(page.locator("[data-reading]")).to_have_count(1)


def test_a_reading_by_keyboard_alone(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto("/")
    tab_to(page, page.locator(f'a[href="/diseases/{DISEASE}"]').first)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/diseases/{DISEASE}")
    tab_to(page, page.locator('button[name="demo"]').first)
    page.keyboard.press("Enter")
    reading = reading_of(page)
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys of this page")
    expect(sheet).to_contain_text("Disagree with the model")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    expect(page.locator("#review")).to_contain_text("Agreed")
    tab_to(page, page.get_by_role("link", name="Delete this reading"))

    page.goto("/worklist")
    page.keyboard.press("ArrowDown")
    newest = page.locator("[data-row-link]").first
    expect(newest).to_be_focused()
    page.keyboard.press("Enter")
    assert reading_of(page) == reading


def test_an_open_worklist_is_told_of_a_new_reading(
    stack: Stack, open_page: Callable[..., Page], film: bytes
) -> None:
    page = open_page()
    with page.expect_response("**/readings/events?*") as stream:
        page.goto("/worklist")
    assert stream.value.headers["content-type"].startswith("text/event-stream")
    with stack.client() as client:
        files = {"image": ("image", film, "image/jpeg")}
        made = client.post(f"/api/v1/diseases/{DISEASE}/predictions", files=files).json()
    page.get_by_role("button", name="new reading").click()
    expect(page.locator("[data-reading]").first).to_have_attribute("data-reading", made["id"])


def test_who_reads_first_gives_an_opinion_before_the_answer(
    open_page: Callable[..., Page],
) -> None:
    # An account of its own, whose choice no other test sees.
    page = open_page(roles=(Role.CLINICIAN, Role.AUDITOR))
    page.goto("/account")
    page.get_by_role("button", name="Read first from now on").click()
    try:
        reading = press_demo(page)
        expect(page.locator("main")).not_to_contain_text("Likely")
        page.goto("/worklist")
        row = page.locator(f'[data-reading="{reading}"]')
        expect(row).to_contain_text("Your opinion comes first")
        expect(row).not_to_contain_text("%")
        row.get_by_role("link").first.click()
        page.get_by_label("Normal").check()
        page.get_by_role("button", name="Record").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Likely")
        expect(page.locator("#review")).to_contain_text("First opinion: Normal")
        page.get_by_role("button", name="Agree", exact=False).first.click()
        expect(page.locator("#review")).to_contain_text("Agreed")
        page.goto("/opinions")
        expect(page.get_by_role("row", name="All diseases")).to_be_visible()
    finally:
        page.goto("/account")
        page.get_by_role("button", name="Show the answer at once").click()
