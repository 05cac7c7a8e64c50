"""`trainer infer --engine ray` gives what `trainer infer` gives. `make ray` runs it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from diagnosis.results import RedisResults
from tests.trainer.infer.conftest import BROKEN, CHEST, GOOD, readings
from trainer.settings import Settings

SECONDS = 300


def infer(films: Path, batch: str, unit: str, settings: Settings, temporary: Path) -> Any:
    """The command's JSON, with two processes; Ray's files go into a folder of the test's own."""
    assert settings.redis_url is not None
    environment = os.environ | {
        "SIGHTLINE_TRAINER_REGISTRY": settings.registry,
        "SIGHTLINE_TRAINER_MODELS_DIR": str(settings.models_dir),
        "SIGHTLINE_TRAINER_RUNS_DIR": str(settings.runs_dir),
        "SIGHTLINE_TRAINER_REDIS_URL": settings.redis_url.get_secret_value(),
        "TMPDIR": str(temporary),
    }
    engine = "ray" if batch == "ray" else "openvino"
    words = [sys.executable, "-m", "trainer.cli", "infer", "--disease", CHEST, "--input", films,
             "--batch", batch, "--unit", unit, "--engine", engine, "--json"]  # fmt: skip
    done = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def lines(settings: Settings, batch: str) -> dict[str, Any]:
    """What the journal holds of each file that does not differ from batch to batch."""
    path = settings.runs_dir / "batches" / batch / "answers.jsonl"
    found = [json.loads(text) for text in path.read_text().splitlines()]
    for one in found:
        one.pop("number")
        one.pop("prediction_id", None)
    assert len(found) == GOOD + BROKEN
    return {one.pop("name"): one for one in found}


@pytest.mark.timeout(2 * SECONDS)
async def test_ray_answers_alike(
    films: Path, unit: str, settings: Settings, results: RedisResults
) -> None:
    # Short, because Ray's sockets lie below it.
    with tempfile.TemporaryDirectory(prefix="r-") as temporary:
        for batch in ("plain", "ray"):
            result = infer(films, batch, unit, settings, Path(temporary))
            assert result["readings"] == GOOD
            assert result["failed"] == {"damaged-image": 1, "not-an-image": 1}
        assert os.listdir(temporary) == []  # noqa: PTH208
    assert lines(settings, "ray") == lines(settings, "plain")
    assert len(await readings(results, unit)) == 2 * GOOD
    # Done is done, without starting Ray.
    assert infer(films, "ray", unit, settings, Path("/nowhere"))["files_of_this_run"] == 0
