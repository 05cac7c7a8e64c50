"""The ways in, through Nginx to a real model: a folder, the camera, a DICOM without an ending."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page, Route, expect

from tests.fixtures.camera import fake_camera
from tests.fixtures.chromium import launched
from tests.fixtures.images import dicom_bytes, dicom_dataset
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory, film: bytes) -> Iterator[Browser]:
    """A Chromium whose camera looks at the film."""
    picture = Image.open(io.BytesIO(film)).convert("L").resize((640, 480))
    with launched(*fake_camera(tmp_path_factory.mktemp("camera"), picture)) as browser:
        yield browser


def readings(stack: Stack) -> set[str]:
    with stack.client() as client:
        listed = client.get("/api/v1/predictions", params={"limit": 100}).json()
    return {one["id"] for one in listed["items"]}


def test_a_folder_of_forty_with_three_broken_files(
    stack: Stack, open_page: Callable[..., Page], film: bytes, tmp_path: Path
) -> None:
    picture = Image.open(io.BytesIO(film)).convert("L")
    folder = tmp_path / "Jane Doe"
    folder.mkdir()
    for at in range(37):
        # Each a little darker, so that each is a file of its own.
        picture.point(lambda level, at=at: max(0, level - at)).save(folder / f"film {at}.png")
    (folder / "torn.png").write_bytes((folder / "film 1.png").read_bytes()[:2000])
    (folder / "letter.jpg").write_bytes(b"Dear colleague")
    (folder / "empty.dcm").write_bytes(b"")
    before = readings(stack)

    page = open_page()
    page.goto(f"/diseases/{DISEASE}")
    page.get_by_label("Patient reference").fill("MRN 40")
    page.get_by_label("Choose a folder").set_input_files(folder)
    page.get_by_role("button", name="Read these images").click()
    counts = page.locator("[data-batch-counts]")
    expect(counts).to_contain_text("Read: 37 · Not read: 3 · Waiting: 0", timeout=120_000)
    page.get_by_role("button", name="Only what was not read").click()
    for name in ("torn.png", "letter.jpg", "empty.dcm"):
        expect(page.locator(".batch-row:visible", has_text=name)).to_have_count(1)
    made = readings(stack) - before
    assert len(made) == 37
    with stack.client() as client:
        references = {
            client.get(f"/api/v1/predictions/{one}").json()["patient_reference"] for one in made
        }
    assert len(references) == 1
    assert "MRN 40" not in references
    page.get_by_role("link", name="Open the worklist").click()
    page.wait_for_url("**/worklist?sort=urgent")
    logs = b"".join(path.read_bytes() for path in stack.places.run_dir.glob("**/*.log"))
    assert b"Jane" not in logs
    assert b"MRN 40" not in logs


def test_an_answer_that_was_lost_on_its_way_makes_no_second_reading(
    stack: Stack, open_page: Callable[..., Page], film: bytes
) -> None:
    before = readings(stack)
    page = open_page()
    page.goto(f"/diseases/{DISEASE}")
    lost: list[str] = []

    def lose_the_first(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.fetch().text())
        route.abort()

    page.route("**/readings", lose_the_first)
    chosen: list[FilePayload] = [
        {"name": f"{at}.jpg", "mimeType": "image/jpeg", "buffer": film} for at in range(3)
    ]
    page.locator("#image").set_input_files(chosen)
    page.get_by_role("button", name="Read these images").click()
    expect(page.locator("[data-batch-counts]")).to_contain_text("Read: 3 · Not read: 0")
    assert '"address"' in lost[0]
    assert len(readings(stack) - before) == 3


def test_a_photo_of_the_camera_is_read(stack: Stack, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.context.grant_permissions(["camera"], origin=stack.url)
    page.goto(f"/diseases/{DISEASE}")
    page.get_by_role("button", name="Take a photo").click()
    page.locator("video").evaluate(
        "video => new Promise(resolve => video.requestVideoFrameCallback(resolve))"
    )
    page.get_by_role("button", name="Take the photo").click()
    page.get_by_role("button", name="Use this photo").click()
    page.get_by_role("button", name="Read this image").click()
    page.wait_for_url("**/readings/*")


def test_a_dicom_without_an_ending_is_proposed_for_and_read(
    stack: Stack, open_page: Callable[..., Page], film: bytes, tmp_path: Path
) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(film)).convert("L"))
    path = tmp_path / "IM000001"
    path.write_bytes(dicom_bytes(dicom_dataset(pixels)))
    page = open_page()
    page.goto("/")
    page.locator("#image").set_input_files(path)
    expect(page.get_by_text("This browser cannot preview the file.")).to_be_visible()
    page.get_by_role("button", name="Propose an examination").click()
    page.locator(f'#proposals form[action="/diseases/{DISEASE}/readings"] button').click()
    page.wait_for_url("**/readings/*")
    reading = page.url.rpartition("/")[2]
    with stack.client() as client:
        found = client.get(f"/api/v1/predictions/{reading}").json()
    assert found["image"]["source_format"] == "dicom"
    assert found["outcome"] == "judged"
