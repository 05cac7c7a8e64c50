"""The viewer of a reading in a real Chromium: by hand, by key and by button."""

import io
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, Route, expect
from pydicom.dataset import Dataset

from diagnosis.images.dicom_kept import keepable
from tests.web_ui.stand_in_catalogue import coloured_picture
from tests.web_ui.test_browser import DISEASE, NARROWEST, Site, opened, ready, site

__all__ = ["site"]

SIDE = 256
#: Black on the left, white on the right.
RAMP = np.tile(np.arange(SIDE, dtype=np.uint8), (SIDE, 1))


def png(values: np.ndarray) -> bytes:
    """A grey picture."""
    held = io.BytesIO()
    Image.fromarray(values).save(held, "PNG")
    return held.getvalue()


@contextmanager
def viewing(
    chromium: Browser, site: Site, path: str | None = None, *, refused: int = 0, **options: object
) -> Iterator[Page]:
    """The page of a reading once its viewer runs; by default of the ramp."""
    path = path or site.read(png(RAMP))
    with opened(chromium, site, path, refused=refused, **options) as page:
        expect(page.locator("[data-viewer=live]")).to_be_visible()
        yield page


@pytest.fixture(scope="module")
def one_page(chromium: Browser, site: Site) -> Iterator[Page]:
    """One page of the ramp, which most tests share: to open a page takes longer than a test."""
    with viewing(chromium, site) as page:
        yield page


@pytest.fixture
def ramp(one_page: Page) -> Page:
    """The ramp as it is first shown, whatever a test before has done to it."""
    one_page.mouse.move(0, 0)
    one_page.get_by_label("Side by side with").select_option("Nothing")
    switch = one_page.get_by_role("button", name="Heatmap")
    if switch.get_attribute("aria-pressed") == "true":
        switch.click()
    one_page.locator("details.viewer-more").evaluate("node => { node.open = false }")
    one_page.keyboard.press("w")
    one_page.keyboard.press("0")
    one_page.evaluate("document.activeElement.blur()")
    one_page.evaluate("scrollTo(0, 0)")
    return one_page


def shown(page: Page, across: float, down: float = 0.5, pane: int = 0) -> int:
    """The red of what is drawn at a place of a stage; 0 to 1 from its top left."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    stage = page.locator("[data-stage]").nth(pane)
    return drawn(stage.locator("canvas").first, across, down)


def drawn(canvas: Locator, across: float, down: float = 0.5) -> int:
    """The red at a place of a canvas."""
    return int(
        canvas.evaluate(
            """(canvas, [across, down]) => {
                const pixel = new OffscreenCanvas(1, 1).getContext('2d');
                const [x, y] = [across * canvas.width, down * canvas.height].map(Math.floor);
                pixel.drawImage(canvas, x, y, 1, 1, 0, 0, 1, 1);
                return pixel.getImageData(0, 0, 1, 1).data[0];
            }""",
            [across, down],
        )
    )


def place(page: Page, across: float, down: float = 0.5) -> tuple[float, float]:
    """A place of the first stage on the screen."""
    box = page.locator("[data-stage]").first.bounding_box()
    assert box
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], **press: str) -> None:
    page.mouse.move(*start)
    page.mouse.down(**press)  # type: ignore[arg-type]
    page.mouse.move(*end, steps=4)
    page.mouse.up(**press)  # type: ignore[arg-type]


def said(page: Page, text: str) -> None:
    expect(page.locator("[data-viewer-status]")).to_have_text(text)


def test_the_image_is_shown_as_it_is(ramp: Page) -> None:
    page = ramp
    for across in (0.1, 0.5, 0.9):
        assert shown(page, across) == pytest.approx(across * 255, abs=3)
    assert page.locator("[data-film]").evaluate("node => node.inert")


@pytest.mark.parametrize("way", ["key", "button"])
def test_the_view_is_turned_inverted_zoomed_and_reset(ramp: Page, way: str) -> None:
    page = ramp

    def do(key: str, name: str) -> None:
        if way == "key":
            page.keyboard.press(key)
        else:
            page.get_by_role("button", name=name, exact=True).click()

    do("i", "Invert")
    said(page, "Inverted: bright is dark.")
    assert shown(page, 0.1) == pytest.approx(0.9 * 255, abs=3)
    do("r", "Turn right")
    said(page, "Turned by 90 degrees.")
    assert shown(page, 0.5, 0.1) == pytest.approx(0.9 * 255, abs=3)
    do("i", "Invert")
    do("+", "Zoom in")
    do("+", "Zoom in")
    assert shown(page, 0.5, 0.02) == pytest.approx((0.5 - 0.48 / 1.25**2) * 255, abs=3)
    do("0", "Reset")
    assert shown(page, 0.1, 0.3) == pytest.approx(0.1 * 255, abs=3)


def test_the_window_is_chosen_dragged_moved_by_arrows_and_by_sliders(ramp: Page) -> None:
    page = ramp
    readout = page.locator("[data-viewer-readout]")
    expect(readout).to_contain_text("Window 0 to 255")
    page.keyboard.press("4")
    said(page, "Grey levels: Dark parts (air).")
    assert shown(page, 0.6) == 255
    assert shown(page, 0.25) == pytest.approx(128, abs=4)
    page.get_by_label("Grey levels").select_option("Bright parts (bone)")
    assert shown(page, 0.4) == 0
    page.keyboard.press("0")
    expect(page.get_by_label("Grey levels")).to_have_value("stored")
    drag(page, place(page, 0.5), place(page, 0.9))
    assert shown(page, 0.05) > 30  # A wider window is a paler picture.
    expect(page.get_by_label("Grey levels")).to_have_value("")
    page.keyboard.press("0")
    page.keyboard.press("w")
    page.keyboard.press("ArrowUp")
    assert shown(page, 0.5) > 130
    page.keyboard.press("0")
    page.locator("summary", has_text="Adjust").click()
    page.get_by_label("Brightness").fill("75")
    assert shown(page, 0.5) > 180
    page.get_by_label("Contrast", exact=True).fill("75")
    expect(readout).to_contain_text("Window 32 to 96")


def test_the_image_is_moved_and_zoomed_by_hand(ramp: Page) -> None:
    page = ramp
    page.keyboard.press("m")
    said(page, "Move chosen.")
    drag(page, place(page, 0.5), place(page, 0.7))
    assert shown(page, 0.7) == pytest.approx(128, abs=3)
    page.mouse.click(*place(page, 0.8))
    assert shown(page, 0.7) == pytest.approx(128, abs=3)
    page.keyboard.press("0")
    for _ in range(3):
        page.keyboard.press("+")
    # A press in place brings that place to the middle, once not all is seen.
    page.mouse.click(*place(page, 0.8))
    assert shown(page, 0.5) == pytest.approx((0.5 + 0.3 / 1.25**3) * 255, abs=4)
    page.keyboard.press("ArrowRight")
    assert shown(page, 0.5) > (0.5 + 0.3 / 1.25**3) * 255 + 4
    page.mouse.dblclick(*place(page, 0.3))
    assert shown(page, 0.5) == pytest.approx(128, abs=3)
    drag(page, place(page, 0.5, 0.6), place(page, 0.5, 0.2), button="right")
    assert shown(page, 0.02) > 60
    page.keyboard.press("0")
    page.mouse.move(*place(page, 0.25))
    page.mouse.wheel(0, -300)
    expect(page.locator("[data-viewer-readout]")).not_to_contain_text("Window 0 to 255 · 189")
    assert shown(page, 0.25) == pytest.approx(64, abs=3)


def test_two_fingers_zoom_and_move(chromium: Browser, site: Site) -> None:
    with viewing(chromium, site, viewport={"width": 390, "height": 800}, has_touch=True) as page:
        page.locator("[data-stage]").first.scroll_into_view_if_needed()
        session = page.context.new_cdp_session(page)

        def touch(kind: str, *fingers: tuple[float, float]) -> None:
            points = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(fingers)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", place(page, 0.4))
        touch("touchStart", place(page, 0.4), place(page, 0.6))
        for step in range(1, 6):
            touch("touchMove", place(page, 0.4 - 0.05 * step), place(page, 0.6 + 0.05 * step))
        touch("touchEnd")
        # From a fifth of the width to seven tenths of it: three and a half times as large.
        assert shown(page, 0.9) == pytest.approx((0.5 + 0.4 / 3.5) * 255, abs=8)


def test_a_length_is_measured_by_drag_by_presses_and_by_keys(ramp: Page) -> None:
    page = ramp
    page.get_by_role("button", name="Measure").click()
    drag(page, place(page, 0.25), place(page, 0.75))
    said(page, "Length 128 pixels.")
    page.mouse.click(*place(page, 0.5, 0.25))
    said(page, "The first end is set. Set the second one.")
    page.mouse.click(*place(page, 0.5, 0.5))
    said(page, "Length 64 pixels.")
    page.keyboard.press("Enter")
    said(page, "The first end is set. Set the second one.")
    for _ in range(8):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    height = page.locator("[data-stage]").first.evaluate("node => node.clientHeight")
    said(page, f"Length {round(64 * SIDE / height)} pixels.")
    texts = page.locator(".viewer-length-text")
    expect(texts).to_have_count(3)
    page.keyboard.press("Delete")
    said(page, "The last length was removed.")
    expect(texts).to_have_count(2)
    # It lies on the image and turns with it.
    before = texts.first.bounding_box()
    page.keyboard.press("r")
    assert texts.first.bounding_box() != before
    page.keyboard.press("0")
    expect(texts).to_have_count(0)


def test_the_magnifier_shows_what_lies_under_it(ramp: Page) -> None:
    page = ramp
    page.keyboard.press("g")
    lens = page.locator(".viewer-lens")
    expect(lens).to_have_count(0)
    page.mouse.move(*place(page, 0.3))
    page.mouse.move(*place(page, 0.31))
    expect(lens).to_be_visible()
    lensed = page.locator("[data-stage]").first.locator(".viewer-lens canvas")
    middle = drawn(lensed, 0.5)
    assert middle == pytest.approx(0.31 * 255, abs=3)
    width = page.locator("[data-stage]").first.evaluate("node => node.clientWidth")
    plain = lens.evaluate("node => node.clientWidth") * 0.6 / width * 255
    assert drawn(lensed, 0.8) - drawn(lensed, 0.2) == pytest.approx(plain / 2.5, abs=4)
    page.keyboard.press("w")
    expect(lens).to_have_count(0)


def test_the_heatmap_lies_on_the_image_wherever_that_is(ramp: Page) -> None:
    page = ramp
    page.locator("[data-stage]").first.focus()
    page.keyboard.press("Space")
    expect(page.locator("[data-heatmap-status]")).to_have_text("Heatmap shown for Pneumonia.")
    picture = page.locator("[data-picture]")
    stage = page.locator("[data-stage]").first
    expect(stage.locator("[data-picture]")).to_be_visible()
    for key, scale in (("0", 1), ("r", 1), ("-", 0.8)):
        page.keyboard.press(key)
        box, room = picture.bounding_box(), stage.bounding_box()
        assert box
        assert room
        assert box["width"] == pytest.approx(room["width"] * scale, abs=1)
        assert box["x"] - room["x"] == pytest.approx(room["width"] * (1 - scale) / 2, abs=1)
    page.keyboard.press("Space")
    expect(picture).to_be_hidden()


def test_the_heatmap_beside_its_image(ramp: Page) -> None:
    page = ramp
    page.keyboard.press("s")
    said(page, "Beside it: The same with its heatmap.")
    stages = page.locator("[data-stage]")
    expect(stages.nth(1)).to_be_visible()
    expect(stages.nth(1).locator("[data-picture]")).to_be_visible()
    expect(stages.nth(0).locator("[data-picture]")).to_have_count(0)
    assert shown(page, 0.25, pane=1) == pytest.approx(64, abs=4)
    page.keyboard.press("i")
    assert shown(page, 0.25, pane=1) == pytest.approx(191, abs=4)
    page.get_by_label("Side by side with").select_option("Nothing")
    expect(stages.nth(1)).to_be_hidden()
    expect(stages.nth(0).locator("[data-picture]")).to_be_visible()


def test_another_image_of_the_patient_stands_beside(chromium: Browser, site: Site) -> None:
    pneumonia = site.stand_in.disease("chest_xray_pneumonia")
    earlier = site.stand_in.read(pneumonia, png(RAMP[:128, ::-1]), "a patient of this test")
    later = site.stand_in.read(pneumonia, png(RAMP), "a patient of this test")
    with viewing(chromium, site, f"/readings/{later.id}") as page:
        choice = page.get_by_label("Side by side with")
        choice.select_option(f"/readings/{earlier.id}/image")
        said(page, f"Beside it: {choice.locator('option:checked').inner_text()}.")
        assert shown(page, 0.1, pane=1) == pytest.approx(0.9 * 255, abs=4)
        # Each is looked at by itself: the keys are for the one that was touched last.
        page.locator("[data-stage]").nth(1).focus()
        page.keyboard.press("i")
        assert shown(page, 0.1, pane=1) == pytest.approx(0.1 * 255, abs=4)
        assert shown(page, 0.1, pane=0) == pytest.approx(0.1 * 255, abs=4)


#: A value that stands for no measurement; the file says so.
PADDING = 4095


def deep(seed: int = 0) -> np.ndarray:
    """Twelve bits: above, the lowest four hold a pattern that no image of eight bits can show;
    below is noise, which no file makes small."""
    values = np.full((SIDE, SIDE), 2048, np.uint16) + np.arange(SIDE, dtype=np.uint16) // 16
    noise = np.random.default_rng(seed).integers(2048, 2064, (SIDE // 2, SIDE), dtype=np.uint16)
    values[SIDE // 2 :] = noise
    values[-8:] = PADDING
    return values


def dicom_file(values: np.ndarray) -> bytes:
    """The file that the service keeps of such a picture."""
    dataset = Dataset()
    dataset.BitsStored = 12
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.WindowCenter, dataset.WindowWidth = 1024, 4096
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.PixelSpacing = [0.25, 0.5]
    dataset.PixelPaddingValue = PADDING
    pixels = np.zeros((*values.shape, 3), np.uint8)
    return keepable(values, pixels, dataset, modality="CT", identity="of a test")


def padded(file: bytes) -> bool:
    """Whether a byte follows the deflated data set, to make its length even."""
    # The preamble, the mark, and the length of the group of the file's own elements.
    rest = file[144 + int.from_bytes(file[140:144], "little") :]
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(rest)
    assert inflater.eof
    return bool(inflater.unused_data)


def with_dicom(site: Site, *, odd: bool = False) -> str:
    """A reading whose DICOM file is kept: one that ends with its stream, or one of odd length."""
    every = (deep(seed) for seed in range(50))
    values = next(one for one in every if padded(dicom_file(one)) == odd)
    path = site.read(png((values >> 4).astype(np.uint8)))
    prediction = UUID(path.rpartition("/")[2])
    reading = site.stand_in.readings[prediction]
    image = reading.image.model_copy(update={"dicom_digest": f"sha256:{'1' * 64}"})
    site.stand_in.readings[prediction] = reading.model_copy(update={"image": image})
    site.stand_in.dicoms[prediction] = dicom_file(values)
    return path


def test_a_kept_dicom_file_may_end_with_a_byte_too_many(chromium: Browser, site: Site) -> None:
    with viewing(chromium, site, with_dicom(site, odd=True)) as page:
        said(page, "Shown from the DICOM file, with 4,096 grey levels.")


def test_a_kept_dicom_file_is_windowed_in_its_full_depth(chromium: Browser, site: Site) -> None:
    path = with_dicom(site)
    with viewing(chromium, site, path) as page:
        said(page, "Shown from the DICOM file, with 4,096 grey levels.")
        expect(page.locator("[data-viewer-readout]")).to_contain_text("Window -1,024 to 3,072")
        assert shown(page, 0.95, 0.25) - shown(page, 0.05, 0.25) <= 1
        page.keyboard.press("2")
        said(page, "Grey levels: Whole range.")
        expect(page.locator("[data-viewer-readout]")).to_contain_text("Window 1,024 to 1,039")
        assert shown(page, 0.95, 0.25) - shown(page, 0.05, 0.25) > 220
        assert shown(page, 0.5, 0.99) == 0
        offered = page.locator("[data-presets] option:not([hidden])").all_inner_texts()
        assert "CT lung" in offered
        page.get_by_label("Grey levels").select_option("CT bone")
        expect(page.locator("[data-viewer-readout]")).to_contain_text("Window -500 to 1,300")
        page.keyboard.press("l")
        drag(page, place(page, 0.25), place(page, 0.75))
        said(page, "Length 64 mm.")
        with page.expect_download() as saved:
            page.get_by_role("link", name="DICOM file, de-identified").click()
        assert saved.value.suggested_filename == f"{path.rpartition('/')[2]}.dcm"


def test_a_dicom_file_that_is_gone_leaves_the_image(chromium: Browser, site: Site) -> None:
    path = with_dicom(site)
    site.stand_in.dicoms.clear()
    with viewing(chromium, site, path, refused=1) as page:
        said(page, "The DICOM file cannot be shown; this is the image in 256 grey levels.")
        assert shown(page, 0.5, 0.25) == pytest.approx(128, abs=3)


def test_a_colour_image_has_the_windows_that_mean_something(chromium: Browser, site: Site) -> None:
    held = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 90, 30)).save(held, "PNG")
    with viewing(chromium, site, site.read(held.getvalue())) as page:
        assert shown(page, 0.5) == 200
        offered = page.locator("[data-presets] option:not([hidden])").all_inner_texts()
        assert offered == ["As stored", "More contrast"]
        # Nothing can stand beside an image without heatmaps and without an earlier one.
        expect(page.get_by_label("Side by side with")).to_be_hidden()


def test_axe_finds_nothing_and_all_fits_a_phone(chromium: Browser, site: Site) -> None:
    with viewing(chromium, site, viewport=NARROWEST, reduced_motion="reduce") as page:
        page.locator("summary", has_text="Adjust").click()
        page.keyboard.press("s")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.emulate_media(color_scheme="dark")
        colours = Axe().run(page, options={"runOnly": ["color-contrast"]})
        assert colours.violations_count == 0, colours.generate_report()
        beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(beyond) <= 0
        for button in page.locator(".viewer-tools button:visible, .viewer-tools select").all():
            box = button.bounding_box()
            assert box
            assert min(box["width"], box["height"]) >= 24


def test_where_the_viewer_cannot_run_the_image_stays(chromium: Browser, site: Site) -> None:
    path = site.read(png(RAMP))
    with opened(chromium, site, path, refused=2, service_workers="block") as page:
        page.route(re.compile("/assets/viewer-"), lambda route: route.abort())
        page.reload()
        expect(page.get_by_alt_text("The image that was read")).to_be_visible()
        expect(page.get_by_role("button", name="Invert")).to_be_hidden()
    with opened(chromium, site, path, java_script_enabled=False) as page:
        expect(page.get_by_alt_text("The image that was read")).to_be_visible()
        expect(page.get_by_role("button", name="Invert")).to_be_hidden()


def open_without_the_viewer(page: Page, path: str) -> Callable[[], None]:
    """Open a reading whose viewer is still on its way; what is returned lets it come."""
    asked: list[Route] = []

    def hold(route: Route) -> None:
        asked.append(route)
        # The first file only brings the large one, which the page does not wait for.
        if len(asked) == 1:
            route.continue_()

    page.route(re.compile("/assets/viewer-"), hold)
    with page.expect_request(lambda _: len(asked) == 2):
        page.goto(path)
        # Any request at all, so that the condition is looked at once more.
        page.evaluate("fetch('/static/dist/favicon.svg').then(() => true)")
    expect(page.locator('[data-viewer=""]')).to_have_count(1)
    return lambda: asked[1].continue_()


@pytest.mark.parametrize(
    ("width", "judged"), [(320, True), (1024, False), (1440, True)], ids=["320", "1024", "1440"]
)
def test_nothing_moves_when_the_viewer_comes(
    chromium: Browser, site: Site, width: int, judged: bool
) -> None:
    """Whoever has pressed the mouse over a button lets go over the same button."""
    places = """() => [...document.querySelectorAll('main *')]
        .filter(node => node.checkVisibility({visibilityProperty: true}))
        .filter(node => !node.closest('[data-viewer]') || node.matches('figcaption, .film-panes'))
        .map(node => [node.tagName + '.' + node.className, node.getBoundingClientRect()])
        .map(([name, box]) => [name, box.x, box.y, box.width, box.height].join(' '))"""
    path = site.read(png(RAMP) if judged else coloured_picture())
    size = {"width": width, "height": 900}
    with opened(chromium, site, "/about", viewport=size, service_workers="block") as page:
        release = open_without_the_viewer(page, path)
        before = page.evaluate(places)
        release()
        ready(page)
        after = page.evaluate(places)
    assert [one for one in after if one not in before] == []


def test_only_a_reading_brings_the_viewer(chromium: Browser, site: Site) -> None:
    for path, wanted in ((DISEASE, 0), (site.read(png(RAMP)), 2)):
        with opened(chromium, site, path) as page:
            if wanted:
                expect(page.locator("[data-viewer=live]")).to_be_visible()
            asked = page.evaluate(
                "performance.getEntriesByType('resource').map(one => one.name)"
                ".filter(name => name.includes('/viewer-'))"
            )
            assert len(asked) == wanted
