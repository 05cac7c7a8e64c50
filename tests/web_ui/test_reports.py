"""A report on paper: what stands in it, who gets none, and what it is printed by."""

import asyncio
import io
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pypdf import PdfReader

from diagnosis import WARNING
from diagnosis.errors import Overloaded, ServiceUnavailable
from tests.fixtures.identity import CSRF
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, coloured_picture
from web_ui import printing, printing_worker
from web_ui.bundle import Bundle
from web_ui.printing import BASE, Part, Printer, PrintingUnavailable, TooLongToPrint

NOTE = "A shadow of the scapula. <b>हिन्दी</b>"
PLAIN = "<!doctype html><html lang=en><title>t</title><body><p>whole</p>"


async def read(client: httpx.AsyncClient, image: bytes = BRIGHT) -> str:
    """The id of a fresh reading."""
    files = {"image": ("secret-name.png", image, "image/png")}
    address = "/diseases/chest_xray_pneumonia/readings"
    answer = await client.post(
        address, files=files, headers={"x-csrf-token": CSRF}, follow_redirects=False
    )
    return answer.headers["location"].rpartition("/")[2]


def words(pdf: bytes) -> list[str]:
    """The text of each page, in one line each, its spaces plain ones."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(pdf)).pages]


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Mapping[str, Part]]]:
    """The documents that would be printed, with their parts."""
    printed: list[tuple[str, Mapping[str, Part]]] = []

    async def take(_: Printer, document: str, parts: Mapping[str, Part]) -> bytes:
        printed.append((document, parts))
        return b"%PDF-"

    monkeypatch.setattr(Printer, "pdf", take)
    return printed


async def correct(stand_in: StandIn, reading: str) -> None:
    """Have a clinician say that it is normal."""
    said = {"kind": "review", "verdict": "correct", "class_id": "normal", "note": NOTE}
    transport = httpx.ASGITransport(stand_in.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as api:
        answer = await api.post(f"/api/v1/predictions/{reading}/reviews", json=said)
        assert answer.status_code == 201


async def test_a_report_tells_the_reading_its_reviews_and_its_model(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    reading = await read(client)
    await correct(stand_in, reading)
    answer = await client.get(f"/readings/{reading}/report.pdf")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-disposition"] == f'attachment; filename="reading-{reading}.pdf"'
    pages = words(answer.content)
    for page in pages:
        assert WARNING in page
        assert f"Reading {reading}" in page
        assert "Report made on" in page
    text = " ".join(pages)
    for part in (
        "Likely positive: Pneumonia",
        "Passed: the image is like those that this model may judge.",
        "Corrects to Normal",
        "A shadow of the scapula. <b>",
        "Balanced, 41.0 % (in use)",
        "95.3 % (93.1 to 97.0)",
        "AUC 0.983 0.973 to 0.993",
        "Trained on films of one centre",
        "http://sightline.test/readings/",
    ):
        assert part in text, part
    assert "secret-name" not in text
    _can_be_read_aloud(answer.content)


def _can_be_read_aloud(content: bytes) -> None:
    """It is marked as PDF/UA-1 and tagged throughout; pictures have words, fonts are ours."""
    pdf = PdfReader(io.BytesIO(content))
    root = pdf.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    assert root["/ViewerPreferences"]["/DisplayDocTitle"]
    assert pdf.metadata is not None
    assert pdf.metadata.title == "Report of a reading: Pneumonia"
    assert b"pdfuaid" in root["/Metadata"].get_data()
    tags = list(elements(root["/StructTreeRoot"]))
    kinds = [one["/S"] for one in tags]
    assert kinds.count("/H1") == 1
    assert {"/H2", "/Table", "/TH", "/TD", "/Figure", "/P"} <= set(kinds)
    pictures = [str(one.get("/Alt", "")) for one in tags if one["/S"] == "/Figure"]
    assert all(pictures), pictures
    assert "The image that was read" in pictures
    assert "The image with the heatmap for Pneumonia over it" in pictures
    assert sum(len(page.images) for page in pdf.pages) >= 2
    fonts = {
        str(font.get_object()["/BaseFont"])
        for page in pdf.pages
        for font in page["/Resources"]["/Font"].values()
    }
    assert any("Report-Devanagari" in font for font in fonts)
    assert all("Report-" in font for font in fonts), fonts


def elements(node: object) -> Iterator[dict[str, object]]:
    """Every element of the tree of tags."""
    node = getattr(node, "get_object", lambda: node)()
    if isinstance(node, list):
        for one in node:
            yield from elements(one)
    elif isinstance(node, dict):
        if "/S" in node:
            yield node
        if "/K" in node:
            yield from elements(node["/K"])


async def test_a_report_is_an_export_and_holds_no_hint_of_the_patient(
    client: httpx.AsyncClient, stand_in: StandIn, paper: list[tuple[str, Mapping[str, Part]]]
) -> None:
    reference = "4e" * 32
    found = stand_in.read(stand_in.disease("chest_xray_pneumonia"), BRIGHT)
    stand_in.readings[found.id] = found.model_copy(update={"patient_reference": reference})
    assert (await client.get(f"/readings/{found.id}/report.pdf")).status_code == 200
    assert stand_in.purposes == ["export"]
    ((document, parts),) = paper
    assert reference not in document
    assert parts[f"{BASE}image"].content == BRIGHT
    # The thresholds are marked on the bar of the finding, the chosen one thicker.
    assert re.findall(r'stroke-width="([\d.]+)"', document) == ["1", "2.5", "1"]
    assert parts[f"{BASE}heatmap"].media_type == "image/png"


async def test_a_report_says_that_the_model_is_under_review(
    client: httpx.AsyncClient, stand_in: StandIn, paper: list[tuple[str, Mapping[str, Part]]]
) -> None:
    found = stand_in.read(stand_in.disease("chest_xray_pneumonia"), BRIGHT)
    stand_in.under_review(found)
    await client.get(f"/readings/{found.id}/report.pdf")
    ((document, _),) = paper
    says = "The model that made this reading is under review: it was stopped, because"
    assert document.count(says) == 1
    assert document.index(says) < document.index("The answer</h2>")
    carried = (await client.get(f"/readings/{found.id}.json")).json()
    assert [one["code"] for one in carried["prediction"]["notices"]] == ["model-under-review"]


async def test_what_is_gone_is_said_to_be_gone(
    client: httpx.AsyncClient, stand_in: StandIn, paper: list[tuple[str, Mapping[str, Part]]]
) -> None:
    reading = await read(client)
    stand_in.images.clear()
    assert (await client.get(f"/readings/{reading}/report.pdf")).status_code == 200
    ((document, parts),) = paper
    assert "The image is no longer kept." in document
    assert "heatmap for" not in document
    assert not any(part.media_type.startswith("image/") for part in parts.values())


async def test_an_image_that_was_not_judged_has_a_report_without_figures(
    client: httpx.AsyncClient, paper: list[tuple[str, Mapping[str, Part]]]
) -> None:
    reading = await read(client, coloured_picture())
    await client.get(f"/readings/{reading}/report.pdf")
    ((document, _),) = paper
    assert "Not judged" in document
    assert "Send the original greyscale image." in document
    assert "Probabilities" not in document


@pytest.mark.parametrize("ending", ["/report.pdf", ".json"])
async def test_who_reads_first_gets_a_report_after_an_own_opinion(
    ending: str,
    client: httpx.AsyncClient,
    pages: FastAPI,
    paper: list[tuple[str, Mapping[str, Part]]],
) -> None:
    context = pages.state.context
    always = context.settings.model_copy(update={"read_first": "always"})
    pages.state.context = replace(context, settings=always)
    reading = await read(client)
    refused = await client.get(f"/readings/{reading}{ending}")
    assert refused.status_code == 409
    assert "Your own opinion comes first" in refused.text
    assert "89" not in refused.text
    assert paper == []
    form = {"csrf_token": CSRF, "kind": "first_opinion", "class_id": "normal"}
    posted = await client.post(f"/readings/{reading}/reviews", data=form)
    assert posted.status_code == 303
    assert (await client.get(f"/readings/{reading}{ending}")).status_code == 200


async def test_a_report_is_in_the_language_of_who_asks(
    client: httpx.AsyncClient, paper: list[tuple[str, Mapping[str, Part]]]
) -> None:
    reading = await read(client)
    client.cookies.set("sightline_language", "hi")
    assert (await client.get(f"/readings/{reading}/report.pdf")).status_code == 200
    ((document, _),) = paper
    assert '<html lang="hi" dir="ltr">' in document
    assert WARNING not in document
    assert re.search("[\N{DEVANAGARI LETTER A}-\N{DEVANAGARI LETTER HA}]", document)


async def test_there_is_no_report_of_nothing(client: httpx.AsyncClient) -> None:
    nothing = "01936f5e-8b1c-7a3e-9d5f-2b4c6d8e0f1a"
    assert (await client.get(f"/readings/{nothing}/report.pdf")).status_code == 404


async def test_a_machine_without_pango_says_what_is_missing(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A Python whose WeasyPrint cannot load its libraries, as where Debian's package is missing.
    broken = tmp_path / "python"
    broken.write_text(
        f"#!/bin/sh\nexec {sys.executable} -c \"import sys; sys.modules['weasyprint'] = None;"
        ' from web_ui.printing_worker import main; sys.exit(main())"\n'
    )
    broken.chmod(0o755)
    monkeypatch.setattr(printing.sys, "executable", str(broken))
    reading = await read(client)
    answer = await client.get(f"/readings/{reading}/report.pdf")
    assert answer.status_code == 503
    assert "libpangoft2-1.0-0" in answer.text
    assert "Print the page from the browser instead" in answer.text


def _runs(pid: Path) -> bool:
    return Path("/proc", pid.read_text().strip()).exists()


async def test_what_takes_too_long_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = tmp_path / "python"
    slow.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(printing.sys, "executable", str(slow))
    printer = Printer(0.7, at_once=1)
    first = asyncio.create_task(printer.pdf(PLAIN, {}))
    await asyncio.sleep(0.2)
    with pytest.raises(TooLongToPrint):
        await first
    assert not _runs(tmp_path / "pid")
    # While one is printed, another waits no longer than its own time.
    impatient = Printer(0.3, at_once=1)
    await impatient._turns.acquire()
    with pytest.raises(Overloaded):
        await impatient.pdf(PLAIN, {})


@pytest.mark.parametrize(
    "answer", ["exit 1", "echo not a PDF", "echo %PDF-; exit 9", "exit 3"], ids=lambda one: one[:8]
)
async def test_a_process_that_fails_is_not_taken_for_a_report(
    answer: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = tmp_path / "python"
    wrong.write_text(f"#!/bin/sh\n{answer}\n")
    wrong.chmod(0o755)
    monkeypatch.setattr(printing.sys, "executable", str(wrong))
    expected = PrintingUnavailable if answer == "exit 3" else ServiceUnavailable
    with pytest.raises(expected):
        await Printer(20).pdf(PLAIN, {"https://parts.invalid/x": Part("image/png", b"x" * 300_000)})


async def test_a_document_reaches_nothing_but_its_parts(tmp_path: Path) -> None:
    heard: list[str] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readline()).decode())
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    secret = tmp_path / "secret.png"
    secret.write_bytes(BRIGHT)
    document = f"""<!doctype html><html lang=en><title>t</title>
      <link rel=stylesheet href="http://127.0.0.1:{port}/style.css">
      <link rel=attachment href="{secret.as_uri()}">
      <style>@import url("http://127.0.0.1:{port}/a.css"); p {{ background: url({secret}) }}</style>
      <p>whole <img alt=a src="{secret.as_uri()}"><img alt=b src="http://127.0.0.1:{port}/b.png">
      <img alt=c src="data:image/png;base64,AAAA"><img alt=d src="known">
      <svg width=9 height=9><title>e</title><image href="{secret.as_uri()}"/></svg>"""
    pdf = await Printer(60).pdf(document, {f"{BASE}known": Part("image/png", BRIGHT)})
    server.close()
    await server.wait_closed()
    assert heard == []
    (page,) = PdfReader(io.BytesIO(pdf)).pages
    assert "whole" in page.extract_text()
    assert len(page.images) == 1
    assert b"EmbeddedFile" not in pdf


def test_the_process_is_told_everything_in_one_piece() -> None:
    parts = {"https://parts.invalid/a": Part("image/png", b"\n\x00a"), "b": Part("text/css", b"")}
    packed = printing._packed("ä\n", parts)
    document, found = printing_worker.unpacked(io.BytesIO(packed))
    assert document == "ä\n"
    assert found == {
        "https://parts.invalid/a": ("image/png", b"\n\x00a"),
        "b": ("text/css", b""),
    }


def test_a_report_is_set_in_fonts_that_ship(built_assets: Path) -> None:
    files = Bundle(built_assets).files("report")
    kinds = sorted(kind for kind, _ in files.values())
    assert kinds == ["font/woff2"] * 6 + ["text/css"]
    (sheet,) = [content.decode() for kind, content in files.values() if kind == "text/css"]
    for address, (kind, _) in files.items():
        assert kind == "text/css" or address in sheet
