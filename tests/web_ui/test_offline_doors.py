"""What a device keeps, and what it asks for: without a browser."""

import json
import re
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from diagnosis.identity import Role
from tests.fixtures.identity import Acting
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT
from web_ui.bundle import Bundle

DELIVERY = "/offline/readings/chest_xray_pneumonia"


def shell(script: str) -> dict[str, object]:
    told = json.loads(script.partition("const sightlineShell = ")[2].partition(";\n")[0])
    assert isinstance(told, dict)
    return told


async def test_the_page_that_is_kept_is_the_same_for_everybody(
    client: httpx.AsyncClient, pages: FastAPI
) -> None:
    mine = await client.get("/offline")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages), base_url="http://sightline.test"
    ) as stranger:
        theirs = await stranger.get("/offline")
        assert (await stranger.get("/offline/state")).status_code == 401
    assert mine.status_code == theirs.status_code == 200
    assert mine.text == theirs.text
    assert "Test Person" not in mine.text
    assert "csrf-of-the-test" not in mine.text


async def test_wasm_is_allowed_on_this_page_and_on_no_other(client: httpx.AsyncClient) -> None:
    allowed = (await client.get("/offline")).headers.get_list("content-security-policy")
    assert len(allowed) == 1
    assert "script-src 'self' 'wasm-unsafe-eval';" in allowed[0]
    assert "'unsafe-eval'" not in allowed[0]
    for address in ("/", "/about", "/service-worker.js", "/manifest.webmanifest"):
        assert "unsafe" not in (await client.get(address)).headers["content-security-policy"]


async def test_the_worker_is_told_of_built_files_and_of_no_other_page(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/service-worker.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    told = shell(answer.text)
    assert told["page"] == "/offline"
    files = told["files"]
    assert isinstance(files, list)
    assert all(one.startswith("/static/dist/") for one in files)
    for file in files:
        assert (await client.get(file)).status_code == 200, file
    page = (await client.get("/offline")).text
    for asset in re.findall(r'(?:src|href)="(/static/dist/[^"]+)"', page):
        assert asset in files


def test_another_release_is_another_version(built_assets: Path, tmp_path: Path) -> None:
    def version(change: str) -> object:
        manifest = json.loads((built_assets / "manifest.json").read_text())
        worker = manifest["src/offline/service-worker.ts"]["file"]
        manifest["src/main.ts"]["file"] += change
        folder = tmp_path / f"dist{change}"
        (folder / "assets").mkdir(parents=True)
        (folder / worker).write_bytes((built_assets / worker).read_bytes())
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return shell(Bundle(folder).worker("/offline"))["version"]

    assert version("") != version("x")


async def test_the_manifest_lets_the_pages_be_installed(client: httpx.AsyncClient) -> None:
    answer = await client.get("/manifest.webmanifest")
    assert answer.headers["content-type"] == "application/manifest+json"
    manifest = answer.json()
    assert (manifest["start_url"], manifest["display"]) == ("/", "standalone")
    assert {one["sizes"] for one in manifest["icons"]} == {"192x192", "512x512"}
    for icon in manifest["icons"]:
        assert (await client.get(icon["src"])).headers["content-type"] == "image/png"
    assert '<link rel="manifest" href="/manifest.webmanifest">' in (await client.get("/")).text


async def test_a_device_is_told_who_is_signed_in_by_a_mark_alone(
    client: httpx.AsyncClient, pages: FastAPI
) -> None:
    mine = (await client.get("/offline/state")).json()
    assert mine["token"] == "csrf-of-the-test"
    assert re.fullmatch(r"[0-9a-f]{16}", mine["person"])
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN, sub="u_another"),
    ) as another:
        assert (await another.get("/offline/state")).json()["person"] != mine["person"]


@pytest.mark.parametrize("key", ["", "no key"])
async def test_an_image_without_a_key_is_not_read(
    client: httpx.AsyncClient, stand_in: StandIn, key: str
) -> None:
    answer = await client.post(DELIVERY, files={"image": BRIGHT}, headers={"idempotency-key": key})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
    assert stand_in.readings == {}


async def test_an_image_is_read_once_however_often_it_comes(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    headers = {"idempotency-key": str(uuid4())}
    answers = [
        await client.post(DELIVERY, files={"image": ("film.png", BRIGHT)}, headers=headers)
        for _ in range(2)
    ]
    assert [one.status_code for one in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert len(stand_in.readings) == 1
    # The file's name goes no further.
    assert {name for name, _ in stand_in.received} == {"image"}


async def test_who_reads_first_is_sent_no_answer(pages: FastAPI) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN, read_first=True),
    ) as client:
        assert (await client.get("/offline/state")).json()["readFirst"] is True
        answer = await client.post(
            DELIVERY, files={"image": BRIGHT}, headers={"idempotency-key": str(uuid4())}
        )
    told = answer.json()
    assert told["address"].startswith("/readings/")
    assert (told["band"], told["probabilities"], told["reason"]) == (None, [], None)


async def test_a_refusal_is_json_that_says_when_to_come_again(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    stand_in.store_down = True
    answer = await client.post(
        DELIVERY, files={"image": BRIGHT}, headers={"idempotency-key": str(uuid4())}
    )
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert "detail" in answer.json()


async def test_only_the_files_of_a_model_are_handed_out(client: httpx.AsyncClient) -> None:
    model = "/offline/models/chest_xray_pneumonia"
    for path in ("1/card.json", "0/model.onnx", "x/model.onnx", "1/model.keras"):
        assert (await client.get(f"{model}/{path}")).status_code in (404, 422), path
    assert (await client.get(model)).status_code == 409
