"""Batches through the pages without a browser: forms that stream, what is kept back, refusals."""

import csv
import io
import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from diagnosis import WARNING
from diagnosis.contracts import NewBatch
from diagnosis.identity import Role
from tests.fixtures.identity import CSRF, Acting
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, DARK, MIDDLE, coloured_picture
from web_ui import batch_exports
from web_ui.batch_client import BatchClient

CHEST = "chest_xray_pneumonia"


def begun(stand_in: StandIn, *files: bytes, name: str = "Ward 3", close: bool = True) -> UUID:
    """A batch with these files, read."""
    own = stand_in.batches
    made = own.begin(NewBatch(disease=CHEST, name=name)).id
    for number, data in enumerate(files):
        own.take(made, number, f"Jane/{number}.png", data)
    if close:
        own.put(made, "running")
    return made


def plain_form(*files: tuple[str, bytes], token: str = CSRF) -> dict[str, Any]:
    """What a form without scripts sends: the token first, the files last."""
    fields = {"csrf_token": token, "disease": CHEST, "name": "Ward 3"}
    parts = [(key, (None, value)) for key, value in fields.items()]
    return {"files": [*parts, *(("files", one) for one in files)]}


@pytest.fixture
async def without_header(pages: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without scripts: it sends the token in its form and nowhere else."""

    async def bare(request: httpx.Request) -> None:
        del request.headers["x-csrf-token"]

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages, raise_app_exceptions=False),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN, page=False),
        headers={"sec-fetch-site": "same-origin"},
    ) as client:
        yield client


async def test_a_plain_form_is_handed_on_without_its_token(
    without_header: httpx.AsyncClient, stand_in: StandIn
) -> None:
    form = plain_form(("a.png", BRIGHT), ("b.txt", b"none"))
    answer = await without_header.post("/batches", **form)
    assert answer.status_code == 303
    (made,) = stand_in.batches.known.values()
    assert answer.headers["location"] == f"/batches/{made.id}"
    assert (made.name, made.counts.done, made.counts.failed) == ("Ward 3", 1, 1)


@pytest.mark.parametrize("token", ["", "another", "\xff"])
async def test_a_form_with_another_token_is_refused_and_nothing_goes_on(
    without_header: httpx.AsyncClient, stand_in: StandIn, token: str
) -> None:
    form = plain_form(("a.png", BRIGHT), token=token)
    answer = await without_header.post("/batches", **form)
    assert answer.status_code == 403
    assert not stand_in.batches.known
    for path in ("files/1", "archive"):
        answer = await without_header.post(f"/batches/{UUID(int=0)}/{path}", content=b"x")
        assert answer.status_code == 403


async def test_a_form_that_is_none_says_so_on_its_page(client: httpx.AsyncClient) -> None:
    answer = await client.post("/batches", content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    assert "Open the page again and choose the files once more." in answer.text
    assert "A new batch" in answer.text


async def test_a_file_is_never_whole_in_memory(
    client: httpx.AsyncClient, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parts reach the API one by one, and what is too large stops on the way."""
    batch = begun(stand_in, close=False)
    sizes: list[int] = []
    given = BatchClient.pass_on

    async def watched(*arguments: Any, **named: Any) -> httpx.Response:
        client, method, path, caller, body, marks = arguments

        async def parts() -> AsyncIterator[bytes]:
            async for part in body:
                sizes.append(len(part))
                yield part

        return await given(client, method, path, caller, parts(), marks, **named)

    monkeypatch.setattr(BatchClient, "pass_on", watched)

    async def body(chunks: int) -> AsyncIterator[bytes]:
        yield b'--b\r\ncontent-disposition: form-data; name="file"; filename="image"\r\n\r\n'
        for _ in range(chunks):
            yield bytes(10_000)
        yield b"\r\n--b--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=b", "accept": "application/json"}
    answer = await client.post(f"/batches/{batch}/files/3", content=body(20), headers=kind)
    assert answer.status_code == 201
    assert max(sizes) <= 10_000
    assert stand_in.batches.items[batch][3].size == 200_000
    answer = await client.post(f"/batches/{batch}/files/4", content=body(60), headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (413, "file-too-large")
    large = kind | {"content-length": "999999999"}
    answer = await client.post(f"/batches/{batch}/files/4", content=b"", headers=large)
    assert answer.status_code == 413
    assert list(stand_in.batches.items[batch]) == [3]


async def test_what_is_refused_is_told_to_a_script_with_its_code(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    batch = begun(stand_in, BRIGHT)
    script = {"accept": "application/json"}
    form = {"file": ("image", DARK)}
    answer = await client.post(f"/batches/{batch}/files/1", files=form, headers=script)
    assert (answer.status_code, answer.json()["code"]) == (409, "batch-closed")
    answer = await client.post("/batches", data={"disease": "-", "name": ""}, headers=script)
    assert answer.status_code == 422
    assert "Choose an examination" in answer.json()["remedy"]
    answer = await client.post("/batches", data={"disease": CHEST, "name": "x"}, headers=script)
    assert answer.status_code == 201
    assert UUID(answer.json()["id"]) in stand_in.batches.known


@pytest.mark.parametrize("path", ["", "/files", "/events", "/cancel", "/delete", ".csv", ".json"])
async def test_a_batch_that_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    for batch in ("nonsense", str(UUID(int=7))):
        answer = await client.get(f"/batches/{batch}{path}")
        assert answer.status_code == 404


async def test_the_page_counts_bands_and_leads_to_their_readings(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    batch = begun(stand_in, BRIGHT, BRIGHT[:], MIDDLE, DARK, coloured_picture(), b"none")
    page = (await client.get(f"/batches/{batch}")).text
    found = re.findall(r'band=(\w+)".*?<strong>(\d+)</strong>', page, re.DOTALL)
    assert found == [
        ("likely_positive", "2"),
        ("uncertain", "1"),
        ("not_judged", "1"),
        ("likely_negative", "1"),
    ]
    assert "Jane/5.png" in page
    listed = (await client.get(f"/worklist?batch={batch}&band=likely_positive")).text
    assert listed.count("data-reading=") == 2
    assert f'name="batch" value="{batch}"' in listed
    table = (await client.get(f"/worklist.csv?batch={batch}")).text
    assert len(table.splitlines()) == 6


async def test_the_tables_are_the_api_s_own(client: httpx.AsyncClient, stand_in: StandIn) -> None:
    batch = begun(stand_in, BRIGHT, b"none")
    answer = await client.get(f"/batches/{batch}.csv")
    assert f'filename="batch-{batch}.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [row["band"] for row in rows] == ["likely_positive", ""]
    whole = (await client.get(f"/batches/{batch}.json")).json()
    assert whole["batch"]["bands"]["likely_positive"] == 1
    assert whole["warning"] == WARNING


async def test_who_reads_first_is_told_no_answer(
    pages: FastAPI, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = begun(stand_in, BRIGHT, DARK, coloured_picture(), b"none")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN, read_first=True),
    ) as client:
        page = (await client.get(f"/batches/{batch}")).text
        assert "its answers show once you have recorded your own opinion" in page
        for telling in ("band=", "Likely", "sort=urgent", "bands"):
            assert telling not in page
        told = (await client.get(f"/batches/{batch}/events")).text
        assert '"done": 3' in told
        assert "positive" not in told
        first = stand_in.batches.items[batch][0].prediction_id
        said = {"kind": "first_opinion", "class_id": "-", "note": ""}
        answer = await client.post(f"/readings/{first}/reviews", data=said)
        assert answer.status_code == 303
        text = (await client.get(f"/batches/{batch}.csv")).text
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\N{BYTE ORDER MARK}"))))
        assert [row["band"] for row in rows] == ["likely_positive", "", "not_judged", ""]
        assert [bool(row["probability"]) for row in rows] == [True, False, False, False]
        assert {row["warning"] for row in rows} == {WARNING}
        whole = (await client.get(f"/batches/{batch}.json")).json()
        assert set(whole["batch"]["bands"].values()) == {0}
        assert [row["band"] for row in whole["rows"]] == [
            "likely_positive",
            None,
            "not_judged",
            None,
        ]
        # Beyond what is looked at, every answer is kept back.
        monkeypatch.setattr(batch_exports, "MOST_LOOKED_AT", 0)
        whole = (await client.get(f"/batches/{batch}.json")).json()
        assert whole["rows"][0]["probability"] is None
        monkeypatch.setattr(batch_exports, "MOST", 3)
        assert (await client.get(f"/batches/{batch}.csv")).status_code == 409


async def test_no_name_of_a_file_in_an_address_or_a_log(
    client: httpx.AsyncClient, stand_in: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    batch = begun(stand_in, BRIGHT, b"none", close=False)
    arrived = (await client.get(f"/batches/{batch}/files")).json()["files"]
    assert [one["name"] for one in arrived] == ["Jane/0.png", "Jane/1.png"]
    assert set(arrived[0]) == {"number", "name", "size", "digest"}
    page = (await client.get(f"/batches/{batch}")).text
    assert "Jane" not in " ".join(re.findall(r'(?:href|action|src)="([^"]*)"', page))
    assert "Jane" not in json.dumps(capfd.readouterr())


async def test_older_batches_have_a_page_of_their_own(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    for number in range(4):
        begun(stand_in, name=f"Ward {number}")
    page = (await client.get("/batches")).text
    assert page.count('class="batch-job ') == 3
    (older,) = re.findall(r'rel="next" href="([^"]+)"', page)
    page = (await client.get(older)).text
    assert "Ward 0" in page
    assert "Newest batches" in page
