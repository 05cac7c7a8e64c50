"""The pages in front of a stand-in of inference_service, in process or in a real Chromium."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from diagnosis.identity import Role
from tests.fixtures.chromium import chromium
from tests.fixtures.identity import PUBLIC_KEY_FILE, Acting
from tests.web_ui.stand_in import StandIn
from tests.web_ui.stand_in_gateway import StandInGateway
from web_ui.app import create_app
from web_ui.settings import PACKAGE, Settings

__all__ = ["chromium"]


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
def gateway() -> StandInGateway:
    """A fresh stand-in of the identity service with one account."""
    return StandInGateway()


@pytest.fixture
def settings(built_assets: Path) -> Settings:
    """Settings with a short history page and a small upload limit."""
    return Settings(
        api_url="http://inference_service",
        identity_key_file=PUBLIC_KEY_FILE,
        identity_socket=Path("/nonexistent/identity.sock"),
        static_dir=built_assets,
        page_size=3,
        max_upload_bytes=300_000,
        report_seconds=150,
    )


@pytest.fixture
def pages(settings: Settings, stand_in: StandIn, gateway: StandInGateway) -> FastAPI:
    """The pages in front of the stand-in, in one process."""
    return create_app(
        settings,
        transport=httpx.ASGITransport(stand_in.app),
        gateway=httpx.ASGITransport(gateway.app),
    )


@pytest.fixture
async def client(pages: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client without scripts: what a plain form and plain links do."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(pages, raise_app_exceptions=False),
        base_url="http://sightline.test",
        auth=Acting(Role.CLINICIAN),
    ) as client:
        yield client
