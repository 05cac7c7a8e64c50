"""Start, disease, worklist, about, API: what each shows, without scripts."""

import gzip
import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import httpx
import pytest

from diagnosis import WARNING
from tests.web_ui.stand_in_catalogue import BRIGHT

PAGES = (
    "/",
    "/diseases/chest_xray_pneumonia",
    "/diseases/mole/card",
    "/worklist",
    "/opinions",
    "/about",
    "/api",
    "/api-console",
)


class Reader(HTMLParser):
    """The text that a person sees, the headings in order, and the links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.headings: list[int] = []
        self.links: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "template", "head"):
            self._hidden += 1
        if re.fullmatch("h[1-6]", tag) and not self._hidden:
            self.headings.append(int(tag[1]))
        if tag == "a":
            self.links.append(dict(attrs).get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template", "head"):
            self._hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(unescape(" ".join(self.words)).split())


async def read(client: httpx.AsyncClient, image: bytes, disease: str) -> str:
    answer = await client.post(
        f"/diseases/{disease}/readings", files={"image": ("scan.png", image, "image/png")}
    )
    assert answer.status_code == 303
    return answer.headers["location"]


@pytest.mark.parametrize("address", PAGES)
async def test_every_page_carries_the_warning_and_the_policy(
    client: httpx.AsyncClient, address: str
) -> None:
    answer = await client.get(address)
    assert answer.status_code == 200
    assert WARNING in Reader(answer.text).text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("address", PAGES)
async def test_no_page_holds_an_inline_script_or_style(
    client: httpx.AsyncClient, address: str
) -> None:
    page = (await client.get(address)).text
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", page)
    for script in re.findall(r"<script[^>]*>(.*?)</script>", page, re.DOTALL):
        assert script == ""


@pytest.mark.parametrize("address", PAGES)
async def test_headings_begin_at_one_and_skip_no_level(
    client: httpx.AsyncClient, address: str
) -> None:
    headings = Reader((await client.get(address)).text).headings
    assert headings[0] == 1
    assert headings.count(1) == 1
    for above, below in pairwise(headings):
        assert below <= above + 1


# The console is left out: Swagger UI is heavy, and /api says the same without it.
@pytest.mark.parametrize("address", [page for page in PAGES if page != "/api-console"])
async def test_a_page_with_its_scripts_and_styles_is_light(
    client: httpx.AsyncClient, address: str
) -> None:
    page = (await client.get(address)).text
    files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(files) >= 4
    parts = [page.encode(), *[(await client.get(file)).content for file in files]]
    assert sum(len(gzip.compress(part)) for part in parts) < 150_000


async def test_the_start_page_leads_with_what_can_be_read(client: httpx.AsyncClient) -> None:
    text = Reader((await client.get("/")).text).text
    order = [
        "Ready to read",
        "Pneumonia",
        "Which examination is this?",
        "Demonstrations",
        "Its training images have 28 pixels a side",
        "Not available at the moment",
        "Malaria",
        "No model yet",
        ".venv/bin/trainer train",
        "Skin lesion",
    ]
    places = [text.index(words) for words in order]
    assert places == sorted(places)
    assert "Clinical candidate" in text
    assert "Demonstration only" in text
    assert text.count("Non-commercial") == 1


async def test_the_form_says_what_a_suitable_image_is_and_how_good_the_model_is(
    client: httpx.AsyncClient,
) -> None:
    page = (await client.get("/diseases/chest_xray_pneumonia")).text
    text = Reader(page).text
    for words in (
        "One upright image that fills the frame",
        "95.3 % 93.1 to 97.0",
        "92.8 % 88.9 to 95.7",
        "AUC 0.983 0.974 to 0.990",
        "640 films of 410 patients",
        "Children of 1 to 5 years",
        "Synthetic: shows no patient",
        "drawn as: Normal",
    ):
        assert words in text
    assert 'enctype="multipart/form-data"' in page
    assert 'capture="environment"' in page


async def test_a_disease_without_a_model_says_how_one_is_added(client: httpx.AsyncClient) -> None:
    page = (await client.get("/diseases/skin_lesion")).text
    text = Reader(page).text
    assert "There is no model for this disease yet." in text
    assert ".venv/bin/trainer train skin_lesion --data DATA --recipe small_residual" in text
    assert ".venv/bin/trainer promote skin_lesion VERSION" in text
    assert "docs/adding-a-disease.md" in text
    assert 'type="file"' not in page


async def test_a_refused_model_is_shown_as_unavailable(client: httpx.AsyncClient) -> None:
    page = (await client.get("/diseases/malaria_cell")).text
    assert "did not pass its checks" in page
    assert 'type="file"' not in page


@pytest.mark.parametrize("address", ["/diseases/gout", "/diseases/Chest%2F..%2Fx", "/nowhere"])
async def test_an_unknown_address_gets_the_error_view(
    client: httpx.AsyncClient, address: str
) -> None:
    answer = await client.get(address)
    assert answer.status_code == 404
    assert "GET /api" not in answer.text
    assert "Go to the start page" in answer.text


async def test_a_wrong_method_gets_the_error_view(client: httpx.AsyncClient) -> None:
    answer = await client.post("/about")
    assert answer.status_code == 405
    assert "does not take this method" in answer.text
    assert answer.headers["allow"] == "GET"


async def test_the_api_page_lists_every_call_of_the_document(client: httpx.AsyncClient) -> None:
    text = Reader((await client.get("/api")).text).text
    assert "POST /api/v1/diseases/{disease}/predictions" in text
    assert "image form, file, required" in text
    assert "curl -F image=@xray.jpeg http://sightline.test/api/v1/" in text


async def test_a_demo_image_is_passed_through(client: httpx.AsyncClient) -> None:
    answer = await client.get("/demo/chest_xray_pneumonia/pneumonia-1.png")
    assert answer.content == BRIGHT
    assert answer.headers["content-type"] == "image/png"
    assert (await client.get("/demo/chest_xray_pneumonia/..")).status_code == 404
