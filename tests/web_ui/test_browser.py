"""The pages in a real Chromium: reachable for everybody, quiet, and at home without scripts."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from fastapi import FastAPI
from playwright.sync_api import Browser, BrowserContext, Page, expect
from starlette.types import Receive, Scope, Send

from diagnosis.contracts import NewBatch
from diagnosis.identity import Role
from tests.fixtures.identity import CSRF, PUBLIC_KEY_FILE, Door, somebody
from tests.fixtures.serving import served
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, MIDDLE, coloured_picture
from tests.web_ui.stand_in_gateway import COOKIE, KEY_TEXT, StandInGateway, record
from web_ui.app import create_app
from web_ui.settings import Settings

DISEASE = "/diseases/chest_xray_pneumonia"
NARROWEST = {"width": 320, "height": 640}


class Site:
    """The pages and the API under one address, as behind the gateway."""

    def __init__(self, address: str, stand_in: StandIn) -> None:
        self.address = address
        self.stand_in = stand_in
        self.gateway = StandInGateway()

    def read(self, image: bytes, disease: str = "chest_xray_pneumonia") -> str:
        """Have an image read; the path of the reading."""
        files = {"image": ("x.png", image, "image/png")}
        ours = {"sec-fetch-site": "same-origin", "x-csrf-token": CSRF}
        address = f"{self.address}/diseases/{disease}/readings"
        answer = httpx.post(address, files=files, headers=ours)
        assert answer.status_code == 303
        return answer.headers["location"]


@pytest.fixture(scope="module")
def site(built_assets: Path) -> Iterator[Site]:
    """The pages in front of a stand-in, under a real uvicorn."""
    stand_in = StandIn()
    settings = Settings(
        api_url="http://inference_service",
        identity_key_file=PUBLIC_KEY_FILE,
        identity_socket=Path("/nonexistent/identity.sock"),
        static_dir=built_assets,
        max_upload_bytes=300_000,
    )
    site = Site("", stand_in)
    pages = Door(
        create_app(
            settings,
            transport=httpx.ASGITransport(stand_in.app),
            gateway=httpx.ASGITransport(site.gateway.app),
        ),
        somebody(*Role),
    )

    async def both(scope: Scope, receive: Receive, send: Send) -> None:
        api = scope["type"] == "http" and scope["path"].startswith("/api/v1/")
        await (stand_in.app if api else pages)(scope, receive, send)

    app = FastAPI()
    app.mount("/", both)
    with served(app) as address:
        site.address = address
        yield site


def ready(page: Page) -> None:
    """Wait until the page has come to life: a key or a click before is for nobody.

    With "load" the page's script has run; the viewer and the console come after it.
    """
    page.wait_for_load_state("load")
    expect(page.locator('[data-viewer=""]')).to_have_count(0)
    if page.locator("#api-console").count():
        page.wait_for_selector(".opblock")


@contextmanager
def opened(
    chromium: Browser, site: Site, path: str, *, refused: int = 0, **options: object
) -> Iterator[Page]:
    """A page in a fresh context; at the end, nothing may have been complained about.

    `refused` is how many failed answers the browser may report: those the test provokes.
    """
    context: BrowserContext = chromium.new_context(base_url=site.address, **options)  # type: ignore[arg-type]
    complaints: list[str] = []
    strangers: list[str] = []
    context.add_cookies([{"name": COOKIE, "value": "whole", "url": site.address}])
    page = context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: (
            complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            strangers.append(request.url)
            if urlsplit(request.url).scheme in ("http", "https")
            and not request.url.startswith(site.address)
            else None
        ),
    )
    try:
        page.goto(path)
        if options.get("java_script_enabled", True):
            ready(page)
        yield page
    finally:
        context.close()
    assert len(complaints) <= refused, complaints
    assert strangers == []


@pytest.fixture(scope="module")
def addresses(site: Site) -> dict[str, str]:
    """Every kind of page."""
    site.gateway.add_user("grace", "Grace Hopper", ["auditor"], "surgery")
    site.gateway.records = [record(seq) for seq in range(1, 4)]
    site.gateway.keys["k_1"] = {"id": "k_1", "name": "nightly export", "roles": ["clinician"]}
    positive = site.read(BRIGHT)
    batches = site.stand_in.batches
    batch = batches.begin(NewBatch(disease="chest_xray_pneumonia")).id
    for number, data in enumerate((BRIGHT, MIDDLE, b"none")):
        batches.take(batch, number, f"{number}.png", data)
    return {
        "start": "/",
        "disease": DISEASE,
        "sign in": "/sign-in",
        "welcome": "/welcome/one-time",
        "confirm": "/confirm",
        "account": "/account",
        "users": "/users",
        "audit": "/audit",
        "no model": "/diseases/skin_lesion",
        "unavailable": "/diseases/malaria_cell",
        "likely positive": positive,
        "uncertain": site.read(MIDDLE),
        "likely negative": site.read(DARK),
        "most probable": site.read(BRIGHT, "brain_mri_tumour"),
        "not judged": site.read(coloured_picture()),
        "seven classes": site.read(MIDDLE, "mole"),
        "card": "/diseases/mole/card",
        "versions": "/diseases/mole/versions",
        "two versions": "/diseases/mole/compare",
        "card without points": "/diseases/brain_mri_tumour/card",
        "delete": f"{positive}/delete",
        "worklist": "/worklist",
        "filtered worklist": "/worklist?disease=chest_xray_pneumonia&class_id=pneumonia",
        "opinions": "/opinions",
        "batches": "/batches",
        "batch": f"/batches/{batch}",
        "about": "/about",
        "api": "/api",
        "console": "/api-console",
        "error": "/nowhere",
    }


def test_axe_finds_nothing_on_any_page_in_either_theme(
    chromium: Browser, site: Site, addresses: dict[str, str]
) -> None:
    axe = Axe()
    found = {}
    for name, path in addresses.items():
        refused = 1 if name == "error" else 0
        with opened(
            chromium, site, path, color_scheme="light", reduced_motion="reduce", refused=refused
        ) as page:
            for details in page.locator("details").all():
                details.evaluate("node => node.open = true")
            whole = axe.run(page)
            # The themes differ in their colours and in nothing else.
            page.emulate_media(color_scheme="dark")
            colours = axe.run(page, options={"runOnly": ["color-contrast"]})
        if whole.violations_count or colours.violations_count:
            found[name] = whole.generate_report() + colours.generate_report()
    assert found == {}


def test_axe_finds_nothing_on_pages_that_a_form_leads_to(chromium: Browser, site: Site) -> None:
    """A key that is shown once, a link, a secret for a device, and the code of one."""

    def make_a_key(page: Page) -> None:
        page.get_by_label("What it is for").fill("nightly")
        page.get_by_label("clinician").check()
        page.get_by_role("button", name="Make a key").click()
        page.get_by_text(KEY_TEXT).wait_for()

    def invite(page: Page) -> None:
        page.locator("summary").first.click()
        page.get_by_role("button", name="New link").first.click()
        page.get_by_role("heading", name="A link for").wait_for()

    def set_up_codes(page: Page) -> None:
        page.get_by_role("button", name="Set up codes").click()
        page.get_by_role("img", name="QR code").wait_for()

    def ask_for_a_code(page: Page) -> None:
        for kept in ("enrol", "code"):
            page.context.add_cookies([{"name": COOKIE, "value": kept, "url": site.address}])
            page.goto("/sign-in/code")
            assert Axe().run(page).violations_count == 0

    steps = {
        "/account": (make_a_key, set_up_codes),
        "/users": (invite,),
        "/about": (ask_for_a_code,),
    }
    for path, several in steps.items():
        for step in several:
            with opened(chromium, site, path, viewport=NARROWEST, reduced_motion="reduce") as page:
                step(page)
                found = Axe().run(page)
                assert found.violations_count == 0, found.generate_report()
                page.emulate_media(color_scheme="dark")
                colours = Axe().run(page, options={"runOnly": ["color-contrast"]})
                assert colours.violations_count == 0, colours.generate_report()
                beyond = (
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert page.evaluate(beyond) <= 0


def test_every_page_fits_320_pixels_and_its_targets_a_finger(
    chromium: Browser, site: Site, addresses: dict[str, str]
) -> None:
    small = """() => [...document.querySelectorAll('a, button, select, summary, [type=file]')]
        .filter(node => node.checkVisibility({visibilityProperty: true, opacityProperty: true}))
        .filter(node => !node.closest('p, dd, li p, .skip-link, #api-console, .visually-hidden'))
        .map(node => [node.outerHTML.slice(0, 80), node.getBoundingClientRect()])
        .filter(([, box]) => box.width > 1 && (box.height < 24 || box.width < 24))
        .map(([html]) => html)"""
    for name, path in addresses.items():
        refused = 1 if name == "error" else 0
        with opened(chromium, site, path, viewport=NARROWEST, refused=refused) as page:
            beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(beyond) <= 0, name
            assert page.evaluate(small) == [], name


def test_a_reading_without_scripts(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, "/", java_script_enabled=False) as page:
        page.get_by_role("link", name="Pneumonia", exact=True).click()
        expect(page.get_by_label("Choose an image")).to_be_visible()
        page.get_by_label("Choose an image").set_input_files(
            {"name": "Jane.png", "mimeType": "image/png", "buffer": BRIGHT}
        )
        page.get_by_role("button", name="Read this image").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Likely positive: Pneumonia")
        page.get_by_role("link", name="Worklist").first.click()
        newest = page.get_by_role("list").get_by_role("link").first
        expect(newest).to_contain_text("Likely positive: Pneumonia")
        page.get_by_label("Disease", exact=True).select_option("skin_lesion")
        page.get_by_role("button", name="Filter").click()
        expect(page.get_by_text("No reading fits this choice.")).to_be_visible()


def test_a_chosen_image_is_shown_and_read_and_its_name_stays_here(
    chromium: Browser, site: Site
) -> None:
    with opened(chromium, site, DISEASE) as page:
        page.get_by_label("Choose an image").set_input_files(
            {"name": "Jane Doe.png", "mimeType": "image/png", "buffer": DARK}
        )
        expect(page.get_by_alt_text("Preview of the chosen image")).to_be_visible()
        assert "Jane" not in page.content()
        with page.expect_request("**/readings") as sent:
            page.get_by_role("button", name="Read this image").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Likely negative: Pneumonia")
        body = sent.value.post_data_buffer
        assert body is None or b"Jane" not in body


def test_what_a_browser_cannot_show_gets_a_placeholder_and_a_refusal_in_place(
    chromium: Browser, site: Site
) -> None:
    with opened(chromium, site, DISEASE, refused=2) as page:
        page.get_by_label("Choose an image").set_input_files(
            {"name": "a.dcm", "mimeType": "application/dicom", "buffer": b"DICM" * 99}
        )
        expect(page.get_by_text("This browser cannot preview the file.")).to_be_visible()
        page.get_by_role("button", name="Read this image").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The file is not an image")
        expect(alert).to_contain_text("Send a JPEG, PNG")
        expect(page).to_have_url(f"{site.address}{DISEASE}")
        expect(page.get_by_role("button", name="Read this image")).to_be_enabled()
        assert Axe().run(page).violations_count == 0
        page.get_by_role("button", name="Choose another").click()
        expect(page.get_by_text("or several, drop files")).to_be_visible()


def test_a_file_over_the_limit_is_refused_before_it_is_sent(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, DISEASE) as page:
        posts: list[str] = []
        page.on("request", lambda sent: posts.append(sent.method))
        page.get_by_label("Choose an image").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": b"1" * 300_001}
        )
        expect(page.get_by_role("alert")).to_contain_text("The file is too large")
        assert "POST" not in posts


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_an_image_may_be_dropped_or_pasted(chromium: Browser, site: Site, way: str) -> None:
    hand_over = """([way, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'Jane.png', {type: 'image/png'}));
        const event = way === 'drop'
            ? new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})
            : new ClipboardEvent('paste', {clipboardData: data, bubbles: true, cancelable: true});
        document.querySelector('[data-dropzone]').dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    with opened(chromium, site, DISEASE) as page:
        assert page.evaluate(hand_over, [way, list(BRIGHT)])
        expect(page.get_by_alt_text("Preview of the chosen image")).to_be_visible()
        page.get_by_role("button", name="Read this image").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Likely positive: Pneumonia")


def test_a_demo_image_is_one_press(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, DISEASE) as page:
        page.get_by_role("button", name="Synthetic image 1").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Likely positive: Pneumonia")
        expect(page.get_by_text("Synthetic: shows no patient")).to_be_visible()


def test_a_lost_connection_says_so(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, DISEASE, refused=3) as page:
        page.route("**/readings", lambda route: route.abort())
        page.get_by_role("button", name="Synthetic image 1").click()
        expect(page.get_by_role("alert")).to_contain_text("The image could not be sent")


def test_a_phone_offers_its_camera(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, DISEASE, has_touch=True, is_mobile=True) as page:
        camera = page.get_by_label("Take a photo")
        expect(camera).to_have_attribute("capture", "environment")
        camera.set_input_files({"name": "p.png", "mimeType": "image/png", "buffer": BRIGHT})
        expect(page.get_by_alt_text("Preview of the chosen image")).to_be_visible()
        page.get_by_role("button", name="Read this image").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Likely positive: Pneumonia")


PNG = {"name": "Jane.png", "mimeType": "image/png"}


def test_proposals_without_scripts_are_links(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, "/", java_script_enabled=False) as page:
        page.get_by_label("Choose an image").set_input_files(PNG | {"buffer": BRIGHT})
        page.get_by_role("button", name="Propose an examination").click()
        expect(page.get_by_text("choose the image again there")).to_be_visible()
        expect(page.get_by_role("button", name="Read it")).to_have_count(0)
        proposals = page.locator("#proposals")
        proposals.get_by_role("link", name="Pneumonia", exact=True).click()
        expect(page).to_have_url(f"{site.address}{DISEASE}")


def test_a_proposal_takes_the_chosen_image_over(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, "/") as page:
        page.get_by_label("Choose an image").set_input_files(PNG | {"buffer": BRIGHT})
        page.get_by_role("button", name="Propose an examination").click()
        expect(page.get_by_role("heading", name="It may be read for")).to_be_visible()
        expect(page).to_have_url(f"{site.address}/")
        assert Axe().run(page).violations_count == 0
        page.get_by_role("button", name="Read it for Pneumonia by its cause").click()
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "Likely positive: Bacterial pneumonia"
        )


def test_what_fits_nothing_and_what_is_no_image_are_said_in_place(
    chromium: Browser, site: Site
) -> None:
    with opened(chromium, site, "/", refused=2) as page:
        image = page.get_by_label("Choose an image")
        propose = page.get_by_role("button", name="Propose an examination")
        image.set_input_files(PNG | {"buffer": coloured_picture()})
        propose.click()
        expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
        page.get_by_role("button", name="Choose another").click()
        expect(page.get_by_role("heading", name="Nothing fits")).to_have_count(0)
        image.set_input_files(PNG | {"buffer": b"no image"})
        propose.click()
        expect(page.get_by_role("alert")).to_contain_text("The file is not an image")


def test_the_worklist_filters_in_place(chromium: Browser, site: Site) -> None:
    site.read(BRIGHT)
    site.read(DARK)
    with opened(chromium, site, "/worklist") as page:
        page.get_by_label("Disease", exact=True).select_option("chest_xray_pneumonia")
        expect(page).to_have_url(re.compile("disease=chest_xray_pneumonia"))
        page.get_by_label("Likeliest class").select_option("normal")
        expect(page).to_have_url(re.compile("class_id=normal"))
        answers = page.locator(".work-answer")
        expect(answers.first).to_contain_text("Likely negative")
        for text in answers.all_inner_texts():
            assert "Likely positive" not in text


def test_the_theme_is_chosen_kept_and_follows_the_system_otherwise(
    chromium: Browser, site: Site
) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    with opened(chromium, site, "/", color_scheme="dark") as page:
        dark = page.evaluate(ground)
        page.get_by_role("button", name="Use the light theme").click()
        light = page.evaluate(ground)
        assert light != dark
        page.goto("/worklist")
        assert page.evaluate(ground) == light
        expect(page.get_by_role("button", name="Use the dark theme")).to_be_visible()
    with opened(chromium, site, "/", color_scheme="dark", java_script_enabled=False) as page:
        page.wait_for_selector("main")
        assert page.locator("body").evaluate(f"() => {ground}") == dark


def test_the_keyboard_goes_straight_to_the_content(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, DISEASE) as page:
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="All diseases")).to_be_focused()
        page.keyboard.press("Tab")
        expect(page.get_by_label("Choose an image")).to_be_focused()


def test_the_console_makes_a_call_under_the_policy(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, "/api-console") as page:
        page.get_by_role("button", name="get /api/v1/diseases", exact=True).click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".live-responses-table")).to_contain_text("chest_xray_pneumonia")


def test_a_kept_image_that_is_gone_says_so(chromium: Browser, site: Site) -> None:
    path = site.read(BRIGHT + b"an image that is kept under a digest of its own")
    gone = site.stand_in.images.popitem()
    with opened(chromium, site, path, refused=2) as page:
        expect(page.get_by_text("The image is no longer kept")).to_be_visible()
    site.stand_in.images.update([gone])


def test_the_answer_is_said_before_its_page_has_come(chromium: Browser, site: Site) -> None:
    with opened(chromium, site, DISEASE) as page:
        # What the status says is kept beyond the page: a locator waits while another one is loaded.
        page.evaluate(
            """() => {
              const status = document.querySelector("[data-status]");
              const keep = () => sessionStorage.setItem("said", status.textContent);
              new MutationObserver(keep).observe(status, {childList: true, subtree: true});
            }"""
        )
        page.locator("#image").set_input_files(
            {"name": "x.png", "mimeType": "image/png", "buffer": BRIGHT}
        )
        page.get_by_role("button", name="Read this image").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Likely positive: Pneumonia")
        said = page.evaluate("sessionStorage.getItem('said')")
        assert said == "Likely positive: Pneumonia"
