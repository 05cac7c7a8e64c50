"""The ways in, in a real Chromium: many files, folders, a busy service, whoever leaves."""

import asyncio
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from PIL import Image
from playwright.sync_api import Browser, Dialog, FilePayload, Page, Request, expect
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send

from diagnosis.identity import Role
from tests.fixtures.identity import PUBLIC_KEY_FILE, Door, somebody
from tests.fixtures.serving import served
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import coloured_picture
from tests.web_ui.stand_in_gateway import StandInGateway
from tests.web_ui.test_browser import Site, opened
from web_ui.app import create_app
from web_ui.settings import Settings

DISEASE = "/diseases/chest_xray_pneumonia"
READINGS = f"{DISEASE}/readings"


class Ward(Site):
    """The pages behind a proxy that can be told to refuse, to lose an answer, or to wait."""

    def __init__(self) -> None:
        super().__init__("", StandIn())
        self.refuse: list[tuple[int, int]] = []
        """Status and Retry-After of what is refused next, as Nginx does it: with a page."""
        self.lose = 0
        """How many answers are lost next, after the image was read."""
        self.gate = threading.Event()
        """Cleared: what is sent waits."""
        self.gate.set()

    def rest(self) -> None:
        self.stand_in.readings.clear()
        self.stand_in.images.clear()
        self.stand_in.keys.clear()
        self.stand_in.received.clear()
        self.refuse.clear()
        self.lose = 0
        self.gate.set()


@pytest.fixture(scope="module")
def running_ward(built_assets: Path) -> Iterator[Ward]:
    ward = Ward()
    settings = Settings(
        api_url="http://inference_service",
        identity_key_file=PUBLIC_KEY_FILE,
        identity_socket=Path("/nonexistent/identity.sock"),
        static_dir=built_assets,
        max_upload_bytes=300_000,
    )
    pages = Door(
        create_app(
            settings,
            transport=httpx.ASGITransport(ward.stand_in.app),
            gateway=httpx.ASGITransport(StandInGateway().app),
        ),
        somebody(*Role),
    )

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await pages(scope, receive, send)
            return
        await asyncio.to_thread(ward.gate.wait, 20)
        if ward.refuse:
            status, after = ward.refuse.pop(0)
            page = HTMLResponse("<h1>Busy</h1>", status, {"retry-after": str(after)})
            await page(scope, receive, send)
        elif ward.lose:
            ward.lose -= 1

            async def nowhere(_: object) -> None:
                pass

            await pages(scope, receive, nowhere)
            page = HTMLResponse("<h1>Gone</h1>", 502)
            await page(scope, receive, send)
        else:
            await pages(scope, receive, send)

    app = FastAPI()
    app.mount("/", proxy)
    with served(app) as address:
        ward.address = address
        yield ward
        ward.gate.set()


@pytest.fixture
def ward(running_ward: Ward) -> Iterator[Ward]:
    """The running pages, with no reading and a quiet proxy."""
    running_ward.rest()
    yield running_ward
    running_ward.rest()


def film(level: int) -> bytes:
    """A grey image like no other of its level."""
    held = io.BytesIO()
    Image.new("L", (64, 64), level).save(held, "PNG")
    return held.getvalue()


def files(count: int) -> list[FilePayload]:
    return [
        {"name": f"Jane {at}.png", "mimeType": "image/png", "buffer": film(200 + at)}
        for at in range(count)
    ]


def choose(page: Page, chosen: list[FilePayload]) -> None:
    page.get_by_label("Choose an image").set_input_files(chosen)


def rows(page: Page, *states: str) -> int:
    return sum(page.locator(f'[data-state="{state}"]').count() for state in states)


def start(page: Page, name: str = "Read these images") -> None:
    page.get_by_role("button", name=name).click()


def done(page: Page, counts: str) -> None:
    expect(page.locator("[data-batch-counts]")).to_contain_text(counts)
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 files: 37 images in two folders, 3 that are none; and what a system leaves behind."""
    for at in range(37):
        place = tmp_path / "Jane Doe" / ("left" if at % 2 else "right")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"film {at}.png").write_bytes(film(100 + at))
    for name, content in (
        ("torn.png", film(7)[:40]),
        ("letter.jpg", b"Dear colleague"),
        ("empty.dcm", b""),
    ):
        (tmp_path / "Jane Doe" / name).write_bytes(content)
    (tmp_path / "Jane Doe" / ".DS_Store").write_bytes(b"\0")
    (tmp_path / "Jane Doe" / "Thumbs.db").write_bytes(b"\0")
    return tmp_path / "Jane Doe"


def test_a_folder_of_forty_with_three_broken_files(
    chromium: Browser, ward: Ward, folder: Path
) -> None:
    with opened(chromium, ward, DISEASE, refused=3) as page:
        bodies: list[Request] = []
        page.on("request", lambda sent: bodies.append(sent) if sent.method == "POST" else None)
        page.get_by_label("Choose a folder").set_input_files(folder)
        expect(page.locator("[data-batch-counts]")).to_contain_text("Images: 40")
        expect(page.get_by_role("button", name="Read this image")).to_be_hidden()
        start(page)
        done(page, "Read: 37 · Not read: 3 · Waiting: 0")
        expect(page.locator("#batch-heading")).to_be_focused()
        expect(page.locator("[data-batch-status]")).to_contain_text("Read: 37 · Not read: 3")
        expect(page.locator(".batch-row", has_text="film 12.png")).to_contain_text("Uncertain")
        page.get_by_role("button", name="Only what was not read").click()
        visible = page.locator(".batch-row:visible")
        expect(visible).to_have_count(3)
        expect(visible.filter(has_text="letter.jpg")).to_contain_text("The file is not an image")
        expect(visible.filter(has_text="empty.dcm")).to_contain_text("The file is empty")
        expect(visible.filter(has_text="torn.png")).to_contain_text("Send a JPEG, PNG")
        assert Axe().run(page).violations_count == 0
        link = page.get_by_role("link", name="Open the worklist")
        expect(link).to_be_visible()
        assert len(ward.stand_in.readings) == 37
        assert {name for name, _ in ward.stand_in.received} == {"image"}
        for sent in bodies:
            assert b"Jane" not in (sent.post_data_buffer or b"")
            assert "Jane" not in json.dumps(sent.headers) + sent.url


def test_no_more_than_two_are_under_way(chromium: Browser, ward: Ward) -> None:
    with opened(chromium, ward, DISEASE) as page:
        choose(page, files(5))
        ward.gate.clear()
        start(page)
        expect(page.locator('[data-state="sending"]')).to_have_count(2)
        expect(page.get_by_text("Reading…").first).to_be_visible()
        expect(page.get_by_role("button", name="Remove")).to_have_count(0)
        choose(page, files(7))
        expect(page.locator("[data-batch-note]")).to_contain_text("Add more when these are sent")
        ward.gate.set()
        done(page, "Read: 5")
        skin = {"name": "skin.png", "mimeType": "image/png", "buffer": coloured_picture()}
        choose(page, [*files(7)[5:], cast(FilePayload, skin)])
        start(page, "Go on")
        done(page, "Read: 8")
        row = page.locator(".batch-row", has_text="skin.png")
        expect(row).to_contain_text("Read, but not judged. The image does not look like one")
        expect(row).to_contain_text("Send the original greyscale image.")


def test_one_image_is_shown_and_leads_to_its_reading(chromium: Browser, ward: Ward) -> None:
    with opened(chromium, ward, DISEASE) as page:
        choose(page, files(1))
        expect(page.get_by_alt_text("Preview of the chosen image")).to_be_visible()
        page.get_by_label("Patient reference").fill("MRN 1")
        page.get_by_role("button", name="Read this image").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Likely positive: Pneumonia")
    (reading,) = ward.stand_in.readings.values()
    assert reading.patient_reference == hashlib.sha256(b"MRN 1").hexdigest()
    assert "idempotency-key" in ward.stand_in.received[0][1]


def test_a_busy_service_is_waited_for_and_a_lost_answer_makes_no_second_reading(
    chromium: Browser, ward: Ward
) -> None:
    with opened(chromium, ward, DISEASE, refused=3) as page:
        choose(page, files(4))
        ward.refuse = [(429, 1)]
        ward.lose = 2
        start(page)
        expect(page.locator("[data-batch-status]")).to_contain_text("It goes on in")
        done(page, "Read: 4 · Not read: 0 · Waiting: 0")
    assert len(ward.stand_in.readings) == 4
    keys = [headers["idempotency-key"] for _, headers in ward.stand_in.received]
    assert len(keys) == 6
    assert len(set(keys)) == 4


def test_who_is_signed_out_goes_on_later(chromium: Browser, ward: Ward) -> None:
    with opened(chromium, ward, DISEASE, refused=2) as page:
        choose(page, files(3))
        ward.refuse = [(401, 0), (401, 0)]
        start(page)
        note = page.locator("[data-batch-note]")
        expect(note).to_contain_text("You are signed out.")
        done(page, "Images: 3")
        start(page)
        done(page, "Read: 3")
        expect(note).to_be_hidden()


def test_it_can_be_stopped_and_gone_on_with(chromium: Browser, ward: Ward) -> None:
    with opened(chromium, ward, DISEASE) as page:
        choose(page, files(4))
        ward.gate.clear()
        start(page)
        page.get_by_role("button", name="Stop").click()
        done(page, "Images: 4")
        expect(page.locator("[data-batch-note]")).to_contain_text("Nothing is lost")
        ward.gate.set()
        page.locator(".batch-row").first.get_by_role("button", name="Remove").click()
        start(page)
        done(page, "Read: 3")


@pytest.mark.parametrize("many", [True, False], ids=["list", "one"])
def test_leaving_while_images_are_sent_asks_first(
    chromium: Browser, ward: Ward, many: bool
) -> None:
    asked: list[str] = []
    with opened(chromium, ward, DISEASE) as page:

        def stay(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.dismiss()

        page.on("dialog", stay)
        choose(page, files(3 if many else 1))
        ward.gate.clear()
        start(page, "Read these images" if many else "Read this image")
        page.evaluate("() => { location.href = '/about' }")
        page.wait_for_function("() => document.title.includes('Pneumonia')")
        assert asked == ["beforeunload"]
        ward.gate.set()
        if many:
            done(page, "Read: 3")
            page.get_by_role("link", name="About").click()
            page.wait_for_url("**/about")
        else:
            expect(page.get_by_role("heading", level=1)).to_have_text("Likely positive: Pneumonia")
    assert asked == ["beforeunload"]


def test_a_dropped_folder_is_opened(chromium: Browser, ward: Ward, folder: Path) -> None:
    with opened(chromium, ward, DISEASE) as page:
        box = page.locator("[data-dropzone]").bounding_box()
        assert box
        devtools = page.context.new_cdp_session(page)
        data = {"items": [], "files": [str(folder)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            devtools.send(
                "Input.dispatchDragEvent",
                {"type": kind, "x": box["x"] + 40, "y": box["y"] + 40, "data": data},
            )
        expect(page.locator("[data-batch-counts]")).to_contain_text("Images: 40")
        assert page.get_by_text("film 12.png").count() == 1


def test_proposals_for_a_folder_are_checked_and_read(chromium: Browser, ward: Ward) -> None:
    pictures = [*files(3)]
    pictures += [{"name": "skin.png", "mimeType": "image/png", "buffer": coloured_picture()}]
    pictures += [{"name": "letter.jpg", "mimeType": "image/jpeg", "buffer": b"Dear colleague"}]
    with opened(chromium, ward, "/", refused=1) as page:
        page.get_by_label("Patient reference").fill("MRN 2")
        choose(page, pictures)
        start(page, "Propose an examination for each")
        expect(page.locator('[data-state="proposed"]')).to_have_count(4)
        assert not ward.stand_in.readings
        letter = page.locator(".batch-row", has_text="letter.jpg")
        expect(letter).to_contain_text("The file is not an image")
        skin = page.locator(".batch-row", has_text="skin.png")
        expect(skin).to_contain_text("No live model takes an image like this one.")
        assert skin.get_by_role("combobox").input_value() == ""
        assert Axe().run(page).violations_count == 0
        page.get_by_label("Examination of all images").select_option(
            label="Pneumonia by its cause (fits 3 of 4)"
        )
        first = page.locator(".batch-row").first.get_by_role("combobox")
        assert first.input_value() == "chest_xray_pneumonia_type"
        first.select_option(label="Pneumonia")
        skin.get_by_role("combobox").select_option(label="Leave it out")
        start(page)
        done(page, "Read: 3 · Not read: 1")
        expect(page.locator('[data-state="done"]')).to_have_count(3)
        page.get_by_role("link", name="Open the reading: Jane 0.png").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Likely positive: Pneumonia")
    readings = list(ward.stand_in.readings.values())
    assert sorted(one.disease for one in readings) == [
        "chest_xray_pneumonia",
        "chest_xray_pneumonia_type",
        "chest_xray_pneumonia_type",
    ]
    assert len({one.patient_reference for one in readings} - {None}) == 1
    assert None not in {one.patient_reference for one in readings}


def test_the_list_fits_320_pixels(chromium: Browser, ward: Ward) -> None:
    narrow = {"width": 320, "height": 640}
    with opened(chromium, ward, "/", viewport=narrow, color_scheme="dark") as page:
        choose(page, files(3))
        start(page, "Propose an examination for each")
        expect(page.locator('[data-state="proposed"]')).to_have_count(3)
        beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(beyond) <= 0
        assert Axe().run(page).violations_count == 0
