"""A folder of images, an artifact for them, and a Redis that readings are posted to."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from diagnosis.contracts import Prediction
from diagnosis.results import RedisResults, connect
from tests.fixtures.redis import RedisServer
from tests.trainer.conftest import MakeImages
from trainer.settings import Settings

CHEST = "chest_xray_pneumonia"
#: Files of `films`, the broken ones among them.
GOOD, BROKEN = 22, 2


class Silent:
    """Watches a batch and keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, ...]] = []
        self.said: list[str] = []

    def begin(self, done: int, total: int) -> None:
        """See `Watcher`."""
        self.told.append((done, total))

    def advance(self, files: int) -> None:
        """See `Watcher`."""
        self.told.append((files,))

    def log(self, text: str) -> None:
        """A line for a person."""
        self.said.append(text)


@pytest.fixture
def watcher() -> Silent:
    return Silent()


@pytest.fixture
def unit() -> str:
    """A unit of the test's own, because the tests of a worker share one server."""
    return f"u{uuid4().hex[:10]}"


@pytest.fixture
def films(tmp_path: Path, make_images: MakeImages) -> Path:
    """Class folders of small films, and two files that are none."""
    root = make_images(tmp_path / "films", {"NORMAL": GOOD // 2, "PNEUMONIA": GOOD // 2})
    (root / "NORMAL" / "notes.txt").write_text("no image")
    (root / "PNEUMONIA" / "cut.png").write_bytes((root / "NORMAL" / "000.png").read_bytes()[:300])
    return root


@pytest.fixture
def settings(tmp_path: Path, tiny_artifact: Path, redis_server: RedisServer) -> Settings:
    """Settings with one live artifact, and the trainer's own user of Redis."""
    shutil.copytree(tiny_artifact, tmp_path / "models" / CHEST / "1")
    return Settings(
        registry=str(tmp_path / "registry"),
        models_dir=tmp_path / "models",
        runs_dir=tmp_path / "runs",
        cache_dir=tmp_path / "cache",
        redis_url=SecretStr(redis_server.url_for("trainer")),
    )


@pytest.fixture
async def results(redis_server: RedisServer) -> AsyncIterator[RedisResults]:
    """The readings as the service sees them."""
    opened = connect(redis_server.url)
    yield opened
    await opened.close()


async def readings(results: RedisResults, unit: str) -> list[Prediction]:
    """Every reading of a unit."""
    found: list[Prediction] = []
    cursor = None
    while True:
        items, cursor = await results.list(unit, limit=100, cursor=cursor)
        found += items
        if cursor is None:
            return found
