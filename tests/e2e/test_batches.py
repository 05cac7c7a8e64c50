"""A folder dropped on the page, through Nginx to a real model, while a worker is killed."""

import csv
import io
import re
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from diagnosis import WARNING
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

IMAGES, BROKEN = 195, 5
WORKER = "worker-1"
#: Until everything is read; a killed worker's files are free again when its lease has ended.
_LONGEST_MS = 120_000


@pytest.fixture
def folder(film: bytes, tmp_path: Path) -> Path:
    """200 files: 195 small images and 5 that are none."""
    picture = Image.open(io.BytesIO(film)).convert("L").resize((160, 160))
    place = tmp_path / "Jane Doe"
    (place / "left").mkdir(parents=True)
    for at in range(IMAGES):
        # Each a little darker, so that each is a file of its own.
        darker = picture.point(lambda level, at=at: max(0, level - at // 4))
        darker.putpixel((at % 160, at // 160), 255)
        darker.save(place / ("left" if at % 2 else "") / f"film {at:03}.png")
    whole = (place / "film 000.png").read_bytes()
    (place / "torn.png").write_bytes(whole[:900])
    (place / "letter.jpg").write_bytes(b"Dear colleague")
    (place / "table.dcm").write_bytes(b"a;b;c\n1;2;3\n")
    (place / "cut.png").write_bytes(whole[:40])
    (place / "page.png").write_bytes(b"<html><body>Not found</body></html>")
    return place


def drop(page: Page, folder: Path) -> None:
    """Drop a folder on the page as a hand does."""
    devtools = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 400, "data": data})


def counts_of(stack: Stack, batch: str) -> dict[str, int]:
    with stack.client() as client:
        found: dict[str, int] = client.get(f"/api/v1/batches/{batch}").json()["counts"]
    return found


def test_a_folder_of_two_hundred_while_a_worker_is_killed(
    stack: Stack, open_page: Callable[..., Page], folder: Path
) -> None:
    page = open_page()
    page.goto("/batches")
    page.get_by_label("Examination of all images").select_option(DISEASE)
    page.get_by_label("Name (optional)").fill("Night shift")
    drop(page, folder)
    expect(page.locator("[data-chosen-text]")).to_have_text(re.compile("^200 files, "))
    page.get_by_role("button", name="Hand them over").click()
    page.wait_for_url(re.compile("/batches/[0-9a-f-]{36}$"))
    batch = page.url.rpartition("/")[2]

    until = time.monotonic() + 60
    while counts_of(stack, batch)["done"] < 20:
        assert time.monotonic() < until, counts_of(stack, batch)
        time.sleep(0.1)
    stack.kill_one(WORKER)
    assert counts_of(stack, batch)["done"] < IMAGES
    # It takes over what the killed one held, and does not wait long for a sign of life.
    stack.start_one(WORKER, SIGHTLINE_INFERENCE_BATCH_LEASE_SECONDS="3")

    live = page.locator("#batch-live")
    expect(live.get_by_role("heading", name="Finished")).to_be_visible(timeout=_LONGEST_MS)
    expect(live).to_contain_text("200 of 200 files")
    expect(live).to_contain_text(WARNING)
    failed = live.locator(".batch-failed li")
    expect(failed).to_have_count(BROKEN)
    for name in ("torn.png", "letter.jpg", "table.dcm", "cut.png", "page.png"):
        why = failed.filter(has_text=f"Jane Doe/{name}").locator(".batch-failed-why")
        expect(why).not_to_be_empty()
    bands = live.locator(".batch-bands strong").all_inner_texts()
    assert sum(map(int, bands)) == IMAGES

    answers: list[str] = []
    with stack.client() as client:
        cursor = None
        while cursor is not None or not answers:
            asked = {"batch": batch, "limit": 100} | ({"cursor": cursor} if cursor else {})
            listed = client.get("/api/v1/predictions", params=asked).json()
            answers += [one["id"] for one in listed["items"]]
            cursor = listed["next_cursor"]
    assert len(answers) == len(set(answers)) == IMAGES
    page.get_by_role("link", name="Open its readings").click()
    expect(page.get_by_text("Readings of one batch")).to_be_visible()
    expect(page.locator("[data-reading]").first).to_be_visible()
    logs = b"".join(path.read_bytes() for path in stack.places.run_dir.glob("**/*.log"))
    assert b"Jane" not in logs


def test_a_zip_without_scripts_and_what_is_carried_away(
    open_page: Callable[..., Page], folder: Path
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("film 000.png", "left/film 001.png", "torn.png"):
            archive.writestr(f"ward/{name}", (folder / name).read_bytes())
        archive.writestr("../../etc/film.png", (folder / "film 002.png").read_bytes())
        archive.writestr("ward/inner.zip", b"PK\3\4")
    page = open_page(scripts=False)
    page.goto(f"/batches?disease={DISEASE}")
    page.locator("#files").set_input_files(
        {"name": "ward.zip", "mimeType": "application/zip", "buffer": packed.getvalue()}
    )
    page.get_by_role("button", name="Hand them over").click()
    page.wait_for_url(re.compile("/batches/[0-9a-f-]{36}$"))
    for _look in range(100):
        if page.get_by_role("heading", name="Finished").count():
            break
        time.sleep(0.2)
        page.get_by_role("link", name="Show how far it is now").click()
    expect(page.get_by_role("heading", name="3 files failed")).to_be_visible()
    failed = page.locator(".batch-failed li")
    expect(failed.filter(has_text="inner.zip")).to_contain_text("archives in archives")
    expect(failed.filter(has_text="etc/film.png")).to_contain_text("leads out of its folder")
    table = page.request.get(f"{page.url}.csv")
    assert table.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(table.text().removeprefix("\N{BYTE ORDER MARK}"))))
    assert [row["state"] for row in rows].count("done") == 2
    assert len(rows) == 5
    assert {row["warning"] for row in rows} == {WARNING}
    assert page.request.get(f"{page.url}.json").json()["batch"]["counts"]["failed"] == 3
