"""A ward without a network: an image read on the device, and its delivery, through Nginx."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from diagnosis import WARNING
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]


def ready(page: Page) -> None:
    expect(page.locator("body[data-ready]")).to_be_attached(timeout=20_000)


def test_an_image_read_without_a_network_is_sent_when_it_returns(
    stack: Stack, open_page: Callable[..., Page], models_dir: Path
) -> None:
    page = open_page()
    page.goto("/")
    page.get_by_role("link", name="Work without a network").click()
    ready(page)
    row = page.locator(f"[data-models] [data-disease={DISEASE}]")
    row.get_by_role("button", name="Keep on this device").click()
    expect(row.locator("[data-remove]")).to_be_visible(timeout=60_000)
    with stack.client() as client:
        before = {one["id"] for one in client.get("/api/v1/predictions").json()["items"]}

    # The network goes. The page is opened again all the same.
    page.context.set_offline(True)
    page.reload()
    ready(page)
    expect(page.locator("[data-connection]")).to_contain_text("No network")
    demo = sorted((models_dir / DISEASE).glob("*/demo/*"))[-1]
    page.select_option("[data-examination]", DISEASE)
    page.set_input_files("[data-images]", demo)
    page.locator("[data-read-button]").click()
    waiting = page.locator("[data-queue] > li")
    expect(waiting).to_contain_text("Read on this device, not yet sent", timeout=30_000)
    expect(waiting).to_contain_text(WARNING)
    with stack.client() as client:
        assert {one["id"] for one in client.get("/api/v1/predictions").json()["items"]} == before
    page.context.set_offline(False)
    expect(page.locator("[data-queue] > [data-at=sent]")).to_have_count(1, timeout=60_000)
    assert float(waiting.get_attribute("data-apart") or "nan") <= 1e-3
    with stack.client() as client:
        after = {one["id"] for one in client.get("/api/v1/predictions").json()["items"]}
    (made,) = after - before
    page.get_by_role("link", name="Open the reading").click()
    page.wait_for_url(f"**/readings/{made}")
    expect(page.locator("body")).to_contain_text(WARNING)
