"""Live models for devices: made of the verified artifact, and of the version that is live alone."""

import asyncio
import hashlib

import httpx

from tests.fixtures.live_service import DISEASE, Live

PORTABLE = f"/api/v1/diseases/{DISEASE}/portable"


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_device_is_given_the_live_model_and_how_to_read_its_answer(live: Live) -> None:
    model = (await live.client.get(PORTABLE)).json()
    card = (await live.client.get(f"/api/v1/diseases/{DISEASE}/card")).json()
    assert (model["version"], model["artifact_digest"]) == ("2", card["files"]["keras"]["digest"])
    for name in ("preprocessing", "conformal", "operating_points", "finding", "golden"):
        assert model[name] == card[name], name
    graph = await live.client.get(f"{PORTABLE}/2/model.onnx")
    assert graph.headers["content-type"] == "application/octet-stream"
    assert len(graph.content) == model["onnx"]["bytes"]
    assert f"sha256:{hashlib.sha256(graph.content).hexdigest()}" == model["onnx"]["digest"]


async def test_of_another_version_there_is_no_file(live: Live) -> None:
    refused = await live.client.get(f"{PORTABLE}/1/model.onnx")
    assert problem(refused) == (404, "unknown-version")
    await asyncio.to_thread(live.service.registry.promote, DISEASE, "1")

    async def version() -> str:
        return str((await live.client.get(PORTABLE)).json()["version"])

    for _ in range(100):
        if await version() == "1":
            break
        await asyncio.sleep(0.05)
    assert (await live.client.get(f"{PORTABLE}/1/model.onnx")).status_code == 200
    assert problem(await live.client.get(f"{PORTABLE}/2/model.onnx")) == (404, "unknown-version")


async def test_files_that_changed_since_they_were_verified_are_handed_to_nobody(live: Live) -> None:
    folder = live.service.registry.folder(DISEASE, "2")
    graph = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(bytes(len(graph)))
    assert problem(await live.client.get(PORTABLE)) == (409, "not-portable")


async def test_what_has_no_model_or_no_gate_says_so(live: Live) -> None:
    assert problem(await live.client.get("/api/v1/diseases/nothing/portable")) == (
        404,
        "unknown-disease",
    )
    missing = await live.client.get("/api/v1/diseases/skin_lesion/portable")
    assert problem(missing) == (409, "no-live-model")
    assert (await live.client.get(f"{PORTABLE}/2/gate.bin")).status_code == 404
    assert (await live.client.get(f"{PORTABLE}/2/card.json")).status_code == 422
