"""The service itself: its health, its metrics, its headers, its error pages, its front door."""

from html import unescape
from pathlib import Path
from shutil import copytree

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from diagnosis import WARNING
from diagnosis.contracts import Problem
from diagnosis.errors import (
    ServiceUnavailable,
    SightlineError,
    StoreUnavailable,
    TemporarilyUnavailable,
)
from diagnosis.identity import Role
from tests.fixtures.identity import PUBLIC_KEY_FILE, Acting
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_catalogue import BRIGHT
from web_ui.app import create_app
from web_ui.bundle import AssetsMissing, Bundle
from web_ui.calls import error_of
from web_ui.error_pages import PAGES, write
from web_ui.security import HEADERS
from web_ui.settings import Settings

FORM = "/diseases/chest_xray_pneumonia/readings"


async def send(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(FORM, files={"image": ("x", BRIGHT, "image/png")}, headers=named)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": "http://sightline.test.elsewhere.example"},
    ],
)
async def test_a_post_from_another_site_is_refused(
    client: httpx.AsyncClient, stand_in: StandIn, headers: dict[str, str]
) -> None:
    answer = await send(client, **headers)
    assert answer.status_code == 403
    assert "was not sent from one of our pages" in answer.text
    assert not stand_in.readings


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "same-origin", "origin": "http://sightline.test"},
        {"origin": "http://sightline.test"},
        {},
    ],
)
async def test_a_post_from_our_own_page_is_taken(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await send(client, **headers)).status_code == 303


async def test_a_reading_cannot_be_deleted_from_another_site(
    client: httpx.AsyncClient, stand_in: StandIn
) -> None:
    address = (await send(client)).headers["location"]
    answer = await client.post(f"{address}/delete", headers={"sec-fetch-site": "cross-site"})
    assert answer.status_code == 403
    assert stand_in.readings


async def test_health_readiness_and_robots(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).json() == {"status": "ok"}
    assert "Disallow: /" in (await client.get("/robots.txt")).text
    icon = await client.get("/favicon.ico", follow_redirects=True)
    assert icon.headers["content-type"] == "image/svg+xml"


async def test_requests_and_refusals_are_counted_under_their_route(
    client: httpx.AsyncClient,
) -> None:
    await send(client)
    await client.post(FORM, files={"image": ("x", b"text", "image/png")})
    await client.get("/diseases/gout")
    counted = (await client.get("/metrics")).text
    route = 'route="/diseases/{disease}/readings"'
    assert f'method="POST",{route},service="web_ui",status="303"' in counted
    assert 'sightline_refusals_total{code="not-an-image"} 1.0' in counted
    assert 'sightline_refusals_total{code="unknown-disease"} 1.0' in counted
    assert "gout" not in counted


async def test_every_answer_carries_the_headers(client: httpx.AsyncClient) -> None:
    for address in ("/", "/nowhere", "/healthz", "/readings/1", "/sign-in", "/users"):
        answer = await client.get(address)
        assert HEADERS.items() <= answer.headers.items()
    client.auth = None  # type: ignore[assignment]
    assert HEADERS.items() <= (await client.get("/worklist")).headers.items()


async def test_an_unforeseen_failure_shows_the_error_view_and_no_detail(
    client: httpx.AsyncClient, pages: FastAPI
) -> None:
    @pages.get("/broken")
    async def broken() -> None:
        raise RuntimeError("a secret of the inside")

    answer = await client.get("/broken")
    assert answer.status_code == 500
    assert "Something went wrong on our side" in answer.text
    assert "secret" not in answer.text
    assert HEADERS.items() <= answer.headers.items()


async def test_a_service_that_does_not_answer_is_a_503_that_says_so(
    built_assets: Path, tmp_path: Path
) -> None:
    settings = Settings(
        api_socket=tmp_path / "nobody.sock",
        identity_key_file=PUBLIC_KEY_FILE,
        identity_socket=tmp_path / "nobody-either.sock",
        static_dir=built_assets,
    )
    app = create_app(settings)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN),
    ) as client:
        answer = await client.get("/")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "does not answer" in answer.text
        ready = await client.get("/readyz")
        assert ready.status_code == 503
        assert "does not answer" in ready.json()["reasons"][0]
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/about")).status_code == 200
        assert "does not answer" in (await client.get("/sign-in/code")).text
    await app.state.context.gateway.close()
    await app.state.context.api.close()


async def test_built_files_may_be_kept_for_ever_and_nothing_else_is_served(
    client: httpx.AsyncClient, built_assets: Path
) -> None:
    script = Bundle(built_assets)["main"].script
    answer = await client.get(script)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    for path in ("/static/dist/../settings.py", "/static/dist/assets/none.js", "/static/dist/"):
        assert (await client.get(path)).status_code == 404


def test_the_theme_script_stands_alone(built_assets: Path) -> None:
    script = built_assets / Bundle(built_assets)["theme"].script.removeprefix("/static/dist/")
    text = script.read_text()
    assert "import" not in text
    assert "export" not in text


def test_missing_assets_say_how_they_are_built(tmp_path: Path) -> None:
    with pytest.raises(AssetsMissing, match="npm run build"):
        Bundle(tmp_path)


def test_settings_ask_for_an_api(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGHTLINE_WEB_API_SOCKET", "SIGHTLINE_WEB_API_URL"):
        monkeypatch.delenv(name, raising=False)
    named = {"identity_key_file": PUBLIC_KEY_FILE, "identity_socket": PUBLIC_KEY_FILE}
    with pytest.raises(ValidationError, match="SIGHTLINE_WEB_API_SOCKET"):
        Settings(**named)


def test_error_pages_for_nginx_are_whole_pages(built_assets: Path, tmp_path: Path) -> None:
    copytree(built_assets, tmp_path, dirs_exist_ok=True)
    written = write(tmp_path)
    assert {path.name for path in written} == {f"{status}.html" for status in PAGES}
    for status, problem in PAGES.items():
        page = unescape((tmp_path / "errors" / f"{status}.html").read_text())
        assert f"Answer {403 if status == 497 else status}" in page
        assert problem.title in page
        assert WARNING in page


def problem(code: str) -> bytes:
    """What the API sends when it refuses."""
    view = Problem(
        type=f"/problems/{code}", title="T", status=503, detail="D.", code=code, remedy="R."
    )
    return view.model_dump_json().encode()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, b"<html>", SightlineError),
        (502, b"<html>", ServiceUnavailable),
        (503, b'{"code": 1}', ServiceUnavailable),
        (503, problem("store-unavailable"), StoreUnavailable),
        (503, problem("a-code-of-tomorrow"), TemporarilyUnavailable),
    ],
)
def test_what_the_api_refuses_becomes_our_error(
    status: int, body: bytes, kind: type[SightlineError]
) -> None:
    assert type(error_of(status, body)) is kind
