"""The whole from outside: readings by the API, bad input in both shapes, and what survives."""

import time
from html import unescape
from pathlib import Path

import httpx
import pytest
from PIL import Image

from diagnosis.contracts import Prediction, Problem
from gateway.proxy_problems import PROXY_PROBLEMS
from tests.fixtures import images
from tests.fixtures.patience import AT_ONCE
from tests.fixtures.stack import DISEASE, Stack

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

API = f"/api/v1/diseases/{DISEASE}/predictions"
PAGE = f"/diseases/{DISEASE}/readings"

#: Every answer to bad input comes within this time.


def read(stack: Stack, image: bytes) -> httpx.Response:
    with stack.client() as client:
        return client.post(API, files={"image": ("film.jpeg", image)})


def newest(stack: Stack) -> list[str]:
    with stack.client() as client:
        return [item["id"] for item in client.get("/api/v1/predictions").json()["items"]]


def kept_images(stack: Stack) -> set[Path]:
    return {path for path in stack.places.images.rglob("*") if path.is_file()}


def test_one_call_makes_a_reading(stack: Stack, film: bytes) -> None:
    answer = read(stack, film)
    assert answer.status_code == 201, answer.text
    reading = Prediction.model_validate_json(answer.content)
    assert sum(item.probability for item in reading.probabilities) == pytest.approx(1, abs=1e-6)
    assert newest(stack)[0] == str(reading.id)
    with stack.client() as client:
        assert client.get(f"/api/v1/predictions/{reading.id}").json() == answer.json()
        page = client.get(f"/readings/{reading.id}")
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert str(reading.id) in page.text


def bad_files() -> dict[str, bytes]:
    """What people send by mistake, and what others send on purpose."""
    jpeg = images.encode(images.grey(400, 300), "JPEG")
    frames = [Image.fromarray(images.grey()), Image.fromarray(images.grey()[::-1])]
    return {
        "empty-file": b"",
        "not-an-image": b"this is text, whatever the name says",
        "damaged-image": jpeg[: len(jpeg) // 2],
        "file-too-large": jpeg + bytes(25 * 1024 * 1024),
        "file-too-large by far": bytes(30_000_000),
        "too-many-pixels": images.encode(Image.new("L", (10_000, 6_000)), "PNG"),
        "too-many-pixels declared": images.png_of_size(50_000, 50_000),
        "multi-frame-image": images.encode(
            frames[0], "TIFF", save_all=True, append_images=frames[1:]
        ),
        "dicom-without-image": images.dicom(None),
    }


@pytest.mark.parametrize("name", list(bad_files()))
def test_a_bad_file_is_refused_in_both_shapes_and_not_stored(stack: Stack, name: str) -> None:
    content = bad_files()[name]
    before, images_before = newest(stack), kept_images(stack)
    with stack.client() as client:
        for address in (API, PAGE):
            began = time.monotonic()
            answer = client.post(address, files={"image": ("film.jpg", content, "image/jpeg")})
            assert time.monotonic() - began < AT_ONCE
            assert 400 <= answer.status_code < 500
            if address == API:
                assert answer.headers["content-type"] == "application/problem+json"
                problem = Problem.model_validate_json(answer.content)
                assert (problem.code, problem.status) == (name.split()[0], answer.status_code)
                assert problem.request_id == answer.headers["x-request-id"]
                assert problem.remedy
            else:
                assert answer.headers["content-type"].startswith("text/html")
                # The page words what the API says.
                shown = unescape(answer.text)
                assert problem.title in shown
                assert problem.detail.rstrip(".") in shown
                assert problem.remedy in shown
    assert newest(stack) == before
    assert kept_images(stack) == images_before


@pytest.mark.parametrize(
    ("method", "address", "code"),
    [
        ("POST", "/api/v1/diseases/no_such_disease/predictions", "unknown-disease"),
        ("PUT", API, "method-not-allowed"),
        ("TRACE", API, "method-not-allowed"),
        ("GET", "/api/v1/predictions/00000000-0000-7000-8000-000000000000", "unknown-prediction"),
        ("GET", "/api/v1/predictions?cursor=nonsense", "invalid-request"),
        ("GET", "/api/v1/nothing", "not-found"),
        ("GET", "/api/v9/diseases", "not-found"),
        ("GET", "/api/v1/metrics", "not-found"),
    ],
)
def test_a_bad_request_is_a_problem(stack: Stack, method: str, address: str, code: str) -> None:
    files = {"image": ("film.jpg", b"x")} if method == "POST" else None
    with stack.client() as client:
        answer = client.request(method, address, files=files)
    problem = Problem.model_validate_json(answer.content)
    assert (problem.code, problem.status) == (code, answer.status_code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_missing_field_is_named(stack: Stack) -> None:
    with stack.client() as client:
        answer = client.post(API, files={"picture": ("film.jpg", b"x")})
    problem = Problem.model_validate_json(answer.content)
    assert problem.code == "missing-image"
    assert problem.errors[0].field == "image"


def test_a_stranger_sees_nothing_of_anybody(stack: Stack, film: bytes) -> None:
    made = read(stack, film).json()["id"]
    with stack.stranger() as stranger:
        for path in (f"/api/v1/predictions/{made}", f"/api/v1/predictions/{made}/image"):
            assert stranger.get(path).status_code == 401
        assert stranger.delete(f"/api/v1/predictions/{made}").status_code == 401
        page = stranger.get(f"/readings/{made}")
        assert (page.status_code, page.headers["location"]) == (
            303,
            f"/sign-in?next=/readings/{made}",
        )
        assert stranger.post(PAGE, files={"image": ("f", film)}).status_code == 303
        assert stranger.post(API, files={"image": ("f", film)}).status_code == 401
    assert newest(stack)[0] == made


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/api/v1/readyz"])
def test_the_private_side_is_not_there(stack: Stack, path: str) -> None:
    with stack.client() as client:
        assert client.get(path).status_code == 404


def test_every_answer_of_the_proxy_has_its_page(stack: Stack) -> None:
    built = {path.name for path in stack.settings.error_pages_dir.iterdir()}
    # Whoever is not signed in is sent to sign in, which is no page of the proxy's.
    shown = {f"{problem.page}.html" for problem in PROXY_PROBLEMS if problem.status != 401}
    assert shown <= built


def test_a_reading_survives_a_restart_of_everything(stack: Stack, film: bytes) -> None:
    made = read(stack, film).json()
    stack.stop()
    stack.start()
    with stack.client() as client:
        assert client.get(f"/api/v1/predictions/{made['id']}").json() == made
        assert client.get(f"/readings/{made['id']}/image").status_code == 200
        assert made["id"] in client.get("/worklist").text


def test_without_redis_all_say_so_and_all_comes_back(stack: Stack, film: bytes) -> None:
    made = read(stack, film).json()
    stack.kill_one("redis")
    try:
        answer = read(stack, film)
        problem = Problem.model_validate_json(answer.content)
        # Without it nobody can be told who they are, so nothing is reached behind the door.
        assert (answer.status_code, problem.code) == (503, "service-unavailable")
        assert int(answer.headers["retry-after"]) > 0
        readiness = stack.readiness()
        assert readiness.status_code == 503
        assert "Redis" in readiness.text
        with stack.client() as client:
            page = client.get("/worklist")
            assert page.status_code == 503
            assert page.headers["content-type"].startswith("text/html")
            assert int(page.headers["retry-after"]) > 0
            assert problem.detail in page.text
            assert problem.remedy in page.text
    finally:
        stack.start_one("redis")
        stack.await_ready()
    assert read(stack, film).status_code == 201
    assert made["id"] in newest(stack)


@pytest.mark.parametrize("name", ["inference", "web"])
def test_without_a_service_the_door_still_answers(stack: Stack, film: bytes, name: str) -> None:
    stack.kill_one(name)
    try:
        with stack.client() as client:
            api, page = client.get("/api/v1/diseases"), client.get("/")
            down = api if name == "inference" else page
            assert down.headers["retry-after"]
            if name == "inference":
                assert api.status_code == 502
                assert Problem.model_validate_json(api.content).code == "service-unavailable"
            else:
                assert api.status_code == 200
            assert page.status_code in (502, 503)
            assert page.headers["content-type"].startswith("text/html")
            assert int(page.headers["retry-after"]) > 0
            assert "try again in a few seconds" in page.text
            sent = client.post(PAGE, files={"image": ("film.jpeg", film)})
            assert sent.status_code == page.status_code
            assert "try again in a few seconds" in sent.text
    finally:
        stack.start_one(name)
        stack.await_ready()
    assert read(stack, film).status_code == 201


def test_without_the_identity_service_nobody_gets_in(stack: Stack, film: bytes) -> None:
    with stack.client() as client, stack.stranger() as stranger:
        stack.kill_one("identity")
        try:
            for one in (client, stranger):
                api, page = one.get("/api/v1/predictions"), one.get("/worklist")
                assert (api.status_code, api.json()["code"]) == (503, "service-unavailable")
                assert page.status_code == 503
                assert "try again in a few seconds" in page.text
            assert stranger.get("/static/dist/manifest.json").status_code == 200
        finally:
            stack.start_one("identity")
            stack.await_ready()
        assert client.get("/worklist").status_code == 200
    assert read(stack, film).status_code == 201


@pytest.mark.parametrize("path", ["/", "/worklist", "/api/v1/diseases", "/api/v1/openapi.json"])
def test_what_answers_get_answers_head_without_a_body(stack: Stack, path: str) -> None:
    with stack.client() as client:
        answer, whole = client.head(path), client.get(path)
    assert answer.status_code == whole.status_code == 200
    assert answer.headers["content-type"] == whole.headers["content-type"]
    assert answer.content == b""
