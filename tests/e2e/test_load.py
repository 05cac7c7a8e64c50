"""`make load` against a real stack: it drives, tells what it saw, and leaves nothing behind."""

import io
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from diagnosis.identity import Role
from gateway.settings import PROJECT
from tests.fixtures.stack import Stack
from tests.load.drive import MIX, Seen, parts_of, table_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("stack")]


def test_a_mix_is_read_and_nothing_else() -> None:
    assert parts_of(MIX) == {"reading": 8, "list": 3, "batch": 1}
    for wrong in ("", "reading", "reading=x", "reading=-1", "delete=1", "reading=0,list=0"):
        with pytest.raises(ValueError, match=r"reading=N|at least one"):
            parts_of(wrong)


def test_times_are_told_by_rank_and_errors_by_code() -> None:
    seen = Seen([0.001 * number for number in range(1, 101)], Counter({"503 overloaded": 3}))
    assert (seen.quantile(0.5), seen.quantile(0.95), seen.quantile(0.99)) == (0.05, 0.095, 0.099)
    assert math.isnan(Seen().quantile(0.5))
    shown = io.StringIO()
    Console(file=shown, width=120).print(table_of({"reading": seen}, 10.0))
    assert "103" in shown.getvalue()
    assert "10.3" in shown.getvalue()
    assert "50 ms" in shown.getvalue()
    assert "3 503 overloaded" in shown.getvalue()


def test_it_drives_a_running_stack_and_leaves_nothing_behind(stack: Stack, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(stack.key(Role.CLINICIAN))
    with stack.client() as client:
        before = client.get("/api/v1/predictions").json()["items"]
        batches = client.get("/api/v1/batches").json()["items"]
        done = subprocess.run(
            [sys.executable, "-m", "tests.load.drive", "--url", stack.url, "--key-file", key,
             "--rate", "3", "--seconds", "3", "--mix", "reading=4,list=3,batch=2",
             "--patience", "180"],
            cwd=PROJECT, capture_output=True, text=True, check=False, timeout=230,
            env={**os.environ, "COLUMNS": "120"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert client.get("/api/v1/predictions").json()["items"] == before
        assert client.get("/api/v1/batches").json()["items"] == batches
    for word in ("reading", "list", "batch", "p99", "none", "were deleted again"):
        assert word in done.stderr
    assert key.read_text() not in done.stdout + done.stderr


def test_whoever_stops_it_leaves_nothing_behind_either(stack: Stack, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(stack.key(Role.CLINICIAN))
    with stack.client() as client:

        def readings() -> list[object]:
            return list(client.get("/api/v1/predictions").json()["items"])

        before, until = readings(), time.monotonic() + 60
        with subprocess.Popen(
            [sys.executable, "-m", "tests.load.drive", "--url", stack.url, "--key-file", key,
             "--rate", "3", "--seconds", "60", "--mix", "reading=1"],
            cwd=PROJECT, stderr=subprocess.PIPE, text=True, start_new_session=True,
        ) as driven:  # fmt: skip
            while readings() == before:
                assert time.monotonic() < until
                time.sleep(0.2)
            driven.send_signal(signal.SIGINT)
            _, said = driven.communicate(timeout=60)
        assert "were deleted again" in said
        assert readings() == before


def test_what_cannot_be_driven_is_a_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.load.drive", "--run-dir", tmp_path],
        cwd=PROJECT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "start it, `make run`" in " ".join(done.stderr.split())
