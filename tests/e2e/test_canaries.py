"""No name, record number or UID of a patient comes to light anywhere, whatever is sent and how."""

import zlib

import httpx
import pytest
from PIL import Image, PngImagePlugin
from redis import Redis

from gateway.stack import redis_url
from tests.e2e.canaries import (
    CANARIES,
    dicom_film,
    found,
    jpeg_film,
    kept_images,
    png_film,
    redis_values,
    table,
    text,
)
from tests.fixtures import images
from tests.fixtures.stack import DISEASE, Stack
from tests.fixtures.tables import documented_table

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]

API = f"/api/v1/diseases/{DISEASE}/predictions"
PAGE = f"/diseases/{DISEASE}/readings"
DELETION = "/api/v1/patients/deletion"


def test_what_came_to_light_would_be_found(stack: Stack) -> None:
    """Planted in a log, in Redis and in a kept image: each time it is seen, and gone after."""
    name, record, uid = CANARIES["file"]
    assert found(stack, []) == set()
    log = stack.places.nginx / "access.log"
    written = log.read_bytes()
    log.write_bytes(written + f"GET /{name.upper()}\n".encode())
    assert found(stack, []) == {f"access.log: {name}"}
    log.write_bytes(written)

    with Redis.from_url(redis_url(stack.places, "inference")) as client:
        client.setnx("results:canary", zlib.compress(record.encode()))
        assert found(stack, []) == {f"redis: {record}"}
        client.getdel("results:canary")

    words = PngImagePlugin.PngInfo()
    words.add_text("Comment", uid, zip=True)
    kept = stack.places.images / "ff" / ("f" * 64)
    kept.parent.mkdir(exist_ok=True)
    Image.fromarray(images.grey()).save(kept, "PNG", pnginfo=words)
    assert found(stack, []) == {f"text of {kept.name}: {uid}"}
    kept.unlink()

    answer = httpx.Response(
        303, headers={"location": f"/{name}"}, request=httpx.Request("GET", "http://x")
    )
    assert found(stack, [answer]) == {f"headers of answer 303 to GET: {name}"}


def test_nothing_that_was_planted_comes_to_light(stack: Stack) -> None:
    """In files, forms, headers and addresses; read, refused, and while Redis is away."""
    answers: list[httpx.Response] = []
    name = f"{'_'.join(CANARIES['file'])}.dcm"
    form = {"patient_reference": text("form"), "operating_point": "balanced", "note": text("form")}
    films = (jpeg_film(), png_film(), dicom_film(), dicom_film(BurnedInAnnotation="YES"))
    # Refused: by their content, by the services' limit and by the proxy's.
    refused = (
        dicom_film(with_image=False),
        text("dicom").encode(),
        jpeg_film() + bytes(26_250_000),
        jpeg_film() + bytes(30_000_000),
    )
    with stack.client() as client:

        def send(address: str, content: bytes, **fields: str) -> httpx.Response:
            answer = client.post(
                address,
                files={"image": (name, content)},
                data=form | fields,
                headers={"referer": f"http://{CANARIES['url'][0]}.example/"},
            )
            answers.append(answer)
            return answer

        for address, made in ((API, 201), (PAGE, 303)):
            statuses = [send(address, content).status_code for content in (*films, *refused)]
            assert statuses == [made] * len(films) + [422, 415, 413, 413]
        send(API, films[0], operating_point=text("form"))
        send("/api/v1/examinations/suggestions", films[2])
        # What was made is looked at in every way there is.
        listed = client.get("/api/v1/predictions").json()["items"][: 2 * len(films)]
        for one in listed:
            for page in ("", "/image", "/dicom", "/heatmap"):
                answers.append(client.get(f"/api/v1/predictions/{one['id']}{page}"))
            answers.append(client.get(f"/readings/{one['id']}"))
        warned = [
            one for one in listed if any(n["code"] == "burned-in-text" for n in one["notices"])
        ]
        assert len(warned) == 2
        page = client.get(f"/readings/{warned[0]['id']}")
        assert "text is burned into its image" in page.text
        for address in (
            "/",
            "/worklist",
            "/about",
            "/api",
            "/api/v1/predictions",
            "/api/v1/diseases",
            "/api/v1/openapi.json",
            f"/diseases/{DISEASE}/card",
        ):
            answers.append(client.get(address))
            for canary in CANARIES["url"]:
                query = {"disease": canary, "cursor": canary, "class_id": canary}
                answers.append(client.get(address, params=query))
                answers.append(client.get(f"{address.rstrip('/')}/{canary}"))
        stack.kill_one("redis")
        try:
            answers.append(client.get(f"/readings/{CANARIES['url'][2]}"))
            send(API, films[2])
            body = {"patient_reference": text("form")}
            answers.append(client.post(DELETION, json=body))
        finally:
            stack.start_one("redis")
            stack.await_ready()
        answers.append(client.post(DELETION, json={**body, "note": text("form")}))
        assert (stack.places.nginx / "access.log").stat().st_size > 0
        assert any((stack.places.redis / "appendonlydir").iterdir())
        assert kept_images(stack)
        assert found(stack, answers) == set()
        headings = ("looked through", "things", "canaries found")
        rows = table(stack, answers)
        documented_table("canaries", headings, rows, measured=("things",))

        # And what was kept of the patient goes when it is asked for.
        hashed = listed[-1]["patient_reference"]
        assert any(hashed.encode() in value for value in redis_values(stack))
        deleted = client.post(DELETION, json=body)
        # The page's form carries the reference too.
        assert deleted.json()["readings"] == 2 * len(films)
        assert not any(hashed.encode() in value for value in redis_values(stack))
