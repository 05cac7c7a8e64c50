"""Batches in a real Chromium: a folder handed over, cut off, gone on with; followed to its end."""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Dialog, Page, expect

from diagnosis import WARNING
from diagnosis.contracts import NewBatch
from tests.web_ui.test_browser import NARROWEST, Site, opened, ready, site
from tests.web_ui.test_ways_in_browser import film

__all__ = ["site"]

DISEASE = "chest_xray_pneumonia"
#: No colour is on its way to another while axe looks.
STILL = {"reduced_motion": "reduce"}


@pytest.fixture
def ward(site: Site) -> Iterator[Site]:
    """The pages, with no batch."""
    own = site.stand_in.batches
    own.known.clear()
    own.items.clear()
    own.working = True
    own.puts = 0
    site.stand_in.readings.clear()
    yield site
    own.working = True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images and two files that are none, in two folders."""
    for at in range(10):
        place = tmp_path / "Jane Doe" / ("left" if at % 2 else "right")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"film {at}.png").write_bytes(film((20, 140, 230)[at % 3] + at))
    (tmp_path / "Jane Doe" / "letter.jpg").write_bytes(b"Dear colleague")
    (tmp_path / "Jane Doe" / "empty.dcm").write_bytes(b"")
    (tmp_path / "Jane Doe" / ".DS_Store").write_bytes(b"\0")
    return tmp_path / "Jane Doe"


def only(ward: Site) -> UUID:
    """The id of the one batch that there is."""
    (found,) = ward.stand_in.batches.known
    return found


def choose(page: Page, folder: Path, button: str = "Hand them over") -> None:
    page.locator("[data-folder]").set_input_files(folder)
    expect(page.locator("[data-chosen-text]")).to_have_text(re.compile("^12 files, "))
    page.get_by_role("button", name=button).click()


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


def test_a_folder_is_handed_over_and_read(chromium: Browser, ward: Site, folder: Path) -> None:
    with opened(chromium, ward, "/batches", viewport=NARROWEST, **STILL) as page:
        expect(page.get_by_text("There is no batch yet")).to_be_visible()
        assert_axe_finds_nothing(page)
        page.get_by_label("Examination of all images").select_option(DISEASE)
        page.get_by_label("Name (optional)").fill("Ward 3")
        choose(page, folder)
        live = page.locator("#batch-live")
        expect(live.get_by_role("heading", name="Finished")).to_be_visible()
        expect(page).to_have_url(f"{ward.address}/batches/{only(ward)}")
        expect(page.get_by_role("heading", level=1)).to_have_text("Ward 3")
        expect(live).to_contain_text("12 of 12 files")
        expect(live.get_by_role("heading", name="2 files failed")).to_be_visible()
        letter = live.locator(".batch-failed li", has_text="Jane Doe/letter.jpg")
        expect(letter).to_contain_text("not an image")
        expect(letter).to_contain_text("Send a JPEG, PNG")
        bands = live.locator(".batch-bands li")
        expect(bands).to_have_text([r"Likely positive 3", "Uncertain 3", "Likely negative 4"])
        expect(live).to_contain_text(WARNING)
        expect(page.locator("[data-live-status]")).to_contain_text("12 of 12 files, 2 failed")
        assert_axe_finds_nothing(page)
        page.get_by_role("link", name="Likely positive").click()
        expect(page.get_by_text("Readings of one batch")).to_be_visible()
        expect(page.locator("[data-reading]")).to_have_count(3)
    own = ward.stand_in.batches
    assert {item.name for item in own.items[only(ward)].values()} >= {"Jane Doe/right/film 0.png"}
    assert not any("DS_Store" in item.name for item in own.items[only(ward)].values())


def test_what_was_cut_off_is_gone_on_with_and_nothing_is_sent_twice(
    chromium: Browser, ward: Site, folder: Path
) -> None:
    own = ward.stand_in.batches
    own.working = False
    asked: list[str] = []
    with opened(chromium, ward, f"/batches?disease={DISEASE}", refused=40, **STILL) as page:
        sent = 0

        def lose_the_rest(route: object) -> None:
            nonlocal sent
            sent += 1
            route.continue_() if sent <= 5 else route.abort()  # type: ignore[attr-defined]

        def leave(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.accept()

        page.on("dialog", leave)
        page.route("**/files/*", lose_the_rest)
        choose(page, folder)
        expect(page.locator("[data-sending-counts]")).to_have_text("5 of 12 files sent")
        expect(page.locator("[data-sending-note]")).to_contain_text("It goes on in")
        page.reload()
        assert asked == ["beforeunload"]
        ready(page)
        page.unroute("**/files/*")
        expect(page.get_by_role("heading", name="Handing files over")).to_be_visible()
        expect(page.locator("#batch-live")).to_contain_text("0 of 5 files")
        assert_axe_finds_nothing(page)
        # One file was changed meanwhile: it is another file, whatever its name.
        changed = own.items[only(ward)][0].name
        before = (folder.parent / changed).read_bytes()
        (folder.parent / changed).write_bytes(before[:-1] + b"\1")
        choose(page, folder, "Send what is missing")
        expect(page.locator("[data-sending]")).to_be_hidden()
        expect(page.get_by_role("heading", name="Being read")).to_be_visible()
        assert own.puts == 5 + 7 + 1
        assert len(own.items[only(ward)]) == 13
        own.work(only(ward), 6)
        expect(page.locator("#batch-live")).to_contain_text("6 of 13 files")
        own.work(only(ward))
        expect(page.get_by_role("heading", name="Finished")).to_be_visible()


def test_a_file_that_is_refused_or_lost_is_told_and_tried_again(
    chromium: Browser, ward: Site, tmp_path: Path
) -> None:
    for at in range(3):
        (tmp_path / f"{at}.png").write_bytes(film(90 + at))
    (tmp_path / "huge.png").write_bytes(film(1) + b"\0" * 400_000)
    with opened(chromium, ward, f"/batches?disease={DISEASE}", refused=1, **STILL) as page:
        # Once lost at the service: a 500 with no words of its own.
        page.route("**/files/1", lambda route: route.fulfill(status=500, body=""), times=1)
        page.locator("[data-files]").set_input_files(sorted(tmp_path.iterdir()))
        page.get_by_role("button", name="Hand them over").click()
        unsent = page.locator(".batch-unsent li")
        expect(unsent).to_have_count(2)
        expect(unsent.filter(has_text="huge.png")).to_contain_text("and was not sent")
        expect(page.locator("[data-sending-note]")).to_have_text("2 of 4 files could not be sent.")
        assert_axe_finds_nothing(page)
        page.get_by_role("button", name="Try the failed ones again").click()
        expect(page.locator("[data-sending-counts]")).to_have_text("3 of 4 files sent")
        expect(unsent).to_have_count(1)
        # What would be refused again does not keep the batch open.
        expect(page.get_by_role("heading", name="Finished")).to_be_visible()
        expect(page.locator("#batch-live")).to_contain_text("3 of 3 files")


def test_a_zip_is_opened_by_the_service(chromium: Browser, ward: Site, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for at in range(4):
            archive.writestr(f"ward/{at}.png", film(200 + at))
    whole = tmp_path / "ward.zip"
    whole.write_bytes(packed.getvalue())
    with opened(chromium, ward, f"/batches?disease={DISEASE}") as page:
        page.locator("[data-files]").set_input_files(whole)
        page.get_by_role("button", name="Hand them over").click()
        expect(page.get_by_role("heading", name="Finished")).to_be_visible()
        expect(page.locator("#batch-live")).to_contain_text("4 of 4 files")


def test_a_batch_without_scripts(chromium: Browser, ward: Site, folder: Path) -> None:
    files = sorted(one for one in folder.rglob("*.*") if one.is_file())
    with opened(chromium, ward, "/batches", java_script_enabled=False) as page:
        page.get_by_label("Examination of all images").select_option(DISEASE)
        page.get_by_label("Choose files or a ZIP").set_input_files(files)
        page.get_by_role("button", name="Hand them over").click()
        expect(page.get_by_role("heading", name="Finished")).to_be_visible()
        page.get_by_role("button", name="Read the failed ones again").click()
        expect(page.get_by_text("What failed is being read again.")).to_be_visible()
        page.get_by_role("link", name="Cancel the batch").click()
        page.get_by_role("button", name="Cancel the batch").click()
        expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
        page.get_by_role("link", name="Delete the batch").click()
        page.get_by_role("button", name="Delete the batch").click()
        expect(page.get_by_text("its files and its readings were deleted")).to_be_visible()
    assert not ward.stand_in.batches.known
    assert not ward.stand_in.readings


def test_a_folder_may_be_dropped_anywhere_on_the_page(
    chromium: Browser, ward: Site, folder: Path
) -> None:
    with opened(chromium, ward, "/batches") as page:
        devtools = page.context.new_cdp_session(page)
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            devtools.send(
                "Input.dispatchDragEvent", {"type": kind, "x": 40, "y": 300, "data": data}
            )
        expect(page.locator("[data-chosen-text]")).to_have_text(re.compile("^12 files, "))
        page.get_by_role("button", name="Choose others").press("Enter")
        expect(page.get_by_label("Choose files or a ZIP")).to_be_focused()
        page.get_by_label("Examination of all images").select_option(DISEASE)
        page.get_by_role("button", name="Hand them over").press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("Choose files or a folder first.")


def test_the_list_tells_how_far_each_batch_is(chromium: Browser, ward: Site) -> None:
    own = ward.stand_in.batches
    own.working = False
    for name in ("", "Night shift"):
        made = own.begin(NewBatch(disease=DISEASE, name=name))
        for at in range(4):
            own.take(made.id, at, f"{at}.png", film(at) if at else b"none")
        own.work(made.id, 3)
    with opened(chromium, ward, "/batches", viewport=NARROWEST, **STILL) as page:
        row = page.locator(".batch-job").first
        expect(row).to_contain_text("Night shift")
        expect(row).to_contain_text("Files are still coming")
        expect(row).to_contain_text("2 of 4 read, 1 failed")
        expect(page.locator(".batch-job").last).to_contain_text("Batch of")
        assert_axe_finds_nothing(page)
        row.get_by_role("link").click()
        expect(page.get_by_role("heading", name="Handing files over")).to_be_visible()
