"""Where a key of cards is set, only what its owner signed is served; and a rollback is seen."""

import shutil
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from diagnosis.artifacts import sign
from diagnosis.errors import KeyRefused
from diagnosis.keys import make_key, read_private_key
from inference_service.settings import Settings
from tests.fixtures.live_service import DISEASE, Live, Start
from tests.inference_service.pictures import BRIGHT


async def test_an_unsigned_artifact_is_refused_and_a_signed_one_is_served(
    start: Start, artifacts: Path, tmp_path: Path
) -> None:
    models = Path(shutil.copytree(artifacts, tmp_path / "shipped"))
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    public.write_text(make_key(private))
    signed = models / DISEASE / "1"
    card = (signed / "card.json").read_bytes()
    (signed / "card.sig").write_bytes(sign(card, read_private_key(private)))
    with capture_logs() as logs:
        live = await start(models_dir=models, card_key_file=public)
    answer = await live.read(BRIGHT)
    assert (answer.status_code, answer.json()["code"]) == (409, "model-refused")
    [refused] = [one for one in logs if one["event"] == "model refused"]
    assert "signature-missing" in refused["cause"]
    live.service.registry.promote(DISEASE, "1")

    async def served() -> bool:
        return (await live.read(BRIGHT)).status_code == 201

    await live.until(served)
    assert (await live.read(BRIGHT)).json()["artifact"]["version"] == "1"


async def test_a_service_whose_key_cannot_be_read_does_not_start(
    start: Start, tmp_path: Path
) -> None:
    with pytest.raises(KeyRefused):
        await start(card_key_file=tmp_path / "missing.pem")


async def test_readings_see_a_rollback_within_thirty_seconds(start: Start) -> None:
    """As often as the service looks by itself, not as often as other tests have it look."""
    live: Live = await start(reload_seconds=Settings.model_fields["reload_seconds"].default)

    async def version() -> str:
        return str((await live.read(BRIGHT)).json()["artifact"]["version"])

    async def answers_with(expected: str) -> bool:
        return await version() == expected

    registry = live.service.registry
    assert await version() == "2"
    registry.promote(DISEASE, "1")
    await live.until(lambda: answers_with("1"))
    began = time.monotonic()
    assert registry.rollback(DISEASE) == "2"
    await live.until(lambda: answers_with("2"))
    assert time.monotonic() - began < 30
