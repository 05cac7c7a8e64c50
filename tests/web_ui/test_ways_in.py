"""Many images: what the pages answer to the script that sends them one by one."""

import hashlib
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from diagnosis.identity import Role
from tests.fixtures.identity import Acting
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT, coloured_picture

READINGS = "/diseases/chest_xray_pneumonia/readings"
#: What the script says, the proxy's sake included.
AS_DATA = {"accept": "application/json", "hx-request": "true"}


async def send(
    client: httpx.AsyncClient, image: bytes, reference: str = "", path: str = READINGS, **more: str
) -> httpx.Response:
    files = {"image": ("Jane Doe.png", image, "image/png")}
    data = {"patient_reference": reference}
    return await client.post(path, files=files, data=data, headers=AS_DATA | more)


async def test_a_script_gets_the_address_and_the_answer_in_short(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    answer = await send(client, BRIGHT)
    assert answer.status_code == 201
    (reading,) = stand_in.readings
    assert answer.json() == {
        "address": f"/readings/{reading}",
        "outcome": "judged",
        "tone": "positive",
        "class": "Pneumonia",
    }
    assert answer.headers["cache-control"] == "no-store"
    assert "hx-redirect" not in answer.headers


async def test_who_reads_before_the_model_gets_no_answer(pages: FastAPI, stand_in: StandIn) -> None:
    transport = httpx.ASGITransport(pages, raise_app_exceptions=False)
    reader = Acting(Role.CLINICIAN, read_first=True)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://sightline.test", auth=reader
    ) as client:
        answer = await send(client, BRIGHT)
    (reading,) = stand_in.readings
    assert answer.json() == {"address": f"/readings/{reading}", "outcome": "judged"}


async def test_what_the_image_check_refuses_is_said_with_its_remedy(
    client: httpx.AsyncClient,
) -> None:
    said = (await send(client, coloured_picture())).json()
    assert said["outcome"] == "not_judged"
    assert said["detail"] == "The image does not look like one this model was made for."
    assert said["remedy"] == "Send the original greyscale image."


@pytest.mark.parametrize(
    ("image", "status", "title"),
    [
        (b"hello", 415, "The file is not an image"),
        (b"1" * 400_000, 413, "The file is too large"),
    ],
)
@pytest.mark.parametrize("path", [READINGS, "/examinations"])
async def test_a_refusal_is_data_too(
    client: httpx.AsyncClient, path: str, image: bytes, status: int, title: str
) -> None:
    answer = await send(client, image, path=path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) == {"status", "code", "title", "detail", "remedy"}
    assert answer.json()["title"] == title


async def test_a_busy_service_says_when_to_come_again(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    stand_in.store_down = True
    answer = await send(client, BRIGHT)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["title"]


async def test_whom_it_is_closed_to_is_told_so_in_data(pages: FastAPI) -> None:
    transport = httpx.ASGITransport(pages, raise_app_exceptions=False)
    auditor = Acting(Role.AUDITOR)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://sightline.test", auth=auditor
    ) as client:
        answer = await send(client, BRIGHT)
    assert answer.status_code == 403
    assert answer.json()["title"]


async def test_the_same_sending_again_makes_no_second_reading(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    key = str(uuid4())
    first = await send(client, BRIGHT, **{"idempotency-key": key})
    again = await send(client, BRIGHT, **{"idempotency-key": key})
    assert first.json() == again.json()
    assert len(stand_in.readings) == 1
    other = await send(client, BRIGHT, **{"idempotency-key": str(uuid4())})
    assert other.json() != first.json()


async def test_a_key_that_is_none_is_refused_and_without_one_none_is_made_up(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    refused = await send(client, BRIGHT, **{"idempotency-key": "Jane Doe 1970"})
    assert refused.status_code == 422
    assert "Jane" not in refused.text
    assert not stand_in.received
    await send(client, BRIGHT)
    assert "idempotency-key" not in stand_in.received[0][1]


@pytest.mark.parametrize("headers", [AS_DATA, {}], ids=["script", "form"])
async def test_a_patient_reference_goes_to_the_service_and_nowhere_else(
    client: httpx.AsyncClient, stand_in: StandIn, headers: dict[str, str]
) -> None:
    files = {"image": ("Jane Doe.png", BRIGHT, "image/png")}
    data = {"patient_reference": "  MRN ä-4711 "}
    answer = await client.post(READINGS, files=files, data=data, headers=headers)
    (reading,) = stand_in.readings.values()
    assert reading.patient_reference == hashlib.sha256("MRN ä-4711".encode()).hexdigest()
    assert "4711" not in answer.text + str(answer.headers)
    await send(client, BRIGHT, reference="   ")
    assert [one.patient_reference for one in stand_in.readings.values()].count(None) == 1


async def test_proposals_are_data_too(client: httpx.AsyncClient) -> None:
    said = (await send(client, BRIGHT, path="/examinations")).json()
    assert [one["disease"] for one in said["items"]] == [
        "chest_xray_pneumonia",
        "chest_xray_pneumonia_type",
    ]
    none = (await send(client, coloured_picture(), path="/examinations")).json()
    assert none["items"] == []
    assert none["detail"] == "No live model takes an image like this one."
