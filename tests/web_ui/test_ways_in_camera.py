"""The camera, with Chromium's fake device: seen, taken, judged, taken again, used, let go."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageChops, ImageFilter
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.fixtures.camera import fake_camera
from tests.fixtures.chromium import launched
from tests.web_ui.test_browser import opened
from tests.web_ui.test_ways_in_browser import DISEASE, Ward, done, running_ward, start, ward

__all__ = ["running_ward", "ward"]

WIDTH, HEIGHT = 640, 480


def scene() -> Image.Image:
    """Fine noise over a slope, which is dark on the left and bright on the right."""
    slope = Image.linear_gradient("L").rotate(90).resize((WIDTH, HEIGHT))
    noise = Image.effect_noise((WIDTH, HEIGHT), 60)
    return ImageChops.blend(slope, noise, 0.4)


def png(image: Image.Image, name: str = "p.png") -> FilePayload:
    held = io.BytesIO()
    image.save(held, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": held.getvalue()}


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A Chromium with one camera, which shows the scene; it may be used where a test allows it."""
    with launched(*fake_camera(tmp_path_factory.mktemp("camera"), scene())) as browser:
        yield browser


def opened_camera(page: Page) -> None:
    """Open the dialog and wait for the first picture."""
    page.get_by_role("button", name="Take a photo").click()
    shutter = page.get_by_role("button", name="Take the photo")
    expect(shutter).to_be_enabled()
    page.locator("video").evaluate(
        "video => new Promise(resolve => video.requestVideoFrameCallback(resolve))"
    )


def test_a_photo_is_seen_taken_again_used_and_read(chromium: Browser, ward: Ward) -> None:
    with opened(chromium, ward, DISEASE, permissions=["camera"]) as page:
        opened_camera(page)
        said = page.locator("[data-camera-said]")
        expect(said).to_contain_text("Fill the frame")
        expect(page.get_by_role("button", name="Take the photo")).to_be_focused()
        assert Axe().run(page).violations_count == 0
        page.keyboard.press("Enter")
        expect(said).to_have_text("The photo looks sharp and well exposed.")
        expect(page.get_by_role("img", name="The photo that was taken")).to_be_visible()
        assert Axe().run(page).violations_count == 0
        page.get_by_role("button", name="Take it again").click()
        expect(page.locator("video")).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Use this photo")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_alt_text("Preview of the chosen image")).to_be_visible()
        assert page.locator("video").evaluate("video => video.srcObject") is None
        expect(page.get_by_role("button", name="Read this image")).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url("**/readings/*")
    (image,) = ward.stand_in.images.values()
    photo = Image.open(io.BytesIO(image))
    assert (photo.format, photo.size) == ("JPEG", (WIDTH, HEIGHT))
    # Not mirrored: the dark side is on the left.
    halves = [photo.convert("L").crop((at, 0, at + 100, HEIGHT)) for at in (0, WIDTH - 100)]
    dark, bright = (half.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0)) for half in halves)
    assert isinstance(dark, int)
    assert isinstance(bright, int)
    assert dark + 30 < bright


def test_escape_lets_the_camera_go(chromium: Browser, ward: Ward) -> None:
    with opened(chromium, ward, DISEASE, permissions=["camera"]) as page:
        opened_camera(page)
        live = page.evaluate_handle("document.querySelector('video').srcObject.getTracks()[0]")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_be_hidden()
        assert live.evaluate("track => track.readyState") == "ended"
        expect(page.get_by_role("button", name="Take a photo")).to_be_focused()


def test_who_does_not_allow_the_camera_has_another_way(chromium: Browser, ward: Ward) -> None:
    with opened(chromium, ward, DISEASE) as page:
        page.get_by_role("button", name="Take a photo").click()
        expect(page.locator("[data-camera-said]")).to_contain_text("may not use the camera")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Take or choose a photo another way").click()
        chooser.value.set_files([png(scene())])
        expect(page.get_by_alt_text("Preview of the chosen image")).to_be_visible()


@pytest.mark.parametrize(
    ("photo", "advice"),
    [
        (scene().filter(ImageFilter.GaussianBlur(8)), "The photo looks blurred."),
        (scene().point(lambda level: level // 5), "The photo is very dark."),
        (scene().point(lambda level: min(255, level * 2 + 100)), "The photo is very bright."),
        (scene().point(lambda level: 120 + level // 12), "The photo has hardly any contrast."),
        (scene(), ""),
    ],
    ids=["blurred", "dark", "bright", "flat", "fine"],
)
def test_a_photo_of_the_device_itself_is_judged_and_not_refused(
    chromium: Browser, ward: Ward, photo: Image.Image, advice: str
) -> None:
    with opened(chromium, ward, DISEASE) as page:
        page.locator("#camera").set_input_files([png(photo)])
        expect(page.get_by_alt_text("Preview of the chosen image")).to_be_visible()
        note = page.locator("[data-photo-note]")
        if advice:
            expect(note).to_contain_text(advice)
            expect(note).to_contain_text("take it again")
        else:
            page.wait_for_load_state("networkidle")
            expect(note).to_be_hidden()
        expect(page.get_by_role("button", name="Read this image")).to_be_enabled()


def test_a_photo_joins_the_list(chromium: Browser, ward: Ward, tmp_path: Path) -> None:
    with opened(chromium, ward, DISEASE, permissions=["camera"]) as page:
        page.get_by_label("Choose an image").set_input_files([png(scene()), png(scene(), "q.png")])
        opened_camera(page)
        page.get_by_role("button", name="Take the photo").click()
        page.get_by_role("button", name="Use this photo").click()
        expect(page.locator(".batch-row").last).to_contain_text("Photo")
        start(page)
        done(page, "Not read: 0 · Waiting: 0")


def test_a_page_without_https_says_why_there_is_no_live_camera(
    chromium: Browser, ward: Ward
) -> None:
    context = chromium.new_context(has_touch=True)
    # What a browser gives to a page that came in the clear from another machine.
    context.add_init_script(
        "Object.defineProperty(window, 'isSecureContext', {value: false});"
        "Object.defineProperty(navigator, 'mediaDevices', {value: undefined});"
    )
    page = context.new_page()
    page.goto(ward.address + DISEASE)
    expect(page.get_by_text("The live camera needs HTTPS")).to_be_visible()
    expect(page.locator("[data-camera-open]")).to_be_hidden()
    expect(page.get_by_label("Take a photo")).to_have_attribute("capture", "environment")
    context.close()
