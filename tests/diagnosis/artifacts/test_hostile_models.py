"""Every known hole of Keras as a file: refused before Keras sees it, at once, opening nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diagnosis.artifacts.opener import inspect_keras
from tests.diagnosis.artifacts.hostile_models import HOSTILE_MODELS, KNOWN, MUTATIONS, HostileModel
from tests.fixtures.tables import documented_table

ROOT = Path(__file__).parents[3]
#: Seconds that a refusal may take.
MOST_SECONDS = 1.0


@pytest.fixture(scope="module")
def inspected(good: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process of its own said and did when it was given all files, the good one first."""
    folder = tmp_path_factory.mktemp("hostile-models")
    files = {"good.keras": good} | {one.file: one.make(good, True) for one in HOSTILE_MODELS}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "tests.diagnosis.artifacts.inspection_child", *files],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_the_process_opens_would_be_seen_and_refused(inspected: dict[str, Any]) -> None:
    assert inspected["planted"]["came"] == ["EMFILE", "EMFILE"]
    assert {"open", "socket.__new__"} <= set(inspected["planted"]["events"])
    assert inspected["files"]["good.keras"]["cause"] == "accepted"


@pytest.mark.parametrize("one", HOSTILE_MODELS, ids=lambda one: one.file)
def test_a_hostile_model_is_refused_by_its_rule_at_once_and_opens_nothing(
    inspected: dict[str, Any], one: HostileModel
) -> None:
    seen = inspected["files"][one.file]
    assert seen["cause"].startswith(f"{one.rule}: ")
    assert seen["seconds"] < MOST_SECONDS
    # `id` is asked by h5py for its own objects; there is no other event at all.
    assert set(seen["events"]) <= {"builtins.id"}
    assert inspected["frameworks"] == []


@pytest.mark.parametrize("one", HOSTILE_MODELS, ids=lambda one: one.file)
def test_the_same_file_without_its_malicious_part_is_accepted(
    good: bytes, one: HostileModel
) -> None:
    assert one.make(good, True) != one.make(good, False)
    inspect_keras(one.make(good, False))


def test_every_known_hole_and_ten_mutations_have_a_file() -> None:
    known = " ".join(one.known_as for one in KNOWN)
    for hole in (
        "2024-3660", "2025-1550", "2025-8747", "2025-9905", "2025-9906", "2025-12058",
        "2025-12060", "2026-0897", "2026-1462", "2026-12479", "2026-12570", "pickle", "HDF5",
    ):  # fmt: skip
        assert hole in known
    assert len(MUTATIONS) >= 10
    assert len({one.file for one in HOSTILE_MODELS}) == len(HOSTILE_MODELS)


def test_the_table_stands_in_the_documents(inspected: dict[str, Any]) -> None:
    """All but the times, which are of one machine, must be as they are written there."""
    rows = [
        (
            one.known_as,
            one.what,
            f"`{one.file}`",
            f"`{one.rule}`",
            f"{max(1, round(inspected['files'][one.file]['seconds'] * 1000))} ms",
        )
        for one in HOSTILE_MODELS
    ]
    documented_table(
        "hostile-models", ("known as", "what", "file", "refused by", "in"), rows, measured=("in",)
    )
