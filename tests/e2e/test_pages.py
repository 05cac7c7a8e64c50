"""A clinician's way: from the start page to a reading and its place in the worklist."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from diagnosis import WARNING
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

READING = re.compile(r"/readings/([0-9a-f-]{36})$")


def upload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": content}


def read(page: Page, content: bytes, name: str = "film.jpeg") -> None:
    """Choose an image on the page of a disease and send it."""
    page.locator("#image").set_input_files(upload(name, content))
    page.get_by_role("button", name="Read this image").click()


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_from_the_start_page_to_the_worklist(
    stack: Stack, open_page: Callable[..., Page], film: bytes, scripts: bool
) -> None:
    page = open_page(scripts=scripts)
    page.goto("/")
    page.locator(f'a[href="/diseases/{DISEASE}"]').first.click()
    read(page, film)
    page.wait_for_url(READING)

    found = READING.search(page.url)
    assert found
    with stack.client() as client:
        reading = client.get(f"/api/v1/predictions/{found[1]}").json()
    for item in reading["probabilities"]:
        expect(page.locator(".bars", has_text=item["name"]).first).to_be_visible()
    percents = page.locator(".bar-percent").all_inner_texts()
    assert len(percents) == len(reading["probabilities"])
    assert sum(float(text.split()[0].strip("%<>")) for text in percents) == pytest.approx(
        100, abs=1
    )
    expect(page.locator("body")).to_contain_text(WARNING)
    film_shown = page.locator(".film-frame img[data-kept-image]")
    assert page.request.get(film_shown.get_attribute("src") or "").status == 200

    page.goto("/worklist")
    newest = page.locator("[data-row-link]").first
    assert newest.get_attribute("href") == f"/readings/{found[1]}"
    newest.click()
    page.wait_for_url(READING)


def test_a_newcomer_presses_one_button(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto(f"/diseases/{DISEASE}")
    page.locator('button[name="demo"]').first.click()
    page.wait_for_url(READING)
    expect(page.locator("main")).to_contain_text("Synthetic")
    expect(page.locator("main")).to_contain_text(WARNING)


@pytest.mark.parametrize("scripts", [True, False], ids=["with-scripts", "without-scripts"])
def test_what_is_no_image_is_said_on_the_page(
    stack: Stack, open_page: Callable[..., Page], scripts: bool
) -> None:
    page = open_page(scripts=scripts)
    page.goto(f"/diseases/{DISEASE}")
    with stack.client() as client:
        before = client.get("/api/v1/predictions").json()["items"][:1]
        read(page, b"not an image at all", "film.jpg")
        expect(page.get_by_role("alert")).to_contain_text("The file is not an image")
        assert client.get("/api/v1/predictions").json()["items"][:1] == before


def test_a_file_too_large_for_the_proxy_gets_an_error_page(
    open_page: Callable[..., Page], tmp_path: Path
) -> None:
    large = tmp_path / "film.jpeg"
    large.write_bytes(bytes(30_000_000))
    page = open_page(scripts=False)
    page.goto(f"/diseases/{DISEASE}")
    page.locator("#image").set_input_files(large)
    page.get_by_role("button", name="Read this image").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("too large")


def test_an_address_that_does_not_exist_gets_an_error_page(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    for address in ("/metrics", "/no-such-page", "/static/dist/none.js"):
        answer = page.goto(address)
        assert answer
        assert answer.status == 404
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.locator("body")).to_contain_text(WARNING)


def test_a_reading_is_deleted_with_its_image(
    stack: Stack, open_page: Callable[..., Page], film: bytes
) -> None:
    page = open_page()
    page.goto(f"/diseases/{DISEASE}")
    read(page, film)
    page.wait_for_url(READING)
    address = page.url
    page.get_by_role("link", name="Delete this reading").click()
    page.locator("main form button").click()
    page.wait_for_url("**/worklist*")
    answer = page.goto(address)
    assert answer
    assert answer.status == 404
