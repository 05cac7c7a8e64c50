"""`trainer infer`: every file has a reading in Redis or a reason, and none has two."""

import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from diagnosis.artifacts import Card
from diagnosis.artifacts.card import PrecisionCheck
from diagnosis.contracts import Prediction
from diagnosis.errors import ArtifactRefused, StoreUnavailable
from diagnosis.image_store import FolderImageStore, kept_as
from diagnosis.queue import connect_batches
from diagnosis.results import RedisResults
from diagnosis.watch import connect_watch
from tests.fixtures.artifacts import change_card
from tests.fixtures.drift import give_reference
from tests.fixtures.exposition import value
from tests.fixtures.ports import free_port
from tests.fixtures.redis import RedisServer
from tests.trainer.infer.conftest import BROKEN, CHEST, GOOD, Silent, readings
from trainer.cli import app
from trainer.infer import engines, posting, summary
from trainer.infer.engines import Feeding
from trainer.infer.running import Asked, Ran, infer
from trainer.infer.sources import Folder
from trainer.refusals import PrecisionMissing, PrecisionRefused, TrainerRefused
from trainer.settings import Settings


def call(*words: object) -> Result:
    return CliRunner().invoke(app, ["infer", *(str(word) for word in words)])


def asked(films: Path, unit: str, **more: Any) -> Asked:
    return Asked(CHEST, str(films), "monday", unit=unit, **({"engine": "openvino"} | more))


def run(what: Asked, settings: Settings, watcher: Silent) -> Ran:
    """In a thread: the test's own has an event loop."""
    return infer(what, settings, watcher, watcher.log)


async def test_every_file_has_a_reading_or_a_reason(
    films: Path, unit: str, settings: Settings, watcher: Silent, results: RedisResults,
    redis_server: RedisServer, tmp_path: Path,
) -> None:  # fmt: skip
    what = asked(films, unit, operating_point="rule_in", images=tmp_path / "images")
    ran = await asyncio.to_thread(run, what, settings, watcher)
    found = await readings(results, unit)
    assert len(found) == GOOD
    assert {one.batch for one in found} == {ran.journal.request.id}
    assert {one.created_by for one in found} == {"trainer"}
    assert {one.operating_point.name for one in found if one.operating_point} == {"rule_in"}
    assert all(one.timings_ms.keys() == {"decode", "gate", "preprocess", "infer"} for one in found)
    kept = FolderImageStore(tmp_path / "images")
    assert all(kept.get(kept_as(unit, one.image.digest)) for one in found)
    batches = connect_batches(redis_server.url)
    batch = await batches.get(unit, ran.journal.request.id)
    assert (batch.state, batch.name, batch.created_by) == ("done", "monday", "trainer")
    assert (batch.counts.done, batch.counts.failed, batch.counts.waiting) == (GOOD, BROKEN, 0)
    items, _ = await batches.items(unit, batch.id, limit=100)
    assert {one.name: one.prediction_id for one in items if one.state == "done"} == {
        name: line.prediction_id for name, line in ran.journal.lines.items() if not line.problem
    }
    failed, _ = await batches.items(unit, batch.id, limit=100, state="failed")
    assert {one.problem.code for one in failed if one.problem} == {"damaged-image", "not-an-image"}
    await batches.close()
    assert watcher.told[0] == (0, GOOD + BROKEN)
    assert sum(told for (told,) in watcher.told[1:]) == GOOD + BROKEN

    result = summary.summarise(ran)
    assert (result["files"], result["readings"]) == (GOOD + BROKEN, GOOD)
    assert result["failed"] == {"damaged-image": 1, "not-an-image": 1}
    assert sum(result["bands"].values()) == GOOD
    failures = summary.write_failures(ran)
    assert failures is not None
    rows = list(csv.DictReader(failures.read_text().splitlines()))
    assert [one["name"] for one in rows] == ["NORMAL/notes.txt", "PNEUMONIA/cut.png"]
    assert all(one["detail"] and one["remedy"] for one in rows)
    assert failures.stat().st_mode & 0o077 == 0
    assert ran.journal.folder.stat().st_mode & 0o077 == 0


async def test_what_it_posts_is_shown_while_it_runs_and_told_to_the_services(
    films: Path, unit: str, settings: Settings, results: RedisResults, redis_server: RedisServer
) -> None:
    """And each judged reading keeps the sixteen numbers that drift is seen by."""
    give_reference(settings.models_dir / CHEST / "1")
    watch = connect_watch(redis_server.url)
    while await watch.take(1000):
        pass  # Other tests of this worker have told something too.
    texts, port = [], free_port()

    class Looking(Silent):
        def advance(self, files: int) -> None:
            texts.append(httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text)

    shown = settings.model_copy(update={"metrics_port": port})
    await asyncio.to_thread(run, asked(films, unit), shown, Looking())
    found = await readings(results, unit)
    judged = [one for one in found if one.outcome == "judged"]
    assert judged
    assert {len(one.statistics) for one in judged} == {16}
    of = {"disease": CHEST}
    assert value(texts[-1], "sightline_infer_files_total", **of, outcome="done") == GOOD
    assert value(texts[-1], "sightline_infer_files_total", **of, outcome="failed") == BROKEN
    for (top, band), count in Counter((one.top[0].id, one.band) for one in judged).items():
        assert count == value(
            texts[-1], "sightline_infer_predictions_total", **of, **{"class": top}, band=band
        )
    assert unit not in texts[-1]
    told = await watch.take(1000)
    await watch.close()
    assert [one.what for one in (told[0], told[-1])] == ["accepted", "done"]
    assert Counter(one.what for one in told) == {
        "accepted": 1, "reading": GOOD, "failed": BROKEN, "done": 1,
    }  # fmt: skip
    assert {one.id for one in told if one.id} == {one.id for one in found}


async def test_a_port_for_metrics_that_is_taken_keeps_no_reading_from_being_made(
    films: Path, unit: str, settings: Settings, watcher: Silent, results: RedisResults
) -> None:
    """A training on the same machine shows its own there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        beside = settings.model_copy(update={"metrics_port": port})
        await asyncio.to_thread(run, asked(films, unit), beside, watcher)
    assert len(await readings(results, unit)) == GOOD
    assert any(f"port {port}" in line for line in watcher.said)


async def test_the_answers_are_those_of_the_evaluation(
    films: Path, unit: str, settings: Settings, watcher: Silent
) -> None:
    ran = await asyncio.to_thread(run, asked(films, unit), settings, watcher)
    found = summary.evaluation(ran)
    assert found is not None
    from trainer.evaluate import evaluate

    whole = await asyncio.to_thread(evaluate, ran.artifact, films, settings)
    assert [one.path for one in found.data.examples] == [one.path for one in whole.data.examples]
    assert np.allclose(found.scores.probabilities, whole.scores.probabilities, atol=1e-5)
    assert found.as_json()["n"] == GOOD


async def test_without_class_folders_there_are_no_figures(
    films: Path, unit: str, settings: Settings, watcher: Silent
) -> None:
    (films / "NORMAL" / "000.png").rename(films / "000.png")
    ran = await asyncio.to_thread(run, asked(films, unit), settings, watcher)
    assert summary.evaluation(ran) is None


async def test_a_batch_goes_on_where_it_stopped(
    films: Path, unit: str, settings: Settings, watcher: Silent, results: RedisResults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Stopped after Redis has a block and before the journal has it: the worst moment."""
    from trainer.infer.journal import Journal

    add, calls = Journal.add, []

    def torn(self: Journal, answers: Sequence[Any]) -> Any:
        calls.append(len(answers))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return add(self, answers)

    monkeypatch.setattr(Journal, "add", torn)
    # Two blocks at most are handed over together, so there is a second time.
    monkeypatch.setattr(engines, "feeding", lambda *_: Feeding(block=8, calls=1, processes=0))
    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(run, asked(films, unit), settings, watcher)
    first = await readings(results, unit)
    done, torn_off = calls
    # What was torn off is in Redis already; the files that cannot be read have no reading.
    assert done + torn_off - BROKEN <= len(first) <= done + torn_off
    monkeypatch.setattr(Journal, "add", add)
    read = _count_reads(monkeypatch)
    again = Silent()
    ran = await asyncio.to_thread(run, asked(films, unit), settings, again)
    assert again.told[0] == (done, GOOD + BROKEN)
    assert len(read) == len(set(read)) == GOOD + BROKEN - done
    both = await readings(results, unit)
    assert len(both) == GOOD
    assert {one.id: one for one in first}.items() <= {one.id: one for one in both}.items()
    assert sorted(one.number for one in ran.journal.lines.values()) == list(range(GOOD + BROKEN))
    read.clear()
    nothing = await asyncio.to_thread(run, asked(films, unit), settings, Silent())
    assert (read, nothing.files) == ([], 0)
    assert summary.summarise(nothing)["readings"] == GOOD


def _count_reads(patch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    read = Folder.read

    def counted(self: Folder, name: str) -> bytes:
        names.append(name)
        return read(self, name)

    patch.setattr(Folder, "read", counted)
    return names


async def test_what_failed_is_tried_again_when_asked(
    films: Path, unit: str, settings: Settings, watcher: Silent, results: RedisResults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    await asyncio.to_thread(run, asked(films, unit), settings, watcher)
    (films / "PNEUMONIA" / "cut.png").write_bytes((films / "NORMAL" / "001.png").read_bytes())
    read = _count_reads(monkeypatch)
    ran = await asyncio.to_thread(run, asked(films, unit, retry_failed=True), settings, watcher)
    assert read == ["NORMAL/notes.txt", "PNEUMONIA/cut.png"]
    assert len(await readings(results, unit)) == GOOD + 1
    assert summary.summarise(ran)["failed"] == {"not-an-image": 1}
    assert sorted(one.number for one in ran.journal.lines.values()) == list(range(GOOD + BROKEN))


def killed_and_run_again(words: list[Any], environment: dict[str, str], journal: Path) -> Any:
    """Kill the command after its first line, and type it again; how many lines there were, and
    what the second one said."""
    killed = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)
    while not (journal.exists() and journal.stat().st_size):
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    done = journal.read_bytes().count(b"\n")
    again = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return done, json.loads(again.stdout)


@pytest.mark.slow
async def test_a_killed_command_repeats_and_skips_nothing(
    films: Path, unit: str, settings: Settings, results: RedisResults
) -> None:
    for number in range(120):
        name = films / "NORMAL" / f"more-{number:03}.png"
        name.write_bytes((films / "NORMAL" / "000.png").read_bytes())
    assert settings.redis_url is not None
    environment = os.environ | {
        "SIGHTLINE_TRAINER_REGISTRY": settings.registry,
        "SIGHTLINE_TRAINER_MODELS_DIR": str(settings.models_dir),
        "SIGHTLINE_TRAINER_RUNS_DIR": str(settings.runs_dir),
        "SIGHTLINE_TRAINER_REDIS_URL": settings.redis_url.get_secret_value(),
    }
    words = [sys.executable, "-m", "trainer.cli", "infer", "--disease", CHEST, "--input", films,
             "--batch", "monday", "--unit", unit, "--json"]  # fmt: skip
    journal = settings.runs_dir / "batches" / "monday" / "answers.jsonl"
    done, result = await asyncio.to_thread(killed_and_run_again, words, environment, journal)
    assert result["files"] == GOOD + BROKEN + 120
    assert result["files_of_this_run"] == result["files"] - done
    lines = [json.loads(line)["name"] for line in journal.read_text().splitlines()]
    assert sorted(lines) == Folder(films).names()
    assert len(await readings(results, unit)) == GOOD + 120


async def test_it_waits_for_a_redis_that_is_away(
    films: Path, unit: str, settings: Settings, watcher: Silent, results: RedisResults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    add, tries = RedisResults.add_many, []

    async def away(self: RedisResults, predictions: Sequence[Prediction]) -> None:
        tries.append(len(predictions))
        if len(tries) <= 3:
            raise StoreUnavailable
        await add(self, predictions)

    monkeypatch.setattr(RedisResults, "add_many", away)
    monkeypatch.setattr(posting, "PAUSES", (0.0,))
    await asyncio.to_thread(run, asked(films, unit), settings, watcher)
    assert len(await readings(results, unit)) == GOOD
    assert sum("Waiting" in text for text in watcher.said) == 1
    monkeypatch.setattr(posting, "LONGEST_WAIT", -1.0)
    tries.clear()
    with pytest.raises(StoreUnavailable):
        await asyncio.to_thread(
            run, replace(asked(films, unit), batch="tuesday"), settings, watcher
        )


async def test_keras_on_large_batches_answers_alike(
    films: Path, unit: str, settings: Settings, watcher: Silent, results: RedisResults,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(engines, "feeding", lambda *_: Feeding(block=8, calls=2, processes=1))
    first = await asyncio.to_thread(run, asked(films, unit), settings, watcher)
    second = await asyncio.to_thread(
        run, replace(asked(films, unit, engine="keras"), batch="tuesday"), settings, watcher
    )
    assert (first.engine, second.engine) == ("openvino", "keras")
    assert first.journal.lines.keys() == second.journal.lines.keys()
    for name, line in first.journal.lines.items():
        other = second.journal.lines[name]
        assert (line.problem, line.digest) == (other.problem, other.digest)
        assert np.allclose(line.outputs or (), other.outputs or (), atol=1e-4)
    assert len(await readings(results, unit)) == 2 * GOOD


def test_an_artifact_that_answers_otherwise_reads_nothing(
    films: Path, unit: str, settings: Settings, watcher: Silent
) -> None:
    def other(card: Any) -> Any:
        [first, *rest] = card.golden
        changed = first.model_copy(update={"logits": tuple(-one - 3 for one in first.logits)})
        return card.model_copy(update={"golden": (changed, *rest)})

    change_card(settings.models_dir / CHEST / "1", other)
    with pytest.raises(ArtifactRefused, match="reference"):
        run(asked(films, unit), settings, watcher)


async def test_bf16_is_for_cards_that_allow_it(
    films: Path, unit: str, settings: Settings, watcher: Silent
) -> None:
    what = asked(films, unit, precision="bf16")
    with pytest.raises(PrecisionRefused, match="does not allow bf16"):
        await asyncio.to_thread(run, what, settings, watcher)

    def allow(card: Card) -> Card:
        check = PrecisionCheck(
            allowed=True, images=10, largest_probability_change=0.05, flipped_decisions=0,
            auc_change=0.0,
        )  # fmt: skip
        return card.model_copy(update={"precisions": {"bf16": check}})

    change_card(settings.models_dir / CHEST / "1", allow)
    anew = settings.model_copy(
        update={"registry": settings.registry + "-2", "runs_dir": settings.runs_dir / "2"}
    )
    with pytest.raises(PrecisionMissing, match="Keras"):
        await asyncio.to_thread(run, replace(what, engine="keras", batch="k"), anew, watcher)
    exact = await asyncio.to_thread(run, replace(what, precision="f32"), anew, watcher)
    try:
        ran = await asyncio.to_thread(run, replace(what, batch="tuesday"), anew, watcher)
    except PrecisionMissing as missing:
        # A processor without AVX-512 or AMX for it says so.
        assert "does not compute at bf16" in str(missing)  # noqa: PT017
        return
    assert summary.summarise(ran)["precision"] == "bf16"
    there, here = summary.evaluation(exact), summary.evaluation(ran)
    assert there is not None
    assert here is not None
    apart = np.abs(there.scores.probabilities - here.scores.probabilities).max()
    assert 0 < apart < 0.05


def test_what_cannot_be_done_is_refused_with_a_sentence(
    films: Path, unit: str, settings: Settings, watcher: Silent, tmp_path: Path
) -> None:
    plain = asked(films, unit)
    nowhere = settings.model_copy(update={"redis_url": None})
    with pytest.raises(TrainerRefused, match="gateway redis-url"):
        run(plain, nowhere, watcher)
    for name in ("", " monday", "../monday", "a/b", "x" * 101):
        with pytest.raises(TrainerRefused, match="name of a batch"):
            run(replace(plain, batch=name), settings, watcher)
    with pytest.raises(TrainerRefused, match="not a folder"):
        run(replace(plain, source=str(tmp_path / "none")), settings, watcher)
    away = settings.model_copy(update={"redis_url": SecretStr(f"unix://{tmp_path}/none.sock")})
    with pytest.raises(StoreUnavailable):
        run(plain, away, watcher)
    run(plain, settings, watcher)
    for other in ({"unit": "ward"}, {"operating_point": "rule_out"}):
        with pytest.raises(TrainerRefused, match=f"another {next(iter(other))}"):
            run(replace(plain, **other), settings, watcher)


def test_the_command_prints_what_came_of_it(
    films: Path, unit: str, settings: Settings, redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("registry", "models_dir", "runs_dir"):
        monkeypatch.setenv(f"SIGHTLINE_TRAINER_{name.upper()}", str(getattr(settings, name)))
    monkeypatch.setenv("SIGHTLINE_TRAINER_REDIS_URL", redis_server.url_for("trainer"))
    words = ("--disease", CHEST, "--input", films, "--batch", "monday", "--unit", unit)
    done = call(*words)
    assert done.exit_code == 0, done.stderr
    assert f"{GOOD} readings of {GOOD + BROKEN} files" in done.stdout
    assert "failures.csv" in done.stdout
    assert "Confusion" in done.stdout
    assert "A clinician decides." in done.stdout
    assert "notes" not in done.output, "a file's name may name a patient"
    again = call(*words, "--json")
    assert json.loads(again.stdout)["files_of_this_run"] == 0
    assert "were done before" in again.stderr
    refused = call(*words[:-1], "other")
    assert refused.exit_code == 2
    assert "another unit" in refused.stderr
