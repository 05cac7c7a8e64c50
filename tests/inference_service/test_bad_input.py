"""What bad input gets: a problem with its own code, at once, and nothing is kept."""

import time
from collections.abc import AsyncIterator, Callable

import httpx
import numpy as np
import pytest
from PIL import Image
from pydicom.uid import BasicTextSRStorage
from structlog.testing import capture_logs

from diagnosis.contracts import Problem
from diagnosis.images import MAX_BYTES
from tests.fixtures import images
from tests.fixtures.live_service import DISEASE, Live
from tests.fixtures.patience import AT_ONCE
from tests.inference_service.pictures import BRIGHT, picture

PREDICTIONS = f"/api/v1/diseases/{DISEASE}/predictions"


def jpeg() -> bytes:
    return images.encode(picture(100, 1), "JPEG")


def frames(kind: str) -> bytes:
    first, *others = (Image.fromarray(picture(level, 1)) for level in (50, 100, 150))
    return images.encode(first, kind, save_all=True, append_images=others)


def report() -> bytes:
    return images.dicom(
        None, SOPClassUID=BasicTextSRStorage, PatientName="Mueller^Hans", Modality="SR"
    )


FILES: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "empty": (lambda: b"", 422, "empty-file"),
    "text": (lambda: b"This is a letter about Mr Mueller.\n" * 50, 415, "not-an-image"),
    "truncated JPEG": (lambda: jpeg()[:-400], 422, "damaged-image"),
    "30 MB": (lambda: jpeg() + bytes(30_000_000), 413, "file-too-large"),
    "a byte too many": (lambda: bytes(MAX_BYTES + 1), 413, "file-too-large"),
    "60 megapixels": (
        lambda: images.encode(Image.new("L", (10_000, 6_000)), "PNG"),
        413,
        "too-many-pixels",
    ),
    "bomb": (lambda: images.png_of_size(30_000, 30_000), 413, "too-many-pixels"),
    "animated": (lambda: frames("PNG"), 422, "multi-frame-image"),
    "multi-page": (lambda: frames("TIFF"), 422, "multi-frame-image"),
    "DICOM report": (report, 422, "dicom-without-image"),
    "GIF": (lambda: frames("GIF"), 415, "unsupported-format"),
    "tiny": (lambda: images.encode(images.grey(4, 4), "PNG"), 422, "image-too-small"),
}


async def nothing_kept(live: Live) -> bool:
    listed = (await live.client.get("/api/v1/predictions")).json()["items"]
    root = live.service.settings.image_dir
    kept = [path for path in root.rglob("*") if path.is_file() and len(path.name) == 64]
    return listed == [] and kept == []


def problem(answer: httpx.Response) -> Problem:
    assert answer.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(answer.content)
    assert found.status == answer.status_code
    assert found.type == f"/problems/{found.code}"
    assert found.detail.endswith(".")
    assert found.remedy.endswith(".")
    return found


@pytest.mark.parametrize("name", FILES)
async def test_a_file_that_cannot_be_read_is_refused_and_nothing_is_kept(
    live: Live, name: str
) -> None:
    make, status, code = FILES[name]
    data = make()
    with capture_logs() as logs:
        began = time.perf_counter()
        answer = await live.read(data)
        took = time.perf_counter() - began
    assert answer.status_code == status, answer.text
    assert problem(answer).code == code
    assert took < AT_ONCE
    assert await nothing_kept(live)
    assert "Mueller" not in answer.text + str(logs)
    assert "patient-name" not in answer.text + str(logs)
    assert (await live.read(BRIGHT)).status_code == 201


async def test_too_much_is_refused_while_it_comes(live: Live) -> None:
    """Without a declared length: the stream is cut off, whatever is still to come."""
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x"\r\n\r\n'
        for _ in range(100):
            sent += 1
            yield bytes(1 << 20)

    answer = await live.client.post(
        PREDICTIONS,
        content=endless(),
        headers={"content-type": "multipart/form-data; boundary=b"},
    )
    assert (answer.status_code, problem(answer).code) == (413, "file-too-large")
    assert await nothing_kept(live)


async def test_a_declared_length_is_refused_before_a_byte_is_read(live: Live) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    answer = await live.client.post(
        PREDICTIONS,
        content=never(),
        headers={
            "content-type": "multipart/form-data; boundary=b",
            "content-length": str(10**12),
        },
    )
    assert (answer.status_code, problem(answer).code) == (413, "file-too-large")


async def test_an_unknown_disease(live: Live) -> None:
    for answer in (
        await live.read(BRIGHT, disease="hiccups"),
        await live.client.get("/api/v1/diseases/hiccups"),
        await live.client.get("/api/v1/diseases/hiccups/demo-images/x.png"),
    ):
        assert (answer.status_code, problem(answer).code) == (404, "unknown-disease")
        assert "hiccups" not in answer.text


@pytest.mark.parametrize(
    ("request_parts", "code"),
    [
        ({"files": {"picture": ("a", BRIGHT)}}, "missing-image"),
        ({"files": {"image": (None, "text")}}, "missing-image"),
        ({"files": [("image", ("a", BRIGHT)), ("image", ("b", BRIGHT))]}, "invalid-request"),
    ],
    ids=["missing", "no file", "two"],
)
async def test_the_field_image_holds_one_file(
    live: Live, request_parts: dict[str, object], code: str
) -> None:
    answer = await live.client.post(PREDICTIONS, **request_parts)  # type: ignore[arg-type]
    assert (answer.status_code, problem(answer).code) == (422, code)
    assert problem(answer).errors[0].field == "image"
    assert await nothing_kept(live)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("image/png", BRIGHT),
        ("multipart/form-data", BRIGHT),
        ("multipart/form-data; boundary=b", b"--c\r\nnonsense"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
        ),
        ("multipart/form-data; boundary=\xff", b"--b--"),
    ],
)
async def test_a_body_that_is_no_form(live: Live, kind: str, body: bytes) -> None:
    answer = await live.client.post(
        PREDICTIONS, content=body, headers={"content-type": kind.encode("latin-1")}
    )
    assert (answer.status_code, problem(answer).code) == (422, "invalid-request")
    assert await nothing_kept(live)


async def test_no_body_at_all(live: Live) -> None:
    answer = await live.client.post(PREDICTIONS)
    assert (answer.status_code, problem(answer).code) == (422, "invalid-request")


async def test_a_wrong_method_says_which_are_right(live: Live) -> None:
    answer = await live.client.put(PREDICTIONS)
    assert (answer.status_code, problem(answer).code) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    answer = await live.client.post("/api/v1/diseases")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    identifier = "01900000-0000-7000-8000-000000000000"
    answer = await live.client.patch(f"/api/v1/predictions/{identifier}")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "DELETE"}


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/diseases/", "/api/v2/diseases", "/docs"])
async def test_an_unknown_address(live: Live, path: str) -> None:
    answer = await live.client.get(path)
    assert (answer.status_code, problem(answer).code) == (404, "not-found")


async def test_an_id_that_is_none(live: Live) -> None:
    answer = await live.client.get("/api/v1/predictions/Mueller")
    assert (answer.status_code, problem(answer).code) == (422, "invalid-request")
    assert "Mueller" not in answer.text


async def test_the_request_id_of_the_proxy_is_in_the_problem(live: Live) -> None:
    answer = await live.client.get("/nowhere", headers={"x-request-id": "abc123"})
    assert problem(answer).request_id == "abc123"
    assert problem(await live.client.get("/nowhere")).request_id is None


async def test_what_nobody_expected_is_a_problem_too_and_logs_no_content(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect in a model must not take the answer's form with it, nor tell what was sent."""
    model = live.service.models.check(DISEASE)

    def broken(batch: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("Mueller")

    monkeypatch.setattr(model.engine, "predict", broken)
    with capture_logs() as logs:
        answer = await live.read(BRIGHT)
    assert (answer.status_code, problem(answer).code) == (500, "internal-error")
    [failed] = [one for one in logs if one["event"] == "failed"]
    assert failed["kind"] == "ZeroDivisionError"
    assert any("broken" in place for place in failed["at"])
    assert "Mueller" not in str(logs) + answer.text
    assert await nothing_kept(live)
    monkeypatch.undo()
    assert (await live.read(BRIGHT)).status_code == 201


async def test_an_empty_form_has_no_image(live: Live) -> None:
    kind = {"content-type": "multipart/form-data; boundary=b; charset=nonsense"}
    answer = await live.client.post(PREDICTIONS, content=b"", headers=kind)
    assert (answer.status_code, problem(answer).code) == (422, "missing-image")
