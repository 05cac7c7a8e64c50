"""A DICOM file: what is kept of it, and what its reading warns of."""

from io import BytesIO

import pytest
from pydicom import dcmread

from diagnosis.contracts import Prediction
from diagnosis.images import read_image
from tests.fixtures import images
from tests.fixtures.live_service import Live, Start

FILM = images.dicom(images.words(200, 160), Modality="DX", PatientName="CANARY^4711")


async def read(live: Live, data: bytes, **fields: str) -> Prediction:
    answer = await live.read(data, **fields)
    assert answer.status_code == 201, answer.text
    return Prediction.model_validate_json(answer.content)


async def test_no_dicom_file_is_kept_unless_a_setting_says_so(live: Live) -> None:
    made = await read(live, FILM)
    assert made.image.dicom_digest is None
    answer = await live.client.get(f"/api/v1/predictions/{made.id}/dicom")
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    folder = live.service.settings.image_dir
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    assert [path.read_bytes()[:4] for path in files] == [b"\x89PNG"]


async def test_where_it_says_so_a_de_identified_one_is_kept_as_long_as_the_image(
    start: Start,
) -> None:
    live = await start(keep_dicom=True)
    first = await read(live, FILM, patient_reference="4711")
    other = images.dicom(images.words(200, 160), Modality="DX", PatientName="OTHER")
    second = await read(live, other)
    assert first.image == second.image
    answer = await live.client.get(f"/api/v1/predictions/{first.id}/dicom")
    assert answer.headers["content-type"] == "application/dicom"
    assert b"4711" not in answer.content
    assert dcmread(BytesIO(answer.content)).PatientIdentityRemoved == "YES"
    assert read_image(answer.content).digest == first.image.digest
    # It goes with the last reading that keeps it.
    await live.client.delete(f"/api/v1/predictions/{second.id}")
    assert live.service.images.get(str(first.image.dicom_digest)) is not None
    deletion = {"patient_reference": "4711"}
    deleted = await live.client.post("/api/v1/patients/deletion", json=deletion)
    assert deleted.json() == {"readings": 1, "images": 1}
    for digest in first.image.kept:
        assert live.service.images.get(digest) is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"BurnedInAnnotation": "YES"}, "The file says that"),
        ({"Modality": "OT"}, "does not say whether"),
        ({"BurnedInAnnotation": "NO"}, None),
        ({}, None),
    ],
)
async def test_a_reading_warns_of_text_in_the_image(
    live: Live, changes: dict[str, str], says: str | None
) -> None:
    film = images.dicom(images.words(200, 160), **{"Modality": "DX", **changes})
    found = [one for one in (await read(live, film)).notices if one.code == "burned-in-text"]
    assert len(found) == (says is not None)
    if says is not None:
        assert says in found[0].detail
        assert "Delete the reading" in found[0].remedy
