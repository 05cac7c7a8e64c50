"""The pages in front of a stand-in of inference_service, in process or in a real Chromium."""

import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import Browser, sync_playwright

from tests.fixtures.ports import free_port
from tests.web_ui.stand_in import StandIn
from web_ui.app import create_app
from web_ui.settings import PACKAGE, Settings

_CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def built_assets() -> Path:
    """The folder of the built page assets."""
    folder = PACKAGE / "static" / "dist"
    if not (folder / "manifest.json").exists():
        pytest.skip(
            "the page assets are not built: `npm ci && npm run build` in web_ui/assets builds them"
        )
    return folder


@pytest.fixture
def stand_in() -> StandIn:
    """A fresh stand-in with no reading."""
    return StandIn()


@pytest.fixture
def settings(built_assets: Path) -> Settings:
    """Settings with a short history page and a small upload limit."""
    return Settings(
        api_url="http://inference_service",
        static_dir=built_assets,
        page_size=3,
        max_upload_bytes=300_000,
    )


@pytest.fixture
def pages(settings: Settings, stand_in: StandIn) -> FastAPI:
    """The pages in front of the stand-in, in one process."""
    return create_app(settings, transport=httpx.ASGITransport(stand_in.app))


@pytest.fixture
async def client(pages: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without scripts: what a plain form and plain links do."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages, raise_app_exceptions=False),
        base_url="http://sightline.test",
    ) as client:
        yield client


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The app under a real uvicorn on a free port of 127.0.0.1; yields its address."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive(), "the server stopped while it started"
            assert time.monotonic() < deadline, "the server did not start in 10 s"
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real, headless Chromium.

    It lives for one module: its driver keeps an event loop, beside which no async test can run.
    """
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium: `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_CHROMIUM_FLAGS))
        yield browser
        browser.close()
