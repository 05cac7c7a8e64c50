"""No word of a page stands outside the catalogues, in a language that marks what it knows."""

import gettext
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser

import httpx
import pytest
from fastapi import FastAPI

from diagnosis.contracts import NewBatch
from diagnosis.identity import Role
from tests.fixtures.identity import Acting
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, MIDDLE, coloured_picture
from tests.web_ui.stand_in_gateway import StandInGateway, record
from web_ui import languages

#: What is the same in every language: names, notations, units.
_SAME = re.compile(
    r"\b(Test Person|default|Sightline|API|AUC|CSV|JSON|JPEG|PNG|TIFF|WebP|BMP|DICOM|UTC|ZIP|PDF"
    r"|HiResCAM|OpenVINO|ms|px|n|f32|bf16|f16|int8)\b"
)
#: Where a page shows code, a name that somebody gave, or another language on purpose.
_APART = {"code", "pre", "kbd", "script", "style", "bdi", "textarea", "time"}
_READ_OUT = ("aria-label", "title", "alt", "placeholder")
_VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Marking(gettext.NullTranslations):
    """Whatever is looked up, between brackets: other tests say that the catalogues have it."""

    def gettext(self, message: str) -> str:
        return f"⟦{message}⟧"

    def pgettext(self, context: str, message: str) -> str:
        return self.gettext(message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


class Unmarked(HTMLParser):
    """The words of a page, read or read out, that are in no catalogue."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within: list[bool] = []
        self._depth = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        apart = tag in _APART or told.get("translate") == "no" or (tag != "html" and "lang" in told)
        hidden = any(self._within)
        if not (hidden or apart):
            for name in _READ_OUT:
                self._look(re.sub("⟦.*⟧", "", told.get(name) or "", flags=re.DOTALL))
        if tag not in _VOID:
            self._within.append(apart)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID and self._within:
            self._within.pop()

    def handle_data(self, data: str) -> None:
        # A marked text may hold tags of its own, and other marked texts as values.
        outside = ""
        for character in data:
            self._depth += (character == "⟦") - (character == "⟧")
            outside += character if self._depth == 0 else " "
        if not any(self._within):
            self._look(outside)

    def _look(self, text: str) -> None:
        if re.search(r"[^\W\d_]{2}", _SAME.sub("", text)):
            self.found.append(" ".join(text.split()))


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Headers of a request whose answer is in the marking language."""
    monkeypatch.setattr(languages, "_catalogue", lambda code: Marking())
    return {"accept-language": "fr"}


@pytest.fixture
async def everybody(pages: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody with every role: no page is closed."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages, raise_app_exceptions=False),
        base_url="http://sightline.test",
        auth=Acting(*Role),
    ) as client:
        yield client


async def read(client: httpx.AsyncClient, image: bytes, disease: str) -> str:
    answer = await client.post(
        f"/diseases/{disease}/readings", files={"image": ("scan.png", image, "image/png")}
    )
    return answer.headers["location"]


async def test_every_text_of_every_page_is_in_the_catalogues(
    everybody: httpx.AsyncClient,
    marked: dict[str, str],
    stand_in: StandIn,
    gateway: StandInGateway,
) -> None:
    gateway.records = [record(seq) for seq in range(1, 4)]
    film = "chest_xray_pneumonia"
    positive = await read(everybody, BRIGHT, film)
    batch = stand_in.batches.begin(NewBatch(disease=film)).id
    for number, data in enumerate((BRIGHT, MIDDLE, b"none")):
        stand_in.batches.take(batch, number, f"{number}.png", data)
    looked_at = {
        path: (await everybody.get(path, headers=marked)).text
        for path in (
            "/",
            f"/diseases/{film}",
            "/diseases/skin_lesion",
            "/diseases/malaria_cell",
            "/diseases/mole/card",
            "/diseases/mole/versions",
            "/diseases/mole/compare",
            positive,
            f"{positive}/delete",
            await read(everybody, MIDDLE, film),
            await read(everybody, DARK, film),
            await read(everybody, BRIGHT, "brain_mri_tumour"),
            await read(everybody, coloured_picture(), film),
            await read(everybody, MIDDLE, "mole"),
            "/worklist",
            "/opinions",
            "/batches",
            f"/batches/{batch}",
            "/about",
            "/account",
            "/users",
            "/audit",
            "/sign-in",
            "/offline",
            "/nowhere",
        )
    }
    proposals = await everybody.post(
        "/examinations", files={"image": ("scan.png", BRIGHT, "image/png")}, headers=marked
    )
    looked_at["proposals"] = proposals.text
    refused = await everybody.post(
        f"/diseases/{film}/readings",
        files={"image": ("x.png", b"none", "image/png")},
        headers=marked,
    )
    looked_at["a refusal"] = refused.text
    outside = {path: found for path, page in looked_at.items() if (found := Unmarked(page).found)}
    assert outside == {}
